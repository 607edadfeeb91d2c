//! Several Serins with one store: one decides, and the others serve what it keeps.
//!
//! Who follows decides nothing and proposes nothing. Which pair of upstreams a state is about is in the state, so a replica
//! whose file is about another pair serves the safe state of its own file, as after an edit.

use super::super::command::{Asker, Command};
use super::super::handed;
use super::{Rollouts, Waiting};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::rollout::{Input, Outcome, Refusal, State};
use crate::store::{Error, Kept, Seat};

/// Another Serin decides, or nobody can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum NotLeading {
    /// That one.
    #[error("the serin at {0} leads the rollouts by now; give the order again")]
    Leader(String),
    /// Nobody at the moment, or it is not known who.
    #[error("no serin leads the rollouts at the moment; try again in a few seconds")]
    Nobody,
    /// The store cannot be reached.
    #[error("{0}")]
    Cut(String),
}

/// Why a proposal is not known to be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Unkept {
    /// The store has refused it, and nothing of it was kept.
    #[error("{0}")]
    Refused(Error),
    /// It may have been kept.
    #[error("{0}")]
    Unknown(String),
}

impl Rollouts {
    /// One of several.
    pub(in crate::control) fn with_others(mut self, now: Timestamp) -> Self {
        self.seat = Some((Seat::Follows { leader: None }, now));
        self.leaderless = Some(now);
        self.heard = self.kept.keys().map(|name| (name.clone(), now)).collect();
        self
    }

    /// What is kept was remembered by this Serin, since the store could not be read; until it hears what is kept.
    pub(in crate::control) fn recalled(mut self) -> Self {
        self.recalled = true;
        self
    }

    /// Whether that is so.
    pub(in crate::control) fn is_recalled(&self) -> bool {
        self.recalled
    }

    /// The token under which decisions are written; `None`: none is needed. `Err`: nothing may be decided here.
    pub(in crate::control) fn token(&self) -> Result<Option<u64>, NotLeading> {
        match self.seat.as_ref().map(|(seat, _)| seat) {
            None => Ok(None),
            Some(Seat::Leads { token }) => Ok(Some(*token)),
            Some(Seat::Follows { leader: Some(leader) }) => Err(NotLeading::Leader(leader.clone())),
            Some(Seat::Follows { leader: None }) => Err(NotLeading::Nobody),
            Some(Seat::Cut { why }) => Err(NotLeading::Cut(why.clone())),
        }
    }

    /// Where this one stands among several, and since when.
    pub(in crate::control) fn seat(&self) -> Option<(Seat, Timestamp)> {
        self.seat.clone()
    }

    /// Since when no leader is known; `None`: one is, or none is needed.
    pub(in crate::control) fn leaderless(&self) -> Option<Timestamp> {
        self.leaderless
    }

    /// What the leader has kept. Says which gateways it is about, and what cannot be used.
    pub(in crate::control) fn follow(
        &mut self,
        kept: Kept,
        now: Timestamp,
    ) -> (Vec<GatewayName>, Vec<(GatewayName, String)>) {
        let (mut gateways, mut alarms) = (Vec::new(), Vec::new());
        let Kept { all, mut states, replies, .. } = kept;
        if all {
            // The store can be read, whatever was before.
            (self.failure, self.recalled) = (None, false);
            let replies = replies.into_iter().filter_map(|(ago, paper, answer)| {
                let (command, outcome) = handed::restored(&paper, &answer)?;
                Some((ago, command, outcome))
            });
            self.replies.restore(replies.collect(), now);
            for name in self.kept.keys().chain(self.unreadable.keys()) {
                states.entry(name.clone()).or_insert(None);
            }
        }
        for (name, state) in states {
            match state.map(|(_, state)| serde_json::from_value(state)).transpose() {
                Ok(state) => {
                    self.unreadable.remove(&name);
                    let before = self.kept.get(&name);
                    if before == state.as_ref() {
                        continue;
                    }
                    // New evidence alone changes nothing of what is to be measured.
                    self.is_compared_anew |= before.map(|s| s.revision) != state.as_ref().map(|s| s.revision);
                    self.take_over(&name, state, now);
                }
                Err(why) => {
                    let message = format!("what is kept of its rollout cannot be read: {why}");
                    self.kept.remove(&name);
                    self.heard.remove(&name);
                    let before = self.unreadable.insert(name.clone(), message.clone());
                    if before.as_ref() != Some(&message) {
                        alarms.push((name.clone(), message));
                    }
                }
            }
            self.note_deadline(&name);
            gateways.push(name);
        }
        (gateways, alarms)
    }

    /// This Serin stands elsewhere among the others. Says whether that is news.
    pub(in crate::control) fn sit(&mut self, seat: Seat, now: Timestamp) -> bool {
        if self.seat.as_ref().is_some_and(|(before, _)| *before == seat) {
            return false;
        }
        self.leaderless = match &seat {
            Seat::Leads { .. } | Seat::Follows { leader: Some(_) } => None,
            Seat::Follows { leader: None } | Seat::Cut { .. } => self.leaderless.or(Some(now)),
        };
        if let Seat::Leads { .. } = seat {
            self.drop_decisions(&NotLeading::Nobody, now);
            self.read_again();
            // So are what was compared for the leader before, though that was this one, and its counter.
            self.waiting.retain(|waiting| !matches!(waiting, Waiting::Input(_, Input::Compared(_), _)));
            self.seat = Some((seat, now));
            self.failure = None;
            self.turn_back(now);
            // Whatever files said meanwhile is compared with what is kept.
            self.unseen.extend(self.plans.keys().chain(&self.ended).cloned());
            self.look_again(now);
        } else {
            self.seat = Some((seat, now));
            if let Err(who) = self.token() {
                self.drop_decisions(&who, now);
            }
        }
        self.is_compared_anew = true;
        self.give_all_again(now);
        true
    }

    /// What was decided by these orders, and with them, is not known to be kept.
    pub(super) fn unkept(
        &mut self,
        decided: Vec<(Asker, Command, Outcome)>,
        unkept: &Unkept,
        now: Timestamp,
    ) {
        let (handed, given): (Vec<_>, Vec<_>) =
            decided.into_iter().partition(|(_, command, _)| command.ticket.is_some());
        let why = unkept.to_string();
        // They wait in the store, and are looked at again there.
        let handed = handed.into_iter().map(|(asker, ..)| (asker, Err(Refusal::Elsewhere(why.clone()))));
        self.answers.extend(handed);
        if *unkept == Unkept::Refused(Error::Late) {
            // The store is well, and who was late is gone: the others are decided about again, before what came since.
            let given = given.into_iter().map(|(asker, command, _)| Waiting::Order(command, asker));
            self.waiting.splice(0..0, given);
            return self.read_again();
        }
        let refusal = |why: &String| match unkept {
            Unkept::Refused(_) => Refusal::Elsewhere(why.clone()),
            Unkept::Unknown(_) => Refusal::Unknown(why.clone()),
        };
        for (asker, command, _) in given {
            self.refuse(asker, &command, refusal(&why), now);
        }
        // What is kept is not known; who knows says so, and whether this one may go on.
        self.stand_up(why, now);
    }

    /// This is kept now; `None`: nothing.
    pub(super) fn take_over(&mut self, name: &GatewayName, state: Option<State>, now: Timestamp) {
        let Some(state) = state else {
            self.kept.remove(name);
            self.heard.remove(name);
            self.ended.remove(name);
            return self.kept_override(name);
        };
        let stay = |state: &State| {
            let weight = state.weights.last().map(|at| at.revision);
            (weight, state.shadowed.map(|shadowed| shadowed.revision()))
        };
        if self.kept.get(name).map(stay) != Some(stay(&state)) {
            self.heard.insert(name.clone(), now);
        }
        self.kept.insert(name.clone(), state);
        self.kept_override(name);
    }

    /// States by the clock of this one, where that is behind the clock of who decided: the first report is after what is
    /// kept, so that the rows in it count when they are removed.
    fn turn_back(&mut self, now: Timestamp) {
        let turned = |(name, state): (&GatewayName, &State)| {
            let state = state.by_clock(now).filter(|state| state.phase.is_running())?;
            Some((name.clone(), state))
        };
        let turned: Vec<_> = self.kept.iter().filter_map(turned).collect();
        for (name, state) in turned {
            self.kept.insert(name.clone(), state);
            self.note_deadline(&name);
        }
    }

    /// Decides nothing until it is said again who does.
    pub(super) fn stand_up(&mut self, why: String, now: Timestamp) {
        self.seat = Some((Seat::Cut { why: why.clone() }, now));
        self.leaderless = self.leaderless.or(Some(now));
        self.drop_decisions(&NotLeading::Cut(why), now);
        self.is_compared_anew = true;
    }

    /// The rows of others that are still there are read anew: what was read before may be counted, or may not.
    pub(super) fn read_again(&mut self) {
        self.term += 1;
        self.is_compared_anew = true;
        self.waiting.retain(|waiting| !waiting.has_rows());
        self.pairs.drop_rows();
    }

    /// What was decided and not proposed was decided from what may not be kept any more.
    fn drop_decisions(&mut self, who: &NotLeading, now: Timestamp) {
        let decided = std::mem::take(&mut self.next);
        self.unseen.extend(decided.states.into_keys());
        for (asker, command, _) in decided.answers {
            self.refuse(asker, &command, Refusal::Elsewhere(who.to_string()), now);
        }
    }
}
