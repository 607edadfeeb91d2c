//! How often predictions agreed since it was asked last, from counters that only grow.

use crate::names::GatewayName;
use crate::rollout::Reading;
use crate::stats::Pairs;
use std::collections::BTreeMap;

/// By gateway: the newest reading, and what was taken of it.
#[derive(Debug, Default)]
pub(super) struct Agreements(BTreeMap<GatewayName, (Reading, (u64, u64))>);

impl Agreements {
    /// A counter stands there now.
    pub(super) fn read(&mut self, gateway: &GatewayName, reading: Reading) {
        let (last, taken) = self.0.entry(gateway.clone()).or_insert((reading, (0, 0)));
        if last.since != reading.since {
            // Another counter, which begins at 0.
            *taken = (0, 0);
        }
        *last = reading;
    }

    /// What was compared since it was taken last; `None`: nothing.
    pub(super) fn take(&mut self, gateway: &GatewayName) -> Option<Pairs> {
        let (reading, taken) = self.0.get_mut(gateway)?;
        let compared = reading.compared.saturating_sub(taken.0);
        let differ = compared.saturating_sub(reading.matched.saturating_sub(taken.1));
        *taken = (reading.compared, reading.matched);
        (compared > 0).then(|| Pairs { pairs: count(compared), mismatch: count(differ) })
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

    #[test]
    fn what_was_taken_is_not_taken_again_and_a_new_counter_begins_at_nothing() {
        let (name, mut all) = (GatewayName::new("fraud").unwrap(), Agreements::default());
        let reading = |since, compared, matched| Reading { since: Timestamp(since), compared, matched };
        assert_eq!(all.take(&name), None);
        let mut next = |since, compared, matched| {
            all.read(&name, reading(since, compared, matched));
            all.take(&name).map(|pairs| (pairs.pairs, pairs.mismatch))
        };
        assert_eq!(next(1, 10, 9), Some((10.0, 1.0)));
        assert_eq!(next(1, 10, 9), None);
        assert_eq!(next(1, 30, 19), Some((20.0, 10.0)));
        assert_eq!(next(2, 31, 31), Some((31.0, 0.0)));
    }
}
