//! What people may see of a release.

use super::questions::{Answers, Known};
use super::rollouts::OverrideView;
use crate::clock::Timestamp;
use crate::model::{MetricSource, Provided, StepPause};
use crate::names::GatewayName;
use crate::rollout::{Cause, Phase, Plan, Shadowed, State, WeightAt};
use crate::stats::{Action, Evidence};
use crate::weight::Weight;
use serde::Serialize;

/// A release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// For `--if-revision`.
    pub revision: u64,
    /// Where it stands, also when the newest version of the file is in error.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// When the release began.
    pub began: Timestamp,
    /// The upstream that serves.
    pub primary: String,
    /// The upstream that should serve.
    pub canary: String,
    /// The canary's share, in percent.
    pub weight: Weight,
    /// All steps.
    pub steps: Vec<StepView>,
    /// For how many seconds Envoys have reported on this weight.
    pub watched_seconds: u64,
    /// How many requests the canary completed at this step; `None` until it gets traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// About how many it has to have until its evidence is enough for the next step, at the pace so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_needed: Option<f64>,
    /// Whether the canary is shadowed before its first step, as the file has it; left out when it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub begins_shadowed: bool,
    /// How the predictions of its shadow agree, before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_first: Option<ShadowFirstView>,
    /// Why it stands where it stands.
    pub message: String,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Cause>,
    /// What the statistics said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What each test knows.
    pub evidence: Vec<Evidence>,
    /// What others say of the canary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricView>,
    /// The canary's requests a second at this weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_rate: Option<f64>,
    /// What somebody ordered that acts at the Envoys of this Serin and is not kept yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unkept: Option<OverrideView>,
    /// The weights of this release, oldest first: what `undo` goes back to.
    pub weights: Vec<WeightAt>,
}

/// A metric that others measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricView {
    /// As in the file.
    pub name: String,
    /// "prometheus" or "webhook".
    pub provider: &'static str,
    /// Whether nothing is decided by it.
    pub dry_run: bool,
    /// The canary's value, when it was said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The primary's value, where the metric compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<f64>,
    /// From 0, good, to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badness: Option<f64>,
    /// When that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why there was no data since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Predictions of a canary that is shadowed before its first step, and those of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowFirstView {
    /// So many were compared.
    pub compared: u64,
    /// So many of them agreed.
    pub matched: u64,
    /// The lower end of the share that agrees, from 0 to 1, with the confidence of the rollout at all looks at once.
    pub low: f64,
    /// The upper end of it.
    pub high: f64,
    /// The share that has to agree, in percent.
    pub min_match: Weight,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// The share of the canary, in percent.
    pub weight: Weight,
    /// The least time in seconds; `None`: until somebody says so.
    pub pause_seconds: Option<u64>,
}

impl RolloutView {
    pub(super) fn of(
        gateway: &GatewayName,
        (plan, state): (&Plan, &State),
        answers: &Answers,
        unkept: Option<OverrideView>,
    ) -> Self {
        let steps = plan.steps.iter().map(|step| StepView {
            weight: step.weight,
            pause_seconds: match step.pause {
                StepPause::AtLeast(time) => Some(time.as_secs()),
                StepPause::Manual => None,
            },
        });
        let known = state.evidence.as_ref();
        let evidence = known.map(|e| e.analysis.evidence(&plan.settings)).unwrap_or_default();
        let requests = known.map(|e| e.analysis.stage_requests()).filter(|_| state.weight > Weight::NONE);
        let missing = evidence.iter().filter_map(|test| test.missing_requests).fold(0.0, f64::max);
        Self {
            revision: state.revision,
            phase: state.phase,
            since: state.since,
            began: state.began,
            primary: state.identity.primary.name.to_string(),
            canary: state.identity.canary.name.to_string(),
            weight: state.weight,
            steps: steps.collect(),
            watched_seconds: state.stage.watched / 1000,
            requests,
            requests_needed: requests.map(|r| (r + missing).max(plan.settings.min_requests)),
            begins_shadowed: plan.shadow_first.is_some(),
            shadow_first: shadow_first(plan, state),
            message: state.sentence.clone(),
            paused: state.pause.as_ref().map(|p| p.cause),
            action: known.and_then(|e| e.action),
            evidence,
            metrics: plan
                .provided
                .iter()
                .map(|m| metric(m, answers.get(gateway, &m.name, state.began)))
                .collect(),
            unkept,
            request_rate: state.request_rate(),
            weights: state.weights.clone(),
        }
    }
}

fn shadow_first(plan: &Plan, state: &State) -> Option<ShadowFirstView> {
    let seen = state.shadowed?;
    let (low, high) = seen.rate(plan.confidence()).map_or((0.0, 1.0), |(_, interval)| interval);
    let Shadowed { compared, matched, .. } = seen;
    Some(ShadowFirstView { compared, matched, low, high, min_match: plan.shadow_first? })
}

fn metric(metric: &Provided, known: Option<&Known>) -> MetricView {
    let said = known.and_then(|known| known.point);
    MetricView {
        name: metric.name.clone(),
        provider: match metric.source {
            MetricSource::Prometheus { .. } => "prometheus",
            MetricSource::Webhook(_) => "webhook",
        },
        dry_run: metric.dry_run,
        value: said.and_then(|(_, point)| point.canary),
        primary: said.and_then(|(_, point)| point.primary),
        badness: said.map(|(_, point)| point.badness),
        at: said.map(|(at, _)| at),
        problem: known.and_then(|known| known.problem.clone()),
    }
}
