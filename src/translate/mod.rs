//! From the model of a gateway to what Envoy must be told. Pure, total and deterministic.
//!
//! # Names
//! | resource | name |
//! |---|---|
//! | cluster, load assignment | `<gateway>/<upstream>`: statistics tell gateway and upstream apart by the name |
//! | of a shadow | `<gateway>/<upstream>/shadow`, also where the upstream answers requests |
//! | listener, route configuration (plain layout) | the listener's name |
//! | runtime layer | `serin` |
//! | scope, route configuration (scoped layout) | `host/<listener>/<host>` |
//! | cluster | `<gateway>/_oauth2`: the token endpoint of a login, no upstream |
//! | secret | `ca/<gateway>/<upstream>`, `client/<gateway>/<upstream>`, `tls/<listener>`, `tls/<listener>/<number>` |
//! | secret | `oauth2/<gateway>/client`, `oauth2/<gateway>/session`, `ca/system` |
//! | listener, route configuration (for gRPC without a proxy) | the host |
//!
//! No name of a cluster has a dot, since Envoy's statistics use dots between their parts.
//!
//! # Layout
//! One gateway becomes its clusters and a list of routes ([`Parts`]). In the plain layout all gateways of a listener
//! share one route configuration: a virtual host for each host, in it the routes of each gateway, the longer path
//! first. In the scoped layout each host has a route configuration of its own. In both, a change of weights is a
//! change of route configurations and of nothing else.

mod affinity;
mod cluster;
mod compare;
mod envoy;
mod filter;
mod listener;
mod ownership;
mod proxyless;
mod route;
mod runtime;
mod scope;
mod shadow;
mod token_endpoint;
mod virtual_host;

pub use affinity::parse_keyless;
pub use compare::{ANSWERS, COMPARE_CLUSTER};
pub use envoy::{BATCHES, NEWEST, OLDEST, Release, older, older_releases, release, unknown_version};
pub use listener::{listener, listener_secret, listener_secret_names};
pub use ownership::{concerns, keep_gateway, owner};
pub use proxyless::{Targets, proxyless, targets};
pub use runtime::{RUNTIME_LAYER, SHADOW_KEY, runtime};
pub use scope::parse_scope_name;
pub use token_endpoint::{authorities, needs_authorities};
pub use virtual_host::{Changed, RouteTable};

use crate::model::{Authentication, Gateway, OAuth2, Pem, Upstream};
use crate::names::{GatewayName, UpstreamName};
use crate::resource::{Kind, Resource, canonical};
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, DataSource,
};
use envoy_types::pb::envoy::config::route::v3::{Route, VirtualHost};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use prost::Message;
use std::sync::Arc;

/// What one gateway needs, encoded. Whoever has the same gateway can keep it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Clusters, load assignments and secrets.
    pub resources: Vec<Arc<Resource>>,
    /// The field `routes` of a `VirtualHost`, as often as the gateway has routes.
    pub routes: Bytes,
    /// The oldest release of Envoy that takes them as they are meant.
    pub needs: Release,
}

/// What an upstream is asked for: two clusters of Envoy, so that neither is counted as the other, nor takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// To answer.
    Live,
    /// To do the same work on a copy.
    Shadow,
}

impl Leg {
    /// The word by which Envoys say whose answer they send.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
        }
    }
}

/// The name of an upstream's cluster and of its load assignment.
pub fn cluster_name(gateway: &GatewayName, upstream: &UpstreamName, leg: Leg) -> String {
    match leg {
        Leg::Live => format!("{gateway}/{upstream}"),
        Leg::Shadow => format!("{gateway}/{upstream}/shadow"),
    }
}

/// What a cluster name stands for: the inverse of [`cluster_name`].
pub fn parse_cluster_name(name: &str) -> Option<(GatewayName, UpstreamName, Leg)> {
    let (gateway, rest) = name.split_once('/')?;
    let (upstream, leg) = match rest.split_once('/') {
        None => (rest, Leg::Live),
        Some((upstream, "shadow")) => (upstream, Leg::Shadow),
        Some(_) => return None,
    };
    Some((GatewayName::new(gateway).ok()?, UpstreamName::new(upstream).ok()?, leg))
}

/// The name of the secret that holds the authorities of an upstream's server certificate.
fn ca_secret_name(gateway: &GatewayName, upstream: &UpstreamName) -> String {
    format!("ca/{gateway}/{upstream}")
}

/// The name of the secret that holds what Envoy shows to the server of an upstream.
fn client_secret_name(gateway: &GatewayName, upstream: &UpstreamName) -> String {
    format!("client/{gateway}/{upstream}")
}

/// Translates one gateway.
pub fn gateway(gateway: &Gateway) -> Parts {
    let mut resources = Vec::new();
    // A closed gateway sends nobody anywhere; what it would need may be what cannot be told.
    if gateway.authentication != Authentication::Closed {
        for upstream in &gateway.upstreams {
            upstream_resources(gateway, upstream, &mut resources);
        }
        let shadow = gateway.shadow.as_ref().map(|s| &s.upstream);
        for upstream in gateway.upstreams.iter().filter(|u| Some(&u.name) == shadow) {
            cluster_resources(gateway, upstream, Leg::Shadow, &mut resources);
        }
        if let Authentication::OAuth2(oauth2) = &gateway.authentication {
            login_resources(&gateway.name, oauth2, &mut resources);
        }
    }
    let routes = route::routes(gateway);
    Parts { resources, needs: envoy::needs(&routes), routes: encode_routes(routes) }
}

/// What [`gateway`] makes of `next`, from what it made of `before`; `None`: they differ in more than the weights of the same
/// upstreams, which are in the routes and nowhere else.
pub fn with_other_weights(next: &Gateway, before: &Gateway, parts: &Parts) -> Option<Parts> {
    let names =
        |gateway: &Gateway| gateway.traffic.parts().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let traffic = next.traffic.clone();
    let is_like_it = names(next) == names(before) && Gateway { traffic, ..before.clone() } == *next;
    is_like_it.then(|| {
        let routes = encode_routes(route::routes(next));
        Parts { resources: parts.resources.clone(), routes, needs: parts.needs }
    })
}

/// Encoded as a virtual host with nothing but routes, the routes get their field header and canonical form.
fn encode_routes(routes: Vec<Route>) -> Bytes {
    let host = VirtualHost { routes, ..Default::default() };
    canonical::encode("envoy.config.route.v3.VirtualHost", &host.encode_to_vec()).into()
}

fn upstream_resources(gateway: &Gateway, upstream: &Upstream, out: &mut Vec<Arc<Resource>>) {
    cluster_resources(gateway, upstream, Leg::Live, out);
    // Both legs of an upstream refer to the same secrets.
    let secrets = [cluster::ca_secret(gateway, upstream), cluster::client_secret(gateway, upstream)];
    for secret in secrets.into_iter().flatten() {
        out.push(Arc::new(Resource::new(Kind::Secret, &secret.name, &secret)));
    }
}

fn cluster_resources(gateway: &Gateway, upstream: &Upstream, leg: Leg, out: &mut Vec<Arc<Resource>>) {
    let name = cluster_name(&gateway.name, &upstream.name, leg);
    out.push(Arc::new(Resource::new(Kind::Cluster, &name, &cluster::cluster(gateway, upstream, leg))));
    if let Some(assignment) = cluster::load_assignment(gateway, upstream, leg) {
        out.push(Arc::new(Resource::new(Kind::Endpoint, &name, &assignment)));
    }
}

/// What a login needs before the routes that begin one.
fn login_resources(gateway: &GatewayName, oauth2: &OAuth2, out: &mut Vec<Arc<Resource>>) {
    let Some(endpoints) = oauth2.endpoints() else { return };
    let cluster = token_endpoint::cluster(gateway, &endpoints.token);
    out.push(Arc::new(Resource::new(Kind::Cluster, &cluster.name, &cluster)));
    for secret in filter::login_secrets(gateway, oauth2) {
        out.push(Arc::new(Resource::new(Kind::Secret, &secret.name, &secret)));
    }
}

/// "Ask me, on the stream you already have."
fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

/// The content of a file, so that no Envoy needs the file. As text where it is text, which PEM is: people read it.
fn inline(bytes: &[u8]) -> DataSource {
    let specifier = match std::str::from_utf8(bytes) {
        Ok(text) => Specifier::InlineString(text.to_owned()),
        Err(_) => Specifier::InlineBytes(bytes.to_vec()),
    };
    DataSource { specifier: Some(specifier), ..Default::default() }
}

/// A certificate and its key.
fn certificate_secret(name: String, chain: &Pem, key: &Pem) -> Secret {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(chain.expose())),
        private_key: Some(inline(key.expose())),
        ..Default::default()
    };
    Secret { name, r#type: Some(secret::Type::TlsCertificate(certificate)) }
}

fn duration(d: std::time::Duration) -> Duration {
    Duration {
        seconds: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(d.subsec_nanos()).unwrap_or_default(),
    }
}

fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

#[cfg(test)]
mod tests;
