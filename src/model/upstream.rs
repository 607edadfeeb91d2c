//! An upstream: one deployed version of a model and how to talk to it.

use super::{Certificate, Pem};
use crate::names::UpstreamName;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// One deployed version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Unique in its gateway.
    pub name: UpstreamName,
    /// At least one. All of them addresses, or names to be resolved by Envoy.
    pub endpoints: Vec<Endpoint>,
    /// Which model this is, for people and metrics.
    pub model: Option<String>,
    /// Which version of it.
    pub version: Option<String>,
    /// Active checks by Envoy; `None`: every endpoint counts as healthy.
    pub health_check: Option<HealthCheck>,
    /// What is spoken to it.
    pub protocol: Protocol,
    /// Set: TLS with a verified server certificate.
    pub tls: Option<Tls>,
    /// Requests in flight per Envoy; more are answered 503 at once.
    pub max_concurrent: Option<u32>,
}

impl Upstream {
    /// Whether all endpoints are addresses; if not, they are names.
    pub fn is_by_address(&self) -> bool {
        self.endpoints.iter().all(|e| e.ip().is_some())
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// An IP address or a DNS name, without brackets.
    pub host: String,
    /// From 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// The address, when the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What Envoy speaks to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2, in clear text with prior knowledge unless there is TLS.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
}

impl Protocol {
    /// The word of gateway files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }
}

/// How Envoy finds out whether an endpoint is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// An HTTP path that answers 200; for [`Protocol::Grpc`] the service name of grpc.health.v1, which may be empty.
    pub target: String,
    /// Between two checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row until an endpoint gets no traffic.
    pub unhealthy_threshold: u32,
    /// Successes in a row until it gets traffic again.
    pub healthy_threshold: u32,
}

/// How the server of an upstream proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that may have signed the server's.
    pub ca: Pem,
    /// The name in the server's certificate, sent as SNI.
    pub server_name: String,
    /// Set: what Envoy shows to a server that asks who is calling.
    pub client: Option<Certificate>,
}
