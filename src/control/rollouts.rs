//! The rollouts of all gateways: what is kept, what the store is asked to keep, and what waits for its answer.
//!
//! A decision counts when it is kept, and not before: then it is published to Envoys, told to people, and answered.
//! One proposal is under way at a time; what happens meanwhile waits, and is decided from what was kept. When the store
//! fails, everything stays as it is, and the file and the clock ask again a little later; what Envoys measured in that
//! time is lost, in both versions alike.

mod commits;
mod others;
mod overrides;
mod predictions;
mod wants;

pub(super) use others::{NotLeading, Unkept};
pub use overrides::OverrideView;
pub use wants::{Compared, Wants};

use super::agreements::Agreements;
use super::command::{Asker, Command, Reply};
use super::event::{self, Answered as Said, Measured};
use super::questions::{self, Answers, News};
use super::replies::{self, Replies};
use crate::clock::Timestamp;
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::rollout::{
    self, Entry, EntryKind, FILE, Identity, Input, Order, Outcome, Plan, Refusal, Report, State, Transition,
    Verb,
};
use crate::store::measured::Mark;
use crate::store::{Commit, Seat};
use crate::weight::Weight;
use overrides::Overrides;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// After a failure of the store, the next attempt.
const RETRY: Duration = Duration::from_secs(2);
/// Reports that wait for the store, of all gateways together. More are dropped, in both versions alike, and people are
/// told.
const MAX_WAITING: usize = 10_000;

/// What the store is asked to keep; [`Event::Committed`](super::Event::Committed) answers it.
#[derive(Debug)]
pub struct Proposal {
    /// Counts up.
    pub id: u64,
    /// What to keep.
    pub commit: Commit,
}

/// All rollouts.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    /// The upper ends of the latency buckets of measurements.
    bounds: Vec<f64>,
    /// What the files ask for.
    plans: BTreeMap<GatewayName, Plan>,
    /// What is kept, as Envoys are told it.
    kept: BTreeMap<GatewayName, State>,
    /// When this Serin heard of the weights in it; nothing: before it started.
    heard: BTreeMap<GatewayName, Timestamp>,
    /// What is kept of gateways whose file owns the weights again.
    ended: BTreeSet<GatewayName>,
    /// Why rollouts cannot be decided about: their state is kept and cannot be read.
    unreadable: BTreeMap<GatewayName, String>,
    /// What is to be proposed next.
    next: Decided,
    /// When time alone does something to a rollout, in order, and by rollout.
    due: BTreeSet<(Timestamp, GatewayName)>,
    due_at: BTreeMap<GatewayName, Timestamp>,
    /// What is proposed, under its number.
    under_way: Option<(u64, Decided)>,
    /// What happened since.
    waiting: Vec<Waiting>,
    /// Reports that were dropped since, as too many wait.
    lost: usize,
    /// Rows of others were in them.
    are_rows_lost: bool,
    /// Gateways whose file was not compared with the state, since that was under way or nothing can be kept.
    unseen: BTreeSet<GatewayName>,
    /// Other gateways may have to be measured than before.
    is_compared_anew: bool,
    count: u64,
    /// Where this Serin stands among several, and since when; `None`: it is the only one.
    seat: Option<(Seat, Timestamp)>,
    /// Since when no leader is known; `None`: one is, or none is needed.
    leaderless: Option<Timestamp>,
    /// What is kept is what this Serin remembers of a store that it could not read since the start.
    recalled: bool,
    /// Counts up whenever it is not known which rows of others were counted: those that are still there are read anew.
    term: u64,
    /// Why nothing can be kept, and when that is tried again.
    failure: Option<(String, Timestamp)>,
    answers: Vec<(Asker, Reply)>,
    /// What others said of metrics.
    said: Answers,
    /// How often predictions agreed.
    pairs: Agreements,
    replies: Replies,
    /// Orders that act here and are not kept yet.
    overrides: Overrides,
    /// How many decisions of each kind were kept since the start.
    decisions: BTreeMap<EntryKind, u64>,
}

/// Decisions that are not kept yet.
#[derive(Debug, Default)]
struct Decided {
    /// `None`: there is no rollout any more.
    states: BTreeMap<GatewayName, Option<State>>,
    entries: Vec<(GatewayName, Entry)>,
    answers: Vec<(Asker, Command, Outcome)>,
    /// The rows of others that are counted in these states, or for nothing.
    taken: Vec<Mark>,
    /// Under which term they were read.
    term: u64,
}

#[derive(Debug)]
enum Waiting {
    /// With the rows of others that are in it.
    Input(GatewayName, Input, Vec<Mark>),
    /// Of others alone.
    Agreed(event::Rows),
    Order(Command, Asker),
}

impl Waiting {
    /// Whether there are rows of others in it.
    fn has_rows(&self) -> bool {
        match self {
            Self::Input(_, _, marks) => !marks.is_empty(),
            Self::Agreed(_) => true,
            Self::Order(..) => false,
        }
    }
}

/// What an answer of the store changes.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The gateways about which something is kept.
    pub(super) gateways: Vec<GatewayName>,
    /// What is to be told.
    pub(super) entries: Vec<(GatewayName, Entry)>,
    /// The store fails for the first time, or works again.
    pub(super) alarm: Option<Result<(), String>>,
    /// So many reports were not counted, as too many waited for this answer.
    pub(super) lost: usize,
}

impl Rollouts {
    /// With what was kept before the start; says what cannot be used. `Err`: nothing can be read, so that every
    /// rollout is served in its safe state and no rollout moves.
    pub(super) fn restored(
        kept: Result<BTreeMap<GatewayName, (u64, Value)>, String>,
        bounds: Vec<f64>,
    ) -> (Self, Vec<(Option<GatewayName>, String)>) {
        let mut rollouts = Self { bounds, ..Self::default() };
        let mut alarms = Vec::new();
        match kept {
            Ok(states) => {
                alarms.extend(rollouts.read(states).into_iter().map(|(name, why)| (Some(name), why)));
            }
            Err(why) => {
                let message = format!("rollouts serve the primary and do not move: {why}");
                alarms.push((None, message));
                rollouts.failure = Some((why, Timestamp(i64::MAX)));
            }
        }
        (rollouts, alarms)
    }

    /// What was kept can be read at last; says what of it cannot. Files are to be compared with it.
    pub(super) fn found(
        &mut self,
        states: BTreeMap<GatewayName, (u64, Value)>,
    ) -> Vec<(GatewayName, String)> {
        self.failure = None;
        self.is_compared_anew = true;
        self.give_all_again(Timestamp(0));
        self.read(states)
    }

    fn read(&mut self, states: BTreeMap<GatewayName, (u64, Value)>) -> Vec<(GatewayName, String)> {
        let mut alarms = Vec::new();
        for (name, (_, state)) in states {
            match serde_json::from_value(state) {
                Ok(state) => drop(self.kept.insert(name, state)),
                Err(why) => {
                    let message = format!("what is kept of its rollout cannot be read: {why}");
                    alarms.push((name.clone(), message.clone()));
                    self.unreadable.insert(name, message);
                }
            }
        }
        alarms
    }

    /// The gateway as it is to be served: with the weights that are kept, and the canary as its shadow while that is
    /// what the release waits for. What the file releases now may be another canary, of which nothing is kept yet; then
    /// the primary has all traffic.
    pub(super) fn with_weights(&self, gateway: Arc<Gateway>) -> Arc<Gateway> {
        let Some(identity) = Identity::of(&gateway) else { return gateway };
        let kept = self.kept.get(&gateway.name).filter(|state| state.identity.is_release_of(&identity));
        let ordered = self.overrides.most(&gateway, &identity);
        let most = ordered.map_or(Weight::ALL, |(most, _)| most);
        let is_aborted = ordered.is_some_and(|(_, verb)| verb == Verb::Abort);
        let split = identity.split(kept.map(|state| state.weight).unwrap_or_default().min(most));
        let first = gateway.rollout.as_ref().and_then(|rollout| rollout.shadow_first.as_ref());
        let shadow = match first {
            Some(first) if !is_aborted && kept.is_some_and(|state| state.shadowed.is_some()) => {
                Some(&first.shadow)
            }
            Some(first) => first.otherwise.as_ref(),
            None => gateway.shadow.as_ref(),
        };
        if gateway.traffic == split && gateway.shadow.as_ref() == shadow {
            return gateway;
        }
        let shadow = shadow.cloned();
        Arc::new(Gateway { traffic: split, shadow, ..Gateway::clone(&gateway) })
    }

    /// The file of a gateway says this now.
    pub(super) fn set(&mut self, gateway: &Gateway, now: Timestamp) {
        let name = &gateway.name;
        if let Some(plan) = Plan::of(gateway, &self.bounds) {
            self.ended.remove(name);
            if self.plans.get(name) != Some(&plan) {
                self.plans.insert(name.clone(), plan);
                self.is_compared_anew = true;
                self.look(name, now);
            }
        } else {
            self.is_compared_anew |= self.plans.remove(name).is_some();
            if self.kept.contains_key(name) || self.next.states.contains_key(name) {
                self.ended.insert(name.clone());
                self.look(name, now);
            }
        }
        self.kept_override(name);
        self.note_deadline(name);
    }

    /// A gateway serves no more. What is kept of it counts again when its file is back.
    pub(super) fn remove(&mut self, name: &GatewayName) {
        self.is_compared_anew |= self.plans.remove(name).is_some();
        self.said.forget(name);
        self.pairs.forget(name);
        self.ended.remove(name);
        self.note_deadline(name);
    }

    /// What Envoys measured.
    pub(super) fn measured(&mut self, measured: Vec<Measured>, now: Timestamp) {
        for Measured { gateway, from, to, mut upstreams, mut others } in measured {
            if !others.marks.is_empty() && others.term != self.term {
                // They are read anew, or were counted already.
                continue;
            }
            let stay = self.stay(&gateway);
            let Some(plan) = self.plans.get(&gateway) else {
                self.next.taken.extend(others.marks);
                continue;
            };
            let Identity { primary, canary } = &plan.identity;
            let (Some(canary), Some(primary)) =
                (upstreams.remove(&canary.name), upstreams.remove(&primary.name))
            else {
                self.next.taken.extend(others.marks);
                continue;
            };
            let [canary, primary] = [canary, primary].map(|mut did| {
                if plan.client_errors {
                    did.counts.errors += did.client_errors;
                }
                did.counts
            });
            let user = self.said.take_points(&gateway);
            let (shadow, compared) = self.pairs.take(&gateway, stay);
            others.marks.extend(compared);
            let report = Input::Report(Report { from, to, canary, primary, user, shadow });
            self.count(gateway, report, others.marks, now);
        }
    }

    /// Somebody said something about a metric. It goes along with the next report of Envoys. `None`: it is about a
    /// release that is over, and counts no more; else whether people should be told.
    pub(super) fn said(&mut self, said: Said, now: Timestamp) -> Option<News> {
        let question = &said.question;
        let (plan, state) = self.get(&question.gateway)?;
        let is_asked = questions::of(&question.gateway, plan, state).any(|asked| asked == **question);
        is_asked.then(|| self.said.take(said, now))
    }

    /// What others said of metrics.
    pub(super) fn answers(&self) -> &Answers {
        &self.said
    }

    /// So many endpoints of the canary are healthy.
    pub(super) fn healthy(&mut self, healthy: BTreeMap<GatewayName, u32>, now: Timestamp) {
        for (gateway, count) in healthy {
            self.input(gateway, Input::Healthy(count), now);
        }
    }

    /// Time has passed: deadlines of rollouts, and another attempt after a failure.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.under_way.is_some() || self.is_failing(now) || self.token().is_err() {
            return;
        }
        self.look_again(now);
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<GatewayName> = due.map(|(_, name)| name.clone()).collect();
        for name in due {
            self.input(name, Input::Tick, now);
        }
    }

    /// When [`Rollouts::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let own = match (&self.under_way, &self.failure) {
            (Some(_), _) => None,
            _ if self.token().is_err() => None,
            (None, Some((_, retry))) => (retry.0 < i64::MAX).then_some(*retry),
            (None, None) => self.due.first().map(|(at, _)| *at),
        };
        own.into_iter().chain(self.next_again()).min()
    }

    /// What an operator says about the rollout of a gateway that serves.
    pub(super) fn order(&mut self, command: Command, asker: Asker, now: Timestamp) {
        if self.under_way.is_some() {
            return self.waiting.push(Waiting::Order(command, asker));
        }
        if let Some(reply) = self.replies.find(&command, now) {
            return self.answers.push((asker, reply));
        }
        // Decided and not kept: both wait for the same answer.
        let mut decided = self.next.answers.iter();
        match decided.find_map(|(_, before, outcome)| replies::again(&command, (before, outcome))) {
            Some(Ok(outcome)) => return self.next.answers.push((asker, command, outcome)),
            Some(Err(refusal)) => return self.refuse(asker, &command, refusal, now),
            None => {}
        }
        match self.carry_out(&command.gateway, &command.order, now) {
            Ok((None, outcome)) => {
                self.replies.keep(command, outcome.clone(), now);
                self.answers.push((asker, Ok(outcome)));
            }
            Ok((Some(transition), outcome)) => {
                self.decide(&command.gateway, transition);
                self.next.answers.push((asker, command, outcome));
            }
            Err(refusal) => self.refuse(asker, &command, refusal, now),
        }
    }

    fn carry_out(&self, name: &GatewayName, order: &Order, now: Timestamp) -> Result<rollout::Done, Refusal> {
        if let Some(why) = self.unreadable.get(name) {
            return Err(Refusal::Store(why.clone()));
        }
        let no_rollout = || Refusal::NoRollout(name.clone());
        let plan = self.plans.get(name).ok_or_else(no_rollout)?;
        self.token().map_err(|who| Refusal::Elsewhere(who.to_string()))?;
        if let Some((why, _)) = &self.failure {
            return Err(Refusal::Store(why.clone()));
        }
        rollout::order(plan, self.state(name).ok_or_else(no_rollout)?, order, now)
    }

    /// What operators are answered, once.
    pub(super) fn take_answers(&mut self) -> Vec<(Asker, Reply)> {
        std::mem::take(&mut self.answers)
    }

    /// How many decisions of each kind were kept since the start.
    pub(super) fn decisions(&self) -> &BTreeMap<EntryKind, u64> {
        &self.decisions
    }

    /// What is kept of a rollout, and what its file asks for.
    pub(super) fn get(&self, name: &GatewayName) -> Option<(&Plan, &State)> {
        let plan = self.plans.get(name)?;
        let state = self.kept.get(name).filter(|state| state.identity.is_release_of(&plan.identity))?;
        Some((plan, state))
    }

    /// The newest state, kept or not.
    fn state(&self, name: &GatewayName) -> Option<&State> {
        match self.next.states.get(name) {
            Some(decided) => decided.as_ref(),
            None => self.kept.get(name),
        }
    }

    fn is_failing(&self, now: Timestamp) -> bool {
        self.failure.as_ref().is_some_and(|(_, retry)| now < *retry)
    }

    /// Compares files with states where that was not possible before.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        for name in std::mem::take(&mut self.unseen) {
            self.look(&name, now);
        }
    }

    /// Compares the file with the state.
    fn look(&mut self, name: &GatewayName, now: Timestamp) {
        if self.unreadable.contains_key(name) {
            return;
        }
        if self.under_way.is_some() || self.is_failing(now) || self.token().is_err() {
            self.unseen.insert(name.clone());
            return;
        }
        if let Some(plan) = self.plans.get(name) {
            if let Some(transition) = rollout::adopt(plan, self.state(name), now) {
                self.decide(name, transition);
            }
        } else if let Some(state) = self.state(name).filter(|_| self.ended.contains(name))
            && (state.phase != rollout::Phase::Stable || state.rolled_back.is_empty())
        {
            let (entry, remembered) = (ended(state, now), rollout::end(state, now));
            self.next.states.insert(name.clone(), remembered);
            self.next.entries.push((name.clone(), entry));
        }
    }

    fn input(&mut self, name: GatewayName, input: Input, now: Timestamp) {
        self.count(name, input, Vec::new(), now);
    }

    /// An input in which there are rows of others: they are removed with the decision that has them.
    fn count(&mut self, name: GatewayName, input: Input, marks: Vec<Mark>, now: Timestamp) {
        if self.under_way.is_some() {
            return self.wait(Waiting::Input(name, input, marks));
        }
        if self.is_failing(now) || self.token().is_err() {
            return;
        }
        self.next.taken.extend(marks);
        // What somebody ordered is decided first.
        if self.overrides.waits(&name) {
            return;
        }
        let (Some(plan), Some(state)) = (self.plans.get(&name), self.state(&name)) else { return };
        if state.identity == plan.identity
            && let Some(transition) = rollout::step(plan, state, &input, now)
        {
            self.decide(&name, transition);
        }
    }

    /// Until what is under way is answered.
    fn wait(&mut self, waiting: Waiting) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(waiting);
        } else {
            self.lost += 1;
            self.are_rows_lost |= waiting.has_rows();
        }
    }

    fn decide(&mut self, name: &GatewayName, Transition { state, entries }: Transition) {
        self.next.states.insert(name.clone(), Some(state));
        self.next.entries.extend(entries.into_iter().map(|entry| (name.clone(), entry)));
        self.note_deadline(name);
    }

    /// Follows the plan and the state of a rollout.
    fn note_deadline(&mut self, name: &GatewayName) {
        let at = self.plans.get(name).and_then(|plan| rollout::deadline(plan, self.state(name)?));
        let before = match at {
            Some(at) => self.due_at.insert(name.clone(), at),
            None => self.due_at.remove(name),
        };
        if before != at {
            self.due.extend(at.map(|at| (at, name.clone())));
            if let Some(before) = before {
                self.due.remove(&(before, name.clone()));
            }
        }
    }
}

/// The file owns the weights again.
fn ended(state: &State, now: Timestamp) -> Entry {
    Entry {
        time: now,
        kind: EntryKind::Ended,
        actor: FILE.to_owned(),
        reason: None,
        message: "the file has no `rollout` any more and owns the weights".to_owned(),
        phase: state.phase,
        before: Some(state.weights()),
        after: None,
        revision: state.revision + 1,
    }
}
