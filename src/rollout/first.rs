//! Before the first step: the canary gets copies of requests, nobody gets its answers, and its predictions are compared
//! with the primary's.
//!
//! The release begins when the share of predictions that agree is as large as the file wants, by an interval that holds
//! however often one looks ([`stats::interval`](crate::stats::interval)); it fails when the share is smaller by
//! the same interval. In between, and without data, it stays where it is.

use super::entry::{EntryKind, Transition};
use super::state::Stage;
use super::step::{BY_ENGINE, at, harm, next_weight, quiet};
use super::{Phase, Plan, State, sentence};
use crate::clock::Timestamp;
use crate::stats;
use crate::weight::Weight;
use serde::{Deserialize, Serialize};

/// A counter of compared predictions, as it was read. It only grows, so that a reading that is lost, or comes twice,
/// distorts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When the counter began at 0. Another moment is another counter.
    pub since: Timestamp,
    /// How often both versions answered the same request.
    pub compared: u64,
    /// How often they said the same.
    pub matched: u64,
}

/// What other Serins compared and nobody has counted yet: it comes once, since it is removed with the decision that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Of which shadow: its [`Shadowed::revision`].
    pub revision: u64,
    /// How often both versions answered the same request.
    pub compared: u64,
    /// How often they said the same.
    pub matched: u64,
}

/// What was seen of a canary that is shadowed before its first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadowed {
    /// Predictions that were compared.
    pub compared: u64,
    /// Those of them that agreed.
    pub matched: u64,
    /// The newest reading of the counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
    /// The revision with which the canary became a shadow, or with which all that was compared before was overruled.
    #[serde(default)]
    revision: u64,
}

/// What the predictions say.
enum Verdict {
    /// As many agree as are wanted, or more.
    Agree,
    /// Fewer do.
    Differ,
    /// Nobody can know yet.
    Open,
}

impl Shadowed {
    /// Nothing is seen from this revision on, and what a counter had before does not count.
    pub(super) fn anew(self, revision: u64) -> Self {
        Self { reading: self.reading, revision, ..Self::default() }
    }

    /// By which number all Serins know this shadow; what was compared under another one says nothing about it. Revisions
    /// count from 1. `None`: an older Serin has kept the state, which knows of no such number and of nothing that others
    /// compared.
    pub fn revision(&self) -> Option<u64> {
        (self.revision > 0).then_some(self.revision)
    }

    /// Which part agreed, from 0 to 1, and between what the true part is at this confidence; `None`: nothing was
    /// compared.
    pub fn rate(&self, confidence: f64) -> Option<(f64, (f64, f64))> {
        let (compared, matched) = (count(self.compared), count(self.matched));
        (self.compared > 0).then(|| (matched / compared, stats::interval(matched, compared, confidence)))
    }

    /// Takes a reading in; says whether there is anything new. A counter that is older than the shadow began with what
    /// does not concern it.
    fn take(&mut self, reading: Reading, began: Timestamp) -> bool {
        let before = match self.reading.replace(reading) {
            Some(last) if last.since == reading.since => (last.compared, last.matched),
            None if reading.since < began => (reading.compared, reading.matched),
            Some(_) | None => (0, 0),
        };
        self.add(reading.compared.saturating_sub(before.0), reading.matched.saturating_sub(before.1))
    }

    fn add(&mut self, compared: u64, matched: u64) -> bool {
        self.compared = self.compared.saturating_add(compared);
        self.matched = self.matched.saturating_add(matched.min(compared));
        compared > 0
    }

    fn verdict(&self, least: Weight, confidence: f64) -> Verdict {
        let least = f64::from(least.hundredths()) / f64::from(Weight::ALL.hundredths());
        match self.rate(confidence) {
            Some((_, (low, _))) if low >= least => Verdict::Agree,
            Some((_, (_, high))) if high < least => Verdict::Differ,
            Some(_) | None => Verdict::Open,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody compares 2^53 predictions")]
fn count(number: u64) -> f64 {
    number as f64
}

/// The canary is healthy, and is to be shadowed first.
pub(super) fn begin(state: &State, least: Weight, now: Timestamp) -> Transition {
    let mut next = at(state, now);
    let seen = Shadowed { revision: state.revision + 1, ..Shadowed::default() };
    (next.phase, next.shadowed) = (Phase::Holding, Some(seen));
    next.stage = Stage::new(now);
    let message = sentence::shadowed(state, least);
    Transition::tell(Some(state), next, (EntryKind::Holding, BY_ENGINE, message), now)
}

/// Weighs a reading, and does what follows at once. `None`: it says nothing new.
pub(super) fn judge(plan: &Plan, state: &State, reading: Reading, now: Timestamp) -> Option<Transition> {
    weigh(plan, state, |seen| seen.take(reading, state.stage.began), now)
}

/// The same for what others compared. `None`: that is nothing, or about another shadow.
pub(super) fn judge_others(plan: &Plan, state: &State, agreed: Agreed, now: Timestamp) -> Option<Transition> {
    let add = |seen: &mut Shadowed| {
        seen.revision() == Some(agreed.revision) && seen.add(agreed.compared, agreed.matched)
    };
    weigh(plan, state, add, now)
}

fn weigh(
    plan: &Plan,
    state: &State,
    take: impl FnOnce(&mut Shadowed) -> bool,
    now: Timestamp,
) -> Option<Transition> {
    let (least, before) = (plan.shadow_first?, state.shadowed?);
    let mut next = at(state, now);
    let mut seen = before;
    let is_news = take(&mut seen);
    if seen == before {
        return None;
    }
    next.shadowed = Some(seen);
    if !is_news {
        return Some(Transition { state: next, entries: Vec::new() });
    }
    let why = agreement(plan, &seen, least);
    Some(match seen.verdict(least, plan.confidence()) {
        Verdict::Differ => harm(plan, state, next, &why, now),
        Verdict::Agree if state.phase != Phase::Paused => {
            next_weight(plan, state, next, (BY_ENGINE, why), now)
        }
        Verdict::Agree | Verdict::Open => quiet(next, sentence::stays(state, &why)),
    })
}

/// What was seen so far, against what is wanted; `None`: the canary is not shadowed before its first step.
pub(super) fn so_far(plan: &Plan, state: &State) -> Option<String> {
    Some(agreement(plan, state.shadowed.as_ref()?, plan.shadow_first?))
}

fn agreement(plan: &Plan, seen: &Shadowed, least: Weight) -> String {
    let rate = seen.rate(plan.confidence());
    sentence::agreement((seen.compared, seen.matched), rate, least)
}
