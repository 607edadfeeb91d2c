//! Clusters, load assignments and the secrets that clusters refer to.

use super::{
    Leg, ads, ca_secret_name, certificate_secret, client_secret_name, cluster_name, compare, duration,
    inline, uint32,
};
use crate::model::{Certificate, Endpoint, Gateway, HealthCheck, Protocol, Tls, Upstream};
use crate::resource::any;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck,
};
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{
    Address, HealthCheck as EnvoyHealthCheck, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpOptions, SocketAddress, TransportSocket, address,
};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, Secret, SubjectAltNameMatcher,
    UpstreamTlsContext, secret,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::envoy::r#type::v3::Percent;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// A server that takes longer to accept a connection is not there; model servers are slow to answer, not to accept.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than the 5 s after which uvicorn and Node close an idle connection: a request never meets a connection
/// that the server is closing at that moment, which would be a 503 without a retry.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// Envoy's own default of 1,024 is a limit nobody asked for; a limit belongs to `maxConcurrent`.
const NO_LIMIT: u32 = 1_000_000;

/// What a shadow holds at most in each Envoy: so many requests under way, on so many connections, and as many that wait
/// for a connection. So one that hangs costs Envoy the memory of so many requests and no more; copies beyond that are
/// dropped, and counted as errors of the shadow.
const SHADOW_REQUESTS: u32 = 32;

/// The cluster of one leg of an upstream.
pub(super) fn cluster(gateway: &Gateway, upstream: &Upstream, leg: Leg) -> Cluster {
    let name = cluster_name(&gateway.name, &upstream.name, leg);
    let by_address = upstream.is_by_address();
    let (discovery, eds, assignment) = if by_address {
        let eds = EdsClusterConfig { eds_config: Some(ads()), ..Default::default() };
        (DiscoveryType::Eds, Some(eds), None)
    } else {
        (DiscoveryType::StrictDns, None, Some(assignment(&name, upstream)))
    };
    let http_filters = compare::filters(gateway, upstream, leg);
    let options = HttpProtocolOptions { http_filters, ..http_options(upstream.protocol) };
    Cluster {
        name,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        eds_cluster_config: eds,
        load_assignment: assignment,
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        // Inference times vary widely; the least busy of two is a better guess than the next in turn.
        lb_policy: LbPolicy::LeastRequest as i32,
        // Servers that listen on one family only are the rule, and "localhost" has both.
        dns_lookup_family: if by_address { 0 } else { DnsLookupFamily::V4Preferred as i32 },
        common_lb_config: Some(CommonLbConfig {
            // Otherwise Envoy sends to unhealthy endpoints as soon as half of them are.
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..Default::default()
        }),
        circuit_breakers: Some(circuit_breakers(upstream, leg)),
        health_checks: upstream.health_check.iter().map(|h| health_check(upstream, h)).collect(),
        // An endpoint that left the file is gone, whether or not it still answers checks.
        ignore_health_on_host_removal: true,
        transport_socket: upstream.tls.as_ref().map(|tls| transport_socket(gateway, upstream, tls)),
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), any(&options))].into(),
        ..Default::default()
    }
}

/// How much may go on at once with a leg of an upstream.
pub(super) fn circuit_breakers(upstream: &Upstream, leg: Leg) -> CircuitBreakers {
    let concurrent = upstream.max_concurrent.unwrap_or(NO_LIMIT);
    let [connections, pending, requests] = match leg {
        Leg::Live => [NO_LIMIT, NO_LIMIT, concurrent],
        Leg::Shadow => [SHADOW_REQUESTS, SHADOW_REQUESTS, concurrent.min(SHADOW_REQUESTS)],
    };
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: Some(uint32(connections)),
            max_pending_requests: Some(uint32(pending)),
            max_requests: Some(uint32(requests)),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The endpoints of an upstream that has addresses; names are resolved by Envoy and stand in the cluster.
pub(super) fn load_assignment(
    gateway: &Gateway,
    upstream: &Upstream,
    leg: Leg,
) -> Option<ClusterLoadAssignment> {
    upstream.is_by_address().then(|| assignment(&cluster_name(&gateway.name, &upstream.name, leg), upstream))
}

/// The authorities of an upstream's server certificate.
pub(super) fn ca_secret(gateway: &Gateway, upstream: &Upstream) -> Option<Secret> {
    let tls = upstream.tls.as_ref()?;
    let context =
        CertificateValidationContext { trusted_ca: Some(inline(tls.ca.expose())), ..Default::default() };
    Some(Secret {
        name: ca_secret_name(&gateway.name, &upstream.name),
        r#type: Some(secret::Type::ValidationContext(context)),
    })
}

/// What Envoy shows to the server of an upstream.
pub(super) fn client_secret(gateway: &Gateway, upstream: &Upstream) -> Option<Secret> {
    let Certificate { chain, key } = upstream.tls.as_ref()?.client.as_ref()?;
    Some(certificate_secret(client_secret_name(&gateway.name, &upstream.name), chain, key))
}

/// All endpoints of an upstream.
pub(super) fn assignment(name: &str, upstream: &Upstream) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: upstream.endpoints.iter().map(|e| lb_endpoint(upstream, e)).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn lb_endpoint(upstream: &Upstream, endpoint: &Endpoint) -> LbEndpoint {
    // Health checks would else carry the cluster's name as their host, whose slash strict servers refuse.
    let checked = upstream.health_check.as_ref().map(|_| {
        let host = upstream.tls.as_ref().map_or(&endpoint.host, |tls| &tls.server_name).clone();
        Endpoint { host, port: endpoint.port }
    });
    let health_check_config =
        checked.map(|name| HealthCheckConfig { hostname: name.to_string(), ..Default::default() });
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(EnvoyEndpoint {
            address: Some(socket_address(&endpoint.host, endpoint.port)),
            health_check_config,
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(super) fn socket_address(host: &str, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
            ..Default::default()
        })),
    }
}

fn health_check(upstream: &Upstream, check: &HealthCheck) -> EnvoyHealthCheck {
    let checker = if upstream.protocol == Protocol::Grpc {
        let service_name = check.target.clone();
        HealthChecker::GrpcHealthCheck(GrpcHealthCheck { service_name, ..Default::default() })
    } else {
        HealthChecker::HttpHealthCheck(HttpHealthCheck {
            path: check.target.clone(),
            codec_client_type: i32::from(upstream.protocol == Protocol::Http2), // CodecClientType: HTTP1 = 0, HTTP2 = 1
            ..Default::default()
        })
    };
    EnvoyHealthCheck {
        timeout: Some(duration(check.timeout)),
        interval: Some(duration(check.interval)),
        // Envoy's 60 s would leave a new canary, which has no traffic yet, unknown for a minute.
        no_traffic_interval: Some(duration(check.interval)),
        unhealthy_threshold: Some(uint32(check.unhealthy_threshold)),
        healthy_threshold: Some(uint32(check.healthy_threshold)),
        health_checker: Some(checker),
        ..Default::default()
    }
}

pub(super) fn http_options(protocol: Protocol) -> HttpProtocolOptions {
    let (config, idle) = match protocol {
        Protocol::Http1 => (
            ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
            Some(duration(IDLE_CONNECTION)),
        ),
        // HTTP/2 says GOAWAY before it closes, so nothing can be lost.
        Protocol::Http2 | Protocol::Grpc => {
            (ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()), None)
        }
    };
    HttpProtocolOptions {
        common_http_protocol_options: idle
            .map(|idle| CommonHttpOptions { idle_timeout: Some(idle), ..Default::default() }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })),
        ..Default::default()
    }
}

fn transport_socket(gateway: &Gateway, upstream: &Upstream, tls: &Tls) -> TransportSocket {
    let alpn = if upstream.protocol == Protocol::Http1 { "http/1.1" } else { "h2" };
    let shown = tls.client.as_ref().map(|_| client_secret_name(&gateway.name, &upstream.name));
    tls_socket(&tls.server_name, alpn, ca_secret_name(&gateway.name, &upstream.name), shown)
}

/// TLS to a server whose certificate has this name or address, signed by an authority of this secret, and to which the
/// certificate of the other secret is shown, if there is one.
pub(super) fn tls_socket(
    server_name: &str,
    alpn: &str,
    ca_secret: String,
    client_secret: Option<String>,
) -> TransportSocket {
    // An address is no name to ask for (RFC 6066, section 3), and some servers refuse it.
    let (san_type, sni) = match server_name.parse::<IpAddr>() {
        Ok(_) => (SanType::IpAddress, String::new()),
        Err(_) => (SanType::Dns, server_name.to_owned()),
    };
    let context = UpstreamTlsContext {
        sni,
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec![alpn.to_owned()],
            // By name: a renewed certificate is a new secret, and the cluster stays as it is.
            tls_certificate_sds_secret_configs: client_secret
                .into_iter()
                .map(|name| SdsSecretConfig { name, sds_config: Some(ads()) })
                .collect(),
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(
                CombinedCertificateValidationContext {
                    default_validation_context: Some(CertificateValidationContext {
                        match_typed_subject_alt_names: vec![SubjectAltNameMatcher {
                            san_type: san_type as i32,
                            matcher: Some(StringMatcher {
                                match_pattern: Some(MatchPattern::Exact(server_name.to_owned())),
                                ..Default::default()
                            }),
                            ..Default::default()
                        }],
                        ..Default::default()
                    }),
                    validation_context_sds_secret_config: Some(SdsSecretConfig {
                        name: ca_secret,
                        sds_config: Some(ads()),
                    }),
                    ..Default::default()
                },
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(ConfigType::TypedConfig(any(&context))),
    }
}
