//! What an operator may say, and what comes back.

use super::Phase;
use crate::names::GatewayName;
use crate::weight::Weight;
use serde::{Deserialize, Serialize};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The next step, now; after the last one the end.
    Promote {
        /// All traffic to the canary, now and for good.
        full: bool,
    },
    /// All traffic to the primary, for good.
    Abort,
    /// Stay here.
    Pause,
    /// Go on by itself.
    Resume,
    /// Begin again after a roll-back.
    Retry,
    /// This share to the canary, then pause.
    SetWeight(Weight),
    /// Take back the last change of the weight, then pause; a finished release is taken back as a whole.
    Undo {
        /// The weight as it was at this revision, instead.
        to_revision: Option<u64>,
    },
}

impl Verb {
    /// The word of the command line and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promote { .. } => "promote",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::SetWeight(_) => "set-weight",
            Self::Undo { .. } => "undo",
        }
    }
}

/// What an operator says about one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// What to do.
    pub verb: Verb,
    /// Who says so.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Only if the rollout is still at this revision.
    pub if_revision: Option<u64>,
}

/// What an order came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Whether anything is different now.
    pub changed: bool,
    /// Whether it lasts; else it acts at the Envoys of one Serin only, until that has kept it or is restarted.
    #[serde(default = "yes")]
    pub kept: bool,
    /// What was done, or why there was nothing to do, in a sentence.
    pub message: String,
    /// The revision of the rollout now.
    pub revision: u64,
    /// Where the rollout stands now.
    pub phase: Phase,
    /// The canary's share now, in percent.
    pub weight: Weight,
    /// What the user should now change in the gateway file, as YAML; no traffic moves by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// What is said by a Serin that carries out nothing before it is kept.
const fn yes() -> bool {
    true
}

/// Why an order is not carried out. The texts are for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is no such gateway.
    #[error("there is no gateway {0}")]
    UnknownGateway(GatewayName),
    /// The gateway has no rollout.
    #[error("gateway {0} has no `rollout`: its file owns the weights")]
    NoRollout(GatewayName),
    /// The phase does not allow it.
    #[error("`{verb}` is not possible in phase {phase}: {why}")]
    NotNow {
        /// The word of the order.
        verb: String,
        /// Where the rollout stands.
        phase: Phase,
        /// Why that does not go together, and what does.
        why: String,
    },
    /// Somebody else changed the rollout meanwhile.
    #[error("the rollout is at revision {found}, not at {expected}; look at it again and then decide")]
    Conflict {
        /// The revision that the order was made for.
        expected: u64,
        /// The one that it is at.
        found: u64,
    },
    /// There is no way back to this revision.
    #[error("revision {revision} is none that one can go back to: {why}")]
    Revision {
        /// The one asked for.
        revision: u64,
        /// What there is instead.
        why: String,
    },
    /// The key was used for another order.
    #[error("this `Idempotency-Key` came with another order before; every order has a key of its own")]
    KeyUsed,
    /// It could not be kept, so it is not done.
    #[error("nothing was changed: {0}")]
    Store(String),
    /// Another control plane decides, or nobody does at the moment, and nothing was done here.
    #[error("nothing was changed: {0}")]
    Elsewhere(String),
    /// Whether it was kept is not known, here or at another control plane that decides.
    #[error(
        "it is not known whether this was carried out: {0}; look before you give the order again, or give it again with the same `Idempotency-Key`"
    )]
    Unknown(String),
    /// The same of a switch.
    #[error(
        "it is not known whether this was switched: {0}; look where the switch stands before you throw it again"
    )]
    UnknownSwitch(String),
}
