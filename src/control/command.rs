//! What operators say to the loop, and its answer.

use crate::model::{Switch, Switches};
use crate::names::GatewayName;
use crate::rollout::{Order, Outcome, Refusal};
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
}

/// What it came to: after it was kept, and before any Envoy hears of it.
pub type Reply = Result<Outcome, Refusal>;

/// What an operator says about a switch. It takes effect at once, and is kept as soon as the store can.
#[derive(Debug)]
pub struct Throw {
    /// Which.
    pub switch: Switch,
    /// Its position from now on.
    pub on: bool,
    /// Who and why.
    pub by: By,
    /// Is told where all switches stand then, or who is to be asked instead.
    pub asker: Asker<Result<Switches, String>>,
}

/// Who did something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
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
