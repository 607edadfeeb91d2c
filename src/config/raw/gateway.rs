//! The gateway file.

use super::{Authentication, Duration, Match, Notify, Percent, Rollout, SessionAffinity, Shadow, Upstream};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// A Serin gateway: where requests come in and which version of a model answers them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Serin gateway file")]
pub(crate) struct Gateway {
    /// The version of this file format.
    #[schemars(required, example = &"serin/v1")]
    #[expect(dead_code, reason = "there is one version, and the schema refuses all others")]
    pub(crate) api_version: Option<ApiVersion>,
    /// The name of the gateway, unique among all files: lower-case letters, digits and inner hyphens, at most 63.
    #[schemars(required, example = &"fraud", pattern(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"))]
    pub(crate) name: Option<String>,
    /// What the gateway is for, in a sentence for people.
    #[schemars(length(max = 1000))]
    pub(crate) description: Option<String>,
    /// Keys and values for people and their tools.
    pub(crate) labels: Option<IndexMap<String, Option<String>>>,
    /// The Envoys that serve this gateway, by their `node.cluster`. Default: every Envoy.
    pub(crate) proxies: Option<Vec<Option<String>>>,
    /// A listener of serin.yaml. Default: `default`.
    pub(crate) listener: Option<String>,
    /// The host that clients ask for: exact, `*.example.com` or `*`. Default: `*`.
    #[schemars(example = &"fraud.example.com")]
    pub(crate) host: Option<String>,
    /// Several hosts, in place of `host`.
    pub(crate) hosts: Option<Vec<Option<String>>>,
    /// The path that clients ask for; it matches whole path segments. Default: `/`.
    #[schemars(example = &"/predict")]
    pub(crate) path: Option<String>,
    /// What the upstream sees in place of `path`. Default: the path stays as it is.
    #[schemars(example = &"/v2/models/fraud/infer")]
    pub(crate) rewrite: Option<String>,
    /// The longest time for a whole request; `0s` sets no limit, for streams. Default: `60s`.
    #[schemars(example = &"60s")]
    pub(crate) timeout: Option<Duration>,
    /// Who may use the gateway. Default: everyone.
    #[schemars(example = json!({ "accessKey": { "keysFile": "secrets/fraud.keys" } }))]
    pub(crate) authentication: Option<Authentication>,
    /// The deployed versions of the model: a name for each, with a URL or a map.
    #[schemars(required, example = json!({ "v1": "http://fraud-v1:8080" }))]
    pub(crate) upstreams: Option<IndexMap<String, Option<Upstream>>>,
    /// The share of the traffic that each upstream gets, in percent; the shares sum to exactly 100.
    /// With one upstream it may be left out.
    #[schemars(example = json!({ "v1": 95, "v2": 5 }))]
    pub(crate) traffic: Option<IndexMap<String, Option<Percent>>>,
    /// How traffic moves from one upstream to the next by evidence, in place of `traffic`.
    #[schemars(example = json!({ "primary": "v1", "canary": "v2" }))]
    pub(crate) rollout: Option<Rollout>,
    /// Who is told what the rollout does.
    pub(crate) notify: Option<Vec<Option<Notify>>>,
    /// An upstream that gets copies of some requests, and whose answers nobody gets.
    #[schemars(example = json!({ "upstream": "next", "percent": 10 }))]
    pub(crate) shadow: Option<Shadow>,
    /// Requests that go to one upstream whatever the shares are. The first item that fits wins.
    #[serde(rename = "match")]
    pub(crate) matches: Option<Vec<Option<Match>>>,
    /// Users keep their version: by a request header, a query parameter, a cookie that is given to them, or
    /// `sourceIp`.
    #[schemars(example = json!({ "header": "x-user-id" }))]
    pub(crate) session_affinity: Option<SessionAffinity>,
    /// Whether a request may name its upstream in a header. Default: `false`.
    pub(crate) direct_access: Option<DirectAccess>,
    /// Whether responses name the upstream that answered in the header `x-serin-upstream`. Default: `false`.
    pub(crate) expose_upstream: Option<bool>,
}

/// The versions of the file format.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum ApiVersion {
    #[serde(rename = "serin/v1")]
    V1,
}

/// `true`, or the name of the header by which a request names its upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum DirectAccess {
    Switch(bool),
    Object(DirectAccessObject),
}

/// Direct access with a header of your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DirectAccessObject {
    /// The request header that names the upstream. Default: `x-serin-upstream`.
    #[schemars(required, example = &"x-serin-upstream")]
    pub(crate) header: Option<String>,
}
