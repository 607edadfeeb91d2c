//! Which Envoy gets which snapshot.
//!
//! Gateways may be meant for some Envoys only, named by `node.cluster`. All Envoys whose cluster no gateway names
//! are one audience; each cluster that is named is another. Applications that use gRPC without a proxy are one more.

use super::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The snapshots of all audiences.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// For Envoys whose cluster no gateway names.
    pub everyone: Arc<Snapshot>,
    /// For the clusters that gateways name.
    pub named: BTreeMap<Arc<str>, Arc<Snapshot>>,
    /// For applications that use gRPC without a proxy.
    pub grpc: Arc<Snapshot>,
}

impl Fleet {
    /// What an Envoy of the given `node.cluster` gets.
    pub fn snapshot(&self, cluster: &str) -> &Arc<Snapshot> {
        self.named.get(cluster).unwrap_or(&self.everyone)
    }

    /// Whether it holds the very snapshots of another.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.everyone, &other.everyone)
            && Arc::ptr_eq(&self.grpc, &other.grpc)
            && self.named.len() == other.named.len()
            && self.named.iter().zip(&other.named).all(|((a, x), (b, y))| a == b && Arc::ptr_eq(x, y))
    }

    /// All snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        [&self.everyone, &self.grpc].into_iter().chain(self.named.values())
    }
}
