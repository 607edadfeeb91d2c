//! What applications are told that use gRPC's own discovery (`xds:///fraud.example.com`) and no Envoy.
//!
//! gRPC asks for a listener by the name of its target and expects an `api_listener` in it
//! (<https://github.com/grpc/proposal/blob/master/A27-xds-global-load-balancing.md>), so each exact host of a gateway is a
//! listener and a route configuration of that name. Of routes it understands prefix, path and headers
//! (<https://github.com/grpc/proposal/blob/master/A28-xds-traffic-splitting-and-routing.md>), and it ignores what it does
//! not know. A gateway of which something would be ignored that matters, such as a password, is not there for gRPC. Where it
//! shares its host with one that is, calls in its place fail: they must not fall through to the other one.

use super::envoy::OLDEST;
use super::cluster;
use super::virtual_host::{Changed, HostRoutes};
use super::{Leg, Parts, ads, cluster_name, encode_routes, filter, route, uint32};
use crate::model::{Authentication, Condition, Gateway, Host, Protocol, Upstream};
use crate::names::GatewayName;
use crate::resource::{Kind, Resource, any};
use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{DirectResponseAction, Route, RouteMatch};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The targets (`xds:///` and one of these) under which gRPC finds a gateway; none when it is not there for gRPC.
pub fn targets(gateway: &Gateway) -> impl Iterator<Item = &str> {
    hosts(gateway).filter(|_| is_there(gateway))
}

/// Translates one gateway; `None`: gRPC can neither find it nor call anything in its place.
pub fn proxyless(gateway: &Gateway) -> Option<Parts> {
    let path = path(gateway).filter(|_| hosts(gateway).next().is_some() && gateway.proxies.is_empty())?;
    let mut resources = Vec::new();
    if !is_there(gateway) {
        let routes = encode_routes(vec![nobody(gateway, path)]);
        return Some(Parts { resources, routes, needs: OLDEST });
    }
    for upstream in &gateway.upstreams {
        let name = cluster_name(&gateway.name, &upstream.name, Leg::Live);
        resources.push(Arc::new(Resource::new(Kind::Cluster, &name, &cluster(&name, upstream))));
        if upstream.is_by_address() {
            let assignment = assignment(&name, upstream);
            resources.push(Arc::new(Resource::new(Kind::Endpoint, &name, &assignment)));
        }
    }
    Some(Parts { resources, routes: encode_routes(routes(gateway, &path)), needs: OLDEST })
}

fn hosts(gateway: &Gateway) -> impl Iterator<Item = &str> {
    gateway.hosts.iter().filter_map(|host| match host {
        Host::Exact(host) => Some(host.as_str()),
        Host::Suffix(_) | Host::Any => None,
    })
}

/// Whether gRPC can do all that matters: it asks nobody who they are, rewrites no path, splits by chance and not by user,
/// and no `node.cluster` of an Envoy is its own.
fn is_there(gateway: &Gateway) -> bool {
    gateway.authentication == Authentication::None
        && gateway.rewrite.is_none()
        && gateway.proxies.is_empty()
        && gateway.affinity.is_none()
        && path(gateway).is_some()
        && gateway.upstreams.iter().all(is_reachable)
}

/// In clear text (the certificates of TLS are in the bootstrap of the application, if anywhere), by addresses or by one
/// name (<https://github.com/grpc/proposal/blob/master/A37-xds-aggregate-and-logical-dns-clusters.md>).
fn is_reachable(upstream: &Upstream) -> bool {
    upstream.protocol == Protocol::Grpc
        && upstream.tls.is_none()
        && (upstream.is_by_address() || upstream.endpoints.len() == 1)
}

/// How gRPC matches the gateway's path. It calls `/package.Service/Method`, so there are no other paths.
fn path(gateway: &Gateway) -> Option<PathSpecifier> {
    let path = gateway.path.as_str();
    match path.matches('/').count() {
        _ if path == "/" => Some(PathSpecifier::Prefix(path.into())),
        1 => Some(PathSpecifier::Prefix(format!("{path}/"))),
        2 => Some(PathSpecifier::Path(path.into())),
        _ => None,
    }
}

/// As Envoy has them, but for matches on queries, which gRPC does not have, and on cookies, which it does not keep.
fn routes(gateway: &Gateway, path: &PathSpecifier) -> Vec<Route> {
    let is_header = |condition: &Condition| matches!(condition, Condition::Header(..));
    let matches = gateway.matches.iter().enumerate().filter(|(_, m)| m.conditions.iter().all(is_header));
    let mut routes = route::direct_access(gateway);
    routes.extend(matches.map(|(number, m)| route::key_split(gateway, number, m)));
    routes.push(route::split(gateway));
    for route in &mut routes {
        route.r#match.get_or_insert_default().path_specifier = Some(path.clone());
    }
    routes
}

/// Takes all calls in the gateway's place. gRPC fails them, as it does with each action that is none of its own.
fn nobody(gateway: &Gateway, path: PathSpecifier) -> Route {
    Route {
        name: gateway.name.to_string(),
        r#match: Some(RouteMatch { path_specifier: Some(path), ..Default::default() }),
        action: Some(Action::DirectResponse(DirectResponseAction { status: 503, ..Default::default() })),
        ..Default::default()
    }
}

fn cluster(name: &str, upstream: &Upstream) -> Cluster {
    let (discovery, eds, assignment) = if upstream.is_by_address() {
        let eds = EdsClusterConfig { eds_config: Some(ads()), ..Default::default() };
        (DiscoveryType::Eds, Some(eds), None)
    } else {
        (DiscoveryType::LogicalDns, None, Some(assignment(name, upstream)))
    };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        eds_cluster_config: eds,
        load_assignment: assignment,
        // Of the implementations only Java's knows the least busy of two, which Envoy is told
        // (<https://github.com/grpc/grpc/blob/master/doc/grpc_xds_features.md>).
        lb_policy: LbPolicy::RoundRobin as i32,
        circuit_breakers: Some(cluster::circuit_breakers(upstream, Leg::Live)),
        ..Default::default()
    }
}

/// gRPC passes over localities without a name or a weight.
fn assignment(name: &str, upstream: &Upstream) -> ClusterLoadAssignment {
    let mut assignment = cluster::assignment(name, upstream);
    for locality in &mut assignment.endpoints {
        locality.locality = Some(Locality::default());
        locality.load_balancing_weight = Some(uint32(1));
    }
    assignment
}

/// The targets of all gateways: a listener and a route configuration for each.
#[derive(Debug, Default)]
pub struct Targets {
    hosts: BTreeMap<String, Target>,
    /// What changed since it was asked last.
    stale: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Target {
    routes: HostRoutes,
    /// The gateways that are there. Without any, nor is the target.
    there: BTreeSet<GatewayName>,
}

impl Targets {
    /// Adds a gateway with its encoded routes. Where gateways of several listeners have one host, which gRPC cannot tell
    /// apart, the longer path is tried first, then the first name.
    pub fn add(&mut self, gateway: &Gateway, routes: &Bytes) {
        for host in hosts(gateway) {
            let target = self.hosts.entry(host.to_owned()).or_default();
            target.routes.add(gateway, routes);
            if is_there(gateway) {
                target.there.insert(gateway.name.clone());
            }
            self.stale.insert(host.to_owned());
        }
    }

    /// Takes away what was added for this gateway.
    pub fn remove(&mut self, gateway: &Gateway) {
        for host in hosts(gateway) {
            if let Some(target) = self.hosts.get_mut(host) {
                target.routes.remove(gateway);
                target.there.remove(&gateway.name);
            }
            self.stale.insert(host.to_owned());
        }
    }

    /// The resources that are different since it was asked last.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        let mut changed = Vec::new();
        for host in std::mem::take(&mut self.stale) {
            let name: Arc<str> = host.as_str().into();
            let target = self.hosts.get(&host).filter(|target| !target.there.is_empty());
            let [listener, routes] = target.map_or([None, None], |target| {
                let routes = target.routes.alone(&host, &host, Vec::new());
                let routes = Resource::from_encoded(Kind::Route, &host, &routes);
                let listener = Resource::new(Kind::Listener, &host, &listener(&host));
                [listener, routes].map(|resource| Some(Arc::new(resource)))
            });
            changed.push((Kind::Listener, Arc::clone(&name), listener));
            changed.push((Kind::Route, name, routes));
            if self.hosts.get(&host).is_some_and(|target| target.routes.is_empty()) {
                self.hosts.remove(&host);
            }
        }
        changed
    }
}

fn listener(host: &str) -> Listener {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: host.to_owned(),
        })),
        http_filters: vec![filter::router()],
        ..Default::default()
    };
    Listener {
        name: host.to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(any(&manager)) }),
        ..Default::default()
    }
}
