//! A release: how traffic moves from one version of a model to the next, and what may stop it.

use super::Shadow;
use super::metric::{Number, Provided};
use crate::names::UpstreamName;
use crate::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a file asks of a rollout. Percents are [`Weight`]s, so that they stay exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The version that serves now.
    pub primary: UpstreamName,
    /// The version that should serve; the primary once that is reached, and there is nothing to release.
    pub canary: UpstreamName,
    /// At least one; weights grow, and the last is all.
    pub steps: Vec<Step>,
    /// The time that the canary is watched after the last step.
    pub bake: Duration,
    /// The longest wait for evidence at one step.
    pub deadline: Duration,
    /// What a harmful canary leads to.
    pub on_failure: OnFailure,
    /// How sure a roll-back is, in percent: a canary that is as good as the primary is rolled back with the rest.
    pub confidence: Weight,
    /// The canary is shadowed before its first step.
    pub shadow_first: Option<ShadowFirst>,
    /// What is measured.
    pub metrics: Metrics,
}

/// A shadow before the first step, whose predictions decide whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowFirst {
    /// How the canary is shadowed meanwhile.
    pub shadow: Shadow,
    /// The gateway's own shadow, at all other times.
    pub otherwise: Option<Shadow>,
    /// The share of predictions that must agree with the primary's; neither none nor all.
    pub min_match: Weight,
}

/// A share of the traffic and how it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The share of the canary; more than nothing.
    pub weight: Weight,
    /// What the next step waits for besides evidence.
    pub pause: StepPause,
}

/// What a step waits for besides evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPause {
    /// At least this time.
    AtLeast(Duration),
    /// Somebody's word.
    Manual,
}

/// What a harmful canary leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// All traffic goes to the primary.
    RollBack,
    /// The weights stay, and somebody has to decide.
    Pause,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Requests that fail.
    pub error_rate: ErrorRate,
    /// By how many percent a quantile of the canary's latency may be above the primary's.
    pub latency: BTreeMap<Quantile, Weight>,
    /// The fewest requests a second that the canary must have had at a step before it may end; not negative.
    pub request_rate: Option<Number>,
    /// The share of predictions of the shadow that must agree; neither none nor all.
    pub shadow_match: Option<Weight>,
    /// What others measure; names are unique.
    pub provided: Vec<Provided>,
    /// The built-in metrics of which nothing is decided.
    pub dry_run: BTreeSet<BuiltIn>,
}

/// A metric that Envoys measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    /// `error-rate`
    ErrorRate,
    /// `latency-p99` and its kind.
    Latency(Quantile),
    /// `request-rate`
    RequestRate,
    /// `shadow-match`
    ShadowMatch,
}

/// The limits of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRate {
    /// The most of the canary's requests that may fail, in percent of them; more than nothing.
    pub max: Weight,
    /// By how many percent of it the primary's rate may be exceeded.
    pub max_increase: Weight,
    /// Whether answers 4xx count as failures too.
    pub client_errors: bool,
}

/// A quantile of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// The median.
    P50,
    /// Nine of ten are faster.
    P90,
    /// 95 of a hundred are faster.
    P95,
    /// 99 of a hundred are faster.
    P99,
}

impl Quantile {
    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// The share of requests that are faster.
    pub const fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
        }
    }
}
