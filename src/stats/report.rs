//! What was measured in one interval, on both arms at once.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One interval in which both arms were measured by the same proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its begin, in seconds on the engine's clock.
    #[serde(rename = "t0")]
    pub from: f64,
    /// Its end, in seconds on the engine's clock.
    #[serde(rename = "t")]
    pub to: f64,
    /// The new version.
    pub canary: Counts,
    /// The version that it is compared with.
    pub primary: Counts,
    /// Compared predictions, when there is a shadow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Pairs>,
    /// How bad each of the user's metrics was, from 0 to 1; one value for each window, and windows do not overlap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, f64>,
}

/// What one version did in an interval. Numbers of requests; they may be fractions after division.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were completed: final outcomes as clients saw them, not attempts.
    #[serde(rename = "n")]
    pub requests: f64,
    /// Those of them that failed.
    #[serde(rename = "err")]
    pub errors: f64,
    /// Requests that were started; `None`: as many as were completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// Requests in flight at the end of the interval.
    #[serde(default)]
    pub active: f64,
    /// Completed requests by the index of their latency bucket. Buckets without any may be left out.
    #[serde(default, rename = "hist")]
    pub latency: BTreeMap<usize, f64>,
}

/// Compared answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// How many were compared.
    #[serde(rename = "n")]
    pub pairs: f64,
    /// How many of them differed.
    pub mismatch: f64,
}
