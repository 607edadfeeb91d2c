//! An upstream of a gateway file.

use super::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

/// A deployed version of the model: its URL, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Upstream {
    Url(String),
    Object(Box<UpstreamObject>),
}

/// Where a deployed version of the model is, and how to talk to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UpstreamObject {
    /// Where it listens: `http://host:port` or `https://host:port`.
    #[schemars(example = &"http://fraud-v1:8080")]
    pub(crate) url: Option<String>,
    /// Several servers as `host:port`, in place of `url`.
    pub(crate) endpoints: Option<Vec<Option<String>>>,
    /// Which model it is, for people and metrics.
    pub(crate) model: Option<String>,
    /// Which version of the model it is, for people and metrics.
    pub(crate) version: Option<String>,
    /// How Envoy finds out whether a server is well: a path, or a map. Default: every server counts as healthy.
    pub(crate) health_check: Option<HealthCheck>,
    /// What is spoken to it. Default: `http1`.
    pub(crate) protocol: Option<Protocol>,
    /// Set: TLS with a verified server certificate.
    pub(crate) tls: Option<Tls>,
    /// Requests in flight from each Envoy; more are answered 503 at once. Default: no limit.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(crate) max_concurrent: Option<u32>,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Grpc,
}

/// A path that answers 200, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum HealthCheck {
    Path(String),
    Object(HealthCheckObject),
}

/// How Envoy finds out whether a server is well.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HealthCheckObject {
    /// A path that answers 200; for the protocols http1 and http2.
    #[schemars(example = &"/healthz")]
    pub(crate) path: Option<String>,
    /// A service name of the gRPC health protocol, `""` for the whole server; for the protocol grpc.
    pub(crate) service: Option<String>,
    /// The time between two checks. Default: `5s`.
    pub(crate) interval: Option<Duration>,
    /// The longest time for one check, at most `interval`. Default: `2s`.
    pub(crate) timeout: Option<Duration>,
    /// Failures in a row until a server gets no traffic. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) unhealthy_threshold: Option<u32>,
    /// Successes in a row until it gets traffic again. Default: 1.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) healthy_threshold: Option<u32>,
}

/// How the server proves who it is, and how Envoy does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Tls {
    /// A PEM file with the authorities that may have signed the server's certificate, relative to the gateway file.
    #[schemars(required, example = &"secrets/ca.pem")]
    pub(crate) ca_file: Option<String>,
    /// The name in the server's certificate. Default: the host of `url`.
    #[schemars(example = &"model.internal")]
    pub(crate) server_name: Option<String>,
    /// A PEM file with the certificate that Envoy shows to the server, and those it hangs on, relative to the gateway
    /// file. Default: none is shown.
    #[schemars(example = &"secrets/client.crt")]
    pub(crate) cert_file: Option<String>,
    /// A PEM file with its private key.
    #[schemars(example = &"secrets/client.key")]
    pub(crate) key_file: Option<String>,
}
