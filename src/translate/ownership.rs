//! Which resources, and which parts of shared ones, are one gateway's: for showing them.

use super::{parse_cluster_name, parse_scope_name, parse_secret_name};
use crate::resource::{Kind, Resource};
use serde_json::Value;

/// Whether a resource belongs to a gateway with this listener and these hosts, or holds its routes.
pub fn concerns(resource: &Resource, gateway: &str, listener: &str, hosts: &[String]) -> bool {
    let of = match resource.kind() {
        Kind::Cluster | Kind::Endpoint => parse_cluster_name(resource.name()).map(|(g, u, _)| (g, u)),
        Kind::Secret => parse_secret_name(resource.name()),
        Kind::Runtime | Kind::Listener => None,
        Kind::ScopedRoute | Kind::Route => {
            return match parse_scope_name(resource.name()) {
                Some((on, host)) => on == listener && hosts.iter().any(|h| h == host),
                None => &**resource.name() == listener,
            };
        }
    };
    of.is_some_and(|(owner, _)| owner.as_str() == gateway)
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
