//! Slow requests: above which latency a request is slow, and how many were.
//!
//! "Canary latency is stochastically at most (1+τ) times the primary's" says of every threshold x that a canary request
//! is slower than (1+τ)x at most as often as a primary request is slower than x. So slow is an event like an error, and
//! no quantile is estimated (compare Howard and Ramdas, Sequential estimation of quantiles, arXiv 1906.09712).

use super::bets::{Block, Tally};
use super::buckets;
use super::name::Quantile;
use super::report::{Counts, Report};
use super::settings::Settings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The deadline of a request in seconds while none is known and no latency was seen.
const DEADLINE: f64 = 60.0;

/// Above which latency a request is slow, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// On the primary.
    pub primary: f64,
    /// On the canary: at least `1 + tau` times as much, rounded up to a bound of a bucket.
    pub canary: f64,
}

/// The thresholds in force, and the requests that the next ones follow from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    /// Requests of the primary since the last choice, by bucket.
    since: BTreeMap<usize, f64>,
    thresholds: BTreeMap<Quantile, Threshold>,
    /// What follows for overdue requests, in seconds.
    deadline: Option<f64>,
}

impl Latency {
    /// What is slow at this quantile; `None` while too few requests of the primary were seen.
    pub(super) fn threshold(&self, quantile: Quantile) -> Option<Threshold> {
        self.thresholds.get(&quantile).copied()
    }

    /// After how many seconds a request is overdue.
    pub(super) fn deadline(&self, settings: &Settings) -> f64 {
        if settings.deadline_s > 0.0 { settings.deadline_s } else { self.deadline.unwrap_or(DEADLINE) }
    }

    /// The slow requests of an interval at each quantile, by the thresholds that were in force before it.
    pub(super) fn slow(&self, settings: &Settings, report: &Report) -> Vec<(Quantile, Block)> {
        let tally = |counts: &Counts, bound: f64| Tally {
            events: slower(settings, counts, bound) / settings.design_effect,
            requests: counts.latency.values().sum::<f64>() / settings.design_effect,
        };
        let of = |quantile: &Quantile| {
            let Threshold { primary, canary } = self.threshold(*quantile)?;
            let block =
                Block { canary: tally(&report.canary, canary), primary: tally(&report.primary, primary) };
            Some((*quantile, block))
        };
        settings.quantiles.iter().filter_map(of).collect()
    }

    /// Adds what the primary did, and chooses thresholds when there is enough of it.
    pub(super) fn learn(&mut self, settings: &Settings, primary: &Counts) {
        for (bucket, count) in &primary.latency {
            *self.since.entry(*bucket).or_default() += count;
        }
        let known = settings.quantiles.iter().all(|q| self.thresholds.contains_key(q));
        let enough = if known { settings.pick_every } else { settings.pick_first };
        if self.since.values().sum::<f64>() < enough {
            return;
        }
        let bounds = &settings.bounds;
        let mut dense = vec![0.0; bounds.len()];
        for (bucket, count) in std::mem::take(&mut self.since) {
            if let Some(place) = dense.get_mut(bucket) {
                *place = count;
            }
        }
        let pick = |q: &Quantile| (*q, buckets::pick(&dense, bounds, q.share(), settings.slower(*q)));
        let picked: BTreeMap<Quantile, (usize, usize)> = settings.quantiles.iter().map(pick).collect();
        if let Some((_, (_, slowest))) = picked.last_key_value()
            && slowest + 1 < bounds.len()
        {
            self.deadline = Some((2.0 * bounds[*slowest]).max(settings.deadline_min_s));
        }
        let threshold = |(q, (i, k)): (Quantile, (usize, usize))| {
            (q, Threshold { primary: bounds[i], canary: bounds[k] })
        };
        self.thresholds = picked.into_iter().map(threshold).collect();
    }
}

/// How many requests were slower than a bound of a bucket. With other buckets than those that it was chosen from, only
/// requests that were slower for certain count.
fn slower(settings: &Settings, counts: &Counts, bound: f64) -> f64 {
    let first = settings.bounds.partition_point(|b| *b < bound) + 1;
    counts.latency.range(first..).map(|(_, count)| count).sum()
}
