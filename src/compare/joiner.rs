//! Brings the two answers of a request together. What waits is bounded in number, in bytes and in time.

use super::answer::Answer;
use super::difference::Reason;
use crate::clock::Timestamp;
use crate::translate::Leg;
use std::collections::BTreeMap;

/// The most answers that wait for the other one.
pub const MOST: usize = 16_384;
/// The most bytes that they hold together; less than all answers may have, so that others still come in.
pub const BYTES: usize = 16 << 20;

/// The answers that wait.
#[derive(Debug)]
pub struct Joiner {
    halves: BTreeMap<Key, Half>,
    /// By the moment until which they wait.
    order: BTreeMap<(Timestamp, u64), Key>,
    bytes: usize,
    sequence: u64,
    most: usize,
    most_bytes: usize,
}

/// A request, and under which rules its answers are compared: those of other rules are no pair.
type Key = (u64, Box<str>);

#[derive(Debug)]
struct Half {
    answer: Answer,
    until: Timestamp,
    sequence: u64,
}

/// What an answer came to.
#[derive(Debug)]
pub enum Joined {
    /// It waits for the other one.
    Waits,
    /// Both are there.
    Pair {
        /// The client's.
        live: Answer,
        /// The copy's.
        shadow: Answer,
    },
    /// The same side has answered before.
    Duplicate(Answer),
}

/// An answer whose other half never came.
#[derive(Debug)]
pub struct Alone {
    /// Under which rules.
    pub rules: u64,
    /// The answer.
    pub answer: Answer,
    /// Why it waits no longer.
    pub reason: Reason,
}

impl Default for Joiner {
    fn default() -> Self {
        Self::new(MOST, BYTES)
    }
}

impl Joiner {
    /// With these bounds.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { halves: BTreeMap::new(), order: BTreeMap::new(), bytes: 0, sequence: 0, most, most_bytes }
    }

    /// Takes an answer that waits until a moment at most.
    pub fn take(&mut self, rules: u64, answer: Answer, until: Timestamp) -> Joined {
        let key = (rules, answer.id.clone());
        match self.halves.get(&key) {
            Some(half) if half.answer.leg == answer.leg => return Joined::Duplicate(answer),
            Some(_) => {}
            None => {
                self.sequence += 1;
                self.bytes += answer.content.cost();
                self.order.insert((until, self.sequence), key.clone());
                self.halves.insert(key, Half { answer, until, sequence: self.sequence });
                return Joined::Waits;
            }
        }
        match (self.remove(&key), answer.leg) {
            (Some(shadow), Leg::Live) => Joined::Pair { live: answer, shadow },
            (Some(live), Leg::Shadow) => Joined::Pair { live, shadow: answer },
            (None, _) => Joined::Duplicate(answer),
        }
    }

    /// Gives up those whose time is over, and as many as are more than there is room for, the next of them first.
    pub fn give_up(&mut self, now: Timestamp) -> Vec<Alone> {
        let mut alone = Vec::new();
        while let Some(((until, _), key)) = self.order.first_key_value() {
            let is_over = *until <= now;
            if !is_over && self.halves.len() <= self.most && self.bytes <= self.most_bytes {
                break;
            }
            let key = key.clone();
            let Some(answer) = self.remove(&key) else { break };
            let reason = match answer.leg {
                _ if !is_over => Reason::Waiting,
                Leg::Live => Reason::OnlyLive,
                Leg::Shadow => Reason::OnlyShadow,
            };
            alone.push(Alone { rules: key.0, answer, reason });
        }
        alone
    }

    /// When [`Joiner::give_up`] has something to do.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.order.first_key_value().map(|((until, _), _)| *until)
    }

    /// How many answers wait, and how many bytes they hold.
    pub fn size(&self) -> (usize, usize) {
        (self.halves.len(), self.bytes)
    }

    fn remove(&mut self, key: &Key) -> Option<Answer> {
        let half = self.halves.remove(key)?;
        self.order.remove(&(half.until, half.sequence));
        self.bytes -= half.answer.content.cost();
        Some(half.answer)
    }
}
