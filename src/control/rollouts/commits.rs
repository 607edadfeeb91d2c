//! Decisions on their way to the store and back.

use super::super::handed;
use super::{Answered, Decided, Proposal, RETRY, Rollouts, Unkept, Waiting};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::rollout::{Entry, Refusal, State};
use crate::store::{Commit, Kind, NewEntry, StateChange};
use serde_json::json;

impl Rollouts {
    /// What is to be kept next, once.
    pub(in crate::control) fn take_proposal(&mut self) -> Option<Proposal> {
        if self.under_way.is_some() || (self.next.states.is_empty() && self.next.taken.is_empty()) {
            return None;
        }
        let token = self.token().ok()?;
        let decided = Decided { term: self.term, ..std::mem::take(&mut self.next) };
        let states = decided.states.iter().map(|(name, state)| self.change(name, state.as_ref())).collect();
        let entries = decided.entries.iter().map(|(name, entry)| journaled(name, entry)).collect();
        // Who is the only one keeps no answers for others.
        let carried_out = decided.answers.iter().filter(|_| self.seat.is_some());
        let settled =
            carried_out.filter_map(|(_, command, outcome)| handed::settled(command, outcome)).collect();
        self.count += 1;
        let commit =
            Commit { token, states, entries, settled, taken: decided.taken.clone(), ..Commit::default() };
        self.under_way = Some((self.count, decided));
        Some(Proposal { id: self.count, commit })
    }

    fn change(&self, name: &GatewayName, state: Option<&State>) -> StateChange {
        let expected = self.kept.get(name).map(|kept| kept.revision);
        StateChange {
            gateway: name.clone(),
            expected,
            revision: state.map_or(expected.unwrap_or_default() + 1, |s| s.revision),
            // Maps with texts as keys, numbers and texts: JSON can hold them all.
            state: state.and_then(|s| serde_json::to_value(s).ok()),
        }
    }

    /// The store has answered.
    pub(in crate::control) fn committed(
        &mut self,
        id: u64,
        result: Result<(), Unkept>,
        now: Timestamp,
    ) -> Answered {
        let Some((_, decided)) = self.under_way.take_if(|(number, _)| *number == id) else {
            return Answered::default();
        };
        let mut answered = Answered { lost: std::mem::take(&mut self.lost), ..Answered::default() };
        match result {
            Ok(()) => {
                answered.alarm = self.failure.take().map(|_| Ok(()));
                if answered.alarm.is_some() {
                    self.give_all_again(now);
                }
                // Who does not lead any more hears of it from the store, after what was kept since.
                let is_newest = self.token().is_ok();
                if decided.term != self.term {
                    // Kept late: what it counted may have been read again since.
                    self.read_again();
                }
                for (name, state) in decided.states.into_iter().filter(|_| is_newest) {
                    self.take_over(&name, state, now);
                    self.note_deadline(&name);
                    answered.gateways.push(name);
                }
                for (_, entry) in &decided.entries {
                    *self.decisions.entry(entry.kind).or_default() += 1;
                }
                answered.entries = decided.entries;
                for (asker, command, outcome) in decided.answers {
                    self.overrides.keep(&command);
                    self.replies.keep(command, outcome.clone(), now);
                    self.answers.push((asker, Ok(outcome)));
                }
            }
            Err(unkept) if self.seat.is_some() => {
                decided.states.keys().for_each(|name| self.note_deadline(name));
                self.unseen.extend(decided.states.into_keys());
                self.unkept(decided.answers, &unkept, now);
            }
            Err(unkept) => {
                let why = unkept.to_string();
                for (asker, command, _) in decided.answers {
                    self.refuse(asker, &command, Refusal::Store(why.clone()), now);
                }
                decided.states.keys().for_each(|name| self.note_deadline(name));
                self.unseen.extend(decided.states.into_keys());
                answered.alarm = self.failure.is_none().then(|| Err(why.clone()));
                self.failure = Some((why, now.plus(RETRY)));
            }
        }
        if std::mem::take(&mut self.are_rows_lost) {
            self.read_again();
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Input(name, input, marks) => self.count(name, input, marks, now),
                Waiting::Agreed(agreed) => self.agreed(agreed, now),
                Waiting::Order(command, asker) => self.order(command, asker, now),
            }
        }
        self.is_compared_anew |= !answered.entries.is_empty();
        self.look_again(now);
        answered
    }
}

fn journaled(name: &GatewayName, entry: &Entry) -> NewEntry {
    let is_move = entry.before != entry.after;
    NewEntry {
        time: entry.time,
        gateway: Some(name.clone()),
        kind: Kind::new(entry.kind.as_str()),
        actor: entry.actor.clone(),
        message: entry.message.clone(),
        reason: entry.reason.clone(),
        before: entry.before.clone().filter(|_| is_move),
        after: entry.after.clone().filter(|_| is_move),
        revision: Some(entry.revision),
        details: json!({ "phase": entry.phase.as_str() }),
    }
}
