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
//!
//! Only who serves what the file says stamps it. One that was refused would otherwise be fresh a moment later, and the
//! next start would raise the weight from the primary to what others may have taken back. So ten minutes are the longest
//! in one piece for which nobody was here; a Serin that ran without the store was, and heard nothing.

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
/// Between two attempts to write everything again.
const MEND: Duration = Duration::from_mins(1);

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
    /// Whether the file is about what this Serin knows: it was read from the store, or is served in its place.
    is_current: bool,
    /// When it was stamped last.
    stamped: Option<Timestamp>,
    /// Whether the file lacks something, so that it is not stamped until it is whole again.
    is_lacking: bool,
    /// When everything was to be written again last.
    mended: Option<Timestamp>,
    /// Last good texts that only this Serin knows.
    own: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// Why the last write failed, which is said once.
    failure: Option<Error>,
}

impl Cached {
    /// With a file for what is known of the store, which is known by this name. Without the file, the store alone.
    pub(super) fn over(store: Box<dyn Store>, name: &str, path: &Path) -> Box<dyn Store> {
        match File::open(path, name) {
            Ok(file) => Box::new(Self {
                store,
                file,
                is_current: false,
                stamped: None,
                is_lacking: false,
                mended: None,
                own: BTreeMap::new(),
                failure: None,
            }),
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

    /// Whether a write to the file succeeded; says why not.
    fn is_written(&mut self, result: Result<(), Error>) -> bool {
        let failure = result.err();
        if let Some(error) = &failure
            && self.failure.as_ref() != Some(error)
        {
            tracing::warn!("not remembered for a start without the database: {error}");
        }
        self.failure = failure;
        self.failure.is_none()
    }

    /// Somebody is here to hear of changes, and the file has all that was heard.
    fn stamp(&mut self, now: Timestamp) {
        if self.is_lacking && is_due(self.mended, MEND, now) {
            self.mended = Some(now);
            if let Err(error) = self.load() {
                tracing::debug!("what is remembered still lacks something: {error}");
            }
        }
        if self.is_current && !self.is_lacking && is_due(self.stamped, STAMP, now) {
            self.stamped = Some(now);
            let result = self.file.stamp(now);
            // The next one is tried soon, and nothing else is lost.
            self.is_written(result);
        }
    }

    /// Others may go on with a store that this Serin cannot use any more, so what it knows grows old for good.
    fn hear(&mut self, error: &Error) {
        if matches!(error, Error::Corrupt { .. } | Error::TooNew { .. }) {
            (self.is_current, self.is_lacking) = (false, true);
        }
    }
}

impl Store for Cached {
    fn load(&mut self) -> Result<Restored, Error> {
        let restored = self.store.load().inspect_err(|error| self.hear(error))?;
        let own = Commit { documents: self.own.clone(), ..Commit::default() };
        let result = self.file.replace(&restored).and_then(|()| self.file.follow([&own]));
        (self.is_current, self.is_lacking) = (true, !self.is_written(result));
        Ok(restored)
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        let answers = self.store.commit(commits);
        let (mut kept, mut refused) = (Vec::new(), Vec::new());
        for (commit, answer) in commits.iter().zip(&answers) {
            match answer {
                Ok(_) => kept.push(commit),
                Err(error) => refused.push(error),
            }
        }
        refused.into_iter().for_each(|error| self.hear(error));
        kept.iter().flat_map(|commit| commit.documents.keys()).for_each(|path| drop(self.own.remove(path)));
        // Before it is served, so that no restart goes back behind what was; and nothing here waits for anybody.
        let result = self.file.follow(kept);
        self.is_lacking |= !self.is_written(result);
        answers
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        self.store.entries(query).inspect_err(|error| self.hear(error))
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        match self.store.secret(name, new) {
            Ok(bytes) => {
                let result = self.file.put_secret(name, &bytes);
                self.is_written(result);
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
        match what {
            Memory::Kept(kept) => {
                let result = self.file.keep(kept);
                let is_written = self.is_written(result);
                // All states, but not the documents: what else it lacks is written again with them.
                self.is_current |= is_written && kept.all;
                self.is_lacking |= !is_written;
            }
            Memory::Own { documents, switches } => {
                self.own.extend(documents.clone());
                let own =
                    Commit { documents: documents.clone(), switches: switches.clone(), ..Commit::default() };
                let result = self.file.follow([&own]);
                self.is_lacking |= !self.is_written(result);
            }
            Memory::Awake => self.stamp(now),
        }
    }

    fn recall(&mut self, now: Timestamp) -> Option<Restored> {
        let place = self.file.place().to_owned();
        match self.file.recall() {
            // By either sign: a clock that was set back says nothing about how long it was.
            Ok(Some((restored, stamp))) if now.0.abs_diff(stamp.0) <= millis(FRESH) => {
                tracing::warn!("served is what was known at {stamp}, from {place}");
                self.is_current = true;
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

/// Whether it is that long ago, or was never.
fn is_due(last: Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| now.0.abs_diff(last.0) >= millis(every))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
