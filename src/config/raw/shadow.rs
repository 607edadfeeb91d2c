//! `shadow`.

use super::Percent;
use schemars::JsonSchema;
use serde::Deserialize;

/// An upstream that gets copies of requests. Its answers are dropped; clients never notice it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Shadow {
    /// The upstream that gets the copies.
    #[schemars(required, example = &"next")]
    pub(crate) upstream: Option<String>,
    /// Of how many of the requests that the split answers. Default: `10`.
    #[schemars(example = &10)]
    pub(crate) percent: Option<Percent>,
}
