//! Rollouts in the loop: what is kept counts, and nothing else.

mod agreed;
mod late;
mod measured;
mod others;
mod overrides;
mod recalled;
mod shadowed;

use super::*;
use crate::config::{Attachment, Content, Document, Reference};
use crate::control::{Answered, Asker, Command, Measured, Others, Outcome, Point, Question, Reply};
use crate::names::{GatewayName, UpstreamName};
use crate::rollout::{Order, Refusal, Verb};
use crate::stats::Counts;
use crate::store::{Sqlite, Store};
use crate::weight::Weight;
use tokio::sync::oneshot;

fn fraud() -> GatewayName {
    GatewayName::new("fraud").unwrap()
}

/// Two versions; the release of the second, with this under `rollout` besides.
fn release(more: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: fraud\ntimeout: 2s\nupstreams: {{ v1: http://a, v2: http://b }}\n\
         rollout: {{ primary: v1, canary: v2, pause: 5s, bake: 5s, metrics: [{{ name: error-rate }}], {more} }}\n"
    )
}

/// A world and its store.
struct Kept {
    play: Play,
    store: Sqlite,
    /// What of the next measurements others measured.
    others: Others,
}

impl Kept {
    fn new(more: &str) -> Self {
        let mut kept =
            Self { play: Play::new(), store: Sqlite::in_memory().unwrap(), others: Others::default() };
        kept.begin();
        kept.play.write("fraud.yaml", release(more));
        kept.keep();
        kept
    }

    /// A world with what is in the store.
    fn begin(&mut self) {
        let states = self.store.load().unwrap().states;
        let world = World::new(Settings::default()).with_rollouts(Ok(states), Vec::new(), self.play.now);
        self.play.world = world;
    }

    /// The store answers until nothing is proposed any more. Says how often.
    fn keep(&mut self) -> usize {
        let mut answers = 0;
        while let Some(proposal) = self.play.world.take_proposal() {
            let result = self.store.commit(&[proposal.commit]).remove(0);
            let result = result.map(|_| ()).map_err(|why| why.to_string());
            self.play.event(Event::Committed(proposal.id, result));
            answers += 1;
        }
        answers
    }

    fn healthy(&mut self) {
        self.play.event(Event::Healthy([(fraud(), 1)].into()));
    }

    /// A second in which all of the canary's requests come to this.
    fn second(&mut self, requests: f64, errors: f64) {
        let from = self.play.now;
        self.play.now = self.play.now.plus(Duration::from_secs(1));
        let counts = |requests: f64, errors: f64| {
            let counts = Counts { requests, errors, started: Some(requests), ..Counts::default() };
            Outcome { counts, client_errors: 0.0 }
        };
        let share = f64::from(self.weight()) / 10_000.0;
        let canary = (UpstreamName::new("v2").unwrap(), counts(requests * share, errors * share));
        let primary = (UpstreamName::new("v1").unwrap(), counts(requests * (1.0 - share), 0.0));
        let upstreams = [canary, primary].into();
        let measured =
            Measured { gateway: fraud(), from, to: self.play.now, upstreams, others: self.others.clone() };
        self.play.event(Event::Measured(vec![measured]));
        self.play.event(Event::Tick);
    }

    fn order(&mut self, verb: Verb) -> oneshot::Receiver<Reply> {
        self.keyed(verb, None)
    }

    fn keyed(&mut self, verb: Verb, key: Option<&str>) -> oneshot::Receiver<Reply> {
        let (asker, reply) = Asker::new();
        let key = key.map(str::to_owned);
        let order = Order { verb, actor: "ann".to_owned(), reason: None, if_revision: None };
        self.play.event(Event::Command(Command { gateway: fraud(), order, key, ticket: None }, asker));
        reply
    }

    /// Those who asked get their answers.
    fn answer(&mut self) {
        self.play.world.take_answers().into_iter().for_each(|(asker, reply)| asker.answer(reply));
    }

    /// The canary's share as people see it, in hundredths of a percent.
    fn weight(&mut self) -> u32 {
        let view = self.play.world.view();
        let upstreams = &view.gateways["fraud"].gateway.as_ref().unwrap().upstreams;
        let canary = upstreams.iter().find(|u| u.name == "v2").unwrap();
        canary.weight.hundredths()
    }

    fn phase(&mut self) -> Phase {
        self.play.world.view().gateways["fraud"].phase
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.play.world.fleet().everyone
    }
}

#[test]
fn a_weight_is_kept_before_envoys_hear_of_it() {
    let mut kept = Kept::new("");
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Waiting), 0));
    let before = kept.snapshot();
    kept.healthy();
    assert_eq!(kept.weight(), 0, "the store has not answered");
    assert_eq!(kept.snapshot().set(Kind::Route).version(), before.set(Kind::Route).version());
    assert_eq!(kept.keep(), 1);
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Progressing), 500));
    let after = kept.snapshot();
    assert_ne!(after.set(Kind::Route).version(), before.set(Kind::Route).version());
    for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Secret] {
        assert_eq!(
            after.set(kind).version(),
            before.set(kind).version(),
            "a step is one route, not a {kind}"
        );
    }
    assert_eq!(kept.play.world.take_wants().unwrap().compared.len(), 1);
    assert_eq!(kept.play.world.take_wants(), None);
}

#[test]
fn a_release_runs_to_its_end_and_the_file_takes_over() {
    let mut kept = Kept::new("steps: [50]");
    kept.healthy();
    kept.keep();
    for _ in 0..60 {
        kept.second(2_000.0, 0.0);
        kept.keep();
    }
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Promoted), 10_000));
    let told: Vec<&str> = kept
        .play
        .told
        .iter()
        .filter(|(kind, _)| *kind == NoteKind::Rollout)
        .map(|(_, m)| m.as_str())
        .collect();
    assert!(told.iter().any(|m| m.starts_with("gateway fraud: v2 is promoted")), "{told:?}");
    let journal = kept.store.entries(&crate::store::Query::default()).unwrap();
    let kinds: Vec<&str> = journal.iter().map(|e| e.entry.kind.as_str()).collect();
    let steps: Vec<&str> =
        kinds.iter().copied().filter(|k| !matches!(*k, "holding" | "progressing")).collect();
    assert_eq!(steps, ["started", "advanced", "advanced", "baking", "promoted"]);
    let served = kept.snapshot();
    kept.play.write("fraud.yaml", release("").replace("primary: v1", "primary: v2"));
    kept.keep();
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Stable), 10_000));
    assert_eq!(served.set(Kind::Cluster).version(), kept.snapshot().set(Kind::Cluster).version());
}

#[test]
fn harm_is_answered_within_seconds_and_stays_answered() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    let mut seconds = 0;
    while kept.phase() != Phase::Of(rollout::Phase::RolledBack) {
        kept.second(50.0, 50.0);
        kept.keep();
        seconds += 1;
        assert!(seconds < 6, "{}", kept.phase().as_str());
    }
    assert_eq!(kept.weight(), 0);
    assert!(
        kept.play.told.iter().any(|(k, m)| *k == NoteKind::Stopped && m.contains("all traffic goes to v1"))
    );
    kept.begin();
    kept.play.write("fraud.yaml", release(""));
    kept.healthy();
    assert_eq!(kept.keep(), 0);
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::RolledBack), 0));
}

#[test]
fn a_restart_goes_on_from_the_same_weight_and_the_same_evidence() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    for _ in 0..4 {
        kept.second(1_000.0, 0.0);
        kept.keep();
    }
    let before = kept.play.world.view().gateways["fraud"].rollout.clone().unwrap();
    assert!(before.watched_seconds >= 4 && before.evidence.iter().any(|e| e.safety > 0.0));
    kept.begin();
    kept.play.write("fraud.yaml", release(""));
    let after = kept.play.world.view().gateways["fraud"].rollout.clone().unwrap();
    assert_eq!(after, before);
    assert_eq!(kept.weight(), 500, "in the first fleet that is published");
}

#[test]
fn without_a_store_nothing_moves_and_nothing_is_raised() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    let lost = || Err("the disk is gone".to_owned());
    // Read at the start: not even that.
    let world = World::new(Settings::default()).with_rollouts(lost(), Vec::new(), kept.play.now);
    kept.play.world = world;
    kept.play.write("fraud.yaml", release(""));
    kept.healthy();
    assert_eq!((kept.keep(), kept.weight()), (0, 0));
    assert!(kept.play.told.iter().any(|(k, m)| *k == NoteKind::Alarm && m.contains("the disk is gone")));
    let mut reply = kept.order(Verb::Retry);
    kept.answer();
    assert_eq!(reply.try_recv().unwrap(), Err(Refusal::Store("the disk is gone".to_owned())));
}

#[test]
fn a_store_that_fails_stops_decisions_and_is_tried_again() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    let told = kept.play.told.len();
    let mut reply = kept.order(Verb::Promote { full: false });
    for _ in 0..3 {
        let Some(proposal) = kept.play.world.take_proposal() else { break };
        kept.play.event(Event::Committed(proposal.id, Err("the disk is full".to_owned())));
        kept.answer();
        kept.play.now = kept.play.now.plus(Duration::from_secs(3));
        kept.second(50.0, 50.0);
    }
    assert_eq!(reply.try_recv().unwrap(), Err(Refusal::Store("the disk is full".to_owned())));
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Progressing), 500));
    let alarms = kept.play.told[told..].iter().filter(|(kind, _)| *kind == NoteKind::Alarm);
    assert_eq!(alarms.count(), 1, "it is said once");
    while kept.phase() != Phase::Of(rollout::Phase::RolledBack) {
        kept.play.now = kept.play.now.plus(Duration::from_secs(3));
        kept.second(50.0, 50.0);
        kept.keep();
    }
    assert!(kept.play.told.iter().any(|(_, m)| m == "the store works again, and rollouts move"));
}

#[test]
fn orders_are_answered_when_they_are_kept_and_wait_for_their_turn() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    let mut first = kept.order(Verb::Pause);
    let proposal = kept.play.world.take_proposal().unwrap();
    let mut second = kept.order(Verb::Resume);
    kept.answer();
    assert!(first.try_recv().is_err() && second.try_recv().is_err(), "nothing is kept yet");
    let result = kept.store.commit(&[proposal.commit]).remove(0);
    kept.play.event(Event::Committed(proposal.id, result.map(|_| ()).map_err(|e| e.to_string())));
    kept.answer();
    assert_eq!(first.try_recv().unwrap().unwrap().phase, crate::rollout::Phase::Paused);
    assert_eq!(kept.phase(), Phase::Of(rollout::Phase::Paused));
    kept.keep();
    kept.answer();
    assert_eq!(second.try_recv().unwrap().unwrap().phase, crate::rollout::Phase::Progressing);
    let mut unknown = {
        let (asker, reply) = Asker::new();
        let order = Order { verb: Verb::Abort, actor: "ann".to_owned(), reason: None, if_revision: None };
        let gateway = GatewayName::new("spam").unwrap();
        kept.play.event(Event::Command(Command { gateway, order, key: None, ticket: None }, asker));
        kept.answer();
        reply
    };
    assert!(matches!(unknown.try_recv().unwrap(), Err(Refusal::UnknownGateway(_))));
}

#[test]
fn aborted_canary_stays_so_when_its_rollout_is_taken_out_and_put_back() {
    for restarts in [false, true] {
        let mut kept = Kept::new("");
        kept.healthy();
        kept.keep();
        drop(kept.order(Verb::Abort));
        kept.keep();
        assert_eq!(kept.phase(), Phase::Of(rollout::Phase::RolledBack));
        let head = release("").split("rollout:").next().unwrap().to_owned();
        for _ in 0..2 {
            kept.play.write("fraud.yaml", format!("{head}traffic: {{ v1: 100, v2: 0 }}\n"));
            kept.keep();
            kept.play.write("fraud.yaml", format!("{head}traffic: {{ v1: 99, v2: 1 }}\n"));
            assert_eq!(kept.keep(), 0, "it ended once");
            if restarts {
                kept.begin();
            }
            kept.play.write("fraud.yaml", release(""));
            kept.keep();
            kept.healthy();
            kept.keep();
            assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::RolledBack), 0));
        }
    }
}

#[test]
fn edits_lower_at_once_and_raise_nothing() {
    let mut kept = Kept::new("");
    kept.healthy();
    kept.keep();
    kept.order(Verb::SetWeight(crate::weight::Weight::parse("40").unwrap()));
    kept.keep();
    assert_eq!(kept.weight(), 4_000);
    // Something else stands behind v2 now: it has shown nothing.
    kept.play.write("fraud.yaml", release("").replace("http://b", "http://c"));
    assert_eq!(kept.weight(), 0, "before anything is kept");
    kept.keep();
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Waiting), 0));
    // The file owns the weights.
    let split = "traffic: { v1: 70, v2: 30 }\n";
    let text = release("");
    let upstreams = text.split("rollout:").next().unwrap();
    kept.play.write("fraud.yaml", format!("{upstreams}{split}"));
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Stable), 3_000));
    assert_eq!(kept.keep(), 1);
    assert!(kept.store.load().unwrap().states.is_empty());
    // A broken edit changes nothing.
    kept.play.write("fraud.yaml", release(""));
    kept.keep();
    kept.healthy();
    kept.keep();
    kept.play.write("fraud.yaml", release("").replace("canary: v2", "canary: v9"));
    assert_eq!((kept.phase(), kept.weight()), (Phase::Invalid, 500));
    kept.second(50.0, 50.0);
    kept.keep();
    kept.second(50.0, 50.0);
    kept.keep();
    kept.second(50.0, 50.0);
    kept.keep();
    kept.second(50.0, 50.0);
    kept.keep();
    assert_eq!((kept.phase(), kept.weight()), (Phase::Invalid, 0), "the last good version is still watched");
}

const DRIFT: &str = "metrics: [{ name: error-rate, codes: [4xx, 5xx] }, { name: drift, webhook: http://localhost:9/, interval: 5s }]";
const TOLD: &str = "notify: [{ webhook: { env: HOOK } }]";

/// A release with a metric that others measure, and somebody who wants to be told.
fn asked() -> Kept {
    let mut kept = Kept { play: Play::new(), store: Sqlite::in_memory().unwrap(), others: Others::default() };
    kept.begin();
    let text = release("").replace("metrics: [{ name: error-rate }],", &format!("{DRIFT},"));
    let hook = Attachment::private(*b"http://localhost:9/hook");
    let attached = [(Reference::Environment("HOOK".into()), hook)].into();
    let file: Arc<str> = "fraud.yaml".into();
    let content = Content::Text(format!("{text}{TOLD}\n").into_bytes().into());
    let document = Document { path: Arc::clone(&file), content };
    let documents = [(file, Some(document.into()))].into();
    kept.play.event(Event::Files(Changes { documents, attached }));
    kept.keep();
    kept
}

fn question(kept: &mut Kept) -> Arc<Question> {
    let questions = kept.play.world.take_wants().unwrap().questions;
    assert_eq!(questions.len(), 1);
    Arc::clone(&questions[&(fraud(), "drift".to_owned())])
}

fn say(kept: &mut Kept, question: &Arc<Question>, answer: Result<f64, &str>) {
    let answer =
        answer.map_err(str::to_owned).map(|badness| Point { canary: Some(7.0), primary: None, badness });
    kept.play.event(Event::Answered(Answered { question: Arc::clone(question), answer }));
}

#[test]
fn others_are_asked_while_the_canary_has_traffic_and_their_answers_decide() {
    let mut kept = asked();
    assert_eq!(kept.play.world.take_wants().unwrap().questions.len(), 0, "the canary has no traffic yet");
    kept.healthy();
    kept.keep();
    let question = question(&mut kept);
    let mut answers = 0;
    while kept.phase() != Phase::Of(rollout::Phase::RolledBack) {
        say(&mut kept, &question, Ok(1.0));
        kept.second(200.0, 0.0);
        kept.keep();
        answers += 1;
        assert!(answers < 30);
    }
    assert!(answers > 5, "{answers}");
    let notices = kept.play.world.take_notices();
    let told: Vec<_> = notices.iter().map(|n| n.occasion.as_str()).collect();
    assert_eq!(told, ["rolled-back"]);
    let release = notices[0].release.as_ref().unwrap();
    assert_eq!((release.canary.as_str(), release.weight, notices[0].to.len()), ("v2", Weight::NONE, 1));
    assert!(notices[0].message.contains("user:drift"), "{}", notices[0].message);
    assert!(!format!("{notices:?}").contains("hook"), "the URL is a secret");
    assert_eq!(kept.play.world.take_wants().unwrap().questions.len(), 0);
}

#[test]
fn four_times_no_data_is_told_once_and_what_is_late_counts_no_more() {
    let mut kept = asked();
    kept.healthy();
    kept.keep();
    let question = question(&mut kept);
    kept.play.told.clear();
    for n in 1..=6 {
        say(&mut kept, &question, Err("it is down"));
        assert_eq!(kept.play.world.take_notices().len(), usize::from(n == 4), "{n}");
        assert_eq!(kept.play.told.len(), usize::from(n >= 4), "{n}: {:?}", kept.play.told);
    }
    let problem = |kept: &mut Kept| {
        let view = kept.play.world.view();
        let metrics = &view.gateways["fraud"].rollout.as_ref().unwrap().metrics;
        (metrics[0].value, metrics[0].problem.clone())
    };
    assert_eq!(problem(&mut kept), (None, Some("it is down".to_owned())));
    say(&mut kept, &question, Ok(0.0));
    assert_eq!(kept.play.told.last().unwrap().0, NoteKind::Repaired);
    assert_eq!(problem(&mut kept), (Some(7.0), None));
    // An answer about another release.
    let old = Arc::new(Question { began: Timestamp(1), ..Question::clone(&question) });
    say(&mut kept, &old, Err("it is down"));
    assert_eq!(problem(&mut kept), (Some(7.0), None));
}

#[test]
fn answers_4xx_are_failures_when_the_file_says_so() {
    let mut kept = asked();
    kept.healthy();
    kept.keep();
    for _ in 0..30 {
        let from = kept.play.now;
        kept.play.now = kept.play.now.plus(Duration::from_secs(1));
        let did = |client_errors: f64| {
            let counts = Counts { requests: 100.0, started: Some(100.0), ..Counts::default() };
            Outcome { counts, client_errors }
        };
        let upstreams = [("v2", 50.0), ("v1", 0.0)].map(|(n, e)| (UpstreamName::new(n).unwrap(), did(e)));
        let measured = Measured {
            gateway: fraud(),
            from,
            to: kept.play.now,
            upstreams: upstreams.into(),
            others: Others::default(),
        };
        kept.play.event(Event::Measured(vec![measured]));
        kept.keep();
    }
    assert_eq!(kept.phase(), Phase::Of(rollout::Phase::RolledBack));
}

#[test]
fn an_order_with_the_same_key_is_carried_out_once() {
    let mut kept = Kept::new("steps: [5, 25, 50]");
    kept.healthy();
    kept.keep();
    assert_eq!(kept.weight(), 500);
    let promote = Verb::Promote { full: false };
    let mut replies = vec![kept.keyed(promote, Some("a")), kept.keyed(promote, Some("a"))];
    // While the store is asked, and after it has answered.
    let proposal = kept.play.world.take_proposal().unwrap();
    replies.push(kept.keyed(promote, Some("a")));
    let result = kept.store.commit(&[proposal.commit]).remove(0);
    kept.play.event(Event::Committed(proposal.id, result.map(|_| ()).map_err(|e| e.to_string())));
    replies.push(kept.keyed(promote, Some("a")));
    kept.answer();
    let outcomes: Vec<_> = replies.iter_mut().map(|reply| reply.try_recv().unwrap().unwrap()).collect();
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    assert_eq!(kept.keep(), 0, "nothing more is to be kept");
    assert_eq!(kept.weight(), 2500);
    let mut other = kept.keyed(Verb::Abort, Some("a"));
    kept.answer();
    assert_eq!(other.try_recv().unwrap(), Err(Refusal::KeyUsed));
    let mut next = kept.keyed(promote, Some("b"));
    kept.keep();
    kept.answer();
    assert!(next.try_recv().unwrap().is_ok());
    assert_eq!(kept.weight(), 5000);
}

#[test]
fn reports_that_are_lost_are_told() {
    let mut kept = Kept::new("steps: [50]");
    kept.healthy();
    let proposal = kept.play.world.take_proposal().unwrap();
    for _ in 0..10_003 {
        kept.healthy();
    }
    let result = kept.store.commit(&[proposal.commit]).remove(0);
    kept.play.event(Event::Committed(proposal.id, result.map(|_| ()).map_err(|why| why.to_string())));
    let alarms: Vec<_> = kept.play.told.iter().filter(|(kind, _)| *kind == NoteKind::Alarm).collect();
    let [(_, message)] = &alarms[..] else { panic!("{alarms:?}") };
    assert!(message.contains("3 reports of Envoys about rollouts were not counted"), "{message}");
}
