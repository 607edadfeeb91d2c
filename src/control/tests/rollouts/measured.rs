//! What the Envoys of other Serins measured is counted exactly once, whoever leads and whatever fails.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which floats hold exactly")]

use super::*;
use crate::control::Proposal;
use crate::store::measured::Mark;
use crate::store::{self, Commit, Seat};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the database has beside the states: rows, and how many requests each is about.
#[derive(Default)]
struct Rows {
    left: BTreeMap<Mark, f64>,
    written: f64,
    last: i64,
}

impl Rows {
    fn write(&mut self, source: i64, requests: f64) {
        self.last += 1;
        self.left.insert(Mark { source, sequence: self.last }, requests);
        self.written += requests;
    }
}

/// One that leads, what it has read, and what is on the way between those who read and the loop.
struct Leader {
    kept: Kept,
    rows: Rows,
    token: u64,
    term: u64,
    seen: BTreeSet<Mark>,
    way: VecDeque<(u64, Vec<(Mark, f64)>)>,
    under_way: Option<Proposal>,
}

impl Leader {
    fn new() -> Self {
        let mut kept = Kept::new("steps: [{ weight: 50, pause: manual }]");
        kept.healthy();
        kept.keep();
        let mut leader = Self {
            kept,
            rows: Rows::default(),
            token: 0,
            term: 0,
            seen: BTreeSet::new(),
            way: VecDeque::new(),
            under_way: None,
        };
        leader.killed();
        leader
    }

    /// Another one takes over: what was not kept is gone with the one before.
    fn killed(&mut self) {
        let states = self.kept.store.load().unwrap().states;
        let world = World::new(Settings::default()).with_rollouts(Ok(states), Vec::new(), self.kept.play.now);
        self.kept.play.world = world.with_others(self.kept.play.now);
        self.kept.play.write("fraud.yaml", release("steps: [{ weight: 50, pause: manual }]"));
        (self.under_way, self.term) = (None, 0);
        self.way.clear();
        self.seen.clear();
        self.token += 1;
        self.lead();
    }

    /// What is kept is read, and then it decides.
    fn lead(&mut self) {
        let all = self.kept.all();
        self.kept.play.event(all);
        self.kept.play.event(Event::Seat(Seat::Leads { token: self.token }));
    }

    /// Those who read hear what is to be done.
    fn hear(&mut self) {
        if let Some(wants) = self.kept.play.world.take_wants()
            && wants.duty.counts
            && wants.duty.term != self.term
        {
            self.term = wants.duty.term;
            self.seen.clear();
        }
    }

    fn read(&mut self) {
        let new = self.rows.left.iter().filter(|(mark, _)| !self.seen.contains(mark));
        let new: Vec<(Mark, f64)> = new.map(|(mark, n)| (*mark, *n)).collect();
        self.seen.extend(new.iter().map(|(mark, _)| *mark));
        if !new.is_empty() {
            self.way.push_back((self.term, new));
        }
    }

    fn deliver(&mut self) {
        let Some((term, parts)) = self.way.pop_front() else { return };
        let from = self.kept.play.now;
        self.kept.play.now = from.plus(Duration::from_secs(1));
        let requests = parts.iter().map(|(_, n)| n).sum();
        let counts = Counts { requests, ..Counts::default() };
        let did = Outcome { counts, client_errors: 0.0 };
        let upstreams = ["v1", "v2"].map(|name| (UpstreamName::new(name).unwrap(), did.clone())).into();
        let others = Others { term, marks: parts.iter().map(|(mark, _)| *mark).collect() };
        let measured = Measured { gateway: fraud(), from, to: self.kept.play.now, upstreams, others };
        self.kept.play.event(Event::Measured(vec![measured]));
    }

    fn propose(&mut self) {
        if self.under_way.is_none() {
            self.under_way = self.kept.play.world.take_proposal();
        }
    }

    /// The store keeps what is proposed, all or nothing.
    fn keep(&mut self) -> Result<(), String> {
        let Some(Proposal { commit, .. }) = &self.under_way else { return Ok(()) };
        let Commit { taken, .. } = commit;
        self.kept.store.commit(std::slice::from_ref(commit)).remove(0).map_err(|why| why.to_string())?;
        self.rows.left.retain(|mark, _| !taken.contains(mark));
        Ok(())
    }

    /// The loop hears what became of it. After a failure it leads again, when what is kept was read.
    fn answer(&mut self, result: Result<(), String>) {
        let Some(Proposal { id, .. }) = self.under_way.take() else { return };
        let has_failed = result.is_err();
        self.kept.play.event(Event::Committed(id, result));
        if has_failed {
            self.lead();
        }
    }

    /// How many requests of the canary are in the evidence that is kept.
    fn counted(&mut self) -> f64 {
        let (_, state) = self.kept.store.load().unwrap().states.remove(&fraud()).unwrap();
        state["evidence"]["analysis"]["totals"]["canary"]["requests"].as_f64().unwrap()
    }

    fn play(&mut self, what: u8) {
        match what {
            0 | 1 => self.rows.write(i64::from(what), 10.0),
            2 => self.read(),
            3 => self.deliver(),
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
                // Cut off from the lease for a moment, while the store is still busy.
                self.kept.play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
                self.lead();
            }
            9 => self.killed(),
            10 => {
                let _ = self.keep();
                self.killed();
            }
            14 => {
                // The clock of the next one is behind.
                self.kept.play.now = self.kept.play.now.minus(Duration::from_mins(1));
                self.killed();
            }
            _ => self.hear(),
        }
        let waiting: f64 = self.rows.left.values().sum();
        // Of both versions alike; a row is there, or it is counted.
        assert_eq!(self.counted() + waiting, self.rows.written, "after {what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn each_row_is_counted_once_whatever_fails(plays in proptest::collection::vec(0..15_u8, 0..120)) {
        let mut leader = Leader::new();
        plays.into_iter().for_each(|what| leader.play(what));
        // In peace, all of it is counted in the end.
        for what in [11, 2, 3, 3, 3, 3, 4, 5].into_iter().cycle().take(2_000) {
            leader.play(what);
            if leader.rows.left.is_empty() && leader.way.is_empty() {
                break;
            }
        }
        prop_assert_eq!(leader.counted(), leader.rows.written);
    }
}

#[test]
fn the_first_report_counts_also_where_the_clock_is_behind() {
    let mut leader = Leader::new();
    [0, 11, 2, 3, 4, 5, 14, 0, 11, 2, 3, 4, 5].into_iter().for_each(|what| leader.play(what));
    assert_eq!((leader.counted(), leader.rows.left.len()), (20.0, 0));
}

#[test]
fn rows_that_found_no_room_are_read_again() {
    let mut leader = Leader::new();
    [0, 11, 2, 3, 4].into_iter().for_each(|what| leader.play(what));
    for _ in 0..10_000 {
        leader.kept.healthy();
    }
    [1, 2, 3, 5].into_iter().for_each(|what| leader.play(what));
    assert_eq!((leader.counted(), leader.rows.left.len()), (10.0, 1), "too many wait");
    [11, 2, 3, 4, 5].into_iter().for_each(|what| leader.play(what));
    assert_eq!((leader.counted(), leader.rows.left.len()), (20.0, 0));
}

#[test]
fn a_row_that_says_nothing_is_removed_as_well() {
    let mut leader = Leader::new();
    leader.hear();
    leader.rows.write(1, 10.0);
    // Nobody releases anything any more.
    leader.kept.play.files(&[("fraud.yaml", None)]);
    leader.kept.play.wait(crate::control::GRACE * 2);
    leader.read();
    leader.deliver();
    leader.propose();
    assert_eq!(leader.keep(), Ok(()));
    assert!(leader.rows.left.is_empty(), "it is in nobody's way");
}

#[test]
fn who_follows_is_told_what_to_measure_and_counts_nothing() {
    let mut leader = Leader::new();
    leader.hear();
    leader.kept.play.event(Event::Seat(Seat::Follows { leader: Some("a".into()) }));
    let wants = leader.kept.play.world.take_wants().unwrap();
    assert!(!wants.duty.counts && wants.compared.len() == 1 && wants.duty.stages.len() == 1);
    leader.rows.write(1, 10.0);
    leader.read();
    leader.deliver();
    assert!(leader.kept.play.world.take_proposal().is_none());
    let none = store::Kept { all: true, ..store::Kept::default() };
    leader.kept.play.event(Event::Kept(none));
    let wants = leader.kept.play.world.take_wants().unwrap();
    assert_eq!((wants.compared.len(), wants.duty.stages.len()), (0, 0), "the release is over");
}
