//! One monitored event: the evidence about it, and the block of requests that gathers for the next bet.

use super::bets::{Block, Harm, Null, Safety};
use super::settings::Settings;
use serde::{Deserialize, Serialize};

/// Evidence about one event: of harm over the whole rollout, of safety over the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) harm: Harm,
    pub(super) safety: Safety,
    /// Waits until both arms are in it.
    block: Block,
    /// Since when.
    opened: Option<f64>,
    /// Everything so far, for people.
    pub(super) seen: Block,
}

/// What the two bets of an event are against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nulls {
    /// Within tolerance. To reject it is to roll back.
    pub(super) tolerance: Null,
    /// At the promotion margin or beyond. To reject it is to let pass.
    pub(super) margin: Null,
}

impl Event {
    /// One bet on both sides.
    pub(super) fn update(&mut self, nulls: Nulls, block: &Block) {
        self.seen.add(*block);
        self.harm.update(nulls.tolerance, block);
        self.safety.update(nulls.margin, block);
    }

    /// Adds an interval to the block, and bets with it once both arms are in it and it is large or old enough. That rule
    /// looks at counts and time only, never at outcomes, so it harms no guarantee. Returns the block of the bet.
    pub(super) fn push(
        &mut self,
        settings: &Settings,
        nulls: Nulls,
        (from, to): (f64, f64),
        counts: Block,
    ) -> Option<Block> {
        let opened = *self.opened.get_or_insert(from);
        self.block.add(counts);
        let (canary, primary) = (self.block.canary.requests, self.block.primary.requests);
        let ripe = canary + primary >= settings.block_min || to - opened >= settings.block_age_s;
        if !(canary > 0.0 && primary > 0.0 && ripe) {
            return None;
        }
        let block = std::mem::take(&mut self.block);
        self.opened = None;
        self.update(nulls, &block);
        Some(block)
    }

    /// A new step: what gathers is dropped, since it was split in another way, and safety is to be shown anew.
    pub(super) fn start_stage(&mut self) {
        self.safety = Safety::default();
        self.block = Block::default();
        self.opened = None;
    }
}
