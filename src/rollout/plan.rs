//! What a file asks of a rollout, as the engine needs it.

use crate::model::{BuiltIn, Gateway, Number, OnFailure, Provided, Rollout, Step, StepPause, Upstream};
use crate::names::UpstreamName;
use crate::stats;
use crate::weight::{Split, Weight};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longer timeouts of routes say little about when an answer is overdue: the latencies of the primary say more.
const LONG_TIMEOUT: Duration = Duration::from_mins(1);
/// Promotion wants evidence that the canary's error rate is below so many times the primary's, or below what the file
/// tolerates where that is more.
const PROMOTION_RATIO: f64 = 1.5;
/// A metric of the user is good while it is beyond its limit in one window of five at most.
const BREACHES: f64 = 0.2;
/// A ceiling of 100 % is none; the procedure wants one below.
const MOST_ERRORS: f64 = 0.9999;

/// What a file asks of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is released in place of what.
    pub identity: Identity,
    /// At least one; weights grow, and the last is all.
    pub steps: Vec<Step>,
    /// The time that the canary is watched after the last step.
    pub bake: Duration,
    /// The longest wait at one step.
    pub deadline: Duration,
    /// What a harmful canary leads to.
    pub on_failure: OnFailure,
    /// The canary is shadowed before its first step, until so many of its predictions agree with the primary's.
    pub shadow_first: Option<Weight>,
    /// The fewest requests a second that the canary must have had at a step before it may end.
    pub request_rate: Option<f64>,
    /// Whether that is only shown.
    pub is_request_rate_dry: bool,
    /// Whether answers 4xx are failures.
    pub client_errors: bool,
    /// What others measure.
    pub provided: Vec<Provided>,
    /// How evidence is weighed.
    pub settings: stats::Settings,
}

/// What a release is about: two upstreams and what they point to. Another canary is another release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version that serves.
    pub primary: Side,
    /// The version that should serve.
    pub canary: Side,
}

/// One upstream and what it points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Unique in its gateway.
    pub name: UpstreamName,
    /// `host:port`, sorted: their order means nothing.
    pub endpoints: Vec<String>,
    /// Which model it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Plan {
    /// The plan of a gateway; `None` when its file owns the weights. `bounds` are the upper ends of the latency buckets
    /// of reports in seconds, ascending, the last one endless.
    pub fn of(gateway: &Gateway, bounds: &[f64]) -> Option<Self> {
        let rollout = gateway.rollout.as_ref()?;
        Some(Self {
            identity: Identity::of(gateway)?,
            steps: rollout.steps.clone(),
            bake: rollout.bake,
            deadline: rollout.deadline,
            on_failure: rollout.on_failure,
            shadow_first: rollout.shadow_first.as_ref().map(|first| first.min_match),
            request_rate: rollout.metrics.request_rate.map(Number::get),
            is_request_rate_dry: rollout.metrics.dry_run.contains(&BuiltIn::RequestRate),
            client_errors: rollout.metrics.error_rate.client_errors,
            provided: rollout.metrics.provided.clone(),
            settings: settings(rollout, gateway.timeout, bounds),
        })
    }

    /// Whether there is nothing to release.
    pub fn is_idle(&self) -> bool {
        self.identity.is_idle()
    }

    /// How sure a roll-back has to be, and whether a shadow before the first step agrees: from 0 to 1.
    pub fn confidence(&self) -> f64 {
        1.0 - self.settings.alpha
    }

    /// The step that has this weight.
    pub(super) fn step_at(&self, weight: Weight) -> Option<&Step> {
        self.steps.iter().find(|step| step.weight == weight)
    }

    /// The step after this weight. A weight between two steps is at none of them, and the next larger one follows.
    pub(super) fn step_after(&self, weight: Weight) -> Option<&Step> {
        self.steps.iter().find(|step| step.weight > weight)
    }

    /// The least time at a weight. A manual step and a weight that is no step have none: somebody's word is waited for
    /// there, and then evidence alone.
    pub(super) fn pause_at(&self, weight: Weight) -> Duration {
        match self.step_at(weight).map(|step| step.pause) {
            Some(StepPause::AtLeast(time)) => time,
            Some(StepPause::Manual) | None => Duration::ZERO,
        }
    }
}

impl Identity {
    /// What a gateway releases; `None` when its file owns the weights.
    pub fn of(gateway: &Gateway) -> Option<Self> {
        let rollout = gateway.rollout.as_ref()?;
        let side = |name: &UpstreamName| gateway.upstreams.iter().find(|u| u.name == *name).map(Side::of);
        Some(Self { primary: side(&rollout.primary)?, canary: side(&rollout.canary)? })
    }

    /// Returns whether this is a release of the same canary, whatever it is compared with.
    pub fn is_release_of(&self, other: &Self) -> bool {
        self.canary.is_version_of(&other.canary) && self.is_idle() == other.is_idle()
    }

    /// Whether both sides are the same.
    pub fn is_idle(&self) -> bool {
        self.primary.name == self.canary.name
    }

    /// The split with so much for the canary. It stands first, so that a growing share keeps every user of a sticky
    /// split that it has.
    pub fn split(&self, weight: Weight) -> Split {
        let rest = Weight::new(Weight::ALL.hundredths() - weight.hundredths()).unwrap_or_default();
        let parts = vec![(self.canary.name.clone(), weight), (self.primary.name.clone(), rest)];
        match Split::new(parts) {
            Ok(split) if !self.is_idle() => split,
            _ => Split::all_to(self.primary.name.clone()),
        }
    }
}

impl Side {
    /// Returns whether this is the same version of the same model: by its name, `model` and `version`, and by its servers, of
    /// which some may have come or gone.
    pub fn is_version_of(&self, other: &Self) -> bool {
        let is_scaled = || self.endpoints.iter().any(|endpoint| other.endpoints.contains(endpoint));
        (&self.name, &self.model, &self.version) == (&other.name, &other.model, &other.version) && is_scaled()
    }

    fn of(upstream: &Upstream) -> Self {
        let mut endpoints: Vec<String> = upstream.endpoints.iter().map(ToString::to_string).collect();
        endpoints.sort();
        Self {
            name: upstream.name.clone(),
            endpoints,
            model: upstream.model.clone(),
            version: upstream.version.clone(),
        }
    }
}

/// How the limits of a file are those of the statistics. `timeout` is that of the gateway's requests, and `bounds` are the
/// upper ends of the latency buckets of reports in seconds, ascending, the last one endless.
pub fn settings(rollout: &Rollout, timeout: Duration, bounds: &[f64]) -> stats::Settings {
    let part = |weight: Weight| f64::from(weight.hundredths()) / f64::from(Weight::ALL.hundredths());
    let errors = rollout.metrics.error_rate;
    let tolerated = part(errors.max_increase);
    let latency = rollout.metrics.latency.iter();
    let tau_of: BTreeMap<stats::Quantile, f64> = latency
        .filter_map(|(q, increase)| Some((stats::Quantile::new(q.share())?, part(*increase))))
        .collect();
    let quantiles: Vec<stats::Quantile> = tau_of.keys().copied().collect();
    let is_short = timeout > Duration::ZERO && timeout < LONG_TIMEOUT;
    stats::Settings {
        alpha: 1.0 - part(rollout.confidence),
        rtol: tolerated,
        r_go: PROMOTION_RATIO.max(1.0 + tolerated),
        ceiling: part(errors.max).min(MOST_ERRORS),
        bounds: if quantiles.is_empty() { Vec::new() } else { bounds.to_vec() },
        go_quantiles: quantiles.clone(),
        quantiles,
        tau_of,
        deadline_s: if is_short { timeout.as_secs_f64() } else { 0.0 },
        user: rollout.metrics.provided.iter().map(|metric| (metric.name.clone(), BREACHES)).collect(),
        min_match: rollout.metrics.shadow_match.map(part),
        dry_run: dry_run(rollout),
        // The file says what the least time at a step is.
        min_stage_s: 0.0,
        ..stats::Settings::default()
    }
}

/// The tests of the metrics that are only shown.
fn dry_run(rollout: &Rollout) -> BTreeSet<stats::Test> {
    let built_in = rollout.metrics.dry_run.iter().flat_map(|built_in| match built_in {
        BuiltIn::ErrorRate => vec![stats::Test::Errors, stats::Test::Ceiling],
        BuiltIn::Latency(quantile) => {
            stats::Quantile::new(quantile.share()).map(stats::Test::Latency).into_iter().collect()
        }
        BuiltIn::ShadowMatch => vec![stats::Test::Shadow],
        BuiltIn::RequestRate => Vec::new(),
    });
    let provided = rollout.metrics.provided.iter().filter(|metric| metric.dry_run);
    built_in.chain(provided.map(|metric| stats::Test::User(metric.name.clone()))).collect()
}
