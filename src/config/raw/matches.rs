//! An item of `match`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Names, each with what its value has to look like.
pub(crate) type Patterns = IndexMap<String, Option<StringMatch>>;

/// Requests that fulfil all conditions go to one upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Match {
    /// Request headers and what their values have to look like.
    pub(crate) headers: Option<Patterns>,
    /// Query parameters and what their values have to look like.
    pub(crate) query: Option<Patterns>,
    /// Cookies and what their values have to look like.
    pub(crate) cookies: Option<Patterns>,
    /// The upstream that answers.
    #[schemars(required, example = &"v1")]
    pub(crate) upstream: Option<String>,
}

/// The very text, or one of `exact`, `prefix` and `regex`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum StringMatch {
    Exact(String),
    Object(StringMatchObject),
}

/// What a value has to look like; exactly one of the three.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StringMatchObject {
    /// The value is this text.
    pub(crate) exact: Option<String>,
    /// The value begins with this text.
    pub(crate) prefix: Option<String>,
    /// The whole value matches this regular expression (RE2).
    pub(crate) regex: Option<String>,
}
