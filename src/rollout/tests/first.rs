//! A shadow before the first step: when a release begins, when it does not, and why.

use super::*;
use proptest::prelude::*;

/// The release of a canary that is shadowed first, of which 97 % have to agree.
fn shadowed() -> Play {
    Play::begun(Plan { shadow_first: Some(percent("97")), ..plan() })
}

fn reading(play: &Play, compared: u64, matched: u64) -> Input {
    Input::Compared(Reading { since: play.state.began, compared, matched })
}

impl Play {
    fn compared(&mut self, compared: u64, matched: u64) {
        self.pass(Duration::from_millis(500));
        self.input(&reading(self, compared, matched));
    }
}

#[test]
fn a_healthy_canary_gets_copies_and_no_traffic() {
    let play = shadowed();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, Weight::NONE));
    assert_eq!(play.kinds(), ["started", "holding"]);
    assert_eq!(
        play.state.sentence,
        "v2 has a healthy endpoint and is shadowed before its first step, until at least 97 % of its predictions agree"
    );
}

#[test]
fn the_first_step_begins_when_enough_predictions_agree() {
    let mut play = shadowed();
    play.compared(100, 100);
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, Weight::NONE));
    assert_eq!(
        play.state.sentence,
        "v2 stays at 0 %: 100 of 100 predictions agreed (100 %, between 92.7 % and 100 %), at least 97 % wanted"
    );
    play.compared(4_900, 4_812);
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
    assert_eq!(
        play.state.sentence,
        "v2 goes from 0 % to 5 %: 4,812 of 4,900 predictions agreed (98.2 %, between 97.2 % and 98.9 %), at least \
         97 % wanted"
    );
    assert_eq!(play.state.shadowed, None);
}

#[test]
fn a_canary_whose_predictions_differ_gets_no_request() {
    let mut play = shadowed();
    play.compared(400, 360);
    assert_eq!((play.state.phase, play.state.weight), (Phase::RolledBack, Weight::NONE));
    assert_eq!(
        play.state.sentence,
        "the release of v2 does not begin: 360 of 400 predictions agreed (90 %, between 83 % and 94.9 %), at least \
         97 % wanted"
    );
    play.adopt();
    assert_eq!(play.state.phase, Phase::RolledBack);
    // What was compared before says nothing about the next attempt, in which all agree.
    let since = play.state.began;
    play.pass(Duration::from_secs(1));
    play.order(Verb::Retry).unwrap();
    play.input(&Input::Healthy(1));
    play.input(&Input::Compared(Reading { since, compared: 400, matched: 360 }));
    assert_eq!(play.state.phase, Phase::Holding);
    play.input(&Input::Compared(Reading { since, compared: 1_400, matched: 1_360 }));
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
}

#[test]
fn what_others_compared_counts_as_well_and_only_of_this_shadow() {
    let mut play = shadowed();
    let revision = play.state.shadowed.unwrap().revision().unwrap();
    let agreed = |revision, compared, matched| Input::Agreed(Agreed { revision, compared, matched });
    play.input(&agreed(revision, 2_400, 2_356));
    play.compared(100, 100);
    let seen = play.state.shadowed.unwrap();
    assert_eq!((seen.compared, seen.matched, play.state.phase), (2_500, 2_456, Phase::Holding));
    for other in [agreed(revision - 1, 400, 0), agreed(revision + 1, 400, 0), agreed(revision, 0, 0)] {
        play.input(&other);
        assert_eq!(play.state.shadowed, Some(seen), "{other:?}");
    }
    play.input(&agreed(revision, 2_400, 2_356));
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
    play.input(&agreed(revision, 400, 0));
    assert_eq!(play.state.phase, Phase::Progressing, "it has begun");

    // A person overrules what was seen: what comes late is about that.
    let mut play = shadowed();
    play.plan.on_failure = OnFailure::Pause;
    play.input(&agreed(revision, 400, 360));
    assert_eq!(play.state.phase, Phase::Paused);
    play.order(Verb::Resume).unwrap();
    let next = play.state.shadowed.unwrap();
    play.input(&agreed(revision, 400, 360));
    assert_eq!((play.state.phase, play.state.shadowed), (Phase::Holding, Some(next)));
    play.input(&agreed(next.revision().unwrap(), 1_400, 1_400));
    assert_eq!(play.state.phase, Phase::Progressing);
}

#[test]
fn nothing_of_others_is_of_a_shadow_that_an_older_serin_has_kept() {
    let mut play = shadowed();
    let mut kept = serde_json::to_value(&play.state).unwrap();
    kept["shadowed"].as_object_mut().unwrap().remove("revision").unwrap();
    play.state = serde_json::from_value(kept).unwrap();
    let before = play.state.shadowed.unwrap();
    assert_eq!(before.revision(), None);
    for revision in [0, 1, play.state.revision] {
        play.input(&Input::Agreed(Agreed { revision, compared: 400, matched: 0 }));
        assert_eq!(play.state.shadowed, Some(before), "{revision}");
    }
    play.compared(1_000, 1_000);
    assert_eq!(play.state.phase, Phase::Progressing, "its own counter counts as before");
}

#[test]
fn without_predictions_it_neither_begins_nor_fails() {
    let mut play = shadowed();
    for _ in 0..3 {
        play.compared(0, 0);
        play.second(1000.0, (0.0, 0.0));
        play.input(&Input::Healthy(1));
    }
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, Weight::NONE));
    play.pass(Duration::from_mins(10));
    play.input(&Input::Tick);
    assert_eq!(play.state.phase, Phase::Paused, "somebody should look");
    play.compared(2_000, 2_000);
    assert_eq!((play.state.phase, play.state.weight), (Phase::Paused, Weight::NONE), "it was paused");
    play.order(Verb::Resume).unwrap();
    assert_eq!(play.state.phase, Phase::Holding);
    play.compared(2_001, 2_001);
    assert_eq!(play.state.phase, Phase::Progressing);
}

#[test]
fn a_file_that_wants_a_pause_gets_one_and_a_person_may_overrule() {
    let mut play = shadowed();
    play.plan.on_failure = OnFailure::Pause;
    play.compared(400, 360);
    assert_eq!((play.state.phase, play.state.weight), (Phase::Paused, Weight::NONE));
    assert!(play.state.sentence.starts_with("paused at 0 % since"), "{}", play.state.sentence);
    play.order(Verb::Resume).unwrap();
    assert_eq!(play.state.phase, Phase::Holding);
    play.compared(1_400, 1_360);
    assert_eq!(play.state.phase, Phase::Progressing, "what was overruled does not count");
}

#[test]
fn orders_go_past_the_shadow_and_say_so() {
    let mut play = shadowed();
    play.compared(20, 19);
    play.order(Verb::Pause).unwrap();
    play.order(Verb::Promote { full: false }).unwrap();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
    let entry = play.told.last().unwrap();
    assert_eq!((entry.kind.as_str(), entry.actor.as_str()), ("advanced", "ann"));
    assert!(
        entry.message.contains("ann said so: trial; the shadow had not shown enough: 19 of 20"),
        "{entry:?}"
    );

    let mut play = shadowed();
    play.order(Verb::Abort).unwrap();
    assert_eq!(play.state.phase, Phase::RolledBack);
    assert_eq!(play.state.sentence, "the release of v2 does not begin: ann said so: trial");

    let mut play = shadowed();
    play.order(Verb::SetWeight(percent("30"))).unwrap();
    assert_eq!((play.state.shadowed, play.state.weight), (None, percent("30")));
}

#[test]
fn a_file_without_a_shadow_ends_it_and_another_minimum_applies_to_what_is_there() {
    let mut play = shadowed();
    play.compared(4_900, 4_700);
    assert_eq!(play.state.phase, Phase::Holding);
    play.plan.shadow_first = Some(percent("90"));
    play.adopt();
    assert_eq!(play.state.phase, Phase::Holding, "an edit raises no weight");
    play.compared(4_901, 4_701);
    assert_eq!(play.state.phase, Phase::Progressing);

    let mut play = shadowed();
    play.plan.shadow_first = None;
    play.adopt();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Waiting, Weight::NONE));
    play.input(&Input::Healthy(1));
    assert_eq!(play.state.phase, Phase::Progressing);
}

proptest! {
    /// Also when Serin counts from 0 again after each restart.
    #[test]
    fn a_state_that_is_restored_between_any_two_reports_goes_on_as_the_unbroken_one(
        reports in prop::collection::vec((0u64..60, 0u64..=60, any::<bool>()), 1..80),
    ) {
        let (mut unbroken, mut restored) = (shadowed(), shadowed());
        let (mut all, mut since_start) = ((0, 0), Reading { since: restored.now, compared: 0, matched: 0 });
        for (compared, matched, restart) in reports {
            let matched = matched.min(compared);
            if restart {
                let text = serde_json::to_string(&restored.state).unwrap();
                restored.state = serde_json::from_str(&text).unwrap();
                since_start = Reading { since: restored.now, compared: 0, matched: 0 };
            }
            all = (all.0 + compared, all.1 + matched);
            (since_start.compared, since_start.matched) = (since_start.compared + compared, since_start.matched + matched);
            unbroken.compared(all.0, all.1);
            restored.pass(Duration::from_millis(500));
            restored.input(&Input::Compared(since_start));
            let seen = |play: &Play| {
                let counts = play.state.shadowed.map(|seen| (seen.compared, seen.matched));
                (play.state.phase, play.state.weight, play.state.sentence.clone(), counts)
            };
            prop_assert_eq!(seen(&unbroken), seen(&restored));
        }
    }

    /// Nobody sees more than was compared, and a reading that comes again adds nothing.
    #[test]
    fn a_reading_twice_is_once(readings in prop::collection::vec((0u64..3, 0u64..500, 0u64..500), 1..40)) {
        let mut play = shadowed();
        for (counter, compared, matched) in readings {
            let since = play.state.began.plus(Duration::from_secs(counter));
            let input = Input::Compared(Reading { since, compared, matched });
            play.input(&input);
            let once = play.state.clone();
            play.input(&input);
            prop_assert_eq!(&play.state, &once);
            prop_assert!(once.shadowed.is_none_or(|seen| seen.matched <= seen.compared));
        }
    }
}
