//! What the Envoys of another Serin measured: a measurement that travels as a text and becomes a part of ours.
//!
//! The clock of the other one does not matter: a part ends when it comes, and begins as long before as it took to be
//! measured and to come. So its interval is never shorter than it was, and what may belong to the time before another
//! weight counts as that.

use super::Measurement;
use super::buckets::{Histogram, bounds};
use super::sample::Sample;
use super::series::Outcome;
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::stats::Counts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which part: its source, and a number that counts up in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub i64, pub i64);

/// A measurement of another Serin.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which.
    pub key: Key,
    /// Whose it is.
    pub gateway: GatewayName,
    /// When it began, by our clock.
    pub from: Timestamp,
    /// How many Envoys measured.
    pub proxies: usize,
    /// What the versions did.
    pub upstreams: BTreeMap<UpstreamName, Outcome>,
}

/// Parts that came together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Counts up when parts may come again that came before: none of before counts from then on.
    pub term: u64,
    /// In the order of each source.
    pub parts: Vec<Part>,
}

/// The parts of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Their [`Parts::term`].
    pub term: u64,
    /// Which.
    pub keys: Vec<Key>,
}

/// A part as a text. What is added later is left out by older readers.
#[derive(Serialize, Deserialize)]
struct Form {
    proxies: usize,
    upstreams: BTreeMap<UpstreamName, Did>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Did {
    counts: Counts,
    client_errors: f64,
}

impl Measurement {
    /// What it says, for another Serin.
    pub fn text(&self) -> String {
        let did = |o: &Outcome| Did { counts: o.counts.clone(), client_errors: o.client_errors };
        let upstreams = self.upstreams.iter().map(|(name, o)| (name.clone(), did(o))).collect();
        // Names and numbers: JSON can hold them all.
        serde_json::to_string(&Form { proxies: self.proxies, upstreams }).unwrap_or_default()
    }
}

impl Part {
    /// From such a text; `None`: it is none, or its numbers cannot be true.
    pub fn read(key: Key, gateway: GatewayName, from: Timestamp, text: &str) -> Option<Self> {
        let Form { proxies, upstreams } = serde_json::from_str(text).ok()?;
        let outcome = |did: Did| Outcome { counts: did.counts, client_errors: did.client_errors };
        let upstreams: BTreeMap<_, _> =
            upstreams.into_iter().map(|(name, did)| (name, outcome(did))).collect();
        upstreams.values().all(can_be).then_some(Self { key, gateway, from, proxies, upstreams })
    }
}

/// Whether a version can have done this. One impossible number would make the whole report of all Envoys untrue.
fn can_be(Outcome { counts, client_errors }: &Outcome) -> bool {
    let Counts { requests, errors, started, active, latency } = counts;
    let whole = [*requests, *errors, *client_errors, started.unwrap_or(0.0), *active];
    let mut all = whole.iter().chain(latency.values());
    all.all(|n| n.is_finite() && *n >= 0.0) && latency.keys().all(|bucket| *bucket <= bounds().len())
}

/// What a version did, as if one Envoy had told it.
pub(super) fn sample(Outcome { counts, client_errors }: &Outcome) -> Sample {
    let mut latency = Histogram::default();
    for (bucket, count) in &counts.latency {
        latency.add(u16::try_from(*bucket).unwrap_or(u16::MAX), *count);
    }
    Sample {
        started: counts.started.unwrap_or(counts.requests),
        completed: counts.requests,
        errors: counts.errors,
        client_errors: *client_errors,
        latency,
        unsent: 0.0,
    }
}
