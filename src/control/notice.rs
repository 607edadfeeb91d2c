//! What others want to be told of a gateway, and to whom it goes.

use crate::clock::Timestamp;
use crate::model::{Notify, Occasion};
use crate::names::GatewayName;
use crate::rollout::{Entry, EntryKind, Phase, State};
use crate::weight::Weight;

/// Something that somebody wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it happened.
    pub time: Timestamp,
    /// Where.
    pub gateway: GatewayName,
    /// What kind of thing.
    pub occasion: Occasion,
    /// Who or what did it.
    pub actor: String,
    /// Why, in an operator's words.
    pub reason: Option<String>,
    /// The sentence for people.
    pub message: String,
    /// The release that it is about.
    pub release: Option<Release>,
    /// Who is told; at least one, and the secrets are masked.
    pub to: Vec<Notify>,
}

/// A release, as a message tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Where it stands.
    pub phase: Phase,
    /// The upstream that serves.
    pub primary: String,
    /// The upstream that should serve.
    pub canary: String,
    /// The canary's share.
    pub weight: Weight,
    /// Which decision it is.
    pub revision: u64,
}

impl Release {
    pub(super) fn of(state: &State) -> Self {
        Self {
            phase: state.phase,
            primary: state.identity.primary.name.to_string(),
            canary: state.identity.canary.name.to_string(),
            weight: state.weight,
            revision: state.revision,
        }
    }
}

impl Notice {
    /// What is told of an entry of the journal; `None`: nobody wants it.
    pub(super) fn of(
        gateway: &GatewayName,
        entry: &Entry,
        state: Option<&State>,
        notify: &[Notify],
    ) -> Option<Self> {
        let occasion = occasion(entry.kind);
        let release = state.map(|state| Release { phase: entry.phase, ..Release::of(state) });
        Some(Self {
            time: entry.time,
            gateway: gateway.clone(),
            occasion,
            actor: entry.actor.clone(),
            reason: entry.reason.clone(),
            message: entry.message.clone(),
            release,
            to: who(notify, occasion)?,
        })
    }
}

/// Who wants to be told; `None`: nobody.
pub(super) fn who(notify: &[Notify], occasion: Occasion) -> Option<Vec<Notify>> {
    let to: Vec<Notify> = notify.iter().filter(|n| n.on.contains(&occasion)).cloned().collect();
    (!to.is_empty()).then_some(to)
}

fn occasion(kind: EntryKind) -> Occasion {
    match kind {
        EntryKind::Started => Occasion::Started,
        EntryKind::Advanced => Occasion::Advanced,
        EntryKind::Holding => Occasion::Holding,
        EntryKind::Progressing => Occasion::Progressing,
        EntryKind::Paused => Occasion::Paused,
        EntryKind::Resumed => Occasion::Resumed,
        EntryKind::WeightSet => Occasion::WeightSet,
        EntryKind::Undone => Occasion::Undone,
        EntryKind::Baking => Occasion::Baking,
        EntryKind::Promoted => Occasion::Promoted,
        EntryKind::RolledBack => Occasion::RolledBack,
        EntryKind::Retried => Occasion::Retried,
        EntryKind::Ended => Occasion::Ended,
    }
}
