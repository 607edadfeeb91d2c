//! From flushes of many Envoys to measurements of gateways: all versions over the same intervals, at the same Envoys.
//!
//! The rules are those of canary statistics: whatever is lost must be lost in all versions alike.
//!
//! * Envoys send what was counted since the flush before, so a restart, a lost stream or a control plane that was
//!   away loses intervals and distorts none. A stream is counted from its own beginning; two Envoys with one name are
//!   two streams.
//! * A flush counts for a gateway only when it reports all versions that are compared. An Envoy that does not know
//!   one of them yet has sent its traffic to the others only.
//! * What the Envoys of another Serin measured is taken like the flush of one more Envoy. What was in flight there counts
//!   only together with what was begun there, since nobody knows what became of it after.
//! * A measurement is complete when every Envoy that serves the gateway has reported; one that is late is waited
//!   for a little, and what it says then is part of the next measurement.

use super::flush::Flush;
use super::part::{self, Others, Part, Parts};
use super::sample::{Cluster, Sample};
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::stats::Counts;
use crate::translate::Leg;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Which gateways to measure, and which of their upstreams are compared.
pub type Wanted = BTreeMap<GatewayName, BTreeSet<UpstreamName>>;

/// The longest interval between flushes that `serin bootstrap` prints, and what is assumed of an Envoy before it has
/// flushed twice.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long an Envoy may be late.
const SLACK: Duration = Duration::from_millis(500);
/// The smallest difference between two moments.
const TICK: Duration = Duration::from_millis(1);
/// An Envoy that has not flushed for so many of its intervals is waited for no more.
const SILENT: u32 = 3;

/// What the versions of one gateway did in one interval, at the same Envoys.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Whose they are.
    pub gateway: GatewayName,
    /// When the first of the flushes in it began.
    pub from: Timestamp,
    /// When the last of the flushes in it came.
    pub to: Timestamp,
    /// How many Envoys measured.
    pub proxies: usize,
    /// All that are compared, those without a request too.
    pub upstreams: BTreeMap<UpstreamName, Outcome>,
    /// What of it other Serins measured.
    pub others: Others,
}

/// What one version did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests, errors, latencies.
    pub counts: Counts,
    /// Of the requests: answered 4xx. Disjoint from the errors.
    pub client_errors: f64,
}

/// All streams, and what is not yet told of them.
#[derive(Debug, Default)]
pub struct Series {
    wanted: Wanted,
    proxies: BTreeMap<Origin, Proxy>,
    pending: BTreeMap<GatewayName, Pending>,
    /// The end of the last measurement: the next one ends later.
    told: BTreeMap<GatewayName, Timestamp>,
    /// Of the newest parts.
    term: u64,
    /// What was more than the requests of its interval; see [`Sample::take_excess`].
    excess: BTreeMap<Cluster, Sample>,
}

/// Who measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// An Envoy, by its stream.
    Envoy(u64),
    /// The Envoys of another Serin, for one gateway.
    Serin(i64, GatewayName),
}

/// One of them.
#[derive(Debug)]
struct Proxy {
    last: Timestamp,
    interval: Duration,
    /// The wanted gateways of which its last flush had all versions.
    measures: BTreeSet<GatewayName>,
    /// Requests in flight, where there are any.
    active: BTreeMap<Cluster, f64>,
}

/// What will be the next measurement of a gateway.
#[derive(Debug)]
struct Pending {
    from: Timestamp,
    to: Timestamp,
    /// When its first flush came.
    since: Timestamp,
    /// Whose flushes are in it, and of how many Envoys.
    origins: BTreeMap<Origin, usize>,
    upstreams: BTreeMap<UpstreamName, Sample>,
    others: Others,
}

impl Pending {
    /// Nothing yet, from an interval that came now.
    fn new(from: Timestamp, at: Timestamp) -> Self {
        Self {
            from,
            to: at,
            since: at,
            origins: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            others: Others::default(),
        }
    }

    fn take(&mut self, origin: &Origin, proxies: usize, from: Timestamp, at: Timestamp) {
        self.from = self.from.min(from);
        self.to = self.to.max(at);
        let seen = self.origins.entry(origin.clone()).or_default();
        *seen = proxies.max(*seen);
    }
}

impl Series {
    /// Measures these gateways from now on.
    pub fn want(&mut self, wanted: Wanted) {
        let is_same = |name: &GatewayName| wanted.get(name) == self.wanted.get(name);
        self.pending.retain(|name, _| is_same(name));
        self.excess.retain(|cluster, _| is_same(&cluster.gateway));
        self.told.retain(|name, _| wanted.contains_key(name));
        self.wanted = wanted;
    }

    /// Takes a flush that came over a stream.
    pub fn take(&mut self, stream: u64, flush: &Flush, at: Timestamp) {
        let begin = Timestamp(at.0.saturating_sub(INTERVAL.as_millis().try_into().unwrap_or(i64::MAX)));
        let origin = Origin::Envoy(stream);
        let proxy = self.proxies.entry(origin.clone()).or_insert_with(|| Proxy {
            last: begin,
            interval: INTERVAL,
            measures: BTreeSet::new(),
            active: BTreeMap::new(),
        });
        // A clock that was set back tells nothing of the length of this interval; it is taken to be as long as the last.
        let from = if proxy.last < at { proxy.last } else { at.minus(proxy.interval) };
        (proxy.interval, proxy.last) = (at.since(from), at);
        for (cluster, _, gauges) in &flush.changed {
            if gauges.active > 0.0 {
                proxy.active.insert(cluster.clone(), gauges.active);
            } else {
                proxy.active.remove(cluster);
            }
        }
        proxy.active.retain(|cluster, _| flush.reported.contains(cluster));
        proxy.measures =
            self.wanted.iter().filter(|(g, arms)| has_all(flush, g, arms)).map(|(g, _)| g.clone()).collect();
        for gateway in &proxy.measures {
            let pending = self.pending.entry(gateway.clone()).or_insert_with(|| Pending::new(from, at));
            pending.take(&origin, 1, from, at);
        }
        for (Cluster { gateway, upstream, leg }, sample, _) in &flush.changed {
            // What a shadow does, no client saw.
            let is_compared =
                *leg == Leg::Live && self.wanted.get(gateway).is_some_and(|arms| arms.contains(upstream));
            if let Some(pending) = self.pending.get_mut(gateway)
                && is_compared
                && proxy.measures.contains(gateway)
            {
                pending.upstreams.entry(upstream.clone()).or_default().add(sample);
            }
        }
    }

    /// Takes what other Serins measured, which came now. None may come twice under one term.
    pub fn take_parts(&mut self, Parts { term, parts }: Parts, at: Timestamp) {
        if term < self.term {
            return;
        }
        if term > self.term {
            self.term = term;
            // They come again, as far as they are not counted.
            self.pending.retain(|_, pending| pending.others.keys.is_empty());
            self.proxies.retain(|origin, _| matches!(origin, Origin::Envoy(_)));
        }
        for part in parts {
            self.take_part(part, at);
        }
        let is_known = |origin: &Origin, proxy: &Proxy| {
            matches!(origin, Origin::Envoy(_)) || at.since(proxy.last) <= INTERVAL * SILENT
        };
        self.proxies.retain(|origin, proxy| is_known(origin, proxy));
    }

    fn take_part(&mut self, part: Part, at: Timestamp) {
        let Part { key, gateway, from, proxies, upstreams } = part;
        let Some(arms) = self.wanted.get(&gateway) else { return };
        if !arms.iter().all(|arm| upstreams.contains_key(arm)) {
            return;
        }
        let active = arms.iter().map(|arm| {
            let cluster = Cluster { gateway: gateway.clone(), upstream: arm.clone(), leg: Leg::Live };
            (cluster, upstreams[arm].counts.active)
        });
        let origin = Origin::Serin(key.0, gateway.clone());
        let proxy = Proxy {
            last: at,
            interval: at.since(from),
            measures: [gateway.clone()].into(),
            active: active.collect(),
        };
        self.proxies.insert(origin.clone(), proxy);
        let pending = self.pending.entry(gateway).or_insert_with(|| Pending::new(from, at));
        pending.take(&origin, proxies, from, at);
        pending.others.term = self.term;
        pending.others.keys.push(key);
        for arm in arms {
            pending.upstreams.entry(arm.clone()).or_default().add(&part::sample(&upstreams[arm]));
        }
    }

    /// A stream has ended. What it said still counts.
    pub fn end(&mut self, stream: u64) {
        self.proxies.remove(&Origin::Envoy(stream));
    }

    /// The measurements that are complete, or that have waited long enough.
    pub fn ready(&mut self, now: Timestamp) -> Vec<Measurement> {
        let is_ready = |name: &GatewayName, pending: &Pending| {
            self.awaited(name, pending).is_none_or(|until| until <= now)
        };
        let names: Vec<_> = self
            .pending
            .iter()
            .filter(|(name, pending)| is_ready(name, pending))
            .map(|(name, _)| name.clone())
            .collect();
        names.into_iter().filter_map(|name| self.measurement(name)).collect()
    }

    /// When [`Series::ready`] has something at the latest, without another flush.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.pending.iter().filter_map(|(name, pending)| self.awaited(name, pending)).min()
    }

    /// Until when to wait for Envoys that have not reported; `None`: for nobody.
    fn awaited(&self, name: &GatewayName, pending: &Pending) -> Option<Timestamp> {
        let missing = self.proxies.iter().filter(|(origin, proxy)| {
            let is_live = pending.to.since(proxy.last) <= proxy.interval.max(SLACK) * SILENT;
            is_live && proxy.measures.contains(name) && !pending.origins.contains_key(origin)
        });
        let waits = missing.map(|(_, proxy)| pending.since.plus(proxy.interval.min(INTERVAL) + SLACK));
        waits.chain(self.next(name, pending)).max()
    }

    /// When a measurement can end that would end with the one before: two with one end would be taken for one.
    fn next(&self, name: &GatewayName, pending: &Pending) -> Option<Timestamp> {
        self.told.get(name).filter(|told| **told == pending.to).map(|told| told.plus(TICK))
    }

    fn measurement(&mut self, gateway: GatewayName) -> Option<Measurement> {
        let mut pending = self.pending.remove(&gateway)?;
        let arms = self.wanted.get(&gateway)?;
        let mut upstreams = BTreeMap::new();
        for upstream in arms {
            let cluster = Cluster { gateway: gateway.clone(), upstream: upstream.clone(), leg: Leg::Live };
            let mut sample = pending.upstreams.remove(upstream).unwrap_or_default();
            if let Some(excess) = self.excess.remove(&cluster) {
                sample.add(&excess);
            }
            let excess = sample.take_excess();
            let measuring = self.proxies.iter().filter(|(_, p)| p.measures.contains(&gateway));
            let told =
                measuring.filter(|(o, _)| matches!(o, Origin::Envoy(_)) || pending.origins.contains_key(o));
            let active = told.filter_map(|(_, p)| p.active.get(&cluster)).sum();
            if !excess.is_idle() {
                self.excess.insert(cluster, excess);
            }
            upstreams.insert(upstream.clone(), outcome(&sample, active));
        }
        let (from, to) = (pending.from, self.next(&gateway, &pending).unwrap_or(pending.to));
        self.told.insert(gateway.clone(), to);
        let proxies = pending.origins.values().sum();
        Some(Measurement { gateway, from, to, proxies, upstreams, others: pending.others })
    }
}

fn has_all(flush: &Flush, gateway: &GatewayName, arms: &BTreeSet<UpstreamName>) -> bool {
    arms.iter().all(|upstream| {
        let (gateway, upstream) = (gateway.clone(), upstream.clone());
        flush.reported.contains(&Cluster { gateway, upstream, leg: Leg::Live })
    })
}

fn outcome(sample: &Sample, active: f64) -> Outcome {
    Outcome {
        counts: Counts {
            requests: sample.completed,
            errors: sample.errors,
            started: Some(sample.started),
            active,
            latency: sample.latency.iter().map(|(bucket, count)| (usize::from(bucket), count)).collect(),
        },
        client_errors: sample.client_errors,
    }
}

#[cfg(test)]
mod tests;
