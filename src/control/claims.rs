//! Which files want what another may have: a name, or the requests to one place.

use crate::model::{Gateway, Host};
use crate::names::{GatewayName, ListenerName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What only one file can have, `proxies` aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Name(GatewayName),
    Place(ListenerName, Host, String),
}

/// What each file claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_claim: BTreeMap<Claim, BTreeSet<Arc<str>>>,
    by_file: BTreeMap<Arc<str>, BTreeSet<Claim>>,
}

impl Claims {
    /// From now on a file claims what these versions of its gateway claim.
    pub(super) fn set<'a>(&mut self, path: &Arc<str>, versions: impl Iterator<Item = &'a Gateway>) {
        let new: BTreeSet<Claim> = versions.flat_map(of).collect();
        let old = self.by_file.remove(path).unwrap_or_default();
        for claim in old.difference(&new) {
            if let Some(paths) = self.by_claim.get_mut(claim) {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_claim.remove(claim);
                }
            }
        }
        for claim in new.difference(&old) {
            self.by_claim.entry(claim.clone()).or_default().insert(Arc::clone(path));
        }
        if !new.is_empty() {
            self.by_file.insert(Arc::clone(path), new);
        }
    }

    /// The files that claim what a gateway wants.
    pub(super) fn met_by(&self, gateway: &Gateway) -> BTreeSet<Arc<str>> {
        of(gateway).filter_map(|claim| self.by_claim.get(&claim)).flatten().cloned().collect()
    }

    /// These files, those who claim what one of them claims, those who claim what one of those claims, and so on: a
    /// change of the first can concern the last, and no others.
    pub(super) fn around(&self, paths: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
        let mut found = paths.clone();
        let mut left: Vec<Arc<str>> = paths.iter().cloned().collect();
        let mut seen: BTreeSet<&Claim> = BTreeSet::new();
        while let Some(path) = left.pop() {
            for claim in self.by_file.get(&path).into_iter().flatten().filter(|claim| seen.insert(claim)) {
                for other in self.by_claim.get(claim).into_iter().flatten() {
                    if found.insert(Arc::clone(other)) {
                        left.push(Arc::clone(other));
                    }
                }
            }
        }
        found
    }
}

fn of(gateway: &Gateway) -> impl Iterator<Item = Claim> {
    let place = |host: &Host| Claim::Place(gateway.listener.clone(), host.clone(), gateway.path.clone());
    gateway.hosts.iter().map(place).chain([Claim::Name(gateway.name.clone())])
}
