//! Requests that never end: no latency and no error tells of them, only what stays in flight.
//!
//! In flight minus started within the deadline is a lower bound of what is overdue. It counts when it grows.

use super::bets::{Block, Tally};
use super::report::{Counts, Report};
use super::settings::Settings;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Reports follow each other without a gap when they are this near, in seconds.
const NEAR: f64 = 1e-6;

/// What started of late, and how many requests were overdue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stall {
    /// Reports within the deadline.
    starts: VecDeque<Starts>,
    /// Since when there was no gap.
    cover: Option<f64>,
    /// The end of the last report.
    last: Option<f64>,
    canary: Overdue,
    primary: Overdue,
}

/// Requests that started in a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Starts {
    /// Its end.
    at: f64,
    canary: f64,
    primary: f64,
}

/// Overdue requests of an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Overdue {
    now: f64,
    /// The most of this step: what is stuck is not counted twice.
    most: f64,
}

impl Overdue {
    /// How many more are overdue than ever before in the step.
    fn grow(&mut self, active: f64, young: f64) -> f64 {
        self.now = (active - young).max(0.0);
        let more = (self.now - self.most).max(0.0);
        self.most = self.most.max(self.now);
        more
    }
}

impl Stall {
    /// A new step: what is stuck already is not held against it.
    pub(super) fn start_stage(&mut self) {
        for arm in [&mut self.canary, &mut self.primary] {
            arm.most = arm.now;
        }
    }

    /// The requests that came of age in an interval, and those of them that are overdue; `None` while the reports do not
    /// cover the deadline, or nothing came of age.
    pub(super) fn observe(&mut self, settings: &Settings, deadline: f64, report: &Report) -> Option<Block> {
        if self.last.is_none_or(|last| report.from > last + NEAR) {
            self.starts.clear();
            self.cover = Some(report.from);
        }
        self.last = Some(report.to);
        let starts =
            Starts { at: report.to, canary: started(&report.canary), primary: started(&report.primary) };
        self.starts.push_back(starts);
        let edge = report.to - deadline;
        let (mut canary, mut primary) = (0.0, 0.0);
        while let Some(old) = self.starts.pop_front_if(|s| s.at <= edge) {
            canary += old.canary;
            primary += old.primary;
        }
        if self.cover.is_none_or(|cover| cover > edge) {
            return None;
        }
        let young = |arm: fn(&Starts) -> f64| self.starts.iter().map(arm).sum::<f64>();
        let stuck = self.canary.grow(report.canary.active, young(|s| s.canary));
        let stuck_primary = self.primary.grow(report.primary.active, young(|s| s.primary));
        let tally = |events: f64, requests: f64| Tally {
            events: events / settings.design_effect,
            requests: requests.max(events) / settings.design_effect,
        };
        let block = Block { canary: tally(stuck, canary), primary: tally(stuck_primary, primary) };
        (block.canary.requests > 0.0 || block.primary.requests > 0.0).then_some(block)
    }
}

/// Requests that were started, as far as was measured.
pub(super) fn started(counts: &Counts) -> f64 {
    counts.started.unwrap_or(counts.requests)
}
