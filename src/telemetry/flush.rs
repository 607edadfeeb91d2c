//! Puts the messages of one Envoy together to flushes: what it measured since the flush before.
//!
//! Envoy sends a flush in messages of at most [`BATCH`] statistics, and nothing says which message is the last. But
//! all statistics of a flush carry the same time, and a message that is not full is the last of its flush. Only whole
//! flushes count: what is missing when a stream breaks would be missing in one version and not in the other.

use super::buckets::{Histogram, envoy_bounds};
use super::label::{self, Statistic};
use super::sample::{Cluster, Gauges, Sample};
use super::wire::{self, Buckets, Malformed, Reading};
use crate::names::GatewayName;
use crate::translate;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Statistics in one message, at most. Envoy sends histograms together, so this is up to 4 MB.
pub const BATCH: usize = 2000;
/// Clusters of one Envoy, at most: twice what the largest fleet has that is tested. More are not counted.
const MAX_CLUSTERS: usize = 50_000;

/// Sent for each cluster that ever had a request, also when it stands still.
const HEARTBEAT: &[u8] = b".upstream_rq_completed";

/// What one Envoy measured between two of its flushes.
#[derive(Clone, Debug, Default)]
pub struct Flush {
    /// All clusters that it reported, also those without a request.
    pub reported: Arc<BTreeSet<Cluster>>,
    /// Those where anything happened, or stands otherwise than at the flush before.
    pub changed: Vec<(Cluster, Sample, Gauges)>,
    /// Requests without the key of their gateway's `sessionAffinity`, where there were any.
    pub keyless: BTreeMap<GatewayName, f64>,
}

/// The statistics of one stream, from message to message.
#[derive(Debug, Default)]
pub struct Assembly {
    /// By Envoy's name of the cluster.
    clusters: IndexMap<Box<[u8]>, Slot>,
    reported: Arc<BTreeSet<Cluster>>,
    keyless: BTreeMap<GatewayName, f64>,
    /// There is a cluster that is not yet in `reported`.
    is_new: bool,
    /// The time of the flush that is being received.
    open: Option<u64>,
    /// Counts flushes.
    number: u64,
    /// Histograms of this Envoy have other buckets than ours, so that its latencies cannot be used.
    pub foreign_buckets: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// `None`: not one of our clusters.
    cluster: Option<Cluster>,
    /// The last flush that had it.
    seen: u64,
    sample: Sample,
    /// Failures by the status of gRPC.
    grpc: Sample,
    gauges: Gauges,
    told: Option<Gauges>,
}

impl Assembly {
    /// Takes a message, and returns the flushes that are whole with it: none, one, or two when the message before
    /// was the last of its flush and full.
    pub fn take(&mut self, message: &[u8]) -> Result<Vec<Flush>, Malformed> {
        let mut whole = Vec::new();
        let families = wire::read(message, |metric| {
            if self.open.is_some_and(|open| open != metric.flush) {
                whole.push(self.finish());
            }
            self.open = Some(metric.flush);
            self.count(&metric)
        })?;
        if families < BATCH {
            whole.push(self.finish());
        }
        Ok(whole)
    }

    fn count(&mut self, metric: &wire::Metric<'_>) -> Result<(), Malformed> {
        match metric.reading {
            // Of thousands of upstreams most are idle, so what stands still is passed over: one statistic of each
            // is enough to know that it is there.
            Reading::Counter(number) if number <= 0.0 && !metric.name.ends_with(HEARTBEAT) => return Ok(()),
            Reading::Histogram(Buckets { samples: 0, .. }) | Reading::Other => return Ok(()),
            _ => {}
        }
        if let (Some(route), Reading::Counter(requests)) = (label::parse_route(metric.name), metric.reading) {
            self.count_keyless(route, requests);
            return Ok(());
        }
        let Some((name, statistic)) = label::parse(metric.name) else { return Ok(()) };
        let Some(slot) = self.slot(name) else { return Ok(()) };
        match (statistic, metric.reading) {
            (Statistic::Started, Reading::Counter(n)) => slot.sample.started += n,
            (Statistic::Completed, Reading::Counter(n)) => slot.sample.completed += n,
            (Statistic::ClientErrors, Reading::Counter(n)) => slot.sample.client_errors += n,
            (Statistic::Errors, Reading::Counter(n)) => slot.sample.errors += n,
            (Statistic::GrpcClientErrors, Reading::Counter(n)) => slot.grpc.client_errors += n,
            (Statistic::GrpcErrors, Reading::Counter(n)) => slot.grpc.errors += n,
            (Statistic::Active, Reading::Gauge(n)) => slot.gauges.active = n,
            (Statistic::Endpoints, Reading::Gauge(n)) => slot.gauges.endpoints = n,
            (Statistic::Healthy, Reading::Gauge(n)) => slot.gauges.healthy = n,
            (Statistic::Latency, Reading::Histogram(buckets)) => match histogram(&buckets)? {
                Some(latency) => slot.sample.latency.merge(&latency),
                None => self.foreign_buckets = true,
            },
            _ => {}
        }
        Ok(())
    }

    /// A gateway has one such route for each of its hosts.
    fn count_keyless(&mut self, route: &str, requests: f64) {
        let Some(gateway) = translate::parse_keyless(route).filter(|_| requests > 0.0) else { return };
        if self.keyless.len() < MAX_CLUSTERS || self.keyless.contains_key(&gateway) {
            *self.keyless.entry(gateway).or_default() += requests;
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Slot> {
        let at = match self.clusters.get_index_of(name) {
            Some(at) => at,
            None if self.clusters.len() >= MAX_CLUSTERS => return None,
            None => {
                let cluster = std::str::from_utf8(name).ok().and_then(translate::parse_cluster_name);
                let cluster = cluster.map(|(gateway, upstream, leg)| Cluster { gateway, upstream, leg });
                self.is_new = true;
                self.clusters.insert_full(name.into(), Slot { cluster, ..Slot::default() }).0
            }
        };
        let (_, slot) = self.clusters.get_index_mut(at)?;
        slot.seen = self.number;
        Some(slot)
    }

    fn finish(&mut self) -> Flush {
        let number = self.number;
        (self.open, self.number) = (None, number + 1);
        let before = self.clusters.len();
        // An Envoy that is told to drop a cluster no longer reports it.
        self.clusters.retain(|_, slot| slot.seen == number);
        if std::mem::take(&mut self.is_new) || before != self.clusters.len() {
            self.reported = Arc::new(self.clusters.values().filter_map(|s| s.cluster.clone()).collect());
        }
        let mut changed = Vec::new();
        for slot in self.clusters.values_mut() {
            let Some(cluster) = &slot.cluster else { continue };
            slot.sample.with_grpc(&std::mem::take(&mut slot.grpc));
            if !slot.sample.is_idle() || slot.told != Some(slot.gauges) {
                slot.told = Some(slot.gauges);
                changed.push((cluster.clone(), std::mem::take(&mut slot.sample), slot.gauges));
            }
        }
        Flush { reported: Arc::clone(&self.reported), changed, keyless: std::mem::take(&mut self.keyless) }
    }
}

/// The histogram by our buckets; `None` when it has others.
fn histogram(buckets: &Buckets<'_>) -> Result<Option<Histogram>, Malformed> {
    let (mut histogram, mut below, mut index, mut ours) = (Histogram::default(), 0, 0_u16, true);
    let mut bounds = envoy_bounds();
    buckets.each(|bound, count| {
        ours &= bounds.next().is_some_and(|e| e.total_cmp(&bound).is_eq()) && count >= below;
        if ours && count > below {
            histogram.add(index, whole(count - below));
            below = count;
        }
        index += 1;
        // All that are left are as full: nothing more to learn from them.
        ours && below < buckets.samples
    })?;
    if ours && below < buckets.samples {
        ours = bounds.len() == 0;
        histogram.add(index, whole(buckets.samples - below));
    }
    Ok(ours.then_some(histogram))
}

#[expect(clippy::cast_precision_loss, reason = "nobody answers 2^53 requests between two flushes")]
fn whole(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
