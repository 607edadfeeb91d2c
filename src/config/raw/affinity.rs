//! `sessionAffinity`.

use super::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

/// `sourceIp`, or one of `header`, `query` and `cookie`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SessionAffinity {
    SourceIp(SourceIp),
    Object(SessionAffinityObject),
}

/// The address of the client.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum SourceIp {
    #[serde(rename = "sourceIp")]
    SourceIp,
}

/// What a user is known by; exactly one of `header`, `query` and `cookie`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SessionAffinityObject {
    /// A request header.
    #[schemars(example = &"x-user-id")]
    pub(crate) header: Option<String>,
    /// A query parameter.
    #[schemars(example = &"user")]
    pub(crate) query: Option<String>,
    /// A cookie, which Envoy gives to whoever comes without it.
    #[schemars(example = &"serin")]
    pub(crate) cookie: Option<String>,
    /// How long clients keep the cookie. Default: `24h`.
    #[schemars(example = &"24h")]
    pub(crate) max_age: Option<Duration>,
}
