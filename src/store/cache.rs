//! What one of several Serins knew last of the store that they share, in a file of its own: for a start while that store
//! cannot be reached.
//!
//! The file is written after the store and never instead of it, so nothing in it was not kept, but for last good texts of
//! this Serin's own files and switches that were thrown at it while nobody led. It is read only at a start without the
//! store, and forgotten as a whole when the store can be read.
//!
//! # How old it may be
//! Others may have decided since it was written: above all they may have taken a canary back. A Serin that runs on without
//! the store serves what it knew, however long that is, and one that starts again is to be no worse than one that ran on.
//! So what counts is how long nobody was here to hear of decisions: while it runs, a Serin stamps the file every few
//! seconds, and one that was away for longer than ten minutes serves the safe state of its files instead, the primary. In
//! the meantime nothing can raise a weight: who cannot reach the store decides nothing.

mod file;

use super::{Commit, Entry, Error, Kept, Query, Restored, Store};
use crate::clock::Timestamp;
use file::File;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a Serin may have been away for what it remembers to be served.
const FRESH: Duration = Duration::from_mins(10);
/// Between two stamps.
const STAMP: Duration = Duration::from_secs(5);

/// What is remembered of a shared store beside what is loaded from it and committed to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Memory {
    /// What another Serin has kept.
    Kept(Kept),
    /// What this Serin knows for itself, as it does not lead.
    Own {
        /// The last good text of gateway files; `None`: forget it.
        documents: BTreeMap<Arc<str>, Option<Arc<str>>>,
        /// Switches that were thrown here.
        switches: BTreeMap<Arc<str>, bool>,
    },
    /// Nothing new: somebody is here to hear it.
    Awake,
}

/// A store, and beside it what was known of it last.
pub(super) struct Cached {
    store: Box<dyn Store>,
    file: File,
    /// When it was stamped last.
    stamped: Option<Timestamp>,
    /// Why the file lacks something, so that it is not stamped until it is whole again.
    failure: Option<Error>,
}

impl Cached {
    /// With a file for what is known of the store, which is known by this name. Without the file, the store alone.
    pub(super) fn over(store: Box<dyn Store>, name: &str, path: &Path) -> Box<dyn Store> {
        match File::open(path, name) {
            Ok(file) => Box::new(Self { store, file, stamped: None, failure: None }),
            Err(error) => {
                let why = match error {
                    Error::InUse { place, .. } => format!(
                        "{place} is another serin's; name one for each with `cache` in the URL of the database"
                    ),
                    other => other.to_string(),
                };
                tracing::warn!("nothing is remembered for a start without the database: {why}");
                store
            }
        }
    }

    /// Notes how a write to the file went; one of everything mends what went wrong before.
    fn written(&mut self, result: Result<(), Error>, is_whole: bool) {
        match result {
            Ok(()) if is_whole => self.failure = None,
            Ok(()) => {}
            Err(error) => {
                if self.failure.as_ref() != Some(&error) {
                    tracing::warn!("not remembered for a start without the database: {error}");
                }
                self.failure = Some(error);
            }
        }
    }
}

impl Store for Cached {
    fn load(&mut self) -> Result<Restored, Error> {
        let restored = self.store.load()?;
        let result = self.file.replace(&restored);
        self.written(result, true);
        Ok(restored)
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        let answers = self.store.commit(commits);
        let kept =
            commits.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(commit, _)| commit);
        let result = self.file.follow(kept);
        self.written(result, false);
        answers
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        self.store.entries(query)
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        match self.store.secret(name, new) {
            Ok(bytes) => {
                let result = self.file.put_secret(name, &bytes);
                self.written(result, false);
                Ok(bytes)
            }
            // A key does not become wrong by being old.
            Err(error @ Error::Unavailable { .. }) => match self.file.secret(name) {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) | Err(_) => Err(error),
            },
            Err(other) => Err(other),
        }
    }

    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        self.store.prune(before, most)
    }

    fn remember(&mut self, what: &Memory, now: Timestamp) {
        let (result, is_whole) = match what {
            Memory::Kept(kept) => (self.file.keep(kept), kept.all),
            Memory::Own { documents, switches } => {
                let own =
                    Commit { documents: documents.clone(), switches: switches.clone(), ..Commit::default() };
                (self.file.follow([&own]), false)
            }
            Memory::Awake => {
                let is_due = self.stamped.is_none_or(|last| now.0.abs_diff(last.0) >= millis(STAMP));
                if !is_due || self.failure.is_some() {
                    return;
                }
                self.stamped = Some(now);
                (self.file.stamp(now), false)
            }
        };
        self.written(result, is_whole);
    }

    fn recall(&mut self, now: Timestamp) -> Option<Restored> {
        let place = self.file.place();
        match self.file.recall() {
            // By either sign: a clock that was set back says nothing about how long it was.
            Ok(Some((restored, stamp))) if now.0.abs_diff(stamp.0) <= millis(FRESH) => {
                tracing::warn!("served is what was known at {stamp}, from {place}");
                Some(restored)
            }
            Ok(Some((_, stamp))) => {
                tracing::warn!("{place} is of {stamp}, and others may have decided since: it is not served");
                None
            }
            Ok(None) => {
                tracing::warn!("{place} holds nothing of this database yet");
                None
            }
            Err(error) => {
                tracing::warn!("nothing is remembered: {error}");
                None
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
