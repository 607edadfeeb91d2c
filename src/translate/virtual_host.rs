//! The route configuration of a listener: a virtual host for each host, put together from encoded routes.
//!
//! Envoy chooses the virtual host first (exact, then the longest `*.suffix`, then `*`, whatever their order here)
//! and then tries its routes in order, so the longer path must stand first.

use super::append_virtual_host;
use crate::model::{Gateway, Host};
use crate::names::ListenerName;
use crate::resource::{Kind, Resource};
use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Message;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The route configuration of the given listener, from its gateways and their encoded routes.
pub fn route_configuration<'a>(
    name: &ListenerName,
    gateways: impl IntoIterator<Item = (&'a Gateway, &'a Bytes)>,
) -> Resource {
    let mut hosts: BTreeMap<&Host, Vec<(&Gateway, &Bytes)>> = BTreeMap::new();
    for (gateway, routes) in gateways {
        for host in &gateway.hosts {
            hosts.entry(host).or_default().push((gateway, routes));
        }
    }
    let head = RouteConfiguration {
        name: name.to_string(),
        // A cluster that an Envoy does not have yet is one gateway's 503, not every gateway's refusal.
        validate_clusters: Some(BoolValue { value: false }),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    let mut message = head.encode_to_vec();
    for (host, mut gateways) in hosts {
        gateways.sort_by_key(|(g, _)| (Reverse(g.path.len()), &g.path, &g.name));
        let host = host.to_string();
        let head = VirtualHost { name: host.clone(), domains: vec![host], ..Default::default() };
        let routes: Vec<&Bytes> = gateways.iter().map(|(_, routes)| *routes).collect();
        append_virtual_host(&head, &routes, &mut message);
    }
    Resource::from_encoded(Kind::Route, name.as_str(), &message)
}
