//! A consistent, versioned set of resources, and what distinguishes it from the one before.
//!
//! A [`Snapshot`] is immutable and shared by all Envoys of one audience. What many clients need is made once and
//! kept in it: the difference to its predecessor, and the encoded form of whole sets.

mod dump;
mod fleet;
mod set;

pub use dump::{dump, dump_bootstrap};
pub use fleet::Fleet;
pub use set::{Change, Set, concat, version_of};

use crate::resource::{Kind, Resource, Version};
use std::sync::Arc;

/// All resources of one audience, by kind.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sets: [Arc<Set>; 5],
}

impl Snapshot {
    /// The successor of `previous`. Resources that mean the same keep their place in memory, and a kind in which
    /// nothing changed keeps its whole set.
    pub fn next(previous: &Self, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut by_kind: [Vec<Arc<Resource>>; 5] = Default::default();
        for resource in resources {
            if let Some(list) = by_kind.get_mut(resource.kind().index()) {
                list.push(resource);
            }
        }
        let mut lists = by_kind.into_iter();
        Self { sets: previous.sets.each_ref().map(|set| Set::next(set, lists.next().unwrap_or_default())) }
    }

    /// The resources of a kind.
    pub fn set(&self, kind: Kind) -> &Arc<Set> {
        let [clusters, endpoints, secrets, listeners, routes] = &self.sets;
        match kind {
            Kind::Cluster => clusters,
            Kind::Endpoint => endpoints,
            Kind::Secret => secrets,
            Kind::Listener => listeners,
            Kind::Route => routes,
        }
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.set(kind).get(name)
    }

    /// All resources, in make-before-break order, by name within a kind.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.sets.iter().flat_map(|set| set.resources())
    }

    /// Whether it holds the very sets of another.
    pub fn is_same(&self, other: &Self) -> bool {
        self.sets.iter().zip(&other.sets).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The versions of all kinds as one.
    pub fn version(&self) -> Version {
        Version(self.sets.iter().fold(0, |sum, set| sum.rotate_left(1) ^ set.version().0))
    }
}
