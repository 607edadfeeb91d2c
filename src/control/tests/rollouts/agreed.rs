//! What was compared here and at other Serins is counted exactly once, whoever leads and whatever fails.

use super::*;
use crate::control::{Proposal, Readings, Row, Rows};
use crate::rollout::{Agreed, Reading};
use crate::store::Seat;
use crate::store::measured::{Duty, Mark};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What this Serin compared is told from what others did: no test has so many rows.
const OWN: u64 = 1_000_000;
/// As many agree as are wanted, so that it is never known whether they do.
const SHADOWED: &str = "steps: [{ weight: 50, pause: manual }], shadowFirst: { percent: 20, minMatch: 90% }";

/// The database, one that leads, and what is on the way between both.
struct Leader {
    kept: Kept,
    left: BTreeMap<Mark, Agreed>,
    written: u64,
    seen: BTreeSet<Mark>,
    way: VecDeque<Rows>,
    duty: Duty,
    /// Of all leads, and the counter of this one.
    own: u64,
    counter: Reading,
    under_way: Option<Proposal>,
    token: u64,
}

impl Leader {
    fn new(more: &str, own: &str) -> Self {
        let mut kept = Kept::new("");
        kept.play.write("fraud.yaml", release(more) + own);
        kept.keep();
        kept.healthy();
        kept.keep();
        let mut leader = Self {
            counter: Reading { since: kept.play.now, compared: 0, matched: 0 },
            kept,
            left: BTreeMap::new(),
            written: 0,
            seen: BTreeSet::new(),
            way: VecDeque::new(),
            duty: Duty::default(),
            own: 0,
            under_way: None,
            token: 0,
        };
        leader.killed(more, own);
        leader
    }

    fn killed(&mut self, more: &str, own: &str) {
        let states = self.kept.store.load().unwrap().states;
        let world = World::new(Settings::default()).with_rollouts(Ok(states), Vec::new(), self.kept.play.now);
        self.kept.play.world = world.with_others(self.kept.play.now);
        self.kept.play.write("fraud.yaml", release(more) + own);
        (self.under_way, self.duty) = (None, Duty::default());
        self.way.clear();
        self.seen.clear();
        self.lead();
    }

    /// What is kept is read, and then it decides: under another token, and with another counter.
    fn lead(&mut self) {
        self.token += 1;
        self.kept.play.now = self.kept.play.now.plus(Duration::from_millis(5));
        let all = self.kept.all();
        self.kept.play.event(all);
        self.kept.play.event(Event::Seat(Seat::Leads { token: self.token }));
        self.counter = Reading { since: self.kept.play.now, compared: 0, matched: 0 };
        self.hear();
    }

    fn hear(&mut self) {
        if let Some(wants) = self.kept.play.world.take_wants() {
            if wants.duty.term != self.duty.term {
                self.seen.clear();
            }
            self.duty = wants.duty;
        }
    }

    /// Another Serin compares ten, of which so many agree.
    fn write(&mut self, source: i64, matched: u64) {
        let Some(shadow) = self.duty.shadows.get(&fraud()) else { return };
        self.written += 10;
        let sequence = i64::try_from(self.written).unwrap();
        let agreed = Agreed { revision: shadow.revision, compared: 10, matched };
        self.left.insert(Mark { source, sequence }, agreed);
    }

    fn read(&mut self) {
        let new = self.left.iter().filter(|(mark, _)| !self.seen.contains(mark));
        let from = self.kept.play.now;
        let row =
            |(mark, agreed): (&Mark, &Agreed)| Row { mark: *mark, gateway: fraud(), from, agreed: *agreed };
        let rows: Vec<Row> = new.map(row).collect();
        self.seen.extend(rows.iter().map(|row| row.mark));
        if !rows.is_empty() {
            self.way.push_back(Rows { term: self.duty.term, rows });
        }
    }

    fn tell(&mut self, compared: u64) {
        self.own += compared;
        self.counter.compared += compared * OWN;
        self.counter.matched += compared * OWN / 10 * 9;
        let readings = [(fraud(), self.counter)].into();
        self.kept.play.event(Event::Compared(Readings { token: Some(self.token), readings }));
    }

    fn deliver(&mut self) {
        while let Some(rows) = self.way.pop_front() {
            self.kept.play.event(Event::Agreed(rows));
        }
    }

    /// Others compare 400 pairs that differ, and this one compares as many; the rows are on the way.
    fn differ(&mut self) {
        (0..40).for_each(|_| self.write(5, 0));
        self.read();
        self.counter.compared += 400;
        let readings = [(fraud(), self.counter)].into();
        self.kept.play.event(Event::Compared(Readings { token: Some(self.token), readings }));
    }

    /// Envoys report, and that is kept.
    fn report(&mut self) -> Phase {
        self.kept.second(2_000.0, 0.0);
        self.settle();
        self.kept.phase()
    }

    /// What the evidence that is kept says of predictions.
    fn predictions(&mut self) -> Value {
        let (_, mut state) = self.kept.store.load().unwrap().states.remove(&fraud()).unwrap();
        let seen = state["evidence"]["analysis"]["events"]["shadow"].take();
        assert!(seen.is_object(), "{state}");
        seen
    }

    fn say(&mut self, verb: Verb) {
        drop(self.kept.order(verb));
        self.settle();
    }

    fn begin(&mut self) {
        self.kept.healthy();
        self.settle();
    }

    fn propose(&mut self) {
        if self.under_way.is_none() {
            self.under_way = self.kept.play.world.take_proposal();
        }
    }

    fn keep(&mut self) -> Result<(), String> {
        let Some(Proposal { commit, .. }) = &self.under_way else { return Ok(()) };
        self.kept.store.commit(std::slice::from_ref(commit)).remove(0).map_err(|why| why.to_string())?;
        self.left.retain(|mark, _| !commit.taken.contains(mark));
        Ok(())
    }

    fn answer(&mut self, result: Result<(), String>) {
        let Some(Proposal { id, .. }) = self.under_way.take() else { return };
        let has_failed = result.is_err();
        self.kept.play.event(Event::Committed(id, result));
        if has_failed {
            self.lead();
        }
    }

    /// All that is proposed is kept.
    fn settle(&mut self) {
        loop {
            self.propose();
            if self.under_way.is_none() {
                return;
            }
            let kept = self.keep();
            self.answer(kept);
        }
    }

    /// How many pairs of others and of this one are in the state that is kept.
    fn counted(&mut self) -> (u64, u64) {
        let (_, state) = self.kept.store.load().unwrap().states.remove(&fraud()).unwrap();
        let seen = &state["shadowed"];
        let [compared, matched] = ["compared", "matched"].map(|what| seen[what].as_u64().unwrap());
        assert_eq!(compared * 9, matched * 10, "each with what it agreed in");
        (compared % OWN, compared / OWN)
    }

    fn play(&mut self, what: u8) {
        match what {
            0 | 1 => self.write(i64::from(what), 9),
            2 => self.read(),
            3 => {
                if let Some(rows) = self.way.pop_front() {
                    self.kept.play.event(Event::Agreed(rows));
                }
            }
            4 => self.propose(),
            5 => {
                let result = self.keep();
                self.answer(result);
            }
            6 => self.answer(Err("it was not kept".into())),
            7 => {
                // It was kept, and nobody heard so.
                let _ = self.keep();
                self.answer(Err("no answer".into()));
            }
            8 => {
                self.kept.play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
                self.lead();
            }
            9 => self.killed(SHADOWED, ""),
            10 => {
                let _ = self.keep();
                self.killed(SHADOWED, "");
            }
            11 => self.tell(1),
            // What was said before comes again.
            12 => self.tell(0),
            _ => self.hear(),
        }
        let waiting: u64 = self.left.values().map(|agreed| agreed.compared).sum();
        let (others, own) = self.counted();
        assert_eq!(others + waiting, self.written, "a row is there, or it is counted; after {what}");
        assert!(own <= self.own, "{own} of {}; after {what}", self.own);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn each_pair_is_counted_once_whatever_fails(plays in proptest::collection::vec(0..14_u8, 0..120)) {
        let mut leader = Leader::new(SHADOWED, "");
        plays.into_iter().for_each(|what| leader.play(what));
        // In peace, all that others compared is counted in the end, and all that this one compares.
        for what in [13, 2, 3, 3, 3, 3, 4, 5].into_iter().cycle().take(2_000) {
            leader.play(what);
            if leader.left.is_empty() && leader.way.is_empty() {
                break;
            }
        }
        leader.settle();
        let (others, before) = leader.counted();
        prop_assert_eq!(others, leader.written);
        leader.tell(3);
        leader.settle();
        prop_assert_eq!(leader.counted(), (others, before + 3));
    }
}

#[test]
fn a_lead_that_comes_back_counts_nothing_again() {
    let mut leader = Leader::new(SHADOWED, "");
    leader.tell(5);
    leader.settle();
    let before = leader.counter;
    // Another one leads, and counts seven of its own.
    leader.kept.play.event(Event::Seat(Seat::Follows { leader: Some("b".into()) }));
    let first = std::mem::replace(&mut leader.kept.play.world, World::new(Settings::default()));
    let token = leader.token;
    leader.killed(SHADOWED, "");
    leader.tell(7);
    leader.settle();
    assert_eq!(leader.counted(), (0, 12));
    // The first one leads again; what it said before comes late, and its next counter begins with what is new.
    leader.kept.play.world = first;
    leader.lead();
    let readings = [(fraud(), before)].into();
    leader.kept.play.event(Event::Compared(Readings { token: Some(token), readings }));
    leader.settle();
    assert_eq!(leader.counted(), (0, 12));
    leader.tell(2);
    leader.settle();
    assert_eq!(leader.counted(), (0, 14));
}

/// Predictions are compared all the time.
const COMPARED: &str = "shadow: { upstream: v2, percent: 20, compare: {} }\n";

/// A release whose steps live on how predictions agree.
fn judged(more: &str) -> String {
    let metrics = "{ name: error-rate }, { name: shadow-match, min: 90% }";
    release(more).replace("{ name: error-rate }", metrics) + COMPARED
}

/// At the first of them.
fn at_a_step(more: &str) -> Leader {
    let mut leader = Leader::new(more, COMPARED);
    leader.kept.play.write("fraud.yaml", judged(more));
    leader.settle();
    leader.hear();
    leader
}

/// What begins another stay.
type Next = fn(&mut Leader);

#[test]
fn what_waits_for_a_report_says_nothing_about_the_next_canary_or_weight() {
    let edit = |leader: &mut Leader| {
        leader.say(Verb::Abort);
        leader.kept.play.write("fraud.yaml", judged("steps: [50]").replace("http://b", "http://c"));
        leader.settle();
        leader.begin();
    };
    let retry = |leader: &mut Leader| {
        leader.say(Verb::Abort);
        leader.say(Verb::Retry);
        leader.begin();
    };
    let set_weight = |leader: &mut Leader| leader.say(Verb::SetWeight(Weight::parse("30").unwrap()));
    let ways: [(&str, Next); 3] = [("edit", edit), ("retry", retry), ("set-weight", set_weight)];
    for (what, next) in ways {
        let mut leader = at_a_step("steps: [50]");
        leader.report();
        let nothing = leader.predictions();
        leader.differ();
        leader.deliver();
        next(&mut leader);
        assert!(leader.kept.weight() > 0, "{what}");
        leader.hear();
        leader.report();
        assert_eq!(leader.predictions(), nothing, "{what}");
        assert!(leader.left.is_empty(), "{what}: they are removed");
        leader.differ();
        leader.deliver();
        leader.report();
        assert_ne!(leader.predictions(), nothing, "{what}: it can be seen");
    }
}

#[test]
fn what_was_overruled_at_a_weight_does_not_stop_it_again() {
    let mut leader = at_a_step("onFailure: pause, steps: [50]");
    leader.report();
    let nothing = leader.predictions();
    for _ in 0..60 {
        if leader.report() == Phase::Of(rollout::Phase::Paused) {
            break;
        }
        leader.differ();
        leader.deliver();
    }
    assert_eq!(leader.kept.phase(), Phase::Of(rollout::Phase::Paused));
    assert_ne!(leader.predictions(), nothing);
    // What was compared until then is here, and on the way.
    leader.differ();
    leader.deliver();
    leader.differ();
    leader.kept.play.now = leader.kept.play.now.plus(Duration::from_millis(100));
    leader.say(Verb::Resume);
    leader.deliver();
    assert_ne!(leader.report(), Phase::Of(rollout::Phase::Paused));
    assert_eq!(leader.predictions(), nothing);
    assert_eq!(leader.left.len(), 40, "those that were late grow too old");
    leader.differ();
    leader.deliver();
    leader.report();
    assert_ne!(leader.predictions(), nothing, "it can be seen");
}

#[test]
fn what_others_compared_at_a_step_goes_with_the_next_report_and_its_rows_are_removed() {
    let mut leader = at_a_step("steps: [50]");
    let revision = leader.duty.shadows[&fraud()].revision;
    assert_eq!(revision, leader.duty.stages[&fraud()].revision);
    for second in 0..60 {
        leader.write(5, 5);
        if second == 0 {
            // Of a weight that is no more: it stays, and grows too old.
            let mark = Mark { source: 4, sequence: 1 };
            leader.left.insert(mark, Agreed { revision: revision - 1, compared: 10, matched: 10 });
        }
        leader.read();
        leader.deliver();
        let waiting = leader.left.len();
        leader.settle();
        assert_eq!(leader.left.len(), waiting, "there was no report yet");
        leader.kept.second(2_000.0, 0.0);
        leader.settle();
        assert_eq!(leader.left.len(), 1, "but for the one that nobody counts");
        if leader.kept.phase() == Phase::Of(rollout::Phase::RolledBack) {
            break;
        }
    }
    let view = leader.kept.play.world.view();
    let message = &view.gateways["fraud"].rollout.as_ref().unwrap().message;
    assert!(message.contains("canary shadow mismatches 50.0%"), "{message}");
}
