//! From the model of a gateway to what Envoy must be told. Pure, total and deterministic.
//!
//! # Names
//! | resource | name |
//! |---|---|
//! | cluster, load assignment | `<gateway>/<upstream>`: statistics tell gateway and upstream apart by the name |
//! | listener, route configuration (plain layout) | the listener's name |
//! | runtime layer | `serin` |
//! | scope, route configuration (scoped layout) | `host/<listener>/<host>` |
//! | cluster | `<gateway>/_oauth2`: the token endpoint of a login, no upstream |
//! | secret | `ca/<gateway>/<upstream>`, `client/<gateway>/<upstream>`, `tls/<listener>`, `tls/<listener>/<number>` |
//! | secret | `oauth2/<gateway>/client`, `oauth2/<gateway>/session`, `ca/system` |
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
mod filter;
mod listener;
mod ownership;
mod route;
mod runtime;
mod scope;
mod token_endpoint;
mod virtual_host;

pub use listener::{listener, listener_secret, listener_secret_names};
pub use ownership::{concerns, keep_gateway, owner};
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
use envoy_types::pb::envoy::config::route::v3::VirtualHost;
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
}

/// The name of an upstream's cluster and of its load assignment.
pub fn cluster_name(gateway: &GatewayName, upstream: &UpstreamName) -> String {
    format!("{gateway}/{upstream}")
}

/// The gateway and the upstream that a cluster name stands for: the inverse of [`cluster_name`].
pub fn parse_cluster_name(name: &str) -> Option<(GatewayName, UpstreamName)> {
    let (gateway, upstream) = name.split_once('/')?;
    Some((GatewayName::new(gateway).ok()?, UpstreamName::new(upstream).ok()?))
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
        if let Authentication::OAuth2(oauth2) = &gateway.authentication {
            login_resources(&gateway.name, oauth2, &mut resources);
        }
    }
    // Encoded as a virtual host with nothing but routes, the routes get their field header and canonical form.
    let host = VirtualHost { routes: route::routes(gateway), ..Default::default() };
    let routes = canonical::encode("envoy.config.route.v3.VirtualHost", &host.encode_to_vec()).into();
    Parts { resources, routes }
}

fn upstream_resources(gateway: &Gateway, upstream: &Upstream, out: &mut Vec<Arc<Resource>>) {
    let name = cluster_name(&gateway.name, &upstream.name);
    let add = |out: &mut Vec<_>, resource| out.push(Arc::new(resource));
    add(out, Resource::new(Kind::Cluster, &name, &cluster::cluster(gateway, upstream)));
    if let Some(assignment) = cluster::load_assignment(gateway, upstream) {
        add(out, Resource::new(Kind::Endpoint, &name, &assignment));
    }
    if let Some(secret) = cluster::ca_secret(gateway, upstream) {
        add(out, Resource::new(Kind::Secret, &secret.name, &secret));
    }
    if let Some(secret) = cluster::client_secret(gateway, upstream) {
        add(out, Resource::new(Kind::Secret, &secret.name, &secret));
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
