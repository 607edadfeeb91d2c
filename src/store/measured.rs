//! What Envoys measured at a Serin that does not decide, on its way to the one that does.
//!
//! A row is there until the evidence that has it is kept: the leader removes it in the very transaction that keeps that
//! ([`Commit::taken`](super::Commit::taken)). So a row that is there is not counted yet, and one that was counted is gone,
//! whoever leads and whenever the leader ends. A writer that does not know whether its rows arrived never writes them
//! again. Nothing comes twice; what is lost is lost of all versions alike.

use crate::clock::{Stopwatch, Timestamp};
use crate::names::GatewayName;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What is older says little of what is served now, and is not counted any more.
pub const OLDEST: Duration = Duration::from_mins(1);
/// The most rows of one Serin that wait, in its memory and in the database: for each a few minutes of 50 releases.
pub const MOST: usize = 10_000;

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Whose: another one with each start of a Serin.
    pub source: i64,
    /// Counts up with each row of its source.
    pub sequence: i64,
}

/// What the versions of one gateway did in one interval, at the Envoys of one Serin, or how their predictions agreed.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Whose they are.
    pub gateway: GatewayName,
    /// The revision of the release with which these Envoys were told the weights.
    pub stage: u64,
    /// How long the interval was.
    pub length: Duration,
    /// What was measured, in the writer's form.
    pub text: String,
}

/// A row that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which.
    pub mark: Mark,
    /// When its interval ended, before it was read. Each clock counts only what it saw itself, so that it does not matter
    /// what clocks show.
    pub ago: Duration,
    /// What it says.
    pub measured: Measured,
}

/// What a Serin has to do with what Envoys measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duty {
    /// It decides, so that it counts what all measured; the others write it down for that one.
    pub counts: bool,
    /// The token under which it decides; `None`: it does not, or is the only one.
    pub token: Option<u64>,
    /// Counts up whenever what others wrote has to be read anew, since it is not known what of it was counted.
    pub term: u64,
    /// The releases whose canary has traffic.
    pub stages: BTreeMap<GatewayName, Stage>,
    /// The releases that live on how the predictions of both versions agree.
    pub shadows: BTreeMap<GatewayName, Shadow>,
    /// Some canary waits for a healthy endpoint.
    pub waits: bool,
}

/// A stay in which predictions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The revision that it came with.
    pub revision: u64,
    /// When this Serin heard of it, by its own clock.
    pub heard: Timestamp,
}

/// A stay at one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The revision with which the weight came.
    pub revision: u64,
    /// When, by the clock of the one who decided.
    pub began: Timestamp,
    /// When the canary first had traffic, by the same clock: reports that begin before it are not counted.
    pub first: Timestamp,
    /// When this Serin heard of the weight, by its own clock.
    pub heard: Timestamp,
}

/// Rows for the database.
#[derive(Debug)]
pub struct Batch {
    /// For how long they wait.
    pub waits: Stopwatch,
    /// What they say.
    pub rows: Vec<Measured>,
    /// They may wait for others to go along with.
    pub is_patient: bool,
}

/// How many rows went which way since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Written for the leader.
    pub written: AtomicU64,
    /// Read as the leader.
    pub read: AtomicU64,
    /// Never counted: too many, too old, or it is not known whether they were written.
    pub dropped: AtomicU64,
}

/// Rows that wait for the database: the newest [`MOST`], none older than [`OLDEST`]. Moments are times since the start.
#[derive(Debug, Default)]
pub(super) struct Queue {
    rows: VecDeque<(Duration, Measured)>,
    dropped: u64,
}

impl Queue {
    /// Adds what was measured then.
    pub(super) fn push(&mut self, rows: Vec<Measured>, at: Duration) {
        self.rows.extend(rows.into_iter().map(|row| (at, row)));
        let surplus = self.rows.len().saturating_sub(MOST);
        self.rows.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// At most so many of the oldest that are not too old, and how old they are.
    pub(super) fn take(&mut self, most: usize, now: Duration) -> Vec<(Duration, Measured)> {
        let is_old = |(at, _): &mut (Duration, Measured)| now.saturating_sub(*at) > OLDEST;
        while self.rows.pop_front_if(is_old).is_some() {
            self.dropped += 1;
        }
        let count = most.min(self.rows.len());
        self.rows.drain(..count).map(|(at, row)| (now.saturating_sub(at), row)).collect()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many were dropped since it was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<Measured> {
        let gateway = GatewayName::new("fraud").unwrap();
        let row = |n: usize| Measured {
            gateway: gateway.clone(),
            stage: n as u64,
            length: Duration::from_secs(1),
            text: String::new(),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn the_newest_stay_in_their_order_and_what_is_dropped_is_counted() {
        let mut queue = Queue::default();
        let second = Duration::from_secs;
        queue.push(rows(MOST), second(0));
        queue.push(rows(3), second(10));
        assert_eq!(queue.take_dropped(), 3);
        let first = queue.take(2, second(11));
        assert_eq!(
            first.iter().map(|(age, row)| (*age, row.stage)).collect::<Vec<_>>(),
            [(second(11), 3), (second(11), 4)]
        );
        let rest = queue.take(MOST, second(70));
        assert_eq!(
            rest.iter().map(|(age, row)| (*age, row.stage)).collect::<Vec<_>>(),
            [0, 1, 2].map(|n| (second(60), n))
        );
        assert_eq!(queue.take_dropped(), (MOST - 5) as u64, "a minute is too old");
        assert!(queue.is_empty() && queue.take_dropped() == 0);
    }
}
