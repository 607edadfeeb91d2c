//! Which Envoy gets which snapshot.
//!
//! Gateways may be meant for some Envoys only, named by `node.cluster`. All Envoys whose cluster no gateway names
//! are one audience; each cluster that is named is another. Applications that use gRPC without a proxy are one more.
//! An Envoy that refuses something of what its audience is told has a snapshot without that.

use super::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An Envoy, as it says who it is. Two that say the same are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// `node.id`
    pub id: String,
    /// `node.cluster`
    pub cluster: String,
    /// The version that it states.
    pub version: String,
}

/// The snapshots of all audiences.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// For Envoys whose cluster no gateway names.
    pub everyone: Arc<Snapshot>,
    /// For the clusters that gateways name.
    pub named: BTreeMap<Arc<str>, Arc<Snapshot>>,
    /// For Envoys that refuse something of these.
    pub quarantined: Arc<BTreeMap<Arc<Node>, Arc<Snapshot>>>,
    /// For applications that use gRPC without a proxy.
    pub grpc: Arc<Snapshot>,
}

impl Fleet {
    /// What an Envoy of the given `node.cluster` gets.
    pub fn snapshot(&self, cluster: &str) -> &Arc<Snapshot> {
        self.named.get(cluster).unwrap_or(&self.everyone)
    }

    /// What this Envoy gets.
    pub fn snapshot_of(&self, node: &Node) -> &Arc<Snapshot> {
        self.quarantined.get(node).unwrap_or_else(|| self.snapshot(&node.cluster))
    }

    /// Whether it holds the very snapshots of another.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.everyone, &other.everyone)
            && Arc::ptr_eq(&self.grpc, &other.grpc)
            && is_same(&self.named, &other.named)
            && is_same(&self.quarantined, &other.quarantined)
    }

    /// All snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        [&self.everyone, &self.grpc].into_iter().chain(self.named.values()).chain(self.quarantined.values())
    }
}

fn is_same<K: PartialEq>(one: &BTreeMap<K, Arc<Snapshot>>, other: &BTreeMap<K, Arc<Snapshot>>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((a, x), (b, y))| a == b && Arc::ptr_eq(x, y))
}
