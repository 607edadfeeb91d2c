//! The rollout of a gateway file.

use super::{Duration, Metric, Percent};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;

/// How traffic moves from one version of the model to the next, by evidence. Serin owns the weights meanwhile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Rollout {
    /// The upstream that serves now.
    #[schemars(required, example = &"v1")]
    pub(crate) primary: Option<String>,
    /// The upstream that should serve. The same as `primary` when there is nothing to release.
    #[schemars(required, example = &"v2")]
    pub(crate) canary: Option<String>,
    /// The shares of the canary, one after the other; they grow, and 100 is added when it is not the last.
    /// Default: `[5, 25, 50, 100]`.
    #[schemars(example = json!([5, 25, 50, 100]))]
    pub(crate) steps: Option<Vec<Option<Step>>>,
    /// The least time at each step. Default: `10m`.
    #[schemars(example = &"10m")]
    pub(crate) pause: Option<Duration>,
    /// How long the canary is watched after the last step. Default: `10m`.
    #[schemars(example = &"10m")]
    pub(crate) bake: Option<Duration>,
    /// The longest wait for evidence at one step; then the rollout pauses. Default: `24h`.
    #[schemars(example = &"24h")]
    pub(crate) deadline: Option<Duration>,
    /// What happens when the canary does harm. Default: `rollback`.
    pub(crate) on_failure: Option<OnFailure>,
    /// How sure a rollback is: at 99% one good canary of a hundred is rolled back, at most. Default: `99%`.
    #[schemars(example = &"99%")]
    pub(crate) confidence: Option<Percent>,
    /// Before the first step the canary gets copies of requests, and its predictions are compared with the primary's; the
    /// first step begins when enough of them agree. Default: the first step begins at once.
    #[schemars(example = json!({ "percent": 10, "minMatch": "99%" }))]
    pub(crate) shadow_first: Option<ShadowFirst>,
    /// What is compared. Default: `error-rate` and `latency-p99`. `error-rate` always counts, unless it is a `dryRun`.
    #[schemars(example = json!([{ "name": "error-rate", "max": "5%" }]))]
    pub(crate) metrics: Option<Vec<Option<Metric>>>,
}

/// A shadow before the first step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ShadowFirst {
    /// Of how many of the requests the canary gets copies. Default: `10`.
    #[schemars(example = &10)]
    pub(crate) percent: Option<Percent>,
    /// How many of its predictions have to agree with the primary's. Default: `99%`.
    #[schemars(example = &"99%")]
    pub(crate) min_match: Option<Percent>,
}

/// A share of the canary, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Step {
    Weight(Percent),
    Object(StepObject),
}

/// A share of the canary with a pause of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StepObject {
    /// The share of the canary.
    #[schemars(required, example = &50)]
    pub(crate) weight: Option<Percent>,
    /// The least time at this step, or `manual`: somebody has to say `promote`. Default: the `pause` of the rollout.
    pub(crate) pause: Option<StepPause>,
}

/// A duration, or `manual`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct StepPause(pub(crate) String);

impl JsonSchema for StepPause {
    fn schema_name() -> Cow<'static, str> {
        "StepPause".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit, such as 10m, or manual",
            "pattern": r"^(manual|(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$",
            "minLength": 2,
        })
    }
}

/// What a harmful canary leads to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum OnFailure {
    Rollback,
    Pause,
}
