//! What operators do to a rollout: which order which phase allows, and what it does.

use super::entry::{By, EntryKind, Transition};
use super::state::{Cause, Stage};
use super::step::{at, next_weight, pause, promote, roll_back, set_weight};
use super::{Order, Outcome, Phase, Plan, Refusal, State, Verb, first, sentence};
use crate::clock::Timestamp;
use crate::weight::Weight;

/// What an order came to: a transition where it changes something, and the answer.
pub type Done = (Option<Transition>, Outcome);

/// Carries out an order, or says why not.
pub fn order(plan: &Plan, state: &State, order: &Order, now: Timestamp) -> Result<Done, Refusal> {
    if let Some(expected) = order.if_revision.filter(|r| *r != state.revision) {
        return Err(Refusal::Conflict { expected, found: state.revision });
    }
    let turned = state.by_clock(now);
    let state = turned.as_ref().unwrap_or(state);
    let told = Told { state, verb: order.verb, order, now };
    match order.verb {
        Verb::Promote { full } => told.promote(plan, full),
        Verb::Abort => Ok(told.abort()),
        Verb::Pause => told.pause(),
        Verb::Resume => told.resume(plan),
        Verb::Retry => told.retry(),
        Verb::SetWeight(weight) => told.set_weight(plan, weight),
        Verb::Undo { to_revision: None } => told.undo(plan),
        Verb::Undo { to_revision: Some(revision) } => told.undo_to(plan, revision),
    }
}

/// An order and what it is said to.
struct Told<'a> {
    state: &'a State,
    verb: Verb,
    order: &'a Order,
    now: Timestamp,
}

impl Told<'_> {
    fn promote(&self, plan: &Plan, full: bool) -> Result<Done, Refusal> {
        let state = self.state;
        match state.phase {
            Phase::Promoted => {
                let canary = &state.identity.canary.name;
                return Ok(self.nothing(format!("{canary} is promoted already")));
            }
            Phase::Stable => return Err(self.not_now("there is nothing to release")),
            Phase::RolledBack => return Err(self.after_roll_back()),
            Phase::Waiting => {
                let why =
                    "the canary has no healthy endpoint yet; `set-weight` gives it traffic all the same";
                return Err(self.not_now(why));
            }
            Phase::Progressing | Phase::Holding | Phase::Paused | Phase::Baking => {}
        }
        let mut next = self.next();
        let why = match first::so_far(plan, state) {
            Some(so_far) => sentence::unproven(&self.why(), &so_far),
            None => self.why(),
        };
        if full {
            set_weight(plan, &mut next, Weight::ALL, self.now);
            return Ok(done(promote(state, next, (self.by(), &why), self.now)));
        }
        // The same weight for somebody who was overruled would only be stopped again.
        if self.is_overruling() {
            next.evidence = None;
        }
        let waits = state.weight == Weight::NONE && state.pause.is_some() && state.shadowed.is_none();
        if waits {
            return Err(self.not_now("the canary has no traffic; say `resume`, or `set-weight`"));
        }
        Ok(done(next_weight(plan, state, next, (self.by(), why), self.now)))
    }

    fn abort(&self) -> Done {
        if !self.state.phase.is_running() {
            return self.nothing(match self.state.phase {
                Phase::Promoted => "nothing is running: the release is done; `undo` takes it back".to_owned(),
                Phase::RolledBack => "nothing is running: it is rolled back already".to_owned(),
                _ => "nothing is running".to_owned(),
            });
        }
        done(roll_back(self.state, self.next(), (self.by(), &self.why()), self.now))
    }

    fn pause(&self) -> Result<Done, Refusal> {
        match self.state.phase {
            Phase::Paused => Ok(self.nothing("it is paused already".to_owned())),
            Phase::Waiting | Phase::Progressing | Phase::Holding | Phase::Baking => {
                let message = sentence::stays(self.state, &self.why());
                let told = (EntryKind::Paused, self.by(), message);
                Ok(done(pause(self.state, self.next(), Cause::Operator, told, self.now)))
            }
            Phase::Stable | Phase::Promoted | Phase::RolledBack => Err(self.not_now("nothing is running")),
        }
    }

    fn resume(&self, plan: &Plan) -> Result<Done, Refusal> {
        let Some(paused) = &self.state.pause else { return Err(self.not_now("it is not paused")) };
        let mut next = self.next();
        next.pause = None;
        next.stage.waiting_since = self.now;
        next.phase = match paused.from {
            _ if next.shadowed.is_some() => Phase::Holding,
            _ if next.weight == Weight::NONE => Phase::Waiting,
            Phase::Baking => Phase::Baking,
            _ => Phase::Progressing,
        };
        if self.is_overruling() {
            next.evidence = None;
            next.shadowed = next.shadowed.map(|seen| seen.anew(self.state.revision + 1));
            let weight = next.weight;
            set_weight(plan, &mut next, weight, self.now);
        }
        let told = (EntryKind::Resumed, self.by(), sentence::goes_on(self.state, &self.why()));
        Ok(done(Transition::tell(Some(self.state), next, told, self.now)))
    }

    fn retry(&self) -> Result<Done, Refusal> {
        match self.state.phase {
            Phase::RolledBack => {}
            Phase::Paused => return Err(self.not_now("it was not rolled back; say `resume`")),
            _ => return Err(self.not_now("it was not rolled back")),
        }
        let mut next = self.next();
        next.forget(&self.state.identity);
        (next.phase, next.evidence) = (Phase::Waiting, None);
        (next.began, next.stage) = (self.now, Stage::new(self.now));
        let message = format!("{}; {}", self.why(), sentence::started(&self.state.identity));
        Ok(done(Transition::tell(Some(self.state), next, (EntryKind::Retried, self.by(), message), self.now)))
    }

    fn set_weight(&self, plan: &Plan, weight: Weight) -> Result<Done, Refusal> {
        match self.state.phase {
            Phase::Stable => Err(self.not_now("there is no canary")),
            Phase::RolledBack => Err(self.after_roll_back()),
            _ => Ok(self.go_to(plan, weight, EntryKind::WeightSet)),
        }
    }

    /// Back to the weight before; a finished release is taken back as a whole.
    fn undo(&self, plan: &Plan) -> Result<Done, Refusal> {
        match self.state.phase {
            Phase::Stable => Err(self.after_the_end()),
            Phase::RolledBack => Err(self.after_roll_back()),
            Phase::Promoted => {
                Ok(done(roll_back(self.state, self.next(), (self.by(), &self.why()), self.now)))
            }
            Phase::Waiting | Phase::Progressing | Phase::Holding | Phase::Paused | Phase::Baking => {
                let before = self.state.weights.iter().rev().find(|w| w.weight != self.state.weight);
                match before {
                    Some(before) => Ok(self.go_to(plan, before.weight, EntryKind::Undone)),
                    None => Err(self.not_now("the weight has not changed yet")),
                }
            }
        }
    }

    fn undo_to(&self, plan: &Plan, revision: u64) -> Result<Done, Refusal> {
        match self.state.phase {
            Phase::Stable => return Err(self.after_the_end()),
            Phase::RolledBack => return Err(self.after_roll_back()),
            _ => {}
        }
        if let Some(then) = self.state.weights.iter().find(|w| w.revision == revision) {
            return Ok(self.go_to(plan, then.weight, EntryKind::Undone));
        }
        let known: Vec<String> =
            self.state.weights.iter().map(|w| format!("{} ({} %)", w.revision, w.weight)).collect();
        let why = format!("this release changed its weight at {}", known.join(", "));
        Err(Refusal::Revision { revision, why })
    }

    /// A weight that a person chose stays until a person says more.
    fn go_to(&self, plan: &Plan, weight: Weight, kind: EntryKind) -> Done {
        let mut next = self.next();
        set_weight(plan, &mut next, weight, self.now);
        let state = self.state;
        let canary = &state.identity.canary.name;
        let message =
            format!("{canary} goes from {} % to {weight} % and stays there: {}", state.weight, self.why());
        let mut transition = pause(state, next, Cause::Operator, (kind, self.by(), message), self.now);
        if let Some(pause) = &mut transition.state.pause {
            // Baking is over when the weight is another.
            pause.from = Phase::Progressing;
        }
        done(transition)
    }

    /// Whether the file wanted a pause for harm, and a person wants to go on.
    fn is_overruling(&self) -> bool {
        self.state.pause.as_ref().is_some_and(|p| p.cause == Cause::Failure)
    }

    fn next(&self) -> State {
        at(self.state, self.now)
    }

    fn by(&self) -> By<'_> {
        By { actor: &self.order.actor, reason: self.order.reason.as_deref() }
    }

    fn why(&self) -> String {
        sentence::by_hand(&self.order.actor, self.order.reason.as_deref())
    }

    fn not_now(&self, why: impl Into<String>) -> Refusal {
        Refusal::NotNow { verb: self.verb.as_str().to_owned(), phase: self.state.phase, why: why.into() }
    }

    /// The file has taken over what was released.
    fn after_the_end(&self) -> Refusal {
        let primary = &self.state.identity.primary.name;
        self.not_now(format!(
            "nothing is being released, {primary} is the primary of the file; to go back at once, write the version of before as \
             `primary` and as `canary`"
        ))
    }

    fn after_roll_back(&self) -> Refusal {
        let canary = &self.state.identity.canary.name;
        self.not_now(format!(
            "it was rolled back; say `retry`, or change the `model`, `version` or address of {canary}"
        ))
    }

    fn nothing(&self, message: String) -> Done {
        (None, outcome(self.state, false, message))
    }
}

fn done(transition: Transition) -> Done {
    let message = transition.entries.first().map(|e| e.message.clone()).unwrap_or_default();
    let outcome = outcome(&transition.state, true, message);
    (Some(transition), outcome)
}

fn outcome(state: &State, changed: bool, message: String) -> Outcome {
    Outcome {
        changed,
        kept: true,
        message,
        revision: state.revision,
        phase: state.phase,
        weight: state.weight,
        patch: (state.phase == Phase::Promoted).then(|| sentence::patch(&state.identity)),
    }
}
