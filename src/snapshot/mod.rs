//! A consistent, versioned set of resources, and what distinguishes it from the one before.
//!
//! A [`Snapshot`] is immutable and shared by all Envoys of one audience. What many clients need is made once and
//! kept in it: the difference to its predecessor, and the encoded form of whole sets.

mod dump;
mod fleet;
mod set;

pub use dump::{dump, dump_bootstrap};
pub use fleet::{Fleet, Node, Older};
pub use set::{Change, Set, concat, digest_of_name, version_of};

use crate::resource::{ByKind, Kind, Resource, Version};
use std::sync::Arc;

/// All resources of one audience, by kind.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sets: ByKind<Arc<Set>>,
}

/// How a snapshot is to be different.
#[derive(Debug, Default)]
pub struct Patch {
    kinds: ByKind<set::Patch>,
}

impl Patch {
    /// Nothing is under this name any more, unless it is put there.
    pub fn remove(&mut self, kind: Kind, name: &Arc<str>) {
        self.kinds.get_mut(kind).entry(Arc::clone(name)).or_insert(None);
    }

    /// This is under its name from now on. Of two with one name the first counts.
    pub fn put(&mut self, resource: Arc<Resource>) {
        let name = Arc::clone(resource.name());
        self.kinds.get_mut(resource.kind()).entry(name).or_default().get_or_insert(resource);
    }
}

impl Snapshot {
    /// The successor of `previous`. Resources that mean the same keep their place in memory, and a kind in which
    /// nothing changed keeps its whole set.
    pub fn next(previous: &Self, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut lists: ByKind<Vec<Arc<Resource>>> = ByKind::default();
        resources.into_iter().for_each(|resource| lists.get_mut(resource.kind()).push(resource));
        let mut next = previous.clone();
        for kind in Kind::ALL {
            *next.sets.get_mut(kind) = Set::next(previous.set(kind), std::mem::take(lists.get_mut(kind)));
        }
        next
    }

    /// The successor of `previous` in which some resources are different; the very same one when nothing changed. It
    /// costs what the patch is long, not what the snapshot is large.
    pub fn patched(previous: &Arc<Self>, mut patch: Patch) -> Arc<Self> {
        let mut next = Self::clone(previous);
        for kind in Kind::ALL {
            let changes = std::mem::take(patch.kinds.get_mut(kind));
            *next.sets.get_mut(kind) = Set::patched(previous.set(kind), changes);
        }
        if next.is_same(previous) { Arc::clone(previous) } else { Arc::new(next) }
    }

    /// The resources of a kind.
    pub fn set(&self, kind: Kind) -> &Arc<Set> {
        self.sets.get(kind)
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.set(kind).get(name)
    }

    /// All resources, in make-before-break order, by name within a kind.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.sets.all().iter().flat_map(|set| set.resources())
    }

    /// Whether it holds the very sets of another.
    pub fn is_same(&self, other: &Self) -> bool {
        self.sets.all().iter().zip(other.sets.all()).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The versions of all kinds as one.
    pub fn version(&self) -> Version {
        Version(self.sets.all().iter().fold(0, |sum, set| sum.rotate_left(1) ^ set.version().0))
    }
}
