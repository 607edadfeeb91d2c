//! How often predictions agreed since it was asked last: here, from counters that only grow, and at other Serins, in rows
//! that are counted once.

use super::event::Row;
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

#[derive(Debug, Default)]
struct Agreement {
    /// The newest reading, and what was taken of it.
    own: Option<(Reading, (u64, u64))>,
    /// What others compared, and their rows.
    others: (u64, u64),
    marks: Vec<Mark>,
}

impl Agreements {
    /// A counter stands there now.
    pub(super) fn read(&mut self, gateway: &GatewayName, reading: Reading) {
        let agreement = self.0.entry(gateway.clone()).or_default();
        let (last, taken) = agreement.own.get_or_insert((reading, (0, 0)));
        if last.since != reading.since {
            // Another counter, which begins at 0.
            *taken = (0, 0);
        }
        *last = reading;
    }

    /// A row of another Serin.
    pub(super) fn add(&mut self, row: Row) {
        let agreement = self.0.entry(row.gateway).or_default();
        if agreement.marks.len() < MOST {
            agreement.marks.push(row.mark);
            let (compared, matched) = &mut agreement.others;
            *compared = compared.saturating_add(row.agreed.compared);
            *matched = matched.saturating_add(row.agreed.matched);
        }
    }

    /// What was compared since it was taken last, and the rows that are in it; `None`: nothing.
    pub(super) fn take(&mut self, gateway: &GatewayName) -> (Option<Pairs>, Vec<Mark>) {
        let Some(agreement) = self.0.get_mut(gateway) else { return (None, Vec::new()) };
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
    use crate::clock::Timestamp;
    use crate::rollout::Agreed;

    fn fraud() -> GatewayName {
        GatewayName::new("fraud").unwrap()
    }

    fn row(sequence: i64, compared: u64, matched: u64) -> Row {
        let mark = Mark { source: 5, sequence };
        Row { mark, gateway: fraud(), agreed: Agreed { revision: 2, compared, matched } }
    }

    fn take(all: &mut Agreements) -> (Option<(f64, f64)>, usize) {
        let (pairs, marks) = all.take(&fraud());
        (pairs.map(|pairs| (pairs.pairs, pairs.mismatch)), marks.len())
    }

    #[test]
    fn what_was_taken_is_not_taken_again_and_a_new_counter_begins_at_nothing() {
        let mut all = Agreements::default();
        let reading = |since, compared, matched| Reading { since: Timestamp(since), compared, matched };
        assert_eq!(take(&mut all), (None, 0));
        let mut next = |since, compared, matched| {
            all.read(&fraud(), reading(since, compared, matched));
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
        all.add(row(1, 10, 9));
        all.add(row(2, 5, 5));
        all.read(&fraud(), Reading { since: Timestamp(1), compared: 3, matched: 1 });
        assert_eq!(take(&mut all), (Some((18.0, 3.0)), 2));
        assert_eq!(take(&mut all), (None, 0));
        all.add(row(3, 10, 9));
        all.drop_rows();
        assert_eq!(take(&mut all), (None, 0), "it comes again");
        for sequence in 0..2 * i64::try_from(MOST).unwrap() {
            all.add(row(sequence, 1, 1));
        }
        assert_eq!(take(&mut all), (Some((1_000.0, 0.0)), MOST), "what waits is bounded, and is of its rows");
    }
}
