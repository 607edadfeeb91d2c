//! When to fetch what. Pure: times are durations since any fixed moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two fetches that went well. Issuers announce a new key a day or more before they use it.
const REFRESH: Duration = Duration::from_mins(5);
/// After the first failure; doubled with each further one.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_mins(1);

/// What is to be fetched, and when.
#[derive(Debug)]
pub(super) struct Plan<W> {
    wanted: BTreeMap<W, State>,
}

#[derive(Debug)]
struct State {
    failures: u32,
    /// `None`: it is being fetched.
    next: Option<Duration>,
}

impl<W> Default for Plan<W> {
    fn default() -> Self {
        Self { wanted: BTreeMap::new() }
    }
}

impl<W: Clone + Ord> Plan<W> {
    /// These are wanted, and no others.
    pub(super) fn want(&mut self, all: &BTreeSet<W>, now: Duration) {
        self.wanted.retain(|what, _| all.contains(what));
        for what in all {
            self.wanted.entry(what.clone()).or_insert(State { failures: 0, next: Some(now) });
        }
    }

    /// What to fetch now. It counts as under way from here on.
    pub(super) fn due(&mut self, now: Duration) -> Vec<W> {
        let due = self.wanted.iter_mut().filter(|(_, s)| s.next.is_some_and(|at| at <= now));
        due.map(|(what, state)| {
            state.next = None;
            what.clone()
        })
        .collect()
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.wanted.values().filter_map(|s| s.next).min()
    }

    /// A fetch is over.
    pub(super) fn done(&mut self, what: &W, well: bool, now: Duration) {
        let Some(state) = self.wanted.get_mut(what) else { return };
        state.failures = if well { 0 } else { state.failures.saturating_add(1) };
        let pause = match state.failures {
            0 => REFRESH,
            n => RETRY.saturating_mul(2_u32.saturating_pow(n - 1)).min(RETRY_MAX),
        };
        state.next = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "https://issuer.test/keys";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_are_tried_again_ever_more_slowly_and_success_is_refreshed() {
        let mut plan = Plan::default();
        plan.want(&[KEYS].into(), at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for well in [false, false, false, false, false, false, false, false, true, false] {
            assert_eq!(plan.due(now), [KEYS]);
            assert_eq!((plan.due(now), plan.deadline()), (vec![], None), "it is under way");
            plan.done(&KEYS, well, now);
            let next = plan.deadline().unwrap();
            pauses.push(next.saturating_sub(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 300, 1]);
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten() {
        let mut plan = Plan::default();
        plan.want(&[KEYS].into(), at(0));
        assert_eq!(plan.due(at(0)), [KEYS]);
        plan.want(&BTreeSet::new(), at(1));
        plan.done(&KEYS, true, at(2));
        assert_eq!(plan.deadline(), None);
    }
}
