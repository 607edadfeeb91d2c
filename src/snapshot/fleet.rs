//! Which Envoy gets which snapshot.
//!
//! Gateways may be meant for some Envoys only, named by `node.cluster`. All Envoys whose cluster no gateway names
//! are one audience; each cluster that is named is another. Applications that use gRPC without a proxy are one more.
//! An Envoy that refuses something of what its audience is told has a snapshot without that.

use super::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Older Envoys: the release line as which they are told things (`translate::older`), and the cluster that gateways name.
pub type Older = ((u32, u32), Option<Arc<str>>);

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
    /// For older Envoys, as far as such came.
    pub older: Arc<BTreeMap<Older, Arc<Snapshot>>>,
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

    /// What this Envoy gets, told as one of an older release (`None`: of the newest). `None`: none of that release came before, and
    /// there is nothing for it yet.
    pub fn snapshot_of(&self, node: &Node, older: Option<(u32, u32)>) -> Option<&Arc<Snapshot>> {
        if let Some(own) = self.quarantined.get(node) {
            return Some(own);
        }
        let Some(release) = older else { return Some(self.snapshot(&node.cluster)) };
        self.older.get(&self.older_at(node, release))
    }

    /// Which of the older ones an Envoy is that is told things as one of a release.
    pub fn older_at(&self, node: &Node, release: (u32, u32)) -> Older {
        let named = self.named.get_key_value(node.cluster.as_str()).map(|(cluster, _)| Arc::clone(cluster));
        (release, named)
    }

    /// Whether it holds the very snapshots of another.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.everyone, &other.everyone)
            && Arc::ptr_eq(&self.grpc, &other.grpc)
            && is_same(&self.named, &other.named)
            && is_same(&self.older, &other.older)
            && is_same(&self.quarantined, &other.quarantined)
    }

    /// All snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        [&self.everyone, &self.grpc]
            .into_iter()
            .chain(self.named.values())
            .chain(self.older.values())
            .chain(self.quarantined.values())
    }
}

fn is_same<K: PartialEq>(one: &BTreeMap<K, Arc<Snapshot>>, other: &BTreeMap<K, Arc<Snapshot>>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((a, x), (b, y))| a == b && Arc::ptr_eq(x, y))
}
