//! The metrics of a rollout.

use super::{Content, Duration, Percent};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::fmt;

/// What is compared, and what is too much.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Metric {
    /// `error-rate`, `latency-p50`, `latency-p90`, `latency-p95`, `latency-p99` or `request-rate`, which Envoys measure;
    /// `shadow-match`, the share of the shadow's predictions that agree;
    /// or a name of your own with `prometheus` or `webhook`.
    #[schemars(required, example = &"error-rate")]
    pub(crate) name: Option<String>,
    /// A query that asks Prometheus about one version: with `{{upstream}}`, `{{version}}` or `{{model}}` inside a string;
    /// or a map that says more.
    #[schemars(example = json!("sum(rate(drift_total{version=\"{{version}}\"}[5m]))"))]
    pub(crate) prometheus: Option<Prometheus>,
    /// A URL that is asked about one version by POST, and answers `{ "value": 1.2 }` or `{ "ok": true }`; or a map that
    /// says more.
    #[schemars(example = &"https://checks.example.com/drift")]
    pub(crate) webhook: Option<Webhook>,
    /// The most: of `error-rate` a percent (default: `5%`), of your own metrics a number, a percent or a duration.
    #[schemars(example = &"5%")]
    pub(crate) max: Option<Amount>,
    /// The least: of `request-rate` in requests a second, of `shadow-match` a percent (default: `99%`), of your own metrics a number, a percent or a duration.
    #[schemars(example = &10)]
    pub(crate) min: Option<Amount>,
    /// How far the canary may be above the primary, in percent of the primary's value. Default: `10%` for
    /// `error-rate`, `20%` for a latency, and none for your own.
    #[schemars(example = &"20%")]
    pub(crate) max_increase: Option<Percent>,
    /// Only with `error-rate`: which answers are failures, `[5xx]` or `[4xx, 5xx]`. Default: `[5xx]`.
    #[schemars(example = json!(["4xx", "5xx"]))]
    pub(crate) codes: Option<Vec<Option<Codes>>>,
    /// Only with metrics of your own: the time between two answers. Default: what the query looks back on, at least `1m`.
    #[schemars(example = &"5m")]
    pub(crate) interval: Option<Duration>,
    /// Shown, and nothing is decided by it. Default: false.
    pub(crate) dry_run: Option<bool>,
}

/// A class of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Codes {
    #[serde(rename = "4xx")]
    Client,
    #[serde(rename = "5xx")]
    Server,
}

/// A query, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Prometheus {
    Query(String),
    Object(PrometheusObject),
}

/// A query, and whom to ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PrometheusObject {
    /// The query, with `{{upstream}}`, `{{version}}` or `{{model}}` inside a string.
    #[schemars(required)]
    pub(crate) query: Option<String>,
    /// The server. Default: `prometheus` of serin.yaml.
    #[schemars(example = &"http://prometheus:9090")]
    pub(crate) url: Option<String>,
    /// Only with `url`: lines `name: value`, sent with each query.
    #[schemars(example = &"secrets/prometheus.headers")]
    pub(crate) headers_file: Option<Content>,
    /// Only with `url`: a PEM file with who signs the server's certificate. Default: whom the system trusts.
    #[schemars(example = &"secrets/ca.pem")]
    pub(crate) ca_file: Option<String>,
}

/// A URL, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Webhook {
    Url(String),
    Object(WebhookObject),
}

/// Whom to ask, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct WebhookObject {
    /// Who is asked.
    #[schemars(required, example = &"https://checks.example.com/drift")]
    pub(crate) url: Option<String>,
    /// Lines `name: value`, sent with each request.
    #[schemars(example = &"secrets/checks.headers")]
    pub(crate) headers_file: Option<Content>,
    /// A PEM file with who signs the server's certificate. Default: whom the system trusts.
    #[schemars(example = &"secrets/ca.pem")]
    pub(crate) ca_file: Option<String>,
}

/// A number, a percent or a duration.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Amount {
    Number(f64),
    Text(String),
}

impl fmt::Display for Amount {
    /// As it is written: a number in its shortest form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Text(t) => t.fmt(f),
        }
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, a percent such as 5%, or a duration such as 500ms",
            "anyOf": [
                { "type": "number" },
                { "type": "string", "minLength": 1 },
            ],
        })
    }
}
