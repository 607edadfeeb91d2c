//! What the releases that are under way live on: what Envoys measure, what others are asked, and who counts it.

use super::super::questions::{self, Questions};
use super::Rollouts;
use super::predictions::{at_weight, first};
use crate::names::{GatewayName, UpstreamName};
use crate::rollout::{Identity, Phase, State};
use crate::store::measured::{Duty, Shadow, Stage};
use crate::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The gateways that are measured for decisions, and which of their upstreams are compared.
pub type Compared = BTreeMap<GatewayName, BTreeSet<UpstreamName>>;

/// What running releases live on.
#[derive(Debug, PartialEq, Eq)]
pub struct Wants {
    /// What Envoys measure.
    pub compared: Compared,
    /// What others are asked.
    pub questions: Questions,
    /// What becomes of what Envoys measure.
    pub duty: Duty,
}

impl Rollouts {
    /// What the releases that are under way live on; `None`: the same as when it was asked last.
    pub(in crate::control) fn take_wants(&mut self) -> Option<Wants> {
        if !std::mem::take(&mut self.is_compared_anew) {
            return None;
        }
        let token = self.token();
        let decides = token.is_ok();
        let duty = Duty { counts: decides, token: token.ok().flatten(), term: self.term, ..Duty::default() };
        let mut wants = Wants { compared: Compared::new(), questions: Questions::new(), duty };
        for (name, plan) in &self.plans {
            let running = |s: &&State| s.phase.is_running() && s.identity == plan.identity;
            let Some(state) = self.kept.get(name).filter(running) else { continue };
            wants.duty.waits |= state.phase == Phase::Waiting;
            let heard = self.heard.get(name).copied().unwrap_or_default();
            if let Some(revision) = at_weight(state) {
                let began = state.stage.began;
                let first = first(state);
                wants.duty.stages.insert(name.clone(), Stage { revision, began, first, heard });
            }
            let by_predictions = at_weight(state).filter(|_| plan.settings.min_match.is_some());
            let shadowed = state.shadowed.and_then(|shadowed| shadowed.revision());
            if let Some(revision) = shadowed.or(by_predictions) {
                wants.duty.shadows.insert(name.clone(), Shadow { revision, heard });
            }
            // What the leader measures at once, the others write down only when it counts.
            if decides || state.weight > Weight::NONE {
                let Identity { primary, canary } = &plan.identity;
                let arms = [primary.name.clone(), canary.name.clone()].into();
                wants.compared.insert(name.clone(), arms);
            }
            if !decides {
                continue;
            }
            let asked = questions::of(name, plan, state);
            let asked = asked.map(|q| ((name.clone(), q.metric.name.clone()), Arc::new(q)));
            wants.questions.extend(asked);
        }
        Some(wants)
    }
}
