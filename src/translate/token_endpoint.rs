//! The server at which Envoy exchanges codes for tokens: a cluster of its own for each gateway that logs people in.

use super::cluster::{CONNECT_TIMEOUT, HTTP_OPTIONS, http_options, socket_address, tls_socket};
use super::{duration, inline};
use crate::model::{Pem, Protocol, TokenEndpoint};
use crate::names::GatewayName;
use crate::resource::{Kind, Resource, any};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, secret,
};
use std::net::IpAddr;

/// No upstream has this name, since it has an underscore.
const UPSTREAM: &str = "_oauth2";
/// The secret with the authorities that everybody trusts. No gateway has it.
const AUTHORITIES: &str = "ca/system";

/// The name of the cluster.
pub(super) fn cluster_name(gateway: &GatewayName) -> String {
    format!("{gateway}/{UPSTREAM}")
}

/// The gateway of such a cluster.
pub(super) fn gateway_of(cluster: &str) -> Option<GatewayName> {
    let (gateway, upstream) = cluster.split_once('/')?;
    GatewayName::new(gateway).ok().filter(|_| upstream == UPSTREAM)
}

/// Whether a resource can do nothing without [`authorities`].
pub fn needs_authorities(resource: &Resource) -> bool {
    let names_them = || {
        let name = AUTHORITIES.as_bytes();
        resource.message().windows(name.len()).any(|w| w == name)
    };
    resource.kind() == Kind::Cluster && gateway_of(resource.name()).is_some() && names_them()
}

/// The authorities that sign the certificates of providers of logins: a secret that all gateways share.
pub fn authorities(trusted: &Pem) -> Resource {
    let context =
        CertificateValidationContext { trusted_ca: Some(inline(trusted.expose())), ..Default::default() };
    let secret = Secret { name: AUTHORITIES.into(), r#type: Some(secret::Type::ValidationContext(context)) };
    Resource::new(Kind::Secret, AUTHORITIES, &secret)
}

/// The cluster of a gateway's token endpoint.
pub(super) fn cluster(gateway: &GatewayName, endpoint: &TokenEndpoint) -> Cluster {
    let name = cluster_name(gateway);
    let is_address = endpoint.host.parse::<IpAddr>().is_ok();
    let discovery = if is_address { DiscoveryType::Static } else { DiscoveryType::StrictDns };
    let server =
        Endpoint { address: Some(socket_address(&endpoint.host, endpoint.port)), ..Default::default() };
    let server = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(server)), ..Default::default() };
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.clone(),
            endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![server], ..Default::default() }],
            ..Default::default()
        }),
        name,
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        dns_lookup_family: if is_address { 0 } else { DnsLookupFamily::V4Preferred as i32 },
        transport_socket: endpoint
            .tls
            .then(|| tls_socket(&endpoint.host, "http/1.1", AUTHORITIES.into(), None)),
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), any(&http_options(Protocol::Http1)))]
            .into(),
        ..Default::default()
    }
}
