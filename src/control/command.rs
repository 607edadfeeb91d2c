//! What operators say to the loop, and its answer.

use crate::config::{Attachment, Document, Reference};
use crate::model::{Switch, Switches};
use crate::names::GatewayName;
use crate::rollout::{Order, Outcome, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What an operator says about a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which.
    pub gateway: GatewayName,
    /// What, who and why.
    pub order: Order,
    /// Said again with the same key, it is not carried out again.
    pub key: Option<String>,
    /// Under which it waits for its answer in the store, where another Serin has handed it on.
    pub ticket: Option<Arc<str>>,
}

/// What it came to: after it was kept, and before any Envoy hears of it.
pub type Reply = Result<Outcome, Refusal>;

/// A gateway file that somebody wants to write.
#[derive(Clone, Debug)]
pub struct Draft {
    /// As it would be read.
    pub document: Document,
    /// What it refers to, as it was found.
    pub attached: BTreeMap<Reference, Attachment>,
    /// The name that its gateway must have; `None`: any.
    pub name: Option<GatewayName>,
}

/// Somebody changed a gateway file through us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Of which gateway.
    pub gateway: Option<GatewayName>,
    /// Who.
    pub by: By,
    /// The sentence for people.
    pub message: String,
}

/// What an operator says about a switch. It takes effect at once, and is kept as soon as the store can.
#[derive(Debug)]
pub struct Throw {
    /// Which.
    pub switch: Switch,
    /// Its position from now on.
    pub on: bool,
    /// Who and why.
    pub by: By,
    /// Is told where all switches stand then, or why nothing was switched.
    pub asker: Asker<Result<Switches, Refusal>>,
    /// Under which it waits for its answer in the store, where another Serin has handed it on.
    pub ticket: Option<Arc<str>>,
}

/// Who did something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// As the journal names them.
    pub actor: String,
    /// In their words.
    pub reason: Option<String>,
}

/// Who waits for the answer. Dropped without an answer, they are told that there is none.
#[derive(Debug)]
pub struct Asker<T = Reply>(oneshot::Sender<T>);

impl<T> Asker<T> {
    /// An asker, and where the answer will be.
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers; whoever no longer waits does not matter.
    pub fn answer(self, reply: T) {
        let _ = self.0.send(reply);
    }
}
