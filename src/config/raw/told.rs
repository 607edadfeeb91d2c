//! `notify` of a gateway file.

use super::Content;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Who is told what happens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Notify {
    /// Where messages are posted. The URL is a secret, so it stands in a file or in a variable.
    #[schemars(required, example = json!({ "env": "SLACK_URL" }))]
    pub(crate) webhook: Option<Content>,
    /// How a message looks. Default: `json`.
    pub(crate) format: Option<Format>,
    /// What is told. Default: `[paused, rolled-back, promoted, no-data]`.
    #[schemars(example = json!(["paused", "rolled-back", "promoted"]))]
    pub(crate) on: Option<Vec<Option<Occasion>>>,
}

/// How a message looks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Format {
    Json,
    Slack,
    Teams,
}

/// Something worth telling.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Occasion {
    Started,
    Advanced,
    Holding,
    Progressing,
    Paused,
    Resumed,
    WeightSet,
    Undone,
    Baking,
    Promoted,
    RolledBack,
    Retried,
    Ended,
    NoData,
}
