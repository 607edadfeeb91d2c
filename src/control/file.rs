//! One gateway file: its versions, and what it may claim beside others.

use crate::clock::Timestamp;
use crate::config::{Claimant, Content, Document, Loaded};
use crate::diag::{Diagnostic, Severity};
use crate::model::Authentication;
use crate::names::GatewayName;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct File {
    pub(super) document: Document,
    pub(super) newest: Arc<Loaded>,
    /// The newest version that could be used, and is served while `newest` cannot be.
    pub(super) good: Option<Arc<Loaded>>,
    /// `good` is only kept closed, since what it names was not there as Serin began; it holds what it had all the same.
    pub(super) keeps_closed: bool,
    /// The problems that `newest` has with other files.
    pub(super) conflicts: Vec<Diagnostic>,
    pub(super) arrival: u64,
    /// Since when it is there.
    pub(super) since: Timestamp,
    pub(super) vanished: Option<Timestamp>,
    /// The entity tag of the newest version; `None`: nothing is known of its bytes.
    pub(super) tag: Option<Arc<str>>,
}

impl File {
    /// Everything that is wrong or suspicious about the newest version.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.newest.diagnostics.iter().chain(&self.conflicts)
    }

    /// Whether users or keys of before go on to count, since those of now are wrong.
    pub(super) fn lets_in_as_before(&self) -> bool {
        let good = self.good.as_ref().and_then(|good| good.gateway.as_ref());
        let is_locked = good.is_some_and(|gateway| {
            !matches!(gateway.authentication, Authentication::None | Authentication::Closed)
        });
        let is_about_it = |d: &Diagnostic| d.severity == Severity::Error && d.code.as_str().starts_with('A');
        is_locked && self.newest.diagnostics.iter().any(is_about_it)
    }

    /// The entity tag of what is on disk.
    pub(super) fn tag(&self) -> Option<&Arc<str>> {
        self.tag.as_ref().filter(|_| !self.is_vanished())
    }

    /// The text of the newest version, if it is good.
    pub(super) fn good_text(&self) -> Option<&str> {
        let good = self.good.as_ref().filter(|good| Arc::ptr_eq(good, &self.newest))?;
        match &self.document.content {
            Content::Text(bytes) if good.gateway.is_some() => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Whether the newest version cannot be used.
    pub(super) fn is_broken(&self) -> bool {
        self.diagnostics().any(|d| d.severity == Severity::Error)
    }

    /// The newest version that can be used, if it were alone.
    pub(super) fn usable(&self) -> Option<&Arc<Loaded>> {
        if self.newest.gateway.is_some() { Some(&self.newest) } else { self.good.as_ref() }
    }

    /// The version that takes part in the resolution of conflicts: the last good one once the newest has lost, or is gone.
    pub(super) fn candidate(&self) -> Option<&Arc<Loaded>> {
        if self.conflicts.is_empty() && !self.is_vanished() { self.usable() } else { self.good.as_ref() }
    }

    /// The version by which the file holds its name and routes: one that was accepted, and not only kept closed. What a missing
    /// file kept closed stays so for the grace.
    pub(super) fn accepted(&self) -> Option<&Loaded> {
        self.good.as_deref().filter(|good| self.is_vanished() || self.keeps_closed || !is_kept_closed(good))
    }

    /// Returns the class of precedence among files that want what none of them holds, the first class first: a gateway
    /// with authentication comes before an open one.
    pub(super) fn precedence(&self) -> (bool, bool) {
        (self.is_vanished(), self.candidate().is_none_or(|candidate| is_open(candidate)))
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

/// Where nothing good is known of a gateway that is for some only, its place is kept, closed: otherwise its requests
/// would fall through to a gateway with a shorter path, which may be open.
pub(super) fn closed(newest: &Loaded) -> Option<Arc<Loaded>> {
    let gateway = newest.closed.clone()?;
    Some(Arc::new(Loaded { gateway: Some(gateway), diagnostics: Vec::new(), ..newest.clone() }))
}

pub(super) fn is_open(loaded: &Loaded) -> bool {
    loaded.gateway.as_ref().is_none_or(|gateway| gateway.authentication == Authentication::None)
}

pub(super) fn is_kept_closed(loaded: &Loaded) -> bool {
    loaded.gateway.as_ref().is_some_and(|gateway| gateway.authentication == Authentication::Closed)
}

/// What is served while the newest version cannot be. A place that is only kept closed moves with its file.
pub(super) fn last_good(good: Option<Arc<Loaded>>, newest: &Loaded) -> Option<Arc<Loaded>> {
    match good {
        Some(good) if !is_kept_closed(&good) => Some(good),
        good => closed(newest).or(good),
    }
}

/// The version of a file that was accepted before Serin began.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) version: Arc<Loaded>,
    /// Else it is only kept closed.
    pub(super) is_whole: bool,
}

/// What files that are there want, by the name of its gateway, and since when they are there.
pub(super) type Successors<'a> = BTreeMap<&'a GatewayName, (&'a Loaded, Timestamp)>;

/// Makes a file take part with one of its versions.
///
/// A file that is missing holds what it had for [`GRACE`](super::GRACE), since editors and deployments replace a file by removing
/// it for a moment. A file that came since and wants the same name and routes succeeds it at once, as after a rename, unless it would
/// open them; one that was there before, such as a copy, waits.
pub(super) fn claimant<'a>(
    file: &'a File,
    wants: Option<&'a Arc<Loaded>>,
    present: &Successors<'_>,
) -> Option<Claimant<'a>> {
    let is_succeeded = |holds: &&Loaded| {
        let successor = holds.name.as_ref().and_then(|name| present.get(name));
        let gone = file.vanished;
        gone.zip(successor).is_some_and(|(gone, (new, since))| *since >= gone && succeeds(new, holds))
    };
    Some(Claimant { wants: wants?, holds: file.accepted().filter(|holds| !is_succeeded(holds)) })
}

fn succeeds(successor: &Loaded, holds: &Loaded) -> bool {
    let (Some(new), Some(old)) = (successor.gateway.as_deref(), holds.gateway.as_deref()) else {
        return false;
    };
    let same_routes = (&new.listener, &new.path, &new.proxies) == (&old.listener, &old.path, &old.proxies)
        && old.hosts.iter().all(|host| new.hosts.contains(host));
    same_routes && (!is_open(successor) || is_open(holds))
}
