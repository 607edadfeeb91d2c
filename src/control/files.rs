//! Which version of which file counts.
//!
//! Each file is judged alone, so that one broken file never harms another; only afterwards do files meet, where
//! two claim the same name or the same place ([`Files::settle`]).

use super::{Changes, GRACE};
use crate::clock::Timestamp;
use crate::config::{self, Attachment, Context, Document, Loaded, Reference};
use crate::diag::{Diagnostic, Severity};
use crate::model::{Gateway, Listener};
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
    /// The problems that `newest` has with other files.
    conflicts: Vec<Diagnostic>,
    arrival: u64,
    vanished: Option<Timestamp>,
}

impl File {
    /// Everything that is wrong or suspicious about the newest version.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.newest.diagnostics.iter().chain(&self.conflicts)
    }

    /// The newest version, whatever is wrong with it.
    pub(super) fn newest(&self) -> &Arc<Loaded> {
        &self.newest
    }

    /// The problems that the newest version has with other files.
    pub(super) fn conflicts(&self) -> &[Diagnostic] {
        &self.conflicts
    }

    /// Whether the newest version cannot be used.
    pub(super) fn is_broken(&self) -> bool {
        self.diagnostics().any(|d| d.severity == Severity::Error)
    }

    /// Whether it is there, right, and wants nothing that another has.
    fn is_at_peace(&self) -> bool {
        self.vanished.is_none() && self.conflicts.is_empty() && self.newest.gateway.is_some()
    }

    /// The newest version that can be used, if it were alone.
    fn usable(&self) -> Option<&Arc<Loaded>> {
        if self.newest.gateway.is_some() { Some(&self.newest) } else { self.good.as_ref() }
    }

    /// Whether the newest version is another one than what is known to be good.
    fn has_news(&self) -> bool {
        self.newest.gateway.is_some()
            && !self.good.as_ref().is_some_and(|good| good.gateway == self.newest.gateway)
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

/// Where nothing good is known and only who may come in is wrong, the place is kept, closed: otherwise its requests
/// would fall through to a gateway with a shorter path, which may be open.
fn closed(newest: &Loaded) -> Option<Arc<Loaded>> {
    let gateway = newest.closed.clone()?;
    Some(Arc::new(Loaded { gateway: Some(gateway), diagnostics: Vec::new(), ..newest.clone() }))
}

/// Whether two versions of a gateway take the same requests under the same name.
fn claims_the_same(a: &Gateway, b: &Gateway) -> bool {
    let claims = |g: &Gateway| (g.name.clone(), g.listener.clone(), g.path.clone());
    claims(a) == claims(b) && a.hosts == b.hosts && a.proxies == b.proxies
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
    /// Only what these gateways do with their requests changed, not which requests they take: no other file is
    /// concerned. `None`: all files must be looked at.
    pub(super) only: Option<Vec<Chosen>>,
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
        listeners: &BTreeMap<ListenerName, Listener>,
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
        let peaceful = self.by_path.values().all(File::is_at_peace) && outcome.vanished.is_empty();
        let mut only = peaceful.then(Vec::new);
        for (path, document) in to_load {
            let newest = Arc::new(config::load(&document, &context));
            let previous = self.by_path.remove(&path);
            let before = previous.as_ref().and_then(|p| p.newest.gateway.as_ref());
            only = match (only, before, &newest.gateway) {
                (Some(mut list), Some(before), Some(gateway)) if claims_the_same(before, gateway) => {
                    list.push(Chosen { file: Arc::clone(&path), gateway: Arc::clone(gateway) });
                    Some(list)
                }
                _ => None,
            };
            let arrival = previous.as_ref().map_or_else(
                || {
                    self.arrivals += 1;
                    self.arrivals
                },
                |p| p.arrival,
            );
            let good = previous.and_then(|p| p.good).or_else(|| closed(&newest));
            let file = File { document, newest, good, conflicts: Vec::new(), arrival, vanished: None };
            self.by_path.insert(path, file);
        }
        self.all_vanished = !self.by_path.is_empty() && self.by_path.values().all(|f| f.vanished.is_some());
        outcome.all_vanished = self.all_vanished && !had_vanished;
        outcome.returned = had_vanished && !self.all_vanished;

        if let Some(only) = only {
            for chosen in &only {
                if let Some(file) = self.by_path.get_mut(&chosen.file) {
                    file.good = Some(Arc::clone(&file.newest));
                }
            }
            outcome.only = Some(only);
            return outcome;
        }
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
    ///
    /// A file that is in conflict goes back to its last good version, which may claim what yet another file wants;
    /// so they meet again, until nobody goes back any more.
    fn meet(&mut self) {
        self.by_path.values_mut().for_each(|f| f.conflicts.clear());
        loop {
            let order: Vec<(Arc<str>, Arc<Loaded>)> = self
                .in_order()
                .filter_map(|(path, f)| {
                    let loaded = if f.conflicts.is_empty() { f.usable() } else { f.good.as_ref() };
                    loaded.map(|loaded| (path.clone(), Arc::clone(loaded)))
                })
                .collect();
            let mut found: BTreeMap<&Arc<str>, Vec<Diagnostic>> = BTreeMap::new();
            for (index, diagnostic) in config::conflicts(order.iter().map(|(_, l)| l.as_ref())) {
                if let Some((path, _)) = order.get(index) {
                    found.entry(path).or_default().push(diagnostic);
                }
            }
            let mut again = false;
            for (path, diagnostics) in found {
                // One that is gone, or that is itself a fallback, gives way without a word.
                let alone = |f: &&mut File| f.vanished.is_none() && f.newest.gateway.is_some();
                if let Some(file) =
                    self.by_path.get_mut(path).filter(alone).filter(|f| f.conflicts.is_empty())
                {
                    again |= file.good.is_some();
                    file.conflicts = diagnostics;
                }
            }
            if !again {
                break;
            }
        }
        for file in self.by_path.values_mut().filter(|f| f.conflicts.is_empty() && f.newest.gateway.is_some())
        {
            file.good = Some(Arc::clone(&file.newest));
        }
    }

    /// Files that are there before files that are gone, those that want what they have before those that want
    /// something else, then by age.
    fn in_order(&self) -> impl Iterator<Item = (&Arc<str>, &File)> {
        let mut files: Vec<_> = self.by_path.iter().collect();
        files.sort_by_key(|(_, f)| (f.vanished.is_some(), f.conflicts.is_empty() && f.has_news(), f.arrival));
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
