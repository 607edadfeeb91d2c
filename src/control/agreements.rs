//! How often predictions agreed since it was asked last: here, from counters that only grow, and at other Serins, in rows
//! that are counted once.

use super::event::Row;
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::rollout::Reading;
use crate::stats::Pairs;
use crate::store::measured::Mark;
use std::collections::BTreeMap;

/// Rows of one gateway that wait for the next report of Envoys, at most: minutes of many Serins. Further ones stay where
/// they are, and grow too old.
const MOST: usize = 1_000;

/// By gateway.
#[derive(Debug, Default)]
pub(super) struct Agreements(BTreeMap<GatewayName, Agreement>);

/// A stay of a canary at one weight. What was compared in another one says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    /// The revision with which the weight came.
    pub(super) revision: u64,
    /// When, or when somebody overruled what was seen at it.
    pub(super) began: Timestamp,
}

#[derive(Debug, Default)]
struct Agreement {
    /// What the rest is about; `None`: the canary has no traffic.
    stay: Option<Stay>,
    /// The newest reading, and what was taken of it.
    own: Option<(Reading, (u64, u64))>,
    /// What others compared.
    others: (u64, u64),
    /// Their rows, and those of stays before, which count for nothing and are to be removed as well.
    marks: Vec<Mark>,
}

impl Agreement {
    /// The canary is in this stay now: what was compared before and waits is dropped. Says whether it is another one.
    fn turn(&mut self, stay: Option<Stay>) -> bool {
        let is_new = self.stay != stay;
        if is_new {
            (self.stay, self.others) = (stay, (0, 0));
            if let Some((reading, taken)) = &mut self.own {
                *taken = (reading.compared, reading.matched);
            }
        }
        is_new
    }
}

impl Agreements {
    /// A counter stands there now, in this stay.
    pub(super) fn read(&mut self, gateway: &GatewayName, reading: Reading, stay: Option<Stay>) {
        let agreement = self.0.entry(gateway.clone()).or_default();
        let is_turned = agreement.turn(stay);
        let is_new = agreement.own.is_none_or(|(last, _)| last.since != reading.since);
        let (last, taken) = agreement.own.get_or_insert((reading, (0, 0)));
        *last = reading;
        if is_new && stay.is_some_and(|stay| stay.began <= reading.since) {
            *taken = (0, 0);
        } else if is_new || is_turned {
            // Nobody knows how much of it was compared before.
            *taken = (reading.compared, reading.matched);
        }
    }

    /// A row of another Serin, which is about this stay.
    pub(super) fn add(&mut self, row: Row, stay: Stay) {
        let agreement = self.0.entry(row.gateway).or_default();
        agreement.turn(Some(stay));
        if agreement.marks.len() < MOST {
            agreement.marks.push(row.mark);
            let (compared, matched) = &mut agreement.others;
            *compared = compared.saturating_add(row.agreed.compared);
            *matched = matched.saturating_add(row.agreed.matched);
        }
    }

    /// What was compared in this stay since it was taken last, and the rows that are to be removed with it; `None`:
    /// nothing.
    pub(super) fn take(&mut self, gateway: &GatewayName, stay: Option<Stay>) -> (Option<Pairs>, Vec<Mark>) {
        let Some(agreement) = self.0.get_mut(gateway) else { return (None, Vec::new()) };
        agreement.turn(stay);
        let (mut compared, mut matched) = std::mem::take(&mut agreement.others);
        if let Some((reading, taken)) = &mut agreement.own {
            compared = compared.saturating_add(reading.compared.saturating_sub(taken.0));
            matched = matched.saturating_add(reading.matched.saturating_sub(taken.1));
            *taken = (reading.compared, reading.matched);
        }
        let mismatch = count(compared.saturating_sub(matched));
        let pairs = (compared > 0).then(|| Pairs { pairs: count(compared), mismatch });
        (pairs, std::mem::take(&mut agreement.marks))
    }

    /// The rows of others come again, as far as they are not counted.
    pub(super) fn drop_rows(&mut self) {
        for agreement in self.0.values_mut() {
            agreement.others = (0, 0);
            agreement.marks.clear();
        }
    }

    /// The gateway is gone.
    pub(super) fn forget(&mut self, gateway: &GatewayName) {
        self.0.remove(gateway);
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody compares 2^53 predictions")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Agreed;

    fn fraud() -> GatewayName {
        GatewayName::new("fraud").unwrap()
    }

    const STAY: Stay = Stay { revision: 2, began: Timestamp(1) };

    fn row(sequence: i64, compared: u64, matched: u64) -> Row {
        let mark = Mark { source: 5, sequence };
        let agreed = Agreed { revision: 2, compared, matched };
        Row { mark, gateway: fraud(), from: Timestamp(1), agreed }
    }

    fn reading(since: i64, compared: u64, matched: u64) -> Reading {
        Reading { since: Timestamp(since), compared, matched }
    }

    fn take_in(all: &mut Agreements, stay: Option<Stay>) -> (Option<(f64, f64)>, usize) {
        let (pairs, marks) = all.take(&fraud(), stay);
        (pairs.map(|pairs| (pairs.pairs, pairs.mismatch)), marks.len())
    }

    fn take(all: &mut Agreements) -> (Option<(f64, f64)>, usize) {
        take_in(all, Some(STAY))
    }

    #[test]
    fn what_was_taken_is_not_taken_again_and_a_new_counter_begins_at_nothing() {
        let mut all = Agreements::default();
        assert_eq!(take(&mut all), (None, 0));
        let mut next = |since, compared, matched| {
            all.read(&fraud(), reading(since, compared, matched), Some(STAY));
            take(&mut all).0
        };
        assert_eq!(next(1, 10, 9), Some((10.0, 1.0)));
        assert_eq!(next(1, 10, 9), None);
        assert_eq!(next(1, 30, 19), Some((20.0, 10.0)));
        assert_eq!(next(2, 31, 31), Some((31.0, 0.0)));
    }

    #[test]
    fn what_others_compared_goes_with_its_rows_once() {
        let mut all = Agreements::default();
        all.add(row(1, 10, 9), STAY);
        all.add(row(2, 5, 5), STAY);
        all.read(&fraud(), reading(1, 3, 1), Some(STAY));
        assert_eq!(take(&mut all), (Some((18.0, 3.0)), 2));
        assert_eq!(take(&mut all), (None, 0));
        all.add(row(3, 10, 9), STAY);
        all.drop_rows();
        assert_eq!(take(&mut all), (None, 0), "it comes again");
        for sequence in 0..2 * i64::try_from(MOST).unwrap() {
            all.add(row(sequence, 1, 1), STAY);
        }
        assert_eq!(take(&mut all), (Some((1_000.0, 0.0)), MOST), "what waits is bounded, and is of its rows");
    }

    #[test]
    fn what_was_compared_in_another_stay_goes_with_its_rows_and_does_not_count() {
        // Another weight; the same one, after somebody has overruled what was seen; and none in between.
        let later = Timestamp(50);
        for (between, next) in [
            (Some(STAY), Stay { revision: 3, began: later }),
            (Some(STAY), Stay { began: later, ..STAY }),
            (None, Stay { revision: 9, began: later }),
        ] {
            let mut all = Agreements::default();
            all.add(row(1, 10, 0), STAY);
            all.read(&fraud(), reading(1, 30, 10), Some(STAY));
            all.read(&fraud(), reading(1, 40, 10), between);
            assert_eq!(take_in(&mut all, Some(next)), (None, 1), "{next:?}");
            all.add(row(2, 5, 4), next);
            all.read(&fraud(), reading(1, 47, 17), Some(next));
            assert_eq!(take_in(&mut all, Some(next)), (Some((12.0, 1.0)), 1), "{next:?}");
            // Also where a row or a reading is the first that says so.
            all.add(row(3, 5, 0), next);
            let last = Stay { revision: 12, began: Timestamp(90) };
            all.add(row(4, 8, 8), last);
            all.read(&fraud(), reading(1, 99, 17), Some(last));
            assert_eq!(take_in(&mut all, Some(last)), (Some((60.0, 52.0)), 2), "{next:?}");
        }
        let mut all = Agreements::default();
        all.read(&fraud(), reading(1, 30, 10), Some(Stay { began: later, ..STAY }));
        assert_eq!(
            take_in(&mut all, Some(Stay { began: later, ..STAY })),
            (None, 0),
            "it is older than the stay"
        );
    }
}
