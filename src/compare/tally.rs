//! What was counted of one pair of versions.

use super::difference::{Kind, Reason};
use super::judge::{Found, Outcome};
use super::report::{Example, Mismatch, PairReport, Spread, Verdict};
use crate::model::Comparison;
use crate::names::UpstreamName;
use crate::stats;
use crate::telemetry::{Histogram, bucket};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The newest examples of each kind of mismatch.
const EXAMPLES: usize = 3;
/// The confidence of the interval of the match rate, at all looks at once.
const LEVEL: f64 = 0.95;

/// The counts of one upstream and the shadow.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) matched: u64,
    mismatches: BTreeMap<Kind, (u64, VecDeque<Example>)>,
    not_compared: BTreeMap<Reason, u64>,
    live: Latencies,
    shadow: Latencies,
}

#[derive(Clone, Debug, Default)]
struct Latencies {
    sum: Duration,
    count: u32,
    histogram: Histogram,
}

impl Tally {
    /// Counts a pair; `took` is the client's latency and the shadow's.
    pub(super) fn count(&mut self, id: &str, outcome: Outcome, took: [Duration; 2]) {
        match outcome {
            Outcome::Match => self.matched += 1,
            Outcome::Mismatch(Found { kind, place, live, shadow }) => {
                let (count, examples) = self.mismatches.entry(kind).or_default();
                *count += 1;
                if examples.len() == EXAMPLES {
                    examples.pop_front();
                }
                examples.push_back(Example { request: id.into(), place, live, shadow });
            }
            Outcome::NotCompared(reason) => return self.lose(reason),
        }
        self.live.add(took[0]);
        self.shadow.add(took[1]);
    }

    /// Counts what was not compared.
    pub(super) fn lose(&mut self, reason: Reason) {
        *self.not_compared.entry(reason).or_default() += 1;
    }

    pub(super) fn compared(&self) -> u64 {
        self.matched + self.mismatches.values().map(|(count, _)| count).sum::<u64>()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub(super) fn report(&self, upstream: &UpstreamName, rules: &Comparison) -> PairReport {
        let compared = self.compared();
        let (all, differ) = (compared as f64, (compared - self.matched) as f64);
        let (low, high) = stats::interval(differ, all, LEVEL);
        let interval = [1.0 - high, 1.0 - low];
        let mut mismatches: Vec<Mismatch> = self
            .mismatches
            .iter()
            .map(|(kind, (count, examples))| Mismatch {
                kind: *kind,
                count: *count,
                examples: examples.iter().cloned().collect(),
            })
            .collect();
        // The most frequent first; of equals, the order of the kinds.
        mismatches.sort_by_key(|m| std::cmp::Reverse(m.count));
        PairReport {
            upstream: upstream.clone(),
            primary: *upstream == rules.primary,
            compared,
            matched: self.matched,
            match_rate: (compared > 0).then(|| self.matched as f64 / all),
            interval,
            verdict: Verdict::of(interval, f64::from(rules.compare.min_match.hundredths()) / 10_000.0),
            live: self.live.spread(),
            shadow: self.shadow.spread(),
            mismatches,
            not_compared: self.not_compared.clone(),
        }
    }
}

impl Latencies {
    fn add(&mut self, took: Duration) {
        self.sum += took;
        self.count = self.count.saturating_add(1);
        self.histogram.add(bucket(took), 1.0);
    }

    fn spread(&self) -> Option<Spread> {
        let [p50, p95] = [0.5, 0.95].map(|q| self.histogram.quantile(q));
        let mean = self.sum.checked_div(self.count)?.as_secs_f64();
        Some(Spread { mean, p50: p50?, p95: p95? })
    }
}
