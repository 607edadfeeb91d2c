//! The scoped layout: each host of a listener has a route configuration of its own, which Envoy finds by a scope. So an
//! edit sends, and Envoy reads, one host, however many there are.
//!
//! Envoy gives every listener the scopes of all listeners, so the key of a scope names its listener as well. Keys are
//! made of request headers: the listener writes one that says both, before anything else looks at the request, over
//! whatever a client sent; routes take it away again.

use super::ads;
use crate::names::ListenerName;
use crate::resource::any;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, TypedExtensionConfig};
use envoy_types::pb::envoy::config::route::v3::ScopedRouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::scoped_route_configuration::key::fragment;
use envoy_types::pb::envoy::config::route::v3::scoped_route_configuration::{Key, key::Fragment};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::header_value_extractor::ExtractType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::{self, HeaderValueExtractor};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::FragmentBuilder;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::{ConfigSpecifier, ScopeKeyBuilder};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{ScopedRds, ScopedRoutes};
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;

/// Says listener and host.
pub(super) const HEADER: &str = "x-serin-scope";

/// The name of a host's scope and of its route configuration.
pub(super) fn name(listener: &ListenerName, host: &str) -> String {
    format!("host/{listener}/{host}")
}

/// The listener and the host in the name of a scope or its route configuration; `None`: it is no such name.
pub fn parse_scope_name(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("host/")?.split_once('/')
}

/// The scope of a host.
pub(super) fn scope(listener: &ListenerName, host: &str) -> ScopedRouteConfiguration {
    let key = fragment::Type::StringKey(format!("{listener}/{host}"));
    ScopedRouteConfiguration {
        name: name(listener, host),
        route_configuration_name: name(listener, host),
        key: Some(Key { fragments: vec![Fragment { r#type: Some(key) }] }),
        ..Default::default()
    }
}

/// Where a listener finds its routes.
pub(super) fn specifier(listener: &ListenerName) -> RouteSpecifier {
    let whole_value = ExtractType::Index(0);
    let extractor = HeaderValueExtractor {
        name: HEADER.into(),
        element_separator: String::new(),
        extract_type: Some(whole_value),
    };
    let fragment = FragmentBuilder { r#type: Some(fragment_builder::Type::HeaderValueExtractor(extractor)) };
    RouteSpecifier::ScopedRoutes(ScopedRoutes {
        name: listener.to_string(),
        scope_key_builder: Some(ScopeKeyBuilder { fragments: vec![fragment] }),
        rds_config_source: Some(ads()),
        config_specifier: Some(ConfigSpecifier::ScopedRds(ScopedRds {
            scoped_rds_config_source: Some(ads()),
            ..Default::default()
        })),
    })
}

/// Writes the header, over whatever the client sent.
pub(super) fn header(listener: &ListenerName) -> TypedExtensionConfig {
    let append = HeaderValueOption {
        header: Some(HeaderValue {
            key: HEADER.into(),
            value: format!("{listener}/%REQ(:AUTHORITY)%"),
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    };
    let mutations = vec![Mutation { action: Some(Action::Append(append)) }];
    TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".into(),
        typed_config: Some(any(&HeaderMutation { mutations })),
    }
}
