//! Which version of which file counts.
//!
//! Each file is judged alone, so that one broken file never harms another; only afterwards do files meet, where
//! two claim the same name or the same place ([`Files::settle`]).

use super::{Changes, GRACE};
use crate::clock::Timestamp;
use crate::config::{self, Attachment, Context, Document, Loaded, Reference};
use crate::diag::{Diagnostic, Severity};
use crate::model::Gateway;
use crate::names::{GatewayName, ListenerName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All gateway files and what they refer to.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_path: BTreeMap<Arc<str>, File>,
    pub(super) attached: BTreeMap<Reference, Attachment>,
    /// Counts files as they first come to serve: who was there first has the right.
    arrivals: u64,
    /// All files are gone at once: nothing is removed until one is back.
    pub(super) all_vanished: bool,
}

#[derive(Debug)]
pub(super) struct File {
    document: Document,
    newest: Arc<Loaded>,
    /// The newest version that could be used, and is served while `newest` cannot be.
    good: Option<Arc<Loaded>>,
    /// The problem that `newest` has with another file.
    conflict: Option<Diagnostic>,
    arrival: u64,
    vanished: Option<Timestamp>,
}

impl File {
    /// Everything that is wrong or suspicious about the newest version.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.newest.diagnostics.iter().chain(&self.conflict)
    }

    /// Whether the newest version cannot be used.
    pub(super) fn is_broken(&self) -> bool {
        self.diagnostics().any(|d| d.severity == Severity::Error)
    }

    /// The newest version that can be used, if it were alone.
    fn usable(&self) -> Option<&Arc<Loaded>> {
        if self.newest.gateway.is_some() { Some(&self.newest) } else { self.good.as_ref() }
    }

    /// Whether the file is not there any more.
    pub(super) fn is_vanished(&self) -> bool {
        self.vanished.is_some()
    }

    /// The name of its gateway, as far as one can tell.
    pub(super) fn name(&self) -> Option<&GatewayName> {
        self.newest.name.as_ref().or_else(|| self.good.as_ref().and_then(|g| g.name.as_ref()))
    }
}

/// A gateway that should be served, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) file: Arc<str>,
    pub(super) gateway: Arc<Gateway>,
}

/// What became of the files in one turn.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Files that are newly broken, or broken in another way.
    pub(super) broken: Vec<Arc<str>>,
    /// Files that were broken and are not any more.
    pub(super) repaired: Vec<Arc<str>>,
    /// Files that are newly gone.
    pub(super) vanished: Vec<Arc<str>>,
    /// All files are newly gone.
    pub(super) all_vanished: bool,
    /// They are back.
    pub(super) returned: bool,
}

impl Files {
    /// All files, by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &File)> {
        self.by_path.iter()
    }

    /// Takes what the source found.
    pub(super) fn apply(
        &mut self,
        changes: Changes,
        listeners: &BTreeSet<ListenerName>,
        now: Timestamp,
    ) -> Outcome {
        let was_broken: BTreeMap<Arc<str>, Arc<Loaded>> = self
            .by_path
            .iter()
            .filter(|(_, f)| f.is_broken())
            .map(|(p, f)| (p.clone(), f.newest.clone()))
            .collect();
        let had_vanished = self.all_vanished;
        let mut outcome = Outcome::default();
        let touched: BTreeSet<Reference> = changes.attached.keys().cloned().collect();
        self.attached.extend(changes.attached);

        let mut to_load = Vec::new();
        for (path, document) in changes.documents {
            match document {
                Some(document) => to_load.push((path, document)),
                None => {
                    if let Some(file) = self.by_path.get_mut(&path).filter(|f| f.vanished.is_none()) {
                        file.vanished = Some(now);
                        outcome.vanished.push(path);
                    }
                }
            }
        }
        let refers = |file: &File| !touched.is_disjoint(&file.newest.references);
        for (path, file) in self.by_path.iter().filter(|(_, f)| f.vanished.is_none() && refers(f)) {
            if !to_load.iter().any(|(p, _)| p == path) {
                to_load.push((path.clone(), file.document.clone()));
            }
        }
        let context = Context { listeners, attached: &self.attached };
        for (path, document) in to_load {
            let newest = Arc::new(config::load(&document, &context));
            let previous = self.by_path.remove(&path);
            let arrival = previous.as_ref().map_or_else(
                || {
                    self.arrivals += 1;
                    self.arrivals
                },
                |p| p.arrival,
            );
            let good = previous.and_then(|p| p.good);
            let file = File { document, newest, good, conflict: None, arrival, vanished: None };
            self.by_path.insert(path, file);
        }
        self.all_vanished = !self.by_path.is_empty() && self.by_path.values().all(|f| f.vanished.is_some());
        outcome.all_vanished = self.all_vanished && !had_vanished;
        outcome.returned = had_vanished && !self.all_vanished;

        self.meet();
        for (path, file) in &self.by_path {
            match (was_broken.get(path), file.is_broken()) {
                (None, true) => outcome.broken.push(path.clone()),
                (Some(before), true) if !Arc::ptr_eq(before, &file.newest) => {
                    outcome.broken.push(path.clone());
                }
                (Some(_), false) => outcome.repaired.push(path.clone()),
                _ => {}
            }
        }
        outcome
    }

    /// Lets files meet: finds who claims what another has, and remembers the good ones.
    fn meet(&mut self) {
        self.by_path.values_mut().for_each(|f| f.conflict = None);
        let order: Vec<(Arc<str>, Arc<Loaded>)> = self
            .in_order()
            .filter_map(|(path, f)| f.usable().map(|loaded| (path.clone(), Arc::clone(loaded))))
            .collect();
        for (index, diagnostic) in config::conflicts(order.iter().map(|(_, l)| l.as_ref())) {
            let Some((path, loaded)) = order.get(index) else { continue };
            // One that is gone, or that is itself a fallback, gives way without a word.
            if let Some(file) = self.by_path.get_mut(path)
                && file.vanished.is_none()
                && Arc::ptr_eq(loaded, &file.newest)
            {
                file.conflict = Some(diagnostic);
            }
        }
        for file in self.by_path.values_mut().filter(|f| f.conflict.is_none() && f.newest.gateway.is_some()) {
            file.good = Some(Arc::clone(&file.newest));
        }
    }

    /// Files that are there before files that are gone, then by age.
    fn in_order(&self) -> impl Iterator<Item = (&Arc<str>, &File)> {
        let mut files: Vec<_> = self.by_path.iter().collect();
        files.sort_by_key(|(_, f)| (f.vanished.is_some(), f.arrival));
        files.into_iter()
    }

    /// The gateways that should be served: of each file the newest version that can be. A last good version whose
    /// place was taken meanwhile gives way.
    pub(super) fn settle(&self) -> BTreeMap<GatewayName, Chosen> {
        let candidates: Vec<(&Arc<str>, &Arc<Loaded>)> =
            self.in_order().filter_map(|(path, f)| f.good.as_ref().map(|g| (path, g))).collect();
        let losers: BTreeSet<usize> = config::conflicts(candidates.iter().map(|(_, l)| l.as_ref()))
            .into_iter()
            .map(|(i, _)| i)
            .collect();
        candidates
            .into_iter()
            .enumerate()
            .filter(|(i, _)| !losers.contains(i))
            .filter_map(|(_, (path, loaded))| {
                let gateway = loaded.gateway.clone()?;
                Some((gateway.name.clone(), Chosen { file: path.clone(), gateway }))
            })
            .collect()
    }

    /// Forgets files that have been gone for [`GRACE`]; says which.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        if self.all_vanished {
            return Vec::new();
        }
        let gone: Vec<Arc<str>> = self
            .by_path
            .iter()
            .filter(|(_, f)| f.vanished.is_some_and(|since| now.since(since) >= GRACE))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &gone {
            self.by_path.remove(path);
        }
        gone
    }

    /// When the next file is forgotten.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let soonest = self.by_path.values().filter_map(|f| f.vanished).min();
        soonest.filter(|_| !self.all_vanished).map(|since| since.plus(GRACE))
    }
}
