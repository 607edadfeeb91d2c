//! Which Envoys are connected, and what each was offered, took and refused.
//!
//! A stream writes only to its own [`StreamStatus`]; readers collect them when they want to know. The list of
//! streams is replaced as a whole when one begins or ends.

use crate::clock::Timestamp;
use crate::resource::{ByKind, Kind, Version};
use crate::snapshot::Node;
use crate::translate::{self, Release};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All streams of this control plane.
#[derive(Debug, Default)]
pub struct Registry {
    streams: ArcSwap<BTreeMap<u64, Arc<StreamStatus>>>,
    last_id: AtomicU64,
    /// Refusals since the start.
    pub refusals: AtomicU64,
    /// Responses since the start.
    pub responses: AtomicU64,
    /// Bytes of responses since the start.
    pub bytes: AtomicU64,
    /// Connections since the start that ended before anything was asked over them.
    pub handshake_failures: Arc<AtomicU64>,
    /// Streams since the start whose Envoy said that it is somebody else.
    pub impostors: AtomicU64,
}

/// One stream. Written by it alone, at most a few times a second.
#[derive(Debug)]
pub struct StreamStatus {
    /// Who it is.
    pub node: Arc<Node>,
    /// As which older release it is told things; `None`: as the newest.
    pub older: Option<Release>,
    /// `ip:port`
    pub address: String,
    /// Whether it is an application that uses gRPC without a proxy.
    pub is_grpc: bool,
    /// "delta" or "sotw".
    pub protocol: &'static str,
    /// When the stream began.
    pub since: Timestamp,
    kinds: ByKind<ArcSwap<TypeStatus>>,
}

/// What is known of one kind on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeStatus {
    /// Offered last.
    pub offered: Option<Version>,
    /// Acknowledged last.
    pub acknowledged: Option<Version>,
    /// Since when it has not answered what it was offered; `None`: it has.
    pub unanswered: Option<Timestamp>,
    /// Why the Envoy refused something that is still offered, scrubbed.
    pub refusal: Option<Arc<str>>,
    /// Since the stream began.
    pub bytes_sent: u64,
    /// Last request.
    pub last_contact: Timestamp,
}

/// One Envoy: all its streams together.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Who it is.
    pub node: Arc<Node>,
    /// `ip:port` of its connection.
    pub address: String,
    /// "delta" or "sotw".
    pub protocol: &'static str,
    /// When its first stream began.
    pub since: Timestamp,
    /// Of the kinds that it subscribed to.
    pub kinds: BTreeMap<Kind, TypeStatus>,
}

/// A stream's entry in the registry, for as long as this lives.
#[derive(Debug)]
pub(super) struct Entry {
    registry: Arc<Registry>,
    key: u64,
    pub(super) status: Arc<StreamStatus>,
}

impl Registry {
    /// Enters a stream.
    pub(super) fn enter(self: &Arc<Self>, status: StreamStatus) -> Entry {
        let key = self.last_id.fetch_add(1, Ordering::Relaxed);
        let status = Arc::new(status);
        self.streams.rcu(|streams| {
            let mut streams = BTreeMap::clone(streams);
            streams.insert(key, Arc::clone(&status));
            streams
        });
        Entry { registry: Arc::clone(self), key, status }
    }

    /// How many streams there are.
    pub fn stream_count(&self) -> usize {
        self.streams.load().len()
    }

    /// The connected Envoys but this one.
    pub(super) fn others(&self, node: &Node) -> Vec<Arc<Node>> {
        let streams = self.streams.load();
        let envoys = streams.values().filter(|stream| !stream.is_grpc && *stream.node != *node);
        let nodes: BTreeSet<&Arc<Node>> = envoys.map(|stream| &stream.node).collect();
        nodes.into_iter().cloned().collect()
    }

    /// All connected Envoys, by id. Streams of one connection are one Envoy; two that give one id are two.
    pub fn proxies(&self) -> Vec<Proxy> {
        let mut proxies: BTreeMap<(Arc<Node>, String), Proxy> = BTreeMap::new();
        for stream in self.streams.load().values() {
            let who = (Arc::clone(&stream.node), stream.address.clone());
            let proxy = proxies.entry(who).or_insert_with(|| Proxy {
                node: Arc::clone(&stream.node),
                address: stream.address.clone(),
                protocol: stream.protocol,
                since: stream.since,
                kinds: BTreeMap::new(),
            });
            for kind in Kind::ALL {
                let status = stream.kind(kind).load();
                if status.last_contact > Timestamp::default() {
                    proxy.kinds.insert(kind, TypeStatus::clone(&status));
                }
            }
        }
        proxies.into_values().collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.streams.rcu(|streams| {
            let mut streams = BTreeMap::clone(streams);
            streams.remove(&self.key);
            streams
        });
    }
}

impl StreamStatus {
    /// A stream that has said who it is and nothing else.
    pub(super) fn new(node: Node, address: String, protocol: &'static str, since: Timestamp) -> Self {
        let (older, node) = (translate::older(&node.version), Arc::new(node));
        Self { node, older, address, is_grpc: false, protocol, since, kinds: ByKind::default() }
    }

    fn kind(&self, kind: Kind) -> &ArcSwap<TypeStatus> {
        self.kinds.get(kind)
    }

    /// Changes what is known of a kind.
    pub(super) fn update(&self, kind: Kind, change: impl FnOnce(&mut TypeStatus)) {
        let cell = self.kind(kind);
        let mut status = TypeStatus::clone(&cell.load());
        change(&mut status);
        cell.store(Arc::new(status));
    }
}

/// A refusal as it may be shown: Envoy quotes the resource it refuses, sometimes with keys, so only the head of
/// the text is kept, up to the first quotation of a message and 300 characters.
pub(super) fn scrub(text: &str) -> Arc<str> {
    let line = text.lines().next().unwrap_or_default();
    // "Proto constraint validation failed (X.Y: value must be ...): name: \"...\" ..." quotes from "): " on.
    let head = line.split_inclusive("): ").next().unwrap_or_default();
    let head = head.split("credential key").next().unwrap_or_default();
    // Texts of a message stand in double quotes, whatever comes before it.
    let head = head.split('"').next().unwrap_or_default();
    let cut: String = head.chars().filter(|c| !c.is_control()).take(300).collect();
    cut.trim_end_matches([' ', ':']).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_envoy_are_one_proxy_and_leave_with_it() {
        let registry = Arc::new(Registry::default());
        let status = |id: &str, address: &str| {
            StreamStatus::new(
                Node { id: id.into(), cluster: "edge".into(), version: "1.40.0".into() },
                address.into(),
                "delta",
                Timestamp(1),
            )
        };
        let first = registry.enter(status("a", "10.0.0.1:40000"));
        let second = registry.enter(status("a", "10.0.0.1:40000"));
        first.status.update(Kind::Cluster, |s| s.last_contact = Timestamp(5));
        second.status.update(Kind::Route, |s| s.last_contact = Timestamp(6));
        let proxies = registry.proxies();
        assert_eq!((proxies.len(), proxies[0].kinds.len()), (1, 2));
        let another = registry.enter(status("a", "10.0.0.1:40001"));
        another.status.update(Kind::Route, |s| s.refusal = Some("no".into()));
        another.status.update(Kind::Route, |s| s.last_contact = Timestamp(7));
        let refusals: Vec<bool> =
            registry.proxies().iter().map(|p| p.kinds[&Kind::Route].refusal.is_some()).collect();
        assert_eq!(refusals, [false, true], "another one of the same id is a line of its own");
        drop((first, second, another));
        assert_eq!((registry.proxies().len(), registry.stream_count()), (0, 0));
    }

    #[test]
    fn a_refusal_is_shown_without_what_it_quotes() {
        assert_eq!(&*scrub("Duplicated credential key: 'K-secret'"), "Duplicated");
        let long =
            "Proto constraint validation failed (ClusterValidationError.X: value must be 1): secret: \"s\"";
        assert!(!scrub(long).contains("\"s\"") && scrub(long).contains("value must be 1"));
        assert_eq!(&*scrub("Only exact\nsecret on line two"), "Only exact");
    }
}
