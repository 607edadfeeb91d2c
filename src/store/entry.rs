//! The journal: what happened, in sentences.

use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::weight::Weight;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Who gets which share, as a journal remembers it.
pub type Weights = BTreeMap<UpstreamName, Weight>;

/// What kind of thing happened: a word of the writer's, such as `changed`, in lower case and with hyphens. What a newer
/// version wrote is read as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// A word that is known.
    pub const fn new(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// A word that was read.
    pub fn read(word: String) -> Self {
        Self(Cow::Owned(word))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something for the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewEntry {
    /// When.
    pub time: Timestamp,
    /// What it concerns; `None`: more than one gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayName>,
    /// What kind of thing.
    pub kind: Kind,
    /// Who or what did it: `file`, `engine`, `envoy`, or an operator.
    pub actor: String,
    /// The sentence for people.
    pub message: String,
    /// Why, in the actor's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The weights before, where they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Weights>,
    /// The weights after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Weights>,
    /// The revision of the rollout's state that came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// More, for programs; null where there is nothing more.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Something in the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Counts up over all gateways, never back and never twice; some numbers may be left out.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: NewEntry,
}

/// Which entries to read, oldest first unless `newest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Only of this gateway; `None`: of all.
    pub gateway: Option<GatewayName>,
    /// Only of these kinds; empty: of all.
    pub kinds: BTreeSet<Kind>,
    /// Only those that changed a rollout's state.
    pub with_revision: bool,
    /// Only with a larger sequence.
    pub after: u64,
    /// Only with a smaller sequence.
    pub before: Option<u64>,
    /// Of those that match, the newest ones count rather than the oldest.
    pub newest: bool,
    /// How many at most.
    pub limit: usize,
}

impl Default for Query {
    /// All there is.
    fn default() -> Self {
        Self {
            gateway: None,
            kinds: BTreeSet::new(),
            with_revision: false,
            after: 0,
            before: None,
            newest: false,
            limit: usize::MAX,
        }
    }
}
