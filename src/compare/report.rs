//! What people, programs and rollouts see of the comparisons.

use super::Matches;
use super::difference::{Kind, Reason};
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::weight::Weight;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The reports of all gateways whose shadow is compared. A copy shares them.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// By the name of the gateway.
    pub gateways: BTreeMap<GatewayName, Arc<Report>>,
    /// How many answers now wait for the other one, and how many bytes they hold; see [`joiner::MOST`](super::joiner::MOST)
    /// and [`joiner::BYTES`](super::joiner::BYTES).
    pub waiting: (usize, usize),
}

/// What was found at one gateway since its versions and its rules are what they are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Who gets copies.
    pub shadow: UpstreamName,
    /// When the first counts of these began.
    pub since: Timestamp,
    /// What is compared.
    pub path: String,
    /// The share of the pairs that should match, in percent.
    pub min_match: Weight,
    /// For each upstream that answers clients: what its answers and the shadow's came to.
    pub pairs: Vec<PairReport>,
    /// Answers that are of no pair, by the reason; see [`Reason`].
    pub not_paired: BTreeMap<Reason, u64>,
}

/// The answers of one upstream and the shadow.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairReport {
    /// Who answers clients.
    pub upstream: UpstreamName,
    /// Whether it is the one that serves.
    pub primary: bool,
    /// Pairs that match or do not.
    pub compared: u64,
    /// Pairs that match.
    pub matched: u64,
    /// From 0 to 1; `None`: nothing was compared.
    pub match_rate: Option<f64>,
    /// Where the match rate is, from lowest to highest, with 95 % confidence however often one looks.
    pub interval: [f64; 2],
    /// What that says about `minMatch`.
    pub verdict: Verdict,
    /// How long the client's answers took, of the pairs that were compared.
    pub live: Option<Spread>,
    /// How long the shadow's took.
    pub shadow: Option<Spread>,
    /// The most frequent first.
    pub mismatches: Vec<Mismatch>,
    /// Pairs that were not compared, by the reason; see [`Reason`].
    pub not_compared: BTreeMap<Reason, u64>,
}

/// How long answers took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Half took less; the end of the bucket.
    pub p50: f64,
    /// Nineteen of twenty took less; the end of the bucket.
    pub p95: f64,
}

/// What the pairs say about `minMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Enough of them match.
    Met,
    /// Too few of them match.
    Missed,
    /// There are not enough pairs to know.
    Open,
}

/// A kind of mismatch.
#[derive(Clone, Debug, Serialize)]
pub struct Mismatch {
    /// What is different.
    pub kind: Kind,
    /// How many pairs.
    pub count: u64,
    /// The newest few of them.
    pub examples: Vec<Example>,
}

/// A pair that does not match. Without `keepExamples` values are described, not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The `x-request-id`.
    pub request: String,
    /// Where the first difference is.
    pub place: String,
    /// What the client got there.
    pub live: String,
    /// What the shadow has there.
    pub shadow: String,
}

impl Reports {
    /// What a rollout decides on: the pairs of the primary. `None`: nothing is compared at this gateway.
    pub fn matches(&self, gateway: &GatewayName) -> Option<Matches> {
        self.gateways.get(gateway)?.matches()
    }
}

impl Report {
    /// What a rollout decides on: the pairs of the primary.
    pub fn matches(&self) -> Option<Matches> {
        let pair = self.pairs.iter().find(|pair| pair.primary)?;
        Some(Matches { compared: pair.compared, matched: pair.matched })
    }
}

impl Verdict {
    pub(super) fn of([low, high]: [f64; 2], least: f64) -> Self {
        if low >= least {
            Self::Met
        } else if high < least {
            Self::Missed
        } else {
            Self::Open
        }
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Open => "open",
        }
    }
}
