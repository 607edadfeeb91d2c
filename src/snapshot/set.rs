//! The resources of one kind in one snapshot.

use crate::resource::{Resource, Version};
use bytes::{BufMut, Bytes, BytesMut};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};

/// The resources of one kind, by name. Successors share with it what did not change.
#[derive(Debug, Default)]
pub struct Set {
    resources: OrdMap<Arc<str>, Arc<Resource>>,
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
    /// Those of the upserts whose names are new, sorted.
    pub added: Vec<Arc<str>>,
    /// Names that are gone, sorted.
    pub removed: Vec<Arc<str>>,
    upserts_delta: OnceLock<Bytes>,
}

/// What is to be under some names from now on; `None`: nothing.
pub(super) type Patch = BTreeMap<Arc<str>, Option<Arc<Resource>>>;

impl Set {
    /// The successor of a set with these resources and no others; the very same one when nothing changed. Of two
    /// resources with one name the first counts.
    pub fn next(previous: &Arc<Self>, resources: Vec<Arc<Resource>>) -> Arc<Self> {
        let mut patch: Patch = previous.resources.keys().map(|name| (Arc::clone(name), None)).collect();
        for resource in resources {
            patch.entry(Arc::clone(resource.name())).or_default().get_or_insert(resource);
        }
        Self::patched(previous, patch)
    }

    /// The successor of a set in which some names are different; the very same one when nothing changed. It costs
    /// what the patch is long, not what the set is large.
    pub(super) fn patched(previous: &Arc<Self>, patch: Patch) -> Arc<Self> {
        let mut resources = previous.resources.clone();
        let mut version = previous.version.0;
        let (mut upserts, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, new) in patch {
            let old = resources.get(&*name);
            match (old, &new) {
                // An equal one keeps its old self: bytes are shared, and so is what is known of its acceptance.
                (Some(old), Some(new)) if old == new => continue,
                (None, None) => continue,
                _ => {}
            }
            version = version.wrapping_sub(old.map_or(0, |r| r.fingerprint()));
            version = version.wrapping_add(new.as_ref().map_or(0, |r| r.fingerprint()));
            if let Some(new) = new {
                if old.is_none() {
                    added.push(Arc::clone(&name));
                }
                upserts.push(Arc::clone(&new));
                resources.insert(name, new);
            } else {
                resources.remove(&*name);
                removed.push(name);
            }
        }
        if upserts.is_empty() && removed.is_empty() {
            return Arc::clone(previous);
        }
        let from = Arc::downgrade(previous);
        let change = Some(Change { from, upserts, added, removed, upserts_delta: OnceLock::new() });
        Arc::new(Self { resources, version: Version(version), change, ..Self::default() })
    }

    /// The resources, by name.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = &Arc<Resource>> {
        self.resources.values()
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
        self.resources.get(name)
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

    /// Whether other sets came between `older` and this one.
    pub fn is_later_than_next(self: &Arc<Self>, older: &Arc<Self>) -> bool {
        !Arc::ptr_eq(self, older) && self.change_since(older).is_none()
    }

    /// Calls `visit` with each name whose version differs between `older` and this set, by name. What the two share
    /// is passed over.
    pub fn differences(&self, older: &Self, mut visit: impl FnMut(&Arc<str>)) {
        for difference in older.resources.diff(&self.resources) {
            match difference {
                DiffItem::Add(name, _)
                | DiffItem::Update { new: (name, _), .. }
                | DiffItem::Remove(name, _) => {
                    visit(name);
                }
            }
        }
    }

    /// All resources as fields of a `DeltaDiscoveryResponse`; made once.
    pub fn all_delta(&self) -> Bytes {
        self.all_delta.get_or_init(|| concat(self.resources().map(|r| r.delta_field().clone()))).clone()
    }

    /// All resources as fields of a `DiscoveryResponse`; made once.
    pub fn all_sotw(&self) -> Bytes {
        self.all_sotw.get_or_init(|| concat(self.resources().map(|r| r.sotw_field()))).clone()
    }
}

impl Change {
    /// All upserts as fields of a `DeltaDiscoveryResponse`; made once.
    pub fn upserts_delta(&self) -> Bytes {
        self.upserts_delta
            .get_or_init(|| concat(self.upserts.iter().map(|r| r.delta_field().clone())))
            .clone()
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

/// The version of some resources of one kind, from their names and versions. The order does not matter.
pub fn version_of<'a>(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> Version {
    Version(resources.into_iter().fold(0, |sum: u64, r| sum.wrapping_add(r.fingerprint())))
}

/// Some encoded resources in sequence. A single one is not copied.
pub fn concat(fields: impl Iterator<Item = Bytes>) -> Bytes {
    let mut fields: Vec<Bytes> = fields.collect();
    if fields.len() == 1 {
        return fields.pop().unwrap_or_default();
    }
    let mut out = BytesMut::with_capacity(fields.iter().map(Bytes::len).sum());
    fields.into_iter().for_each(|field| out.put(field));
    out.freeze()
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
        fn a_patch_comes_to_the_same_as_the_whole(
            before in proptest::collection::btree_map(0u8..40, 0u32..3, 0..40),
            patch in proptest::collection::btree_map(0u8..40, proptest::option::of(0u32..3), 0..12),
        ) {
            let first = Set::next(&Arc::default(), before.iter().map(|(n, v)| resource(&format!("r{n}"), *v)).collect());
            let mut after = before.clone();
            let mut names = Patch::new();
            for (name, value) in &patch {
                let made = value.map(|value| resource(&format!("r{name}"), value));
                names.insert(format!("r{name}").into(), made);
                match value {
                    Some(value) => _ = after.insert(*name, *value),
                    None => _ = after.remove(name),
                }
            }
            let whole = Set::next(&first, after.iter().map(|(n, v)| resource(&format!("r{n}"), *v)).collect());
            let patched = Set::patched(&first, names);
            prop_assert_eq!(whole.version(), patched.version());
            prop_assert_eq!(whole.version(), version_of(patched.resources()));
            prop_assert!(whole.resources().eq(patched.resources()));
            prop_assert_eq!(Arc::ptr_eq(&first, &patched), before == after);
            for kept in first.resources().filter(|r| patched.get(r.name()) == Some(r)) {
                prop_assert!(Arc::ptr_eq(kept, patched.get(kept.name()).unwrap()));
            }
        }

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
