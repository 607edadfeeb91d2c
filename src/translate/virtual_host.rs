//! The routes of all gateways of some Envoys, put together from encoded pieces.
//!
//! Envoy chooses the virtual host first (exact, then the longest `*.suffix`, then `*`, whatever their order here)
//! and then tries its routes in order, so the longer path must stand first. A [`RouteTable`] keeps each virtual host
//! encoded, so that an edit of one gateway encodes its hosts only.

use crate::model::{Gateway, Host};
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
#[derive(Debug, Default)]
pub struct RouteTable {
    listeners: BTreeMap<ListenerName, BTreeMap<Host, HostRoutes>>,
    /// What changed since it was asked last.
    stale: BTreeMap<ListenerName, BTreeSet<Host>>,
}

/// The routes of one host, and its virtual host as a field of a `RouteConfiguration`.
#[derive(Debug, Default)]
struct HostRoutes {
    gateways: BTreeMap<Rank, Bytes>,
    encoded: Vec<u8>,
}

/// The order in which Envoy tries gateways: the longer path first.
type Rank = (Reverse<usize>, String, GatewayName);

/// A resource, or that there is none of this kind and name any more.
pub type Changed = (Kind, Arc<str>, Option<Arc<Resource>>);

impl RouteTable {
    /// Adds a gateway with its encoded routes.
    pub fn add(&mut self, gateway: &Gateway, routes: &Bytes) {
        let hosts = self.listeners.entry(gateway.listener.clone()).or_default();
        for host in &gateway.hosts {
            hosts.entry(host.clone()).or_default().gateways.insert(rank(gateway), routes.clone());
        }
        self.touch(gateway);
    }

    /// Takes away what was added for this gateway.
    pub fn remove(&mut self, gateway: &Gateway) {
        let Some(hosts) = self.listeners.get_mut(&gateway.listener) else { return };
        for host in &gateway.hosts {
            if let Some(host) = hosts.get_mut(host) {
                host.gateways.remove(&rank(gateway));
            }
        }
        self.touch(gateway);
    }

    /// The resources that are different since it was asked last.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        let stale = std::mem::take(&mut self.stale);
        stale.into_iter().map(|(listener, hosts)| self.take_listener(&listener, hosts)).collect()
    }

    /// Whether some gateway is on a listener.
    pub fn has(&self, listener: &ListenerName) -> bool {
        self.listeners.contains_key(listener)
    }

    fn touch(&mut self, gateway: &Gateway) {
        self.stale.entry(gateway.listener.clone()).or_default().extend(gateway.hosts.iter().cloned());
    }

    fn take_listener(&mut self, listener: &ListenerName, stale: BTreeSet<Host>) -> Changed {
        let name: Arc<str> = listener.as_str().into();
        let hosts = self.listeners.entry(listener.clone()).or_default();
        for host in stale {
            if let Some(routes) = hosts.get_mut(&host) {
                routes.encode(&host);
                if routes.gateways.is_empty() {
                    hosts.remove(&host);
                }
            }
        }
        if hosts.is_empty() {
            self.listeners.remove(listener);
            return (Kind::Route, name, None);
        }
        let mut message = head(&name);
        hosts.values().for_each(|host| message.extend_from_slice(&host.encoded));
        let resource = Resource::from_encoded(Kind::Route, &name, &message);
        (Kind::Route, name, Some(Arc::new(resource)))
    }
}

impl HostRoutes {
    fn encode(&mut self, host: &Host) {
        let name = host.to_string();
        let head = VirtualHost { name: name.clone(), domains: vec![name], ..Default::default() };
        let mut message = head.encode_to_vec();
        self.gateways.values().for_each(|routes| message.extend_from_slice(routes));
        self.encoded.clear();
        field(2, &message, &mut self.encoded); // RouteConfiguration.virtual_hosts
    }
}

fn rank(gateway: &Gateway) -> Rank {
    (Reverse(gateway.path.len()), gateway.path.clone(), gateway.name.clone())
}

/// A route configuration but for its virtual hosts.
fn head(name: &str) -> Vec<u8> {
    let head = RouteConfiguration {
        name: name.to_owned(),
        // A cluster that an Envoy does not have yet is one gateway's 503, not every gateway's refusal.
        validate_clusters: Some(BoolValue { value: false }),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    head.encode_to_vec()
}
