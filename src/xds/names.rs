//! A set of names of which most, as a rule all, are those of the resources that there are.
//!
//! All Envoys of a fleet ask for the endpoints of the same ten thousand clusters, each by its name. So a list is not
//! kept name by name: it is "all names of this set of resources", which all streams share, and the few for which
//! that is not so. Whether a list is that is told by its digest, without sorting it or looking any name up.

use crate::snapshot::{Set, digest_of_name};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// All names of this set but those of `except`.
    base: Option<Arc<Set>>,
    except: BTreeSet<Arc<str>>,
    /// Names that are not in `base`.
    more: BTreeSet<Arc<str>>,
    digest: u64,
}

/// The digest of a list of names without duplicates; their order does not matter.
pub(super) fn digest<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    names.into_iter().fold(0, |sum: u64, name| sum.wrapping_add(digest_of_name(name)))
}

impl Names {
    /// All names of a set.
    pub(super) fn all_of(set: &Arc<Set>) -> Self {
        Self { base: Some(Arc::clone(set)), digest: set.names_digest(), ..Self::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.len()) - self.except.len() + self.more.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`digest`].
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether a name is among them.
    pub(super) fn contains(&self, name: &str) -> bool {
        if self.is_in_base(name) { !self.except.contains(name) } else { self.more.contains(name) }
    }

    /// Adds one; true when it is new.
    pub(super) fn insert(&mut self, name: &Arc<str>) -> bool {
        let new =
            if self.is_in_base(name) { self.except.remove(name) } else { self.more.insert(Arc::clone(name)) };
        if new {
            self.digest = self.digest.wrapping_add(digest_of_name(name));
        }
        new
    }

    /// Takes one away; true when it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let was = match self.base.as_ref().and_then(|base| base.get(name)) {
            Some(resource) => self.except.insert(Arc::clone(resource.name())),
            None => self.more.remove(name),
        };
        if was {
            self.digest = self.digest.wrapping_sub(digest_of_name(name));
        }
        was
    }

    /// The names themselves, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        let base = self.base.iter().flat_map(|base| base.resources()).map(|r| r.name());
        base.filter(|name| !self.except.contains(*name)).chain(&self.more)
    }

    /// Whether these are, as far as this set knows them, all of its names; after [`Names::move_to`] this set.
    pub(super) fn cover(&self, set: &Arc<Set>) -> bool {
        self.is_based_on(set) && self.except.is_empty()
    }

    /// Expresses the same names by another set, so that an old one is not kept for them. It costs what the two sets
    /// differ.
    pub(super) fn move_to(&mut self, set: &Arc<Set>) {
        if self.is_based_on(set) {
            return;
        }
        let Some(base) = &mut self.base else { return };
        let base = std::mem::replace(base, Arc::clone(set));
        match set.change_since(&base) {
            Some(change) => {
                change.added.iter().for_each(|name| self.base_gains(name));
                change.removed.iter().for_each(|name| self.base_loses(name));
            }
            None => {
                set.differences(&base, |name| match (base.get(name).is_some(), set.get(name).is_some()) {
                    (true, false) => self.base_loses(name),
                    (false, true) => self.base_gains(name),
                    _ => {}
                });
            }
        }
    }

    fn base_gains(&mut self, name: &Arc<str>) {
        if !self.more.remove(name) {
            self.except.insert(Arc::clone(name));
        }
    }

    fn base_loses(&mut self, name: &Arc<str>) {
        if !self.except.remove(name) {
            self.more.insert(Arc::clone(name));
        }
    }

    fn is_based_on(&self, set: &Arc<Set>) -> bool {
        self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, set))
    }

    fn is_in_base(&self, name: &str) -> bool {
        self.base.as_ref().is_some_and(|base| base.get(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Kind, Resource};
    use proptest::prelude::*;

    fn set(previous: &Arc<Set>, names: &BTreeSet<u8>) -> Arc<Set> {
        let resource = |n: &u8| Arc::new(Resource::from_encoded(Kind::Route, &n.to_string(), &[]));
        Set::next(previous, names.iter().map(resource).collect())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Remove(u8),
        MoveTo(BTreeSet<u8>),
        /// A state that goes by unseen.
        Skip(BTreeSet<u8>),
    }

    proptest! {
        #[test]
        fn they_are_a_set_of_names_whatever_they_are_based_on(
            base in prop::option::of(prop::collection::btree_set(0u8..9, 0..9)),
            steps in prop::collection::vec(prop_oneof![
                (0u8..9).prop_map(Step::Insert),
                (0u8..9).prop_map(Step::Remove),
                prop::collection::btree_set(0u8..9, 0..9).prop_map(Step::MoveTo),
                prop::collection::btree_set(0u8..9, 0..9).prop_map(Step::Skip),
            ], 0..20),
        ) {
            let mut now = set(&Arc::default(), base.as_ref().unwrap_or(&BTreeSet::new()));
            let mut names = if base.is_some() { Names::all_of(&now) } else { Names::default() };
            let mut model: BTreeSet<String> = base.iter().flatten().map(u8::to_string).collect();
            for step in steps {
                match step {
                    Step::Insert(n) => {
                        let name = n.to_string();
                        prop_assert_eq!(names.insert(&name.as_str().into()), model.insert(name));
                    }
                    Step::Remove(n) => prop_assert_eq!(names.remove(&n.to_string()), model.remove(&n.to_string())),
                    Step::MoveTo(next) => {
                        now = set(&now, &next);
                        names.move_to(&now);
                    }
                    Step::Skip(next) => now = set(&now, &next),
                }
                let is: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
                prop_assert_eq!(&is, &model);
                prop_assert_eq!((names.len(), names.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(names.digest(), digest(model.iter().map(String::as_str)));
                prop_assert!((0..9).all(|n| names.contains(&n.to_string()) == model.contains(&n.to_string())));
                if names.cover(&now) {
                    prop_assert!(now.resources().all(|r| model.contains(&**r.name())));
                }
            }
        }
    }
}
