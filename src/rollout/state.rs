//! What is stored of a rollout: enough to go on after a restart as if nothing had happened.

use super::{Identity, Phase, Shadowed};
use crate::clock::Timestamp;
use crate::names::UpstreamName;
use crate::stats::{Action, Analysis};
use crate::weight::Weight;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Identities that were rolled back, and weights to go back to: as many as anybody remembers.
const REMEMBERED: usize = 20;

/// Who does what no person said.
pub const ENGINE: &str = "engine";
/// Who edits gateway files.
pub const FILE: &str = "file";

/// Where a rollout stands, with all of its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Counts up with every change that people are told of, from 1.
    pub revision: u64,
    /// What is released in place of what.
    pub identity: Identity,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The canary's share.
    pub weight: Weight,
    /// When this release began.
    pub began: Timestamp,
    /// The newest moment that counted.
    pub seen: Timestamp,
    /// The stay at this weight.
    pub stage: Stage,
    /// Why it is paused; only in phase [`Phase::Paused`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The canary is shadowed before its first step, and what was seen of it; `None` at all other times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed: Option<Shadowed>,
    /// What was seen of both sides; `None` until the canary gets traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Why it stands where it stands, in a sentence.
    pub sentence: String,
    /// What stays without traffic until it is edited or somebody says `retry`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<Identity>,
    /// The weights of this release, oldest first: what `undo` goes back to.
    pub weights: Vec<WeightAt>,
}

/// A stay at one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// When the canary got this weight.
    pub began: Timestamp,
    /// From when the deadline counts: the begin, or the last time somebody said to go on.
    pub waiting_since: Timestamp,
    /// For how many milliseconds Envoys have reported on it. Time without reports does not count.
    pub watched: u64,
}

impl Stage {
    /// A stay that begins now.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { began: now, waiting_since: now, watched: 0 }
    }
}

/// Why a rollout is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// For what reason.
    pub cause: Cause,
    /// Who paused it.
    pub actor: String,
    /// Where it stood.
    pub from: Phase,
}

/// The reasons to pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// An operator said so.
    Operator,
    /// The step asks for somebody's word.
    ManualStep,
    /// The deadline has passed.
    Deadline,
    /// The canary does harm, and the file wants a pause.
    Failure,
}

/// What was seen of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Second 0 of the analysis.
    pub origin: Timestamp,
    /// All evidence of this release.
    pub analysis: Analysis,
    /// What it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The begin of the newest report.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// A weight that the canary had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightAt {
    /// The revision that it came with.
    pub revision: u64,
    /// When.
    pub time: Timestamp,
    /// The share.
    pub weight: Weight,
}

impl State {
    /// All weights, by upstream.
    pub fn weights(&self) -> BTreeMap<UpstreamName, Weight> {
        self.identity.split(self.weight).parts().iter().cloned().collect()
    }

    /// The canary's requests a second at this weight; `None` before any report.
    pub fn request_rate(&self) -> Option<f64> {
        let requests = self.evidence.as_ref()?.analysis.stage_requests();
        let watched = Duration::from_millis(self.stage.watched);
        (!watched.is_zero()).then(|| requests / watched.as_secs_f64())
    }

    /// The state by a clock that was set back: what counts was as long ago as before. What people are told, when the
    /// release began and when it had which weight, stays as it was said. `None`: time has not gone back.
    pub fn by_clock(&self, now: Timestamp) -> Option<Self> {
        let back = self.seen.since(now);
        if back.is_zero() {
            return None;
        }
        let mut state = self.clone();
        let Self { seen, stage, evidence, .. } = &mut state;
        let stay = [&mut stage.began, &mut stage.waiting_since];
        let evidence = evidence.iter_mut().flat_map(|e| [&mut e.origin, &mut e.from, &mut e.to]);
        for moment in [seen].into_iter().chain(stay).chain(evidence) {
            *moment = moment.minus(back);
        }
        Some(state)
    }

    /// Returns whether the canary of this identity was rolled back, whatever it was compared with.
    pub(super) fn was_rolled_back(&self, identity: &Identity) -> bool {
        self.rolled_back.iter().any(|known| known.is_release_of(identity))
    }

    /// Forgets that the canary of this identity was rolled back.
    pub(super) fn forget(&mut self, identity: &Identity) {
        self.rolled_back.retain(|known| !known.is_release_of(identity));
    }

    /// Remembers that an identity was rolled back, with all servers that its canary was known by: it may move from one to
    /// the next.
    pub(super) fn remember(&mut self, mut identity: Identity) {
        let known = self.rolled_back.iter().filter(|known| known.is_release_of(&identity));
        let mut endpoints: Vec<String> = known.flat_map(|known| known.canary.endpoints.clone()).collect();
        endpoints.append(&mut identity.canary.endpoints);
        endpoints.sort();
        endpoints.dedup();
        identity.canary.endpoints = endpoints;
        self.forget(&identity);
        self.rolled_back.push(identity);
        keep_newest(&mut self.rolled_back);
    }

    /// Notes the weight of this revision.
    pub(super) fn record(&mut self, time: Timestamp) {
        let (revision, weight) = (self.revision, self.weight);
        self.weights.push(WeightAt { revision, time, weight });
        keep_newest(&mut self.weights);
    }
}

fn keep_newest<T>(all: &mut Vec<T>) {
    let surplus = all.len().saturating_sub(REMEMBERED);
    all.drain(..surplus);
}
