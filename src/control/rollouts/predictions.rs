//! How the predictions of both versions of a release agree, as Envoys at this Serin and at others were answered.
//!
//! A shadow before the first step lives on them; at a step they go along with the next report of Envoys. What this Serin
//! compared is a counter that only grows, anew with each time that it begins to lead. What others compared are rows,
//! which are removed with the decision that has them.

use super::super::event::{Readings, Row, Rows};
use super::{Rollouts, Waiting};
use crate::clock::Timestamp;
use crate::rollout::{Input, State};
use crate::weight::Weight;

impl Rollouts {
    /// How often predictions agreed here, so far.
    pub(in crate::control) fn compared(&mut self, Readings { token, readings }: Readings, now: Timestamp) {
        if self.token() != Ok(token) {
            // It was compared for a leader that is not there any more, and is in no counter of the next one.
            return;
        }
        for (gateway, reading) in readings {
            if self.plans.contains_key(&gateway) {
                self.pairs.read(&gateway, reading);
                self.input(gateway, Input::Compared(reading), now);
            }
        }
    }

    /// How often they agreed elsewhere, since others said so last.
    pub(in crate::control) fn agreed(&mut self, agreed: Rows, now: Timestamp) {
        if agreed.term != self.term || self.token().is_err() {
            // They are read anew, or were counted already.
            return;
        }
        if self.under_way.is_some() {
            // What is under way may be the very state that they are about.
            return self.wait(Waiting::Agreed(agreed));
        }
        for row in agreed.rows {
            self.take_row(row, now);
        }
    }

    /// One about what is no more stays where it is, and grows too old.
    fn take_row(&mut self, row: Row, now: Timestamp) {
        let Some(state) = self.state(&row.gateway) else { return };
        if !self.plans.get(&row.gateway).is_some_and(|plan| plan.identity == state.identity) {
            return;
        }
        match (&state.shadowed, at_weight(state)) {
            (Some(shadowed), _) if shadowed.revision() == row.agreed.revision => {
                self.count(row.gateway, Input::Agreed(row.agreed), vec![row.mark], now);
            }
            (None, Some(revision)) if revision == row.agreed.revision => self.pairs.add(row),
            _ => {}
        }
    }
}

/// The revision with which the canary came to its weight; `None`: it has none.
pub(super) fn at_weight(state: &State) -> Option<u64> {
    let revision = state.weights.last().map_or(0, |at| at.revision);
    (state.weight > Weight::NONE).then_some(revision)
}
