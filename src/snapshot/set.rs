//! The resources of one kind in one snapshot.

use crate::resource::{Resource, Version};
use bytes::{BufMut, Bytes, BytesMut};
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};

/// The resources of one kind, sorted by name.
#[derive(Debug, Default)]
pub struct Set {
    resources: Vec<Arc<Resource>>,
    version: Version,
    change: Option<Change>,
    all_delta: OnceLock<Bytes>,
    all_sotw: OnceLock<Bytes>,
    names_digest: OnceLock<u64>,
}

/// How a set differs from its predecessor.
#[derive(Debug)]
pub struct Change {
    from: Weak<Set>,
    /// New or with another version, by name.
    pub upserts: Vec<Arc<Resource>>,
    /// Names that are gone, sorted.
    pub removed: Vec<Arc<str>>,
    upserts_delta: OnceLock<Bytes>,
}

impl Set {
    /// The successor of a set; the very same one when nothing changed. Of two resources with one name the
    /// first counts.
    pub fn next(previous: &Arc<Self>, mut resources: Vec<Arc<Resource>>) -> Arc<Self> {
        resources.sort_by(|a, b| a.name().cmp(b.name()));
        resources.dedup_by(|b, a| a.name() == b.name());
        let (mut upserts, mut removed) = (Vec::new(), Vec::new());
        side_by_side(previous.resources.iter(), resources.iter_mut(), |old, new| match (old, new) {
            // An equal one keeps its old self: bytes are shared, and so is what is known of its acceptance.
            (Some(old), Some(new)) if old.version() == new.version() => *new = Arc::clone(old),
            (_, Some(new)) => upserts.push(Arc::clone(new)),
            (Some(old), None) => removed.push(Arc::clone(old.name())),
            (None, None) => {}
        });
        if upserts.is_empty() && removed.is_empty() {
            return Arc::clone(previous);
        }
        let change =
            Change { from: Arc::downgrade(previous), upserts, removed, upserts_delta: OnceLock::new() };
        Arc::new(Self {
            version: version_of(resources.iter()),
            resources,
            change: Some(change),
            ..Self::default()
        })
    }

    /// The resources, by name.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// A resource by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        let at = self.resources.binary_search_by(|r| r.name().as_ref().cmp(name)).ok()?;
        self.resources.get(at)
    }

    /// The version of the whole set: equal sets have equal versions, whatever came before them.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The sum of [`digest_of_name`] over all names; made once.
    pub fn names_digest(&self) -> u64 {
        let sum = |sum: u64, r: &Arc<Resource>| sum.wrapping_add(digest_of_name(r.name()));
        *self.names_digest.get_or_init(|| self.resources().fold(0, sum))
    }

    /// How it differs from `older`, if `older` is its direct predecessor: made once, for all clients.
    pub fn change_since(&self, older: &Arc<Self>) -> Option<&Change> {
        self.change.as_ref().filter(|c| Weak::ptr_eq(&c.from, &Arc::downgrade(older)))
    }

    /// Calls `visit` with each name whose version differs between `older` and this set.
    pub fn differences(&self, older: &Self, mut visit: impl FnMut(&Arc<str>)) {
        side_by_side(older.resources.iter(), self.resources.iter(), |was, is| {
            if was.map(|r| r.version()) != is.map(|r| r.version()) {
                was.or(is).into_iter().for_each(|r| visit(r.name()));
            }
        });
    }

    /// All resources as fields of a `DeltaDiscoveryResponse`; made once.
    pub fn all_delta(&self) -> Bytes {
        self.all_delta.get_or_init(|| concat(&self.resources, |r| r.delta_field().clone())).clone()
    }

    /// All resources as fields of a `DiscoveryResponse`; made once.
    pub fn all_sotw(&self) -> Bytes {
        self.all_sotw.get_or_init(|| concat(&self.resources, Resource::sotw_field)).clone()
    }
}

impl Change {
    /// All upserts as fields of a `DeltaDiscoveryResponse`; made once.
    pub fn upserts_delta(&self) -> Bytes {
        self.upserts_delta.get_or_init(|| concat(&self.upserts, |r| r.delta_field().clone())).clone()
    }
}

/// A number that tells names apart, in this process only. Two lists without duplicates that have as many names and
/// the same sum of these are taken for one: a chance of one in 2^64, and who looked for such a list would be told of
/// resources that it could as well have asked for.
pub fn digest_of_name(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What a resource of this name and version adds to the version of a set.
pub fn fingerprint(name: &str, version: Version) -> u64 {
    Version::of(&[name.as_bytes(), &version.0.to_be_bytes()].concat()).0
}

/// The version of some resources of one kind, from their names and versions. The order does not matter.
pub fn version_of<'a>(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> Version {
    Version(resources.into_iter().fold(0, |sum: u64, r| sum.wrapping_add(fingerprint(r.name(), r.version()))))
}

/// Some resources in sequence. A single one is not copied.
pub fn concat(resources: &[Arc<Resource>], field: impl Fn(&Resource) -> Bytes) -> Bytes {
    if let [one] = resources {
        return field(one);
    }
    let mut out = BytesMut::with_capacity(resources.iter().map(|r| r.delta_field().len()).sum());
    resources.iter().for_each(|r| out.put(field(r)));
    out.freeze()
}

/// Walks two lists that are sorted by name, and visits what has the same name together.
fn side_by_side<A, B>(
    first: impl Iterator<Item = A>,
    second: impl Iterator<Item = B>,
    mut visit: impl FnMut(Option<A>, Option<B>),
) where
    A: std::ops::Deref<Target = Arc<Resource>>,
    B: std::ops::Deref<Target = Arc<Resource>>,
{
    let (mut first, mut second) = (first.peekable(), second.peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name().cmp(b.name()),
        };
        match order {
            Ordering::Less => visit(first.next(), None),
            Ordering::Greater => visit(None, second.next()),
            Ordering::Equal => visit(first.next(), second.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use proptest::prelude::*;

    fn resource(name: &str, meaning: u32) -> Arc<Resource> {
        let cluster = Cluster { name: name.into(), alt_stat_name: meaning.to_string(), ..Default::default() };
        Arc::new(Resource::new(Kind::Cluster, name, &cluster))
    }

    fn set(names: &[(u8, u32)]) -> Vec<Arc<Resource>> {
        names.iter().map(|(n, v)| resource(&format!("r{n}"), *v)).collect()
    }

    #[test]
    fn what_means_the_same_keeps_its_place_in_memory() {
        let first = Set::next(&Arc::default(), set(&[(1, 1), (2, 1)]));
        assert!(Arc::ptr_eq(&Set::next(&first, set(&[(2, 1), (1, 1)])), &first));
        let second = Set::next(&first, set(&[(1, 1), (2, 2)]));
        assert!(Arc::ptr_eq(first.get("r1").unwrap(), second.get("r1").unwrap()));
        assert_eq!(second.change_since(&first).unwrap().upserts.len(), 1);
        assert!(second.change_since(&Arc::default()).is_none());
    }

    #[test]
    fn a_version_is_of_the_meaning_and_not_of_the_history() {
        let direct = Set::next(&Arc::default(), set(&[(1, 1), (2, 2)]));
        let detour = Set::next(&Set::next(&Arc::default(), set(&[(3, 3), (2, 1)])), set(&[(2, 2), (1, 1)]));
        assert_eq!(direct.version(), detour.version());
    }

    proptest! {
        #[test]
        fn a_change_leads_from_one_set_to_the_next(
            a in proptest::collection::btree_map(0u8..12, 0u32..3, 0..12),
            b in proptest::collection::btree_map(0u8..12, 0u32..3, 0..12),
        ) {
            let list = |m: &std::collections::BTreeMap<u8, u32>| set(&m.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
            let first = Set::next(&Arc::default(), list(&a));
            let second = Set::next(&first, list(&b));
            let mut names = Vec::new();
            second.differences(&first, |name| names.push(name.clone()));
            if let Some(change) = second.change_since(&first) {
                let mut changed: Vec<_> = change.upserts.iter().map(|r| r.name().clone()).collect();
                changed.extend(change.removed.iter().cloned());
                changed.sort();
                prop_assert_eq!(changed, names);
            } else {
                prop_assert_eq!(a == b, names.is_empty());
            }
            prop_assert_eq!(a == b, first.version() == second.version());
        }
    }
}
