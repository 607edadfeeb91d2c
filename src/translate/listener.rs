//! Listeners: ports for clients, with the HTTP connection manager that all gateways of a listener share.
//!
//! Nothing here depends on a gateway: a change of a listener drains its connections, so gateways must never
//! cause one.

use super::cluster::socket_address;
use super::envoy::Release;
use super::{ads, certificate_secret, duration, uint32};
use super::{filter, scope};
use crate::model::{Certificate, Listener, ListenerTls, Routing};
use crate::names::ListenerName;
use crate::resource::any;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, HttpProtocolOptions, TransportSocket};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener as EnvoyListener};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    PathWithEscapedSlashesAction, RouteSpecifier, StripPortMode, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret,
};
use envoy_types::pb::google::protobuf::BoolValue;
use std::time::Duration;

/// For the headers of a request to arrive: a slow inference begins after them.
const REQUEST_HEADERS: Duration = Duration::from_secs(10);
/// Of a stream that no route was found for yet; each route has its own.
const STREAM_IDLE: Duration = Duration::from_mins(5);

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// The listener of the given name, for Envoys of a release.
pub fn listener(
    name: &ListenerName,
    listener: &Listener,
    routing: Routing,
    release: Release,
) -> EnvoyListener {
    EnvoyListener {
        name: name.to_string(),
        address: Some(socket_address(&listener.address.to_string(), listener.port)),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".into(),
                config_type: Some(ConfigType::TypedConfig(any(&connection_manager(name, routing, release)))),
            }],
            transport_socket: listener.tls.as_ref().map(|tls| transport_socket(name, tls)),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The names of the secrets with a listener's certificates, in their order.
pub fn listener_secret_names(listener: &ListenerName, tls: &ListenerTls) -> impl Iterator<Item = String> {
    (1..=tls.certificates.len()).map(move |number| match number {
        1 => format!("tls/{listener}"),
        _ => format!("tls/{listener}/{number}"),
    })
}

/// One certificate of a listener, under one of its [`listener_secret_names`].
pub fn listener_secret(name: &str, certificate: &Certificate) -> Secret {
    certificate_secret(name.to_owned(), &certificate.chain, &certificate.key)
}

fn connection_manager(name: &ListenerName, routing: Routing, release: Release) -> HttpConnectionManager {
    let (route_specifier, early) = match routing {
        Routing::Plain => {
            let rds = Rds { config_source: Some(ads()), route_config_name: name.to_string() };
            (RouteSpecifier::Rds(rds), vec![filter::trusted_headers()])
        }
        Routing::Scoped => (scope::specifier(name), vec![filter::trusted_headers(), scope::header(name)]),
    };
    HttpConnectionManager {
        stat_prefix: "gw".into(),
        route_specifier: Some(route_specifier),
        http_filters: filter::chain(release),
        early_header_mutation_extensions: early,
        // A scope is looked up by the host alone; the virtual hosts of the plain layout pass over the port themselves.
        strip_port_mode: (routing == Routing::Scoped).then_some(StripPortMode::StripAnyHostPort(true)),
        // Request ids and the client's address are made here, at the edge, and cannot be forged from outside.
        use_remote_address: Some(BoolValue { value: true }),
        // One spelling of a path, so that a gateway's path means one thing.
        normalize_path: Some(BoolValue { value: true }),
        merge_slashes: true,
        // One spelling of a host, so that a dot at its end does not lead to another gateway.
        strip_trailing_host_dot: true,
        // Servers that turn headers into variables take `x_serin_client` for `x-serin-client`.
        common_http_protocol_options: Some(HttpProtocolOptions {
            headers_with_underscores_action: HeadersWithUnderscoresAction::RejectRequest as i32,
            ..Default::default()
        }),
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndRedirect as i32,
        request_headers_timeout: Some(duration(REQUEST_HEADERS)),
        stream_idle_timeout: Some(duration(STREAM_IDLE)),
        // What a client can make Envoy hold for it, after Envoy's advice for edges; a gRPC client with more calls
        // at once waits or opens another connection.
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: Some(uint32(MAX_STREAMS)),
            initial_stream_window_size: Some(uint32(64 << 10)),
            initial_connection_window_size: Some(uint32(1 << 20)),
            ..Default::default()
        }),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".into(), ..Default::default() }],
        ..Default::default()
    }
}

fn transport_socket(name: &ListenerName, tls: &ListenerTls) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec!["h2".into(), "http/1.1".into()],
            // Envoy itself chooses among them by the names that they hold, and takes the first when none fits.
            tls_certificate_sds_secret_configs: listener_secret_names(name, tls)
                .map(|name| SdsSecretConfig { name, sds_config: Some(ads()) })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(SocketConfig::TypedConfig(any(&context))),
    }
}
