//! What was taken back because an Envoy refused it, in case another takes it.
//!
//! All Envoys are sent a version at nearly the same time, and which one answers first is chance. If it is one that
//! refuses what others take, the others' yes arrives when the version was already taken back.

use super::offer::Version;
use crate::names::GatewayName;
use crate::resource::{self, Kind, Resource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The versions that were taken back, each with what was refused of it.
#[derive(Debug, Default)]
pub(super) struct Blamed(BTreeMap<GatewayName, (Version, Vec<Refused>)>);

/// A resource that an Envoy refused.
type Refused = (Kind, Arc<str>, resource::Version);

impl Blamed {
    /// A version is taken back for these resources.
    pub(super) fn insert<'a>(
        &mut self,
        gateway: GatewayName,
        version: Version,
        refused: impl Iterator<Item = &'a Arc<Resource>>,
    ) {
        self.0.insert(gateway, (version, refused.map(identity).collect()));
    }

    /// The gateway has another version, or is gone.
    pub(super) fn remove(&mut self, gateway: &GatewayName) {
        self.0.remove(gateway);
    }

    /// An Envoy took these resources: which versions were taken back for one of them, and for which kind. They are
    /// no longer among the blamed.
    pub(super) fn take(&mut self, taken: &[Arc<Resource>]) -> Vec<(GatewayName, Version, Kind)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let taken: Vec<Refused> = taken.iter().map(identity).collect();
        let found = self.0.extract_if(.., |_, (_, refused)| refused.iter().any(|r| taken.contains(r)));
        let kind = |refused: &[Refused]| refused.iter().find(|r| taken.contains(r)).map(|(kind, ..)| *kind);
        found.filter_map(|(name, (version, refused))| Some((name, version, kind(&refused)?))).collect()
    }
}

fn identity(resource: &Arc<Resource>) -> Refused {
    (resource.kind(), Arc::clone(resource.name()), resource.version())
}
