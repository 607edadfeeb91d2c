//! Orders that were carried out, by the keys that came with them: whoever got no answer may ask again with the same
//! key, and nothing is done twice. Several Serins with one store keep them there; of one alone, nothing is known of them
//! after a restart.

use super::command::Command;
use crate::clock::Timestamp;
use crate::rollout::{Outcome, Refusal};
use std::collections::VecDeque;
use std::time::Duration;

/// For how long an answer is kept: longer than anybody tries.
const KEPT: Duration = Duration::from_mins(10);
/// How many are kept at most, of all gateways together; the oldest is forgotten first.
const MAX_KEPT: usize = 1000;

/// The newest orders with a key, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replies(VecDeque<(Timestamp, Command, Outcome)>);

impl Replies {
    /// Keeps what came of an order, if it has a key.
    pub(super) fn keep(&mut self, command: Command, outcome: Outcome, now: Timestamp) {
        if command.key.is_none() {
            return;
        }
        self.0.retain(|(then, ..)| now.since(*then) < KEPT);
        if self.0.len() >= MAX_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, command, outcome));
    }

    /// What all have kept, in place of what was kept here: how long ago, which order, and what came of it, the oldest first.
    pub(super) fn restore(&mut self, kept: Vec<(Duration, Command, Outcome)>, now: Timestamp) {
        self.0 = kept.into_iter().map(|(ago, command, outcome)| (now.minus(ago), command, outcome)).collect();
    }

    /// The answer to an order that was carried out before; `None`: it is new.
    pub(super) fn find(&self, command: &Command, now: Timestamp) -> Option<Result<Outcome, Refusal>> {
        let known = self.0.iter().rev().filter(|(then, ..)| now.since(*then) < KEPT);
        known.map(|(_, before, outcome)| (before, outcome)).find_map(|pair| again(command, pair))
    }
}

/// Whether an order is one that was given before, and then its answer.
pub(super) fn again(
    command: &Command,
    (before, outcome): (&Command, &Outcome),
) -> Option<Result<Outcome, Refusal>> {
    let is_same = command.key.is_some() && command.key == before.key && command.gateway == before.gateway;
    let answer = || if command.order == before.order { Ok(outcome.clone()) } else { Err(Refusal::KeyUsed) };
    is_same.then(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::GatewayName;
    use crate::rollout::{Order, Phase, Verb};
    use crate::weight::Weight;

    fn command(key: &str, verb: Verb) -> Command {
        let order = Order { verb, actor: "ann".to_owned(), reason: None, if_revision: None };
        Command {
            gateway: GatewayName::new("fraud").unwrap(),
            order,
            key: Some(key.to_owned()),
            ticket: None,
        }
    }

    fn outcome(revision: u64) -> Outcome {
        let (phase, weight) = (Phase::Paused, Weight::NONE);
        Outcome { changed: true, kept: true, message: String::new(), revision, phase, weight, patch: None }
    }

    #[test]
    fn an_answer_is_kept_for_some_minutes() {
        let mut replies = Replies::default();
        let (start, pause) = (Timestamp(0), command("a", Verb::Pause));
        assert_eq!(replies.find(&pause, start), None);
        replies.keep(pause.clone(), outcome(7), start);
        assert_eq!(replies.find(&pause, start.plus(Duration::from_mins(9))), Some(Ok(outcome(7))));
        assert_eq!(replies.find(&command("b", Verb::Pause), start), None);
        assert_eq!(replies.find(&command("a", Verb::Abort), start), Some(Err(Refusal::KeyUsed)));
        assert_eq!(replies.find(&pause, start.plus(KEPT)), None);
    }

    #[test]
    fn so_many_are_kept_and_none_without_a_key() {
        let mut replies = Replies::default();
        for number in 0..=MAX_KEPT {
            replies.keep(command(&number.to_string(), Verb::Pause), outcome(1), Timestamp(0));
        }
        assert_eq!(replies.find(&command("0", Verb::Pause), Timestamp(0)), None);
        assert_eq!(replies.find(&command("1", Verb::Pause), Timestamp(0)), Some(Ok(outcome(1))));
        let nameless = Command { key: None, ..command("", Verb::Pause) };
        replies.keep(nameless.clone(), outcome(1), Timestamp(0));
        assert_eq!((replies.0.len(), replies.find(&nameless, Timestamp(0))), (MAX_KEPT, None));
    }
}
