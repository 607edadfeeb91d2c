//! What a transition tells people: for the journal, the log and whoever wants to be notified.

use super::{Phase, State};
use crate::clock::Timestamp;
use crate::names::UpstreamName;
use crate::weight::Weight;
use std::collections::BTreeMap;

/// Something that happened to a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// What kind of thing.
    pub kind: EntryKind,
    /// Who or what did it: [`ENGINE`](super::ENGINE), [`FILE`](super::FILE), or an operator.
    pub actor: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The sentence for people.
    pub message: String,
    /// Where the rollout stands now.
    pub phase: Phase,
    /// The weights before; `None`: there was no rollout.
    pub before: Option<BTreeMap<UpstreamName, Weight>>,
    /// The weights after; `None`: there is no rollout any more.
    pub after: Option<BTreeMap<UpstreamName, Weight>>,
    /// The revision that came of it.
    pub revision: u64,
}

/// The kinds of [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A release begins.
    Started,
    /// The canary has its first share, or the next.
    Advanced,
    /// It stays where it is.
    Holding,
    /// What held it is over.
    Progressing,
    /// Somebody has to say how to go on.
    Paused,
    /// Somebody said to go on.
    Resumed,
    /// An operator chose the weight.
    WeightSet,
    /// An operator took back a change of the weight.
    Undone,
    /// The last step is done.
    Baking,
    /// The release has succeeded.
    Promoted,
    /// The canary has lost its traffic.
    RolledBack,
    /// A release that was rolled back begins again.
    Retried,
    /// There is nothing to release any more, or no rollout.
    Ended,
}

impl EntryKind {
    /// The word of the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Holding => "holding",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::WeightSet => "weight-set",
            Self::Undone => "undone",
            Self::Baking => "baking",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Retried => "retried",
            Self::Ended => "ended",
        }
    }
}

/// Who does something, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    pub(super) actor: &'a str,
    pub(super) reason: Option<&'a str>,
}

/// What an input leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The state from now on.
    pub state: State,
    /// What people are told; empty when only evidence was added.
    pub entries: Vec<Entry>,
}

impl Transition {
    /// To a state that differs in more than its evidence: it gets the next revision, and people are told.
    pub(super) fn tell(
        before: Option<&State>,
        mut state: State,
        (kind, by, message): (EntryKind, By<'_>, String),
        now: Timestamp,
    ) -> Self {
        state.revision = before.map_or(0, |b| b.revision) + 1;
        if before.is_none_or(|b| b.phase != state.phase) {
            state.since = now;
        }
        let is_new =
            before.is_none_or(|b| b.began != state.began || !b.identity.is_release_of(&state.identity));
        if is_new {
            state.weights.clear();
        }
        if is_new || before.is_none_or(|b| b.weight != state.weight) {
            state.record(now);
        }
        state.sentence.clone_from(&message);
        let entry = Entry {
            time: now,
            kind,
            actor: by.actor.to_owned(),
            reason: by.reason.map(str::to_owned),
            message,
            phase: state.phase,
            before: before.map(State::weights),
            after: Some(state.weights()),
            revision: state.revision,
        };
        Self { state, entries: vec![entry] }
    }
}
