//! Orders that take traffic off a canary act at once where they are given, and are kept afterwards.
//!
//! Whoever aborts a release cannot wait for a disk or a database. So `abort`, `pause` and a lower weight hold the canary down at
//! the Envoys of this Serin from the moment they are given, until what is kept says so as well. Where that fails they are given
//! again, here or to the Serin that leads. An override never raises a weight, and is gone after a restart.

use super::super::command::{Asker, Command};
use super::{NotLeading, RETRY, Rollouts};
use crate::clock::Timestamp;
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::rollout::{self, Identity, Outcome, Phase, Refusal, State, Verb};
use crate::weight::Weight;
use serde::Serialize;
use std::collections::BTreeMap;

/// An order that acts here and is not kept yet.
#[derive(Debug)]
pub(super) struct Override {
    /// It, with a key, so that given again it is not carried out twice.
    command: Command,
    /// What it is about.
    identity: Identity,
    /// The canary gets no more than this here.
    most: Weight,
    since: Timestamp,
    /// Why it is not kept; `None`: that is under way.
    why: Option<String>,
    /// When it is to be given again; `None`: somebody will answer.
    again: Option<Timestamp>,
    /// The Serin that leads has kept it as this revision.
    revision: Option<u64>,
}

/// What people see of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideView {
    /// "abort", "pause" or "set-weight".
    pub verb: &'static str,
    /// The canary gets no more than this at the Envoys of this Serin, in percent.
    pub weight: Weight,
    /// Who gave the order.
    pub actor: String,
    /// Why, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not kept yet.
    pub message: String,
}

/// All of them, and what people are to be told.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    of: BTreeMap<GatewayName, Override>,
    news: Vec<OverrideNews>,
    /// How many there were.
    count: u64,
}

/// Another share of this gateway is served, or people see something else of it; and what went wrong.
pub(in crate::control) type OverrideNews = (GatewayName, Option<String>);

impl Override {
    /// Whether another order is carried out with it.
    fn covers(&self, verb: Verb) -> bool {
        match verb {
            Verb::Abort => self.command.order.verb == Verb::Abort,
            Verb::Pause => true,
            Verb::SetWeight(weight) => weight == self.most,
            Verb::Promote { .. } | Verb::Resume | Verb::Retry | Verb::Undo { .. } => false,
        }
    }

    /// Whether this is kept in what is kept now.
    fn is_in(&self, state: &State) -> bool {
        let is_stopped =
            !state.phase.is_running() || (state.phase == Phase::Paused && state.weight <= self.most);
        let is_done = is_stopped && (self.command.order.verb != Verb::Abort || state.phase != Phase::Paused);
        is_done
            || self.revision.is_some_and(|revision| state.revision >= revision)
            || !state.identity.is_release_of(&self.identity)
    }
}

impl Overrides {
    /// The canary of a release gets no more than this here; `None`: as much as is kept.
    pub(super) fn most(&self, gateway: &Gateway, identity: &Identity) -> Option<(Weight, Verb)> {
        let own = self.of.get(&gateway.name)?;
        own.identity.is_release_of(identity).then_some((own.most, own.command.order.verb))
    }

    /// Whether an order could not be kept, and is to be given again before anything else is decided.
    pub(super) fn waits(&self, name: &GatewayName) -> bool {
        self.of.get(name).is_some_and(|own| own.why.is_some())
    }

    /// This order is kept.
    pub(super) fn keep(&mut self, command: &Command) {
        if self.of.get(&command.gateway).is_some_and(|own| own.command.key == command.key) {
            self.end(&command.gateway, None);
        }
    }

    fn end(&mut self, name: &GatewayName, why: Option<String>) {
        if self.of.remove(name).is_some() {
            self.news.push((name.clone(), why));
        }
    }
}

impl Rollouts {
    /// Lets an order act at once, if it takes traffic off a canary or holds it where it is.
    pub(in crate::control) fn act(&mut self, command: &mut Command, now: Timestamp) {
        let (name, verb) = (&command.gateway, command.order.verb);
        // One that is known is carried out, and one that was handed on acts where it was given.
        if self.replies.find(command, now).is_some() {
            return;
        }
        let Some(plan) = self.plans.get(name).filter(|_| command.ticket.is_none()) else { return };
        let kept = self.kept.get(name).filter(|state| state.identity.is_release_of(&plan.identity));
        let now_served = kept.map_or(Weight::NONE, |state| state.weight);
        let most = match verb {
            Verb::Abort => Weight::NONE,
            Verb::Pause => kept.map_or(Weight::ALL, |state| state.weight),
            Verb::SetWeight(weight) => weight,
            Verb::Promote { .. } | Verb::Resume | Verb::Retry | Verb::Undo { .. } => return,
        };
        let does_something = match kept {
            Some(state) => {
                let carried_out = rollout::order(plan, state, &command.order, now);
                carried_out.is_ok_and(|(change, _)| change.is_some_and(|c| c.state.weight <= now_served))
            }
            // What is kept could not be read since the start.
            None => self.failure.is_some() && !self.unreadable.contains_key(name),
        };
        if !does_something
            || self.overrides.of.get(name).is_some_and(|own| own.covers(verb) || own.most < most)
        {
            return;
        }
        let identity = plan.identity.clone();
        self.overrides.count += 1;
        if command.key.is_none() {
            command.key = Some(format!("{} {name} {} {}", verb.as_str(), now.0, self.overrides.count));
        }
        let (why, again, revision) = (None, None, None);
        let own = Override { command: command.clone(), identity, most, since: now, why, again, revision };
        self.overrides.of.insert(name.clone(), own);
        self.overrides.news.push((name.clone(), None));
    }

    /// Answers an order that was not carried out. One that acts here all the same is given again later.
    pub(super) fn refuse(&mut self, asker: Asker, command: &Command, refusal: Refusal, now: Timestamp) {
        let reply = self.not_carried_out(command, refusal, now);
        self.answers.push((asker, reply));
    }

    fn not_carried_out(
        &mut self,
        command: &Command,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let why = match &refusal {
            Refusal::Store(why) | Refusal::Elsewhere(why) | Refusal::Unknown(why) => why.clone(),
            _ => {
                // Whoever keeps it knows better.
                self.overrides.end(&command.gateway, None);
                return Err(refusal);
            }
        };
        if command.ticket.is_some() {
            return Err(refusal);
        }
        let (name, verb) = (&command.gateway, command.order.verb);
        let is_alone = self.seat.is_none();
        let Some(own) = self.overrides.of.get_mut(name).filter(|own| own.covers(verb)) else {
            return Err(refusal);
        };
        own.again = Some(now.plus(RETRY));
        let before = own.why.replace(why.clone());
        let kept = self.kept.get(name);
        let canary = &own.identity.canary.name;
        let served = kept.map_or(Weight::NONE, |state| state.weight).min(own.most);
        let does = if verb == Verb::Pause { "stays at" } else { "gets" };
        let others = if is_alone { "" } else { ", whatever the Envoys of others do" };
        let then = match kept {
            Some(state) if state.weight > served => format!("{canary} gets {} % again", state.weight),
            _ => "the release goes on".to_owned(),
        };
        let message = format!(
            "{canary} {does} {served} % at the Envoys of this Serin from now on{others}. This is not kept yet: {why}. It is \
             tried again until it is; if this Serin is restarted before, {then}"
        );
        if before.is_none() {
            self.overrides
                .news
                .push((name.clone(), Some(format!("{}: {message}", command.order.verb.as_str()))));
        }
        let (revision, phase) = kept.map_or((0, Phase::Waiting), |state| (state.revision, state.phase));
        Ok(Outcome { changed: true, kept: false, message, revision, phase, weight: served, patch: None })
    }

    /// An order that was handed on comes back with its answer.
    pub(in crate::control) fn handed_back(
        &mut self,
        command: &Command,
        asker: Asker,
        reply: Result<Outcome, Refusal>,
        now: Timestamp,
    ) {
        match reply {
            Ok(outcome) => {
                // What the leader has kept comes by itself, or did already.
                let own =
                    self.overrides.of.get_mut(&command.gateway).filter(|own| own.command.key == command.key);
                own.into_iter().for_each(|own| own.revision = Some(outcome.revision));
                self.kept_override(&command.gateway);
                self.answers.push((asker, Ok(outcome)));
            }
            Err(refusal) => self.refuse(asker, command, refusal, now),
        }
    }

    /// What is kept of a release is another now, or its file.
    pub(super) fn kept_override(&mut self, name: &GatewayName) {
        let Some(own) = self.overrides.of.get(name) else { return };
        let is_kept = self.kept.get(name).is_some_and(|state| own.is_in(state));
        let is_over = self.plans.get(name).is_some_and(|plan| !plan.identity.is_release_of(&own.identity));
        if is_kept || is_over {
            self.overrides.end(name, None);
        }
    }

    /// All orders that act here are to be given again at once: somebody else may keep them now.
    pub(super) fn give_all_again(&mut self, now: Timestamp) {
        self.overrides.of.values_mut().for_each(|own| own.again = Some(now));
    }

    /// When [`Rollouts::give_again`] has something to do.
    pub(super) fn next_again(&self) -> Option<Timestamp> {
        self.overrides.of.values().filter_map(|own| own.again).min()
    }

    /// Gives orders again that act here and are not kept. Returns those that another Serin has to keep.
    pub(in crate::control) fn give_again(&mut self, now: Timestamp) -> Vec<Command> {
        let is_due = |own: &Override| own.again.is_some_and(|again| again <= now);
        let due: Vec<Command> =
            self.overrides.of.values().filter(|own| is_due(own)).map(|own| own.command.clone()).collect();
        let mut elsewhere = Vec::new();
        for command in due {
            let mut again = Some(now.plus(RETRY));
            match self.token() {
                Err(NotLeading::Leader(_)) => {
                    again = None;
                    elsewhere.push(command.clone());
                }
                Err(NotLeading::Nobody | NotLeading::Cut(_)) => {}
                Ok(_) if self.under_way.is_some() || self.is_failing(now) => {}
                Ok(_) => again = self.give_here(&command, now),
            }
            if let Some(own) = self.overrides.of.get_mut(&command.gateway) {
                own.again = again;
            }
        }
        elsewhere
    }

    fn give_here(&mut self, command: &Command, now: Timestamp) -> Option<Timestamp> {
        let name = &command.gateway;
        let (Some(plan), Some(state)) = (self.plans.get(name), self.state(name)) else {
            return Some(now.plus(RETRY));
        };
        match rollout::order(plan, state, &command.order, now) {
            Ok((Some(change), outcome)) => {
                self.decide(name, change);
                self.next.answers.push((Asker::new().0, command.clone(), outcome));
                return None;
            }
            Ok((None, _)) => self.overrides.end(name, None),
            Err(refusal) => {
                let what = format!("the order `{}` is taken back: {refusal}", command.order.verb.as_str());
                self.overrides.end(name, Some(what));
            }
        }
        None
    }

    /// What is different since it was asked last.
    pub(in crate::control) fn take_override_news(&mut self) -> Vec<OverrideNews> {
        std::mem::take(&mut self.overrides.news)
    }

    /// What people see of an order that acts here and is not kept, and for which that went wrong before.
    pub(in crate::control) fn override_of(&self, name: &GatewayName) -> Option<OverrideView> {
        let own = self.overrides.of.get(name)?;
        let order = &own.command.order;
        Some(OverrideView {
            verb: order.verb.as_str(),
            weight: own.most,
            actor: order.actor.clone(),
            reason: order.reason.clone(),
            since: own.since,
            message: own.why.clone()?,
        })
    }
}
