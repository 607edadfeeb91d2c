//! Which resources, and which parts of shared ones, are one gateway's: for showing them.

use super::{parse_cluster_name, parse_scope_name, token_endpoint};
use crate::names::GatewayName;
use crate::resource::{Kind, Resource};
use serde_json::Value;

/// The gateway that a resource was made for; `None`: several share it.
pub fn owner(resource: &Resource) -> Option<GatewayName> {
    let name = resource.name();
    let of_upstream = |name: &str| parse_cluster_name(name).map(|(gateway, ..)| gateway);
    match resource.kind() {
        Kind::Cluster | Kind::Endpoint => of_upstream(name).or_else(|| token_endpoint::gateway_of(name)),
        Kind::Secret => match name.split_once('/')? {
            ("ca" | "client", rest) => of_upstream(rest),
            ("oauth2", rest) => GatewayName::new(rest.split('/').next()?).ok(),
            _ => None,
        },
        Kind::Runtime | Kind::Listener | Kind::ScopedRoute | Kind::Route => None,
    }
}

/// Whether a resource belongs to a gateway with this listener and these hosts, or holds its routes.
pub fn concerns(resource: &Resource, gateway: &str, listener: &str, hosts: &[String]) -> bool {
    match resource.kind() {
        Kind::ScopedRoute | Kind::Route => match parse_scope_name(resource.name()) {
            Some((on, host)) => on == listener && hosts.iter().any(|h| h == host),
            None => &**resource.name() == listener,
        },
        _ => owner(resource).is_some_and(|g| g.as_str() == gateway),
    }
}

/// Of a dumped route configuration keeps the routes of one gateway, and the virtual hosts that have some. Other
/// resources stay as they are.
pub fn keep_gateway(dumped: &mut Value, gateway: &str) {
    let Some(hosts) = dumped.get_mut("virtual_hosts").and_then(Value::as_array_mut) else { return };
    let own = |route: &Value| {
        let name = route.get("name").and_then(Value::as_str).unwrap_or_default();
        name.split('/').next() == Some(gateway)
    };
    for host in hosts.iter_mut() {
        if let Some(routes) = host.get_mut("routes").and_then(Value::as_array_mut) {
            routes.retain(own);
        }
    }
    hosts.retain(|h| h.get("routes").and_then(Value::as_array).is_some_and(|r| !r.is_empty()));
}
