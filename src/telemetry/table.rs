//! The numbers of every upstream for people: totals, the last minute, and how it stands now.
//!
//! Only upstreams that had a request, or have an endpoint, have a row, of bounded size. A row that nobody reports and
//! nobody used for [`FORGET`] is forgotten.

use super::buckets::Histogram;
use super::flush::Flush;
use super::sample::{Cluster, Gauges, Sample};
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::translate::Leg;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What "the last minute" is made of: slots of five seconds, so it is between 55 and 60 seconds long. In milliseconds.
pub const SLOT: i64 = 5_000;
const SLOTS: i64 = 12;
/// How long a row stays without an Envoy that reports it, as while Envoys are replaced.
pub const FORGET: Duration = Duration::from_mins(10);

/// All rows. A copy shares them.
#[derive(Clone, Debug, Default)]
pub struct Table {
    gateways: BTreeMap<GatewayName, Arc<Rows>>,
    /// Requests without the key of their gateway's `sessionAffinity`.
    keyless: BTreeMap<GatewayName, Arc<Row>>,
    /// What each stream reports.
    streams: BTreeMap<u64, Arc<BTreeSet<Cluster>>>,
    /// When forgetting was tried last.
    swept: Timestamp,
}

type Rows = BTreeMap<(UpstreamName, Leg), Row>;

#[derive(Clone, Debug, Default)]
struct Row {
    total: Totals,
    /// By their number since 1970, ascending.
    slots: Vec<(i64, Sample)>,
    gauges: BTreeMap<u64, Gauges>,
    first: Timestamp,
    last: Timestamp,
}

/// Since the control plane was started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Completed.
    pub requests: f64,
    /// Of them: answered 5xx or failed.
    pub errors: f64,
    /// Of them: answered 4xx.
    pub client_errors: f64,
    /// Answers that were to be compared, and that no Envoy could send.
    pub unsent: f64,
}

/// What is known of one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Since the control plane was started.
    pub total: Totals,
    /// In the last minute.
    pub recent: Totals,
    /// Latencies of the last minute.
    pub latency: Histogram,
    /// How long the last minute is: shorter for an upstream that is new.
    pub window: Duration,
    /// Now: requests in flight and endpoints at all Envoys together, healthy endpoints as the Envoy sees it that sees
    /// the fewest.
    pub gauges: Gauges,
}

impl Table {
    /// Takes a flush that came over a stream.
    pub fn take(&mut self, stream: u64, flush: &Flush, at: Timestamp) {
        for (Cluster { gateway, upstream, leg }, sample, gauges) in &flush.changed {
            let rows = Arc::make_mut(self.gateways.entry(gateway.clone()).or_default());
            let row = rows.entry((upstream.clone(), *leg));
            let row = row.or_insert_with(|| Row { first: at, ..Row::default() });
            row.take(sample, at);
            row.gauges.insert(stream, *gauges);
        }
        for (gateway, requests) in &flush.keyless {
            let row = self.keyless.entry(gateway.clone());
            let row = row.or_insert_with(|| Arc::new(Row { first: at, ..Row::default() }));
            Arc::make_mut(row).take(&Sample { completed: *requests, ..Sample::default() }, at);
        }
        let before = self.streams.insert(stream, Arc::clone(&flush.reported));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, &flush.reported)) {
            before.difference(&flush.reported).for_each(|gone| self.forget_gauges(stream, gone));
        }
        self.sweep(at);
    }

    /// A stream has ended.
    pub fn end(&mut self, stream: u64) {
        for gone in self.streams.remove(&stream).iter().flat_map(|reported| reported.iter()) {
            self.forget_gauges(stream, gone);
        }
    }

    fn forget_gauges(&mut self, stream: u64, cluster: &Cluster) {
        if let Some(rows) = self.gateways.get_mut(&cluster.gateway)
            && let Some(row) = Arc::make_mut(rows).get_mut(&(cluster.upstream.clone(), cluster.leg))
        {
            row.gauges.remove(&stream);
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept) < Duration::from_mins(1) {
            return;
        }
        self.swept = now;
        let is_old = |row: &Row| row.gauges.is_empty() && now.since(row.last) > FORGET;
        for rows in self.gateways.values_mut().filter(|rows| rows.values().any(is_old)) {
            Arc::make_mut(rows).retain(|_, row| !is_old(row));
        }
        self.gateways.retain(|_, rows| !rows.is_empty());
        // Nothing says that a gateway still has such a route; a total that went back to 0 would be wrong.
        let gateways = &self.gateways;
        self.keyless.retain(|gateway, _| gateways.contains_key(gateway));
    }

    /// The upstreams of a gateway that are known to answer requests, and their numbers.
    pub fn gateway(&self, name: &str, now: Timestamp) -> BTreeMap<&UpstreamName, Numbers> {
        let rows = self.gateways.get(name).into_iter().flat_map(|rows| rows.iter());
        let live = rows.filter(|((_, leg), _)| *leg == Leg::Live);
        live.map(|((upstream, _), row)| (upstream, row.numbers(now))).collect()
    }

    /// What the upstreams of a gateway did that answer requests, in the slot of a number: it begins so many times
    /// [`SLOT`] after 1970. Slots before [`Table::oldest_slot`] may be missing; where nothing was done, nobody is there.
    pub fn slot(&self, name: &str, number: i64) -> impl Iterator<Item = (&UpstreamName, &Sample)> {
        let rows = self.gateways.get(name).into_iter().flat_map(|rows| rows.iter());
        rows.filter(|((_, leg), _)| *leg == Leg::Live).filter_map(move |((upstream, _), row)| {
            row.slots.iter().find(|(n, _)| *n == number).map(|(_, sample)| (upstream, sample))
        })
    }

    /// The number of the oldest slot that is kept.
    pub fn oldest_slot(now: Timestamp) -> i64 {
        now.0.div_euclid(SLOT) - SLOTS + 1
    }

    /// The numbers of the copies that an upstream of a gateway got; `None`: nothing is known.
    pub fn shadow(&self, name: &str, upstream: &str, now: Timestamp) -> Option<Numbers> {
        let is_it = |(name, leg): &(UpstreamName, Leg)| name.as_str() == upstream && *leg == Leg::Shadow;
        let row = self.gateways.get(name)?.iter().find(|(key, _)| is_it(key));
        row.map(|(_, row)| row.numbers(now))
    }

    /// How many endpoints of an upstream are healthy, as the Envoy sees it that sees the fewest; `None`: no Envoy that is
    /// connected knows the upstream.
    pub fn healthy(&self, gateway: &GatewayName, upstream: &str) -> Option<u32> {
        let is_it = |(name, leg): &(UpstreamName, Leg)| name.as_str() == upstream && *leg == Leg::Live;
        let (_, row) = self.gateways.get(gateway)?.iter().find(|(key, _)| is_it(key))?;
        let fewest = row.gauges.values().map(|g| g.healthy).reduce(f64::min)?;
        // A count of endpoints: small and whole.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        Some(fewest as u32)
    }

    /// The requests of a gateway that came without the key of its `sessionAffinity`: since the control plane was
    /// started, and in the last minute.
    pub fn keyless(&self, name: &str, now: Timestamp) -> (f64, f64) {
        let numbers = self.keyless.get(name).map(|row| row.numbers(now));
        numbers.map_or((0.0, 0.0), |numbers| (numbers.total.requests, numbers.recent.requests))
    }

    /// All gateways that had requests without the key of their `sessionAffinity`, and how many.
    pub fn all_keyless(&self) -> impl Iterator<Item = (&GatewayName, f64)> {
        self.keyless.iter().map(|(gateway, row)| (gateway, row.total.requests))
    }

    /// All upstreams that ever had a request on a leg, and their numbers.
    pub fn used(
        &self,
        leg: Leg,
        now: Timestamp,
    ) -> impl Iterator<Item = (&GatewayName, &UpstreamName, Numbers)> {
        let rows =
            self.gateways.iter().flat_map(|(g, rows)| rows.iter().map(move |(key, row)| (g, key, row)));
        rows.filter(move |(_, key, row)| key.1 == leg && row.total.requests > 0.0)
            .map(move |(g, key, row)| (g, &key.0, row.numbers(now)))
    }
}

impl Row {
    fn take(&mut self, sample: &Sample, at: Timestamp) {
        self.last = at;
        self.total.add(sample);
        if sample.is_idle() {
            return;
        }
        let number = at.0.div_euclid(SLOT);
        match self.slots.iter_mut().find(|(n, _)| *n == number) {
            Some((_, slot)) => slot.add(sample),
            None => self.slots.push((number, sample.clone())),
        }
        self.slots.retain(|(n, _)| (number - SLOTS + 1..=number).contains(n));
    }

    fn numbers(&self, now: Timestamp) -> Numbers {
        let number = now.0.div_euclid(SLOT);
        let (mut recent, mut latency) = (Totals::default(), Histogram::default());
        for (_, slot) in self.slots.iter().filter(|(n, _)| (number - SLOTS + 1..=number).contains(n)) {
            recent.add(slot);
            latency.merge(&slot.latency);
        }
        let begin = Timestamp((number - SLOTS + 1) * SLOT).max(self.first);
        let mut gauges = Gauges { healthy: f64::INFINITY, ..Gauges::default() };
        for one in self.gauges.values() {
            gauges.active += one.active;
            gauges.endpoints = gauges.endpoints.max(one.endpoints);
            gauges.healthy = gauges.healthy.min(one.healthy);
        }
        gauges.healthy = gauges.healthy.min(gauges.endpoints);
        Numbers { total: self.total, recent, latency, window: now.since(begin), gauges }
    }
}

impl Totals {
    fn add(&mut self, sample: &Sample) {
        self.requests += sample.completed;
        self.errors += sample.errors;
        self.client_errors += sample.client_errors;
        self.unsent += sample.unsent;
    }

    /// Which part of the requests failed, from 0 to 1; `None`: there were none.
    pub fn error_rate(&self) -> Option<f64> {
        // The last failure of an interval may be told before its request is.
        (self.requests > 0.0).then(|| (self.errors / self.requests).min(1.0))
    }
}

impl Numbers {
    /// Requests a second in the last minute; `None`: it has just begun.
    pub fn request_rate(&self) -> Option<f64> {
        (self.window >= Duration::from_secs(1)).then(|| self.recent.requests / self.window.as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
