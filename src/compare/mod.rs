//! What a shadow answered, compared with what the client got.
//!
//! # The way of an answer
//! 1. `receiver`: an Envoy opens a stream for each answer, of the client's and of the copy's. `frames` and `collector`
//!    put it together, as long as it may be compared.
//! 2. [`run`](mod@run): one task owns all that waits and all that is counted. `joiner` brings the two answers of a
//!    request together, `judge` and its comparers (`json`, `number`, `text`, `top1`) say whether they match, `tally`
//!    counts.
//! 3. [`Reports`] are what people, programs and rollouts see.
//!
//! # What is lost
//! Envoys never wait for a comparison, so what cannot be taken is dropped, and counted by its [`Reason`]. Each place
//! where an answer can be has a bound: [`budget::BYTES`] for all that streams hold, [`run::QUEUE`] answers between
//! streams and the task, and [`joiner::BYTES`] and [`joiner::MOST`] for halves that wait for the other one.

mod answer;
mod book;
pub mod budget;
mod collector;
mod difference;
mod frames;
pub mod joiner;
mod json;
mod judge;
mod number;
pub mod receiver;
mod report;
pub mod run;
mod select;
mod tally;
mod text;
mod top1;
mod watch;

pub use answer::{Answer, Content, Unread};
pub use difference::{Kind, Reason};
pub use report::{Example, Mismatch, PairReport, Report, Reports, Spread, Verdict};

use crate::model::Comparison;
use crate::names::GatewayName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The gateways whose shadows are compared, and how.
pub type Comparisons = BTreeMap<GatewayName, Arc<Comparison>>;

/// How many pairs of answers of a gateway's primary and its shadow were compared, and how many of them matched: since
/// this pair of versions and these rules of comparison began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    /// All of them.
    pub compared: u64,
    /// Those without a difference.
    pub matched: u64,
}

impl Matches {
    /// What it says, for another Serin.
    pub fn text(&self) -> String {
        // Two numbers: JSON can hold them.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From such a text; `None`: it is none, or its numbers cannot be true.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|read: &Self| read.matched <= read.compared)
    }
}

#[cfg(test)]
mod tests;
