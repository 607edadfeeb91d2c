//! Pairs and halves: what is counted, that nothing is counted twice, and that what waits is bounded.

use super::answer::{Answer, Content};
use super::book::Book;
use super::budget::Budget;
use super::difference::{Kind, Reason};
use super::joiner::{Joined, Joiner};
use super::judge::{Outcome, judge};
use super::*;
use crate::clock::Timestamp;
use crate::model::{Compare, JsonPath, Number, Segment, Side, Tolerance};
use crate::names::UpstreamName;
use crate::translate::Leg;
use crate::weight::Weight;
use proptest::prelude::*;
use std::time::Duration;

fn rules() -> Compare {
    let none = Number::new(0.0).unwrap();
    Compare {
        path: JsonPath(Vec::new()),
        tolerance: Tolerance { absolute: none, relative: none },
        similarity: None,
        top1: false,
        min_match: Weight::new(9_900).unwrap(),
        keep_examples: false,
        max_bytes: 1000,
    }
}

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn fraud() -> GatewayName {
    GatewayName::new("fraud").unwrap()
}

fn comparisons(compare: Compare) -> Comparisons {
    let side = |name: &str| Side { name: upstream(name), endpoints: Vec::new(), revision: [None, None] };
    let comparison = Comparison {
        compare,
        shadow: side("next"),
        live: vec![side("v1"), side("v2")],
        primary: upstream("v1"),
        timeout: Duration::from_secs(10),
    };
    [(fraud(), Arc::new(comparison))].into()
}

fn whole(status: u16, body: &str) -> Content {
    let mut held = Budget::new(1 << 20).hold();
    assert!(held.reserve(body.len()));
    held.add(body.as_bytes());
    Content::Whole { status, body: held }
}

fn answer(name: &str, leg: Leg, id: &str, content: Content) -> Answer {
    let took = Duration::from_millis(if leg == Leg::Live { 10 } else { 20 });
    Answer { gateway: fraud(), upstream: upstream(name), leg, id: id.into(), took, content }
}

fn live(id: &str, body: &str) -> Answer {
    answer("v1", Leg::Live, id, whole(200, body))
}

fn copy(id: &str, body: &str) -> Answer {
    answer("next", Leg::Shadow, id, whole(200, body))
}

fn found(book: &mut Book) -> Arc<Report> {
    Arc::clone(&book.reports().unwrap().gateways[&fraud()])
}

#[test]
fn a_pair_is_counted_whichever_half_comes_first() {
    let mut book = Book::default();
    book.want(&comparisons(rules()), Timestamp(0));
    book.take(live("a", "1"), Timestamp(0));
    book.take(copy("b", "2"), Timestamp(5));
    book.take(copy("a", "1"), Timestamp(10));
    book.take(live("b", "1"), Timestamp(20));
    let report = found(&mut book);
    let pair = &report.pairs[0];
    assert_eq!((pair.upstream.as_str(), pair.primary), ("v1", true));
    assert_eq!(report.matches(), Some(Matches { compared: 2, matched: 1 }));
    let (live, shadow) = (pair.live.unwrap(), pair.shadow.unwrap());
    let seconds = [live.mean, live.p50, shadow.mean, shadow.p95].map(|s| format!("{s:.4}"));
    assert_eq!(seconds, ["0.0100", "0.0110", "0.0200", "0.0210"]);
    let example = &pair.mismatches[0].examples[0];
    assert_eq!((&*example.request, &*example.live, &*example.shadow), ("b", "a number", "a number"));
    assert!(book.reports().is_none(), "nothing is new");
    assert_eq!(book.deadline(), None);
}

#[test]
fn what_stays_alone_is_counted_when_its_time_is_over() {
    let mut book = Book::default();
    book.want(&comparisons(rules()), Timestamp(0));
    book.take(live("a", "1"), Timestamp(0));
    book.take(live("a", "1"), Timestamp(1));
    book.take(copy("b", "1"), Timestamp(2));
    book.take(answer("v3", Leg::Live, "c", whole(200, "1")), Timestamp(3));
    assert_eq!(book.deadline(), Some(Timestamp(15_000)));
    book.give_up(Timestamp(15_002));
    book.take(copy("a", "1"), Timestamp(15_003));
    let report = found(&mut book);
    assert_eq!(report.pairs[0].not_compared, [(Reason::OnlyLive, 1)].into());
    assert_eq!(report.not_paired, [(Reason::OnlyShadow, 1), (Reason::Duplicate, 1)].into());
    assert_eq!(report.matches(), Some(Matches::default()));
}

#[test]
fn other_versions_or_rules_begin_anew_and_halves_of_older_ones_are_no_pairs() {
    let mut book = Book::default();
    let before = comparisons(rules());
    book.want(&before, Timestamp(0));
    book.take(live("a", "1"), Timestamp(0));
    book.take(copy("a", "1"), Timestamp(0));
    book.take(live("b", "1"), Timestamp(0));
    book.want(&before, Timestamp(1));
    assert_eq!(found(&mut book).matches(), Some(Matches { compared: 1, matched: 1 }));
    book.want(&comparisons(Compare { top1: true, ..rules() }), Timestamp(2));
    book.take(copy("b", "1"), Timestamp(3));
    let report = found(&mut book);
    assert_eq!((report.matches(), report.since), (Some(Matches::default()), Timestamp(2)));
    book.give_up(Timestamp(20_000));
    let report = found(&mut book);
    assert_eq!(report.not_paired, [(Reason::OnlyShadow, 1)].into(), "of what was before nothing is said");
    assert!(report.pairs[0].not_compared.is_empty());
    book.want(&Comparisons::new(), Timestamp(20_001));
    assert!(book.is_empty() && book.reports().unwrap().gateways.is_empty());
}

#[test]
fn streams_count_what_they_lose() {
    let mut book = Book::default();
    let watch = book.want(&comparisons(rules()), Timestamp(0));
    assert!(found(&mut book).not_paired.is_empty());
    watch[&fraud()].lose_for_memory();
    watch[&fraud()].lose_for_speed();
    assert_eq!(found(&mut book).not_paired, [(Reason::Memory, 1), (Reason::Behind, 1)].into());
}

#[test]
fn each_difference_has_its_kind() {
    use Outcome::{Match, NotCompared};
    let kind = |rules: &Compare, live: Content, shadow: Content| match judge(rules, &live, &shadow) {
        Outcome::Mismatch(found) => Ok(found.kind),
        other => Err(other),
    };
    let exact = rules();
    let at = |name: &str| Compare { path: JsonPath(vec![Segment::Name(name.into())]), ..rules() };
    let each = Compare { path: JsonPath(vec![Segment::All, Segment::Name("a".into())]), ..rules() };
    let top1 = Compare { top1: true, ..rules() };
    let alike = Compare { similarity: Number::new(0.5), ..rules() };
    for (rules, live, shadow, expected) in [
        (&exact, r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#, Err(Match)),
        (&exact, "[1]", "[1,2]", Ok(Kind::Length)),
        (&exact, "[1]", "[2]", Ok(Kind::Number)),
        (&exact, "[true]", "[false]", Ok(Kind::Boolean)),
        (&exact, "[null]", "[0]", Ok(Kind::Type)),
        (&exact, r#"{"a":1}"#, r#"{"b":1}"#, Ok(Kind::Members)),
        (&exact, r#"{"a":1}"#, r#"{"a":1,"b":1}"#, Ok(Kind::Members)),
        (&exact, "fraud", "fraud", Err(Match)),
        (&exact, "fraud", "honest", Ok(Kind::Text)),
        (&exact, "", "", Err(Match)),
        (&alike, r#""night watch""#, r#""night watcher""#, Err(Match)),
        (&alike, "a label", "another one", Ok(Kind::Text)),
        (&at("a"), r#"{"a":1,"t":1}"#, r#"{"a":1,"t":2}"#, Err(Match)),
        (&at("a"), r#"{"a":1}"#, "{}", Ok(Kind::Missing)),
        (&at("a"), "{}", "{}", Err(NotCompared(Reason::NothingThere))),
        (&at("a"), "fraud", r#"{"a":1}"#, Err(NotCompared(Reason::NotJson))),
        (&each, r#"[{"a":1},{"a":2}]"#, r#"[{"a":1},{"a":3}]"#, Ok(Kind::Number)),
        (&each, r#"[{"a":1},{"a":2}]"#, r#"[{"a":1}]"#, Ok(Kind::Length)),
        (&each, r#"[{"a":1}]"#, "[]", Ok(Kind::Missing)),
        (&top1, "[[0.1,0.9],[1,0]]", "[[0.4,0.6],[1,0]]", Err(Match)),
        (&top1, "[0.1,0.9]", "[0.6,0.4]", Ok(Kind::Top1)),
        (&top1, r#""cat""#, r#""cat""#, Err(NotCompared(Reason::NotScores))),
    ] {
        assert_eq!(kind(rules, whole(200, live), whole(200, shadow)), expected, "{live} {shadow}");
    }
    let every = Compare { top1: true, ..each };
    let (a, b) = (r#"[{"a":[1,0]},{"a":[0,1]}]"#, r#"[{"a":[1,0]},{"a":[1,0]}]"#);
    assert_eq!(kind(&every, whole(200, a), whole(200, b)), Ok(Kind::Top1));
    let of = |live, shadow| kind(&exact, whole(live, "a"), whole(shadow, "b"));
    assert_eq!(of(200, 500), Ok(Kind::Status));
    assert_eq!(of(404, 404), Err(Match));
    assert_eq!(of(503, 503), Err(NotCompared(Reason::BothFailed)));
    assert_eq!(kind(&exact, Content::None, whole(200, "")), Err(NotCompared(Reason::NoLiveAnswer)));
    assert_eq!(kind(&exact, whole(200, ""), Content::None), Err(NotCompared(Reason::NoShadowAnswer)));
    assert_eq!(kind(&exact, whole(200, ""), Content::Cut { status: 200 }), Err(NotCompared(Reason::Cut)));
    let large = Content::Unread { status: 200, why: Unread::TooLarge };
    assert_eq!(kind(&exact, whole(200, ""), large), Err(NotCompared(Reason::TooLarge)));
}

#[test]
fn values_are_shown_to_whoever_asks_for_them_only() {
    let shown = |keep_examples| {
        let rules = Compare { keep_examples, ..rules() };
        match judge(&rules, &whole(200, r#"{"ann":[1,"secret"]}"#), &whole(200, r#"{"ann":[1,"other"]}"#)) {
            Outcome::Mismatch(found) => [found.place, found.live, found.shadow],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(shown(false), ["$.*[1]", "a text of 6", "a text of 5"]);
    assert_eq!(shown(true), ["$.ann[1]", r#""secret""#, r#""other""#]);
}

proptest! {
    #[test]
    fn an_answer_matches_itself(numbers in prop::collection::vec(any::<f64>(), 0..9), text in ".{0,9}") {
        let numbers: Vec<f64> = numbers.into_iter().filter(|n| n.is_finite()).collect();
        let body = serde_json::json!({ "a": numbers, "b": text }).to_string();
        prop_assert_eq!(judge(&rules(), &whole(200, &body), &whole(200, &body)), Outcome::Match);
    }

    #[test]
    fn whatever_comes_what_waits_is_bounded_and_every_answer_is_told_once(
        comes in prop::collection::vec((0u8..12, any::<bool>(), 0usize..200, 0i64..3_000), 0..80)
    ) {
        let mut joiner = Joiner::new(5, 500);
        let (mut pairs, mut alone, mut duplicates, mut now) = (0, 0, 0, Timestamp(0));
        let total = comes.len();
        for (id, is_live, size, later) in comes {
            now = now.plus(Duration::from_millis(u64::try_from(later).unwrap()));
            let (id, body) = (id.to_string(), "x".repeat(size));
            let answer = if is_live { live(&id, &body) } else { copy(&id, &body) };
            match joiner.take(1, answer, now.plus(Duration::from_secs(10))) {
                Joined::Waits => {}
                Joined::Pair { live, shadow } => {
                    prop_assert!(live.leg == Leg::Live && shadow.leg == Leg::Shadow && live.id == shadow.id);
                    pairs += 1;
                }
                Joined::Duplicate(_) => duplicates += 1,
            }
            alone += joiner.give_up(now).len();
            let (count, bytes) = joiner.size();
            prop_assert!(count <= 5 && bytes <= 500);
            prop_assert!(joiner.deadline().is_none_or(|at| at > now));
        }
        alone += joiner.give_up(Timestamp(i64::MAX)).len();
        prop_assert_eq!(2 * pairs + alone + duplicates, total);
        prop_assert_eq!(joiner.size(), (0, 0));
    }
}
