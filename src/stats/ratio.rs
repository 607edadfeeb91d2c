//! Sample-ratio mismatch: is the traffic split as it was told to be? If not, the arms may not be comparable, so the
//! rollout is held (Lindon and Malek, arXiv 2011.03567; Fabijan et al., Diagnosing Sample Ratio Mismatch, KDD 2019).

use super::bets::{Block, Harm, Null, Tally, log_sum};
use super::report::Report;
use super::settings::Settings;
use super::stall::started;
use serde::{Deserialize, Serialize};

/// The highest share that is ever tested against; a rate of 1 cannot be exceeded.
const MOST: f64 = 0.999;

/// Evidence that an arm gets too much, of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ratio {
    canary: Harm,
    primary: Harm,
}

impl Ratio {
    /// Takes an interval in; `weight` is the canary's share as configured.
    pub(super) fn observe(&mut self, settings: &Settings, weight: f64, report: &Report) {
        let (canary, primary) = (started(&report.canary), started(&report.primary));
        let all = canary + primary;
        if all <= 0.0 {
            return;
        }
        let one = |events| Block { canary: Tally { events, requests: all }, ..Block::default() };
        let tolerance = settings.srm_tol;
        self.canary.update(Null::Fixed((weight * (1.0 + tolerance)).min(MOST)), &one(canary));
        self.primary.update(Null::Fixed((1.0 - weight * (1.0 - tolerance)).min(MOST)), &one(primary));
    }

    /// The mean of both capitals, as a logarithm.
    pub(super) fn wealth(&self) -> f64 {
        let half = 0.5_f64.ln();
        log_sum(&[half + self.canary.wealth(), half + self.primary.wealth()])
    }
}
