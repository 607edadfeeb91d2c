//! What is kept at once, and what is found again.

use super::NewEntry;
use super::measured::Mark;
use crate::names::GatewayName;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Changes that are kept together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// The fencing token under which it was decided, where several Serins share a store: it is kept only as long as that
    /// is the newest one. `None` where there is only one.
    pub token: Option<u64>,
    /// Of rollouts; each gateway at most once.
    pub states: Vec<StateChange>,
    /// For the journal.
    pub entries: Vec<NewEntry>,
    /// The last good text of gateway files by their path below the watched directory; `None`: forget it.
    pub documents: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// Positions of switches by their names.
    pub switches: BTreeMap<Arc<str>, bool>,
    /// Answers to orders that were carried out by this, where several Serins share a store.
    pub settled: Vec<Settled>,
    /// The rows of other Serins that are in the evidence of these states, or count for nothing: they are removed. Only
    /// where several share a store.
    pub taken: Vec<Mark>,
}

/// An order that was carried out, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Under which it waits for its answer; `None`: it was given to the one that carried it out.
    pub ticket: Option<Arc<str>>,
    /// The order, as it is handed on.
    pub paper: String,
    /// Whether it has a key, under which it may be given again.
    pub is_keyed: bool,
    /// What is answered.
    pub answer: String,
    /// Whether the commit is refused where nobody waits for the answer any more.
    pub is_binding: bool,
}

/// How the state of one gateway's rollout changes.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// Whose.
    pub gateway: GatewayName,
    /// The revision that must be kept now; `None`: there must be none.
    pub expected: Option<u64>,
    /// The revision from now on.
    pub revision: u64,
    /// The state from now on; `None`: forget it.
    pub state: Option<Value>,
}

/// States that another Serin may have kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Whether these are all there are; otherwise they are those that changed.
    pub all: bool,
    /// The revision and the state of rollouts; `None`: it was forgotten.
    pub states: BTreeMap<GatewayName, Option<(u64, Value)>>,
    /// Positions of all switches that were ever thrown.
    pub switches: BTreeMap<Arc<str>, bool>,
    /// Where these are all there are: how long ago orders with a key were carried out, the orders, and their answers, the
    /// oldest first.
    pub replies: Vec<(Duration, String, String)>,
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The revision and the state of every rollout.
    pub states: BTreeMap<GatewayName, (u64, Value)>,
    /// The last good text of gateway files.
    pub documents: BTreeMap<Arc<str>, Arc<str>>,
    /// Positions of the switches that were ever thrown.
    pub switches: BTreeMap<Arc<str>, bool>,
}
