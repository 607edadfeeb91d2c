//! The routes of all gateways of some Envoys, put together from encoded pieces.
//!
//! Envoy chooses the virtual host first (exact, then the longest `*.suffix`, then `*`, whatever their order here)
//! and then tries its routes in order, so the longer path must stand first. A [`RouteTable`] keeps each virtual host
//! encoded, so that an edit of one gateway encodes its hosts only.

use super::scope;
use crate::model::{Gateway, Host, Routing};
use crate::names::{GatewayName, ListenerName};
use crate::resource::{Kind, Resource, field};
use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Message;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The routes of gateways by listener and host.
#[derive(Debug)]
pub struct RouteTable {
    routing: Routing,
    listeners: BTreeMap<ListenerName, BTreeMap<Host, HostRoutes>>,
    /// What changed since it was asked last.
    stale: BTreeMap<ListenerName, BTreeSet<Host>>,
}

/// The routes of one host, and its virtual host as a field of a `RouteConfiguration`.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    gateways: BTreeMap<Rank, Bytes>,
    encoded: Vec<u8>,
}

/// The order in which Envoy tries gateways: the longer path first.
type Rank = (Reverse<usize>, String, GatewayName);

/// A resource, or that there is none of this kind and name any more.
pub type Changed = (Kind, Arc<str>, Option<Arc<Resource>>);

impl RouteTable {
    /// Without gateways.
    pub fn new(routing: Routing) -> Self {
        Self { routing, listeners: BTreeMap::new(), stale: BTreeMap::new() }
    }

    /// The layout.
    pub fn routing(&self) -> Routing {
        self.routing
    }

    /// Adds a gateway with its encoded routes.
    pub fn add(&mut self, gateway: &Gateway, routes: &Bytes) {
        let hosts = self.listeners.entry(gateway.listener.clone()).or_default();
        for host in &gateway.hosts {
            hosts.entry(host.clone()).or_default().add(gateway, routes);
        }
        self.touch(gateway);
    }

    /// Takes away what was added for this gateway.
    pub fn remove(&mut self, gateway: &Gateway) {
        let Some(hosts) = self.listeners.get_mut(&gateway.listener) else { return };
        for host in &gateway.hosts {
            if let Some(host) = hosts.get_mut(host) {
                host.remove(gateway);
            }
        }
        self.touch(gateway);
    }

    /// The resources that are different since it was asked last.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        let mut changed = Vec::new();
        for (listener, stale) in std::mem::take(&mut self.stale) {
            let hosts = self.listeners.entry(listener.clone()).or_default();
            for host in stale {
                let Some(routes) = hosts.get_mut(&host) else { continue };
                match self.routing {
                    Routing::Plain => routes.encode(&host.to_string()),
                    Routing::Scoped => changed.extend(routes.scope(&listener, &host)),
                }
                if routes.gateways.is_empty() {
                    hosts.remove(&host);
                }
            }
            if self.routing == Routing::Plain {
                changed.push(whole(&listener, hosts));
            }
            if hosts.is_empty() {
                self.listeners.remove(&listener);
            }
        }
        changed
    }

    /// Whether some gateway is on a listener.
    pub fn has(&self, listener: &ListenerName) -> bool {
        self.listeners.contains_key(listener)
    }

    /// The gateways on an exact host of a listener.
    pub fn on_host(&self, listener: &str, host: &str) -> impl Iterator<Item = &GatewayName> {
        let hosts = self.listeners.get(listener);
        let routes = hosts.and_then(|hosts| hosts.get(&Host::Exact(host.to_owned())));
        routes.into_iter().flat_map(|routes| routes.gateways.keys().map(|(_, _, name)| name))
    }

    fn touch(&mut self, gateway: &Gateway) {
        self.stale.entry(gateway.listener.clone()).or_default().extend(gateway.hosts.iter().cloned());
    }
}

/// The one route configuration of a listener in the plain layout.
fn whole(listener: &ListenerName, hosts: &BTreeMap<Host, HostRoutes>) -> Changed {
    let name: Arc<str> = listener.as_str().into();
    if hosts.is_empty() {
        return (Kind::Route, name, None);
    }
    let mut message = head(&name, Vec::new());
    hosts.values().for_each(|host| message.extend_from_slice(&host.encoded));
    let resource = Resource::from_encoded(Kind::Route, &name, &message);
    (Kind::Route, name, Some(Arc::new(resource)))
}

impl HostRoutes {
    pub(super) fn add(&mut self, gateway: &Gateway, routes: &Bytes) {
        self.gateways.insert(rank(gateway), routes.clone());
    }

    pub(super) fn remove(&mut self, gateway: &Gateway) {
        self.gateways.remove(&rank(gateway));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// A route configuration with this host only, for all requests that come there.
    pub(super) fn alone(&self, name: &str, host: &str, request_headers_to_remove: Vec<String>) -> Vec<u8> {
        let mut message = head(name, request_headers_to_remove);
        self.append("*", host, &mut message);
        message
    }

    /// The scope of a host and its route configuration in the scoped layout.
    fn scope(&self, listener: &ListenerName, host: &Host) -> [Changed; 2] {
        let host = host.to_string();
        let name: Arc<str> = scope::name(listener, &host).into();
        if self.gateways.is_empty() {
            return [(Kind::ScopedRoute, Arc::clone(&name), None), (Kind::Route, name, None)];
        }
        let message = self.alone(&name, &host, vec![scope::HEADER.to_owned()]);
        let route = Resource::from_encoded(Kind::Route, &name, &message);
        let scope = Resource::new(Kind::ScopedRoute, &name, &scope::scope(listener, &host));
        let changed = |resource: Resource| (resource.kind(), Arc::clone(&name), Some(Arc::new(resource)));
        [changed(scope), changed(route)]
    }

    fn encode(&mut self, host: &str) {
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        self.append(host, host, &mut encoded);
        self.encoded = encoded;
    }

    /// Appends the virtual host as a field of a `RouteConfiguration`.
    fn append(&self, domain: &str, name: &str, out: &mut Vec<u8>) {
        let head =
            VirtualHost { name: name.to_owned(), domains: vec![domain.to_owned()], ..Default::default() };
        let mut message = head.encode_to_vec();
        self.gateways.values().for_each(|routes| message.extend_from_slice(routes));
        field(2, &message, out); // RouteConfiguration.virtual_hosts
    }
}

fn rank(gateway: &Gateway) -> Rank {
    (Reverse(gateway.path.len()), gateway.path.clone(), gateway.name.clone())
}

/// A route configuration but for its virtual hosts.
fn head(name: &str, request_headers_to_remove: Vec<String>) -> Vec<u8> {
    let head = RouteConfiguration {
        name: name.to_owned(),
        // A cluster that an Envoy does not have yet is one gateway's 503, not every gateway's refusal.
        validate_clusters: Some(BoolValue { value: false }),
        ignore_port_in_host_matching: true,
        request_headers_to_remove,
        ..Default::default()
    };
    head.encode_to_vec()
}
