//! How the predictions of both versions of a release agree, as Envoys at this Serin and at others were answered.
//!
//! A shadow before the first step lives on them; at a step they go along with the next report of Envoys. What this Serin
//! compared is a counter that only grows, anew with each time that it begins to lead. What others compared are rows,
//! which are removed with the decision that has them.

use super::super::agreements::Stay;
use super::super::event::{Readings, Row, Rows};
use super::{Rollouts, Waiting};
use crate::clock::Timestamp;
use crate::names::GatewayName;
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
                let stay = self.stay(&gateway);
                self.pairs.read(&gateway, reading, stay);
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
        let revision = row.agreed.revision;
        match (&state.shadowed, self.stay(&row.gateway)) {
            (Some(shadowed), _) if shadowed.revision() == Some(revision) => {
                self.count(row.gateway, Input::Agreed(row.agreed), vec![row.mark], now);
            }
            // Somebody may have overruled what was seen before, at the same weight.
            (None, Some(stay)) if stay.revision == revision && row.from >= first(state) => {
                self.pairs.add(row, stay);
            }
            _ => {}
        }
    }

    /// The stay of the canary at its weight; `None`: it has none, or is another one than the file says.
    pub(super) fn stay(&self, gateway: &GatewayName) -> Option<Stay> {
        let state = self.state(gateway)?;
        let is_served = self.plans.get(gateway)?.identity == state.identity;
        let revision = at_weight(state).filter(|_| is_served)?;
        Some(Stay { revision, began: state.stage.began })
    }
}

/// When what counts of a canary with traffic began.
pub(super) fn first(state: &State) -> Timestamp {
    state.evidence.as_ref().map_or(state.stage.began, |evidence| evidence.origin)
}

/// The revision with which the canary came to its weight; `None`: it has none.
pub(super) fn at_weight(state: &State) -> Option<u64> {
    let revision = state.weights.last().map_or(0, |at| at.revision);
    (state.weight > Weight::NONE).then_some(revision)
}
