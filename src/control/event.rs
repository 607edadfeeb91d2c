//! What the loop is told, and what it has to say.

use super::{Fetch, Fetched};
use crate::clock::Timestamp;
use crate::config::{Attachment, Document, Reference};
use crate::names::GatewayName;
use crate::xds::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// Files are there, have changed or are gone. The first one of a run holds all files.
    Files(Changes),
    /// An Envoy took or refused something.
    Verdict(Verdict),
    /// Something of a token issuer or a provider of logins was fetched, or could not be.
    Fetched {
        /// What was wanted.
        what: Fetch,
        /// What there was, of the same kind, or why there is none.
        result: Result<Fetched, String>,
    },
    /// A deadline of [`World::deadline`](super::World::deadline) has come.
    Tick,
}

/// How the watched files differ from what was told before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Gateway files by their path below the watched directory; `None`: gone.
    pub documents: BTreeMap<Arc<str>, Option<Document>>,
    /// What gateway files or settings refer to, which is read with them.
    pub attached: BTreeMap<Reference, Attachment>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.attached.is_empty()
    }
}

/// Something worth telling people: logged, counted and streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Counts up by one for each note since the start, from 1.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What it concerns; `None`: more than one gateway.
    pub gateway: Option<GatewayName>,
    /// What kind of thing happened.
    pub kind: NoteKind,
    /// A sentence for people.
    pub message: String,
}

/// The kinds of [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// A gateway serves for the first time.
    Loaded,
    /// A gateway serves a new version.
    Changed,
    /// A gateway no longer serves.
    Removed,
    /// The newest version of a file cannot be used.
    Invalid,
    /// A file that could not be used can be used again.
    Repaired,
    /// A file is gone; its gateway serves on for a while.
    Vanished,
    /// Envoys refuse a gateway.
    Refused,
    /// Somebody should look.
    Alarm,
}

impl NoteKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Invalid => "invalid",
            Self::Repaired => "repaired",
            Self::Vanished => "vanished",
            Self::Refused => "refused",
            Self::Alarm => "alarm",
        }
    }
}
