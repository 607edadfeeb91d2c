//! What people may see of a release.

use crate::clock::Timestamp;
use crate::model::StepPause;
use crate::rollout::{Cause, Phase, Plan, State, WeightAt};
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
    /// The weights of this release, oldest first: what `undo` goes back to.
    pub weights: Vec<WeightAt>,
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
    pub(super) fn of(plan: &Plan, state: &State) -> Self {
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
            message: state.sentence.clone(),
            paused: state.pause.as_ref().map(|p| p.cause),
            action: known.and_then(|e| e.action),
            evidence,
            weights: state.weights.clone(),
        }
    }
}
