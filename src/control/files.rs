//! Which version of which file counts.
//!
//! Each file is judged alone, so that one broken file never harms another; only afterwards do files meet, where
//! two claim the same name or the same place. Those that claim nothing in common are not looked at when one changes.

use super::claims::Claims;
use super::expiries::Expiries;
use super::file::{File, Remembered, Successors, claimant, closed, is_kept_closed, last_good};
use super::{Changes, Draft, GRACE, Unlisted};
use crate::clock::Timestamp;
use crate::config::{self, Attachment, Claimant, Content, Context, Document, Loaded, Read, Reference};
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::{Gateway, Listener, PrometheusServer, Routing, Settings};
use crate::names::{GatewayName, ListenerName};
use crate::resource::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All gateway files and what they refer to.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_path: BTreeMap<Arc<str>, File>,
    pub(super) attached: BTreeMap<Reference, Attachment>,
    /// Counts files as they are first read: the last rule of precedence.
    arrivals: u64,
    claims: Claims,
    /// What the settings say of Prometheus.
    prometheus: Option<PrometheusServer>,
    /// Until when certificates hold.
    pub(super) expiries: Expiries,
    /// Who refers to what.
    referring: BTreeMap<Reference, BTreeSet<Arc<str>>>,
    /// The files that are gone, and since when.
    vanished: BTreeSet<(Timestamp, Arc<str>)>,
    /// All files are gone at once: nothing is removed until one is back.
    pub(super) all_vanished: bool,
    /// The last good text of files, from before the start and since.
    good_texts: BTreeMap<Arc<str>, Arc<str>>,
    /// Missing files whose name and routes others have now: their texts are not to be kept.
    succeeded: BTreeSet<Arc<str>>,
    /// Files that may have another last good text now.
    accepted: BTreeSet<Arc<str>>,
    /// Files whose last good text was told to others than the store.
    aside: BTreeSet<Arc<str>>,
    /// Whether all files were looked at once.
    pub(super) begun: bool,
    /// Where it is not known which files there are.
    unlisted: Unlisted,
}

/// A gateway that should be served, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) file: Arc<str>,
    pub(super) gateway: Arc<Gateway>,
}

fn other_name(place: &Place, wanted: &GatewayName, name: &GatewayName) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::OtherName,
        place: place.clone(),
        message: format!("the file is of gateway `{wanted}`, and here it has the name `{name}`"),
        help: Some("keep the name; to rename a gateway, create the new one and delete the old one".into()),
    }
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
    /// What should be served of the files that this could concern.
    pub(super) settled: Settled,
}

/// What should be served of some files.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The files. Whatever they served and is not chosen is served no more.
    pub(super) files: BTreeSet<Arc<str>>,
    /// By name.
    pub(super) chosen: BTreeMap<GatewayName, Chosen>,
}

impl Files {
    /// Before any was read; `prometheus` is what the settings say of it.
    pub(super) fn new(settings: &Settings) -> Self {
        let (prometheus, expiries) = (settings.prometheus.clone(), Expiries::new(settings));
        Self { prometheus, expiries, ..Self::default() }
    }

    /// With what was good before the start.
    pub(super) fn with_last_good(self, good_texts: BTreeMap<Arc<str>, Arc<str>>) -> Self {
        Self { good_texts, ..self }
    }

    /// The last good texts that are others now; `None`: there is no such file any more.
    pub(super) fn take_good(&mut self) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        let aside = std::mem::take(&mut self.aside).into_iter();
        let mut good: BTreeMap<_, _> =
            aside.map(|path| (Arc::clone(&path), self.good_texts.get(&path).cloned())).collect();
        good.extend(self.take_changed());
        good
    }

    /// The same, as far as it was not said before, for others than the store, which is told later.
    pub(super) fn take_good_aside(&mut self) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        let changed = self.take_changed();
        self.aside.extend(changed.keys().cloned());
        changed
    }

    fn take_changed(&mut self) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        let mut changed = BTreeMap::new();
        for path in std::mem::take(&mut self.succeeded) {
            if self.good_texts.remove(&path).is_some() {
                changed.insert(path, None);
            }
        }
        for path in std::mem::take(&mut self.accepted) {
            let Some(file) = self.by_path.get(&path) else {
                if self.good_texts.remove(&path).is_some() {
                    changed.insert(path, None);
                }
                continue;
            };
            // Of a broken one, what was good before stays.
            let Some(text) = file.good_text() else { continue };
            if self.good_texts.get(&path).is_none_or(|known| **known != *text) {
                let text: Arc<str> = text.into();
                self.good_texts.insert(Arc::clone(&path), Arc::clone(&text));
                changed.insert(path, Some(text));
            }
        }
        changed
    }

    /// The store is another than the one that was told: it is to keep the last good text of all files.
    pub(super) fn keep_again(&mut self) {
        self.good_texts.retain(|path, _| !self.by_path.contains_key(path));
        self.accepted.extend(self.by_path.keys().cloned());
    }

    /// The paths of all files.
    #[cfg(test)]
    pub(super) fn paths(&self) -> BTreeSet<Arc<str>> {
        self.by_path.keys().cloned().collect()
    }

    /// A file by its path.
    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.by_path.get(path)
    }

    /// Takes what the source found.
    pub(super) fn apply(
        &mut self,
        changes: Changes,
        listeners: &BTreeMap<ListenerName, Listener>,
        routing: Routing,
        now: Timestamp,
    ) -> Outcome {
        let had_vanished = self.all_vanished;
        let mut outcome = Outcome::default();
        let touched: Vec<Reference> = changes.attached.keys().cloned().collect();
        self.attached.extend(changes.attached);
        for reference in &touched {
            if self.expiries.is_own(reference) || self.referring.contains_key(reference) {
                self.expiries.look(reference, self.attached.get(reference));
            }
        }

        let mut to_load = BTreeMap::new();
        for (path, read) in changes.documents {
            match read {
                Some(read) => drop(to_load.insert(path, read)),
                None => {
                    if let Some(file) = self.by_path.get_mut(&path).filter(|f| f.vanished.is_none()) {
                        file.vanished = Some(now);
                        self.vanished.insert((now, Arc::clone(&path)));
                        outcome.vanished.push(path);
                    }
                }
            }
        }
        for path in touched.iter().filter_map(|reference| self.referring.get(reference)).flatten() {
            if let Some(file) = self.by_path.get(path).filter(|f| f.vanished.is_none()) {
                to_load.entry(Arc::clone(path)).or_insert_with(|| file.document.clone().into());
            }
        }
        let newer: BTreeSet<Arc<str>> = to_load.keys().chain(&outcome.vanished).cloned().collect();
        // Who wants what a changed file gives up, and who has what it wants now.
        let around = self.claims.around(&newer);
        let mut broken = self.broken(&around);
        let is_first = self.unlisted.everything().is_none() && !std::mem::replace(&mut self.begun, true);
        let missing = if is_first { self.missing(&to_load) } else { Vec::new() };
        let prometheus = self.prometheus.as_ref();
        let context = Context { listeners, attached: &self.attached, routing, prometheus };
        let load = |(path, read): (Arc<str>, Read)| {
            let newest = Arc::new(read.load(&context));
            let document = read.into_document();
            let remembered = self.remembered(&document, &newest, &context);
            (path, newest, document, remembered)
        };
        let loaded: Vec<_> = to_load.into_iter().map(load).collect();
        // Those that went while nobody looked are missing since now.
        let gone = |document: Document| {
            let newest = Arc::new(config::load(&document, &context));
            let remembered = self.remembered(&document, &newest, &context);
            (Arc::clone(&document.path), newest, document, remembered)
        };
        let gone: Vec<_> = missing.into_iter().map(gone).collect();
        let mut around = self.claims.around(&around);
        for (path, newest, document, remembered) in loaded {
            self.put(&path, newest, document, remembered, now);
        }
        for (path, newest, document, remembered) in gone {
            self.put(&path, newest, document, remembered, now);
            if let Some(file) = self.by_path.get_mut(&path) {
                file.vanished = Some(now);
                self.vanished.insert((now, Arc::clone(&path)));
            }
            around.insert(Arc::clone(&path));
            outcome.vanished.push(path);
        }
        around.extend(newer.iter().cloned());
        let around = self.claims.around(&around);
        for (path, newest) in self.broken(&around) {
            if !newer.contains(&path) {
                broken.insert(path, newest);
            }
        }
        self.all_vanished = !self.by_path.is_empty() && self.by_path.len() == self.vanished.len();
        outcome.all_vanished = self.all_vanished && !had_vanished;
        outcome.returned = had_vanished && !self.all_vanished;
        if outcome.returned {
            self.begin_grace(now);
        }

        self.conclude(&mut outcome, &broken, around);
        outcome
    }

    /// The last good texts of files that are not there as Serin begins.
    fn missing(&self, found: &BTreeMap<Arc<str>, Read>) -> Vec<Document> {
        let is_missing = |path: &&Arc<str>| !found.contains_key(*path) && !self.by_path.contains_key(*path);
        let texts = self.good_texts.iter().filter(|(path, _)| is_missing(path));
        let document = |(path, text): (&Arc<str>, &Arc<str>)| Document {
            path: Arc::clone(path),
            content: Content::Text(text.as_bytes().into()),
        };
        texts.map(document).collect()
    }

    /// The first of all files is back, and the others have as long again.
    fn begin_grace(&mut self, now: Timestamp) {
        for (_, path) in std::mem::take(&mut self.vanished) {
            if let Some(file) = self.by_path.get_mut(&path) {
                file.vanished = Some(now);
                self.vanished.insert((now, path));
            }
        }
    }

    /// Resolves the conflicts of some files; `broken`: those that were broken before.
    fn conclude(
        &mut self,
        outcome: &mut Outcome,
        broken: &BTreeMap<Arc<str>, Arc<Loaded>>,
        around: BTreeSet<Arc<str>>,
    ) {
        self.meet(&around);
        for path in &around {
            let Some(file) = self.by_path.get(path) else { continue };
            match (broken.get(path), file.is_broken()) {
                (None, true) => outcome.broken.push(path.clone()),
                (Some(before), true) if !Arc::ptr_eq(before, &file.newest) => {
                    outcome.broken.push(path.clone());
                }
                (Some(_), false) => outcome.repaired.push(path.clone()),
                _ => {}
            }
        }
        outcome.settled = self.settle(around);
    }

    /// Takes where the source cannot see; what is new about that, in sentences: what is bad, and what is good again.
    pub(super) fn look_away(&mut self, unlisted: Unlisted) -> (Vec<String>, Vec<String>) {
        let before = std::mem::replace(&mut self.unlisted, unlisted);
        self.unlisted.since(&before, self.begun)
    }

    /// What would be wrong with a file if this was its text, alone and beside the others.
    pub(super) fn judge(
        &self,
        draft: &Draft,
        listeners: &BTreeMap<ListenerName, Listener>,
        routing: Routing,
    ) -> Vec<Diagnostic> {
        let prometheus = self.prometheus.as_ref();
        let mut attached = draft.attached.clone();
        for path in prometheus.into_iter().flat_map(PrometheusServer::files) {
            let reference = Reference::File(path.clone());
            attached.extend(self.attached.get(&reference).cloned().map(|found| (reference, found)));
        }
        let context = Context { listeners, attached: &attached, routing, prometheus };
        let loaded = config::load(&draft.document, &context);
        let mut diagnostics = loaded.diagnostics.clone();
        if let (Some(wanted), Some(name)) = (&draft.name, &loaded.name)
            && wanted != name
        {
            diagnostics.push(other_name(&loaded.place_of_name, wanted, name));
        }
        if let Some(gateway) = &loaded.gateway {
            let around = self.claims.met_by(gateway);
            let mut present = self.present(&around);
            present.extend(loaded.name.as_ref().map(|name| (name, (&loaded, Timestamp(i64::MAX)))));
            let others = self.in_order(&around).filter(|(path, _)| ***path != *draft.document.path);
            let mut claimants: Vec<Claimant<'_>> =
                others.filter_map(|(_, f)| claimant(f, f.candidate(), &present)).collect();
            claimants.push(Claimant { wants: &loaded, holds: None });
            let last = claimants.len() - 1;
            let met = config::conflicts_among(&claimants);
            diagnostics.extend(met.into_iter().filter(|(i, _)| *i == last).map(|(_, d)| d));
        }
        diagnostics
    }

    /// The newest versions of those among some files that are broken.
    fn broken(&self, paths: &BTreeSet<Arc<str>>) -> BTreeMap<Arc<str>, Arc<Loaded>> {
        let files = paths.iter().filter_map(|path| Some((path, self.by_path.get(path)?)));
        files.filter(|(_, f)| f.is_broken()).map(|(path, f)| (path.clone(), f.newest.clone())).collect()
    }

    /// The version of a file that is read for the first time which was accepted before the start.
    ///
    /// By it the file has what it had, whatever the order in which files are read.
    fn remembered(
        &self,
        document: &Document,
        newest: &Arc<Loaded>,
        context: &Context<'_>,
    ) -> Option<Remembered> {
        let path = &document.path;
        if self.by_path.contains_key(path) {
            return None;
        }
        let text = self.good_texts.get(path)?.as_bytes();
        let loaded = match &document.content {
            Content::Text(bytes) if **bytes == *text => Arc::clone(newest),
            _ => Arc::new(config::load(
                &Document { path: Arc::clone(path), content: Content::Text(text.into()) },
                context,
            )),
        };
        // What it names may not be there: then it keeps what it had, closed.
        let is_whole = loaded.gateway.is_some();
        let version = if is_whole { Some(loaded) } else { closed(&loaded) };
        version.map(|version| Remembered { version, is_whole })
    }

    /// A file has a new version.
    fn put(
        &mut self,
        path: &Arc<str>,
        newest: Arc<Loaded>,
        document: Document,
        remembered: Option<Remembered>,
        now: Timestamp,
    ) {
        let previous = self.by_path.remove(path);
        if let Some(since) = previous.as_ref().and_then(|p| p.vanished) {
            self.vanished.remove(&(since, Arc::clone(path)));
        }
        previous.iter().for_each(|p| self.refers_no_more(path, &p.newest));
        for reference in &newest.references {
            self.referring.entry(reference.clone()).or_default().insert(Arc::clone(path));
            self.expiries.look(reference, self.attached.get(reference));
        }
        let arrival = previous.as_ref().map_or_else(
            || {
                self.arrivals += 1;
                self.arrivals
            },
            |p| p.arrival,
        );
        let since = previous.as_ref().filter(|p| p.vanished.is_none()).map_or(now, |p| p.since);
        let keeps = previous.as_ref().map_or_else(
            || remembered.as_ref().is_some_and(|remembered| !remembered.is_whole),
            |p| p.keeps_closed,
        );
        let good = previous.and_then(|p| p.good).or(remembered.map(|remembered| remembered.version));
        let good = last_good(good, &newest);
        let keeps_closed = keeps && good.as_deref().is_some_and(is_kept_closed);
        let tag = match &document.content {
            Content::Text(bytes) => Some(Version::of(bytes).tag().into()),
            _ => None,
        };
        let (conflicts, vanished) = (Vec::new(), None);
        let file = File { document, newest, good, keeps_closed, conflicts, arrival, since, vanished, tag };
        self.by_path.insert(Arc::clone(path), file);
        self.claim(path);
    }

    fn refers_no_more(&mut self, path: &Arc<str>, loaded: &Loaded) {
        for reference in &loaded.references {
            if let Some(paths) = self.referring.get_mut(reference) {
                paths.remove(path);
                if paths.is_empty() {
                    self.referring.remove(reference);
                    self.expiries.forget(reference);
                }
            }
        }
    }

    /// Says what a file claims, now that its versions have changed.
    fn claim(&mut self, path: &Arc<str>) {
        let file = self.by_path.get(path);
        let versions = file.into_iter().flat_map(|f| [Some(&f.newest), f.good.as_ref()]).flatten();
        self.claims.set(path, versions.filter_map(|loaded| loaded.gateway.as_deref()));
    }

    /// Lets files meet, all that claim anything in common: finds who claims what another has, and remembers the good ones.
    ///
    /// A file that is in conflict goes back to its last good version, which may claim what yet another file wants;
    /// so they meet again, until nobody goes back any more.
    fn meet(&mut self, paths: &BTreeSet<Arc<str>>) {
        for path in paths {
            if let Some(file) = self.by_path.get_mut(path) {
                file.conflicts.clear();
            }
        }
        loop {
            let present = self.present(paths);
            let order = self.in_order(paths);
            let order: Vec<(&Arc<str>, Claimant<'_>)> =
                order.filter_map(|(path, f)| Some((path, claimant(f, f.candidate(), &present)?))).collect();
            let claimants: Vec<Claimant<'_>> = order.iter().map(|(_, claimant)| *claimant).collect();
            let mut found: BTreeMap<Arc<str>, Vec<Diagnostic>> = BTreeMap::new();
            for (index, diagnostic) in config::conflicts_among(&claimants) {
                if let Some((path, _)) = order.get(index) {
                    found.entry(Arc::clone(path)).or_default().push(diagnostic);
                }
            }
            let (mut again, mut succeeded) = (false, Vec::new());
            for (path, diagnostics) in found {
                let Some(file) = self.by_path.get_mut(&path) else { continue };
                if file.is_vanished() {
                    succeeded.push(path);
                } else if file.newest.gateway.is_some() && file.conflicts.is_empty() {
                    file.conflicts = diagnostics;
                    again = true;
                }
                // One that is itself a fallback gives way without a word.
            }
            if again {
                continue;
            }
            // What a missing file had is another's for good: there is nothing left to come back to.
            for path in succeeded {
                if self.by_path.get_mut(&path).is_some_and(|file| file.good.take().is_some()) {
                    self.succeeded.insert(path);
                }
            }
            break;
        }
        for path in paths {
            let has_won =
                |f: &&mut File| f.conflicts.is_empty() && f.newest.gateway.is_some() && !f.is_vanished();
            if let Some(file) = self.by_path.get_mut(path).filter(has_won) {
                if !file.good.as_ref().is_some_and(|good| Arc::ptr_eq(good, &file.newest)) {
                    file.good = Some(Arc::clone(&file.newest));
                    self.accepted.insert(Arc::clone(path));
                }
                self.claim(path);
            }
        }
    }

    /// The names that those of some files want which are there.
    fn present(&self, paths: &BTreeSet<Arc<str>>) -> Successors<'_> {
        let files = paths.iter().filter_map(|path| self.by_path.get(path)).filter(|f| !f.is_vanished());
        let wanted = files.filter_map(|file| Some((file.candidate()?, file.since)));
        wanted.filter_map(|(wants, since)| Some((wants.name.as_ref()?, (wants.as_ref(), since)))).collect()
    }

    /// Files by [`File::precedence`], then in the order in which they were first read.
    fn in_order(&self, paths: &BTreeSet<Arc<str>>) -> impl Iterator<Item = (&Arc<str>, &File)> {
        let mut files: Vec<_> = paths.iter().filter_map(|path| self.by_path.get_key_value(path)).collect();
        files.sort_by_key(|(_, f)| (f.precedence(), f.arrival));
        files.into_iter()
    }

    /// What should be served of some files, with all that claim anything in common: of each the newest version that
    /// can be. A last good version whose place was taken meanwhile gives way.
    pub(super) fn settle(&self, files: BTreeSet<Arc<str>>) -> Settled {
        let present = self.present(&files);
        let good = self
            .in_order(&files)
            .filter_map(|(path, f)| Some((path, claimant(f, f.good.as_ref(), &present)?)));
        let (paths, claimants): (Vec<&Arc<str>>, Vec<Claimant<'_>>) = good.unzip();
        let losers: BTreeSet<usize> =
            config::conflicts_among(&claimants).into_iter().map(|(i, _)| i).collect();
        let chosen = paths
            .into_iter()
            .zip(claimants)
            .enumerate()
            .filter(|(i, _)| !losers.contains(i))
            .filter_map(|(_, (path, Claimant { wants, .. }))| {
                let gateway = wants.gateway.clone()?;
                Some((gateway.name.clone(), Chosen { file: path.clone(), gateway }))
            })
            .collect();
        Settled { files, chosen }
    }

    /// Forgets files that have been gone for [`GRACE`], and gives what they had to those that want it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Outcome {
        let mut outcome = Outcome::default();
        if self.all_vanished {
            return outcome;
        }
        let is_over = |(since, _): &&(Timestamp, Arc<str>)| now.since(*since) >= GRACE;
        let gone: Vec<_> = self.vanished.iter().take_while(is_over).cloned().collect();
        let around = self.claims.around(&gone.iter().map(|(_, path)| path.clone()).collect());
        let broken = self.broken(&around);
        for entry in gone {
            self.vanished.remove(&entry);
            let (_, path) = entry;
            if let Some(file) = self.by_path.remove(&path) {
                self.refers_no_more(&path, &file.newest);
            }
            self.claim(&path);
            self.accepted.insert(path);
        }
        self.conclude(&mut outcome, &broken, around);
        outcome
    }

    /// When the next file is forgotten.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let soonest = self.vanished.first().map(|(since, _)| *since);
        soonest.filter(|_| !self.all_vanished).map(|since| since.plus(GRACE))
    }
}
