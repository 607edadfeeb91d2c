//! What a client has of resources whose newest version it refused, or has not taken yet.

use super::offered::Offered;
use crate::resource::Version;
use crate::snapshot::Set;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names of which a client has another version than it was offered; `None`: it has none, or it is not known which.
#[derive(Debug, Default)]
pub(super) struct Behind(BTreeMap<Arc<str>, Option<Version>>);

impl Behind {
    /// The client says that it has this version.
    pub(super) fn says(&mut self, name: &Arc<str>, version: Version) {
        self.0.insert(Arc::clone(name), Some(version).filter(|v| *v != Version::default()));
    }

    /// It took what was offered.
    pub(super) fn took(&mut self, offered: &Offered) {
        if !self.0.is_empty() {
            offered.resources().for_each(|resource| _ = self.0.remove(resource.name()));
        }
    }

    /// It refused what was offered when it was expected to hold what is in `before`. Returns the versions that it has.
    pub(super) fn refused(&mut self, offered: &Offered, before: &Set) -> BTreeMap<Arc<str>, Version> {
        let mut has = BTreeMap::new();
        for resource in offered.resources() {
            let name = resource.name();
            let had = || before.get(name).map(|r| r.version());
            if let Some(version) = self.0.entry(Arc::clone(name)).or_insert_with(had) {
                has.insert(Arc::clone(name), *version);
            }
        }
        has
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// The client lets go of a name.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}
