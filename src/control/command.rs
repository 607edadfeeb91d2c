//! What operators say to the loop, and its answer.

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

/// Who waits for the answer. Dropped without an answer, they are told that there is none.
#[derive(Debug)]
pub struct Asker(oneshot::Sender<Reply>);

impl Asker {
    /// An asker, and where the answer will be.
    pub fn new() -> (Self, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers; whoever no longer waits does not matter.
    pub fn answer(self, reply: Reply) {
        let _ = self.0.send(reply);
    }
}
