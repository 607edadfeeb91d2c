//! Why something was not kept or not found, and what to do about it.

use crate::names::GatewayName;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else changed the state meanwhile.
    #[error("the rollout of gateway {gateway} is at revision {}, not at {}; look at it again and then decide", show(*.found), show(*.expected))]
    Conflict {
        /// Whose state.
        gateway: GatewayName,
        /// The revision that the change was made from.
        expected: Option<u64>,
        /// The one that is kept.
        found: Option<u64>,
    },
    /// It was decided by a Serin that does not lead any more, or never did.
    #[error("another serin leads the rollouts by now, so that nothing of this was kept")]
    Fenced,
    /// Whoever gave an order that is carried out by it does not wait any more.
    #[error(
        "it was too late for an order, whose giver was told that it was not carried out, so that nothing of this was kept"
    )]
    Late,
    /// It cannot be reached, read or written now: a full disk, a file that may only be read, a lost server. The same
    /// may succeed later.
    #[error("{place} cannot be used now: {why}; rollouts wait until it can")]
    Unavailable {
        /// Where it is.
        place: String,
        /// What stands in the way.
        why: String,
    },
    /// What is kept cannot be read.
    #[error(
        "{place} is damaged: {why}; stop Serin, put a backup in its place or move it away, and start again"
    )]
    Corrupt {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer Serin has written it.
    #[error(
        "{place} has format {found} of a newer Serin, and this one knows {known}; run the newer one, or name another store"
    )]
    TooNew {
        /// Where it is.
        place: String,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// Another Serin uses it: two of them would fight over every rollout.
    #[error("{place} is in use by another serin{}; stop that one, or name another store with `--store`", process(*.holder))]
    InUse {
        /// Where it is.
        place: String,
        /// By which process, if that is known.
        holder: Option<u32>,
    },
}

impl Error {
    /// Whether the same may succeed later without a person who looks after the file.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::InUse { .. })
    }
}

fn show(revision: Option<u64>) -> String {
    revision.map_or_else(|| "none".to_owned(), |r| r.to_string())
}

fn process(id: Option<u32>) -> String {
    id.map(|id| format!(" (process {id})")).unwrap_or_default()
}
