//! What of the world is about rollouts: orders, what the store keeps, and what follows from it.

use super::super::command::{Asker, Command};
use super::super::event::{Answered as Said, Note, NoteKind};
use super::super::files::Chosen;
use super::super::handed::Handed;
use super::super::notice::{self, Notice, Release};
use super::super::questions::News;
use super::super::rollouts::{Answered, NotLeading, Proposal, Rollouts, Unkept, Wants};
use super::World;
use crate::clock::Timestamp;
use crate::model::{Occasion, Switches};
use crate::names::GatewayName;
use crate::rollout::{ENGINE, EntryKind, Refusal};
use crate::store::{Kept, Seat};
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// With what was kept of rollouts before the start, by revision and state, or why that is not known; and with the
    /// upper ends of the latency buckets of [`Measured`](crate::control::Measured), in seconds, the last one endless.
    #[must_use]
    pub fn with_rollouts(
        mut self,
        kept: Result<BTreeMap<GatewayName, (u64, serde_json::Value)>, String>,
        bounds: Vec<f64>,
        now: Timestamp,
    ) -> Self {
        let (rollouts, alarms) = Rollouts::restored(kept, bounds);
        self.rollouts = rollouts;
        let alarm = |(gateway, message)| Note::new(now, gateway, NoteKind::Alarm, message);
        self.notes.extend(alarms.into_iter().map(alarm));
        self
    }

    /// One of several Serins, of which one decides; until it hears more, another. After [`World::with_rollouts`].
    #[must_use]
    pub fn with_others(mut self, now: Timestamp) -> Self {
        self.rollouts = self.rollouts.with_others(now);
        self
    }

    /// The states of [`World::with_rollouts`] are what this Serin remembers of a store that it shares and that cannot be
    /// read; and why that is so.
    #[must_use]
    pub fn with_recalled(mut self, why: &str, now: Timestamp) -> Self {
        self.rollouts = self.rollouts.recalled();
        let message = format!("rollouts are served as this serin knew them last, and do not move: {why}");
        self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
        self
    }

    /// The fencing token of what may be written now; `None`: none is needed. `Err`: another Serin writes.
    pub(in crate::control) fn token(&self) -> Result<Option<u64>, NotLeading> {
        self.rollouts.token()
    }

    /// The store can be read at last, and rollouts go on from what it has, as after a start.
    pub(super) fn take_restored(
        &mut self,
        states: BTreeMap<GatewayName, (u64, serde_json::Value)>,
        now: Timestamp,
    ) {
        let works = "the store can be read now, and rollouts go on from what it has".to_owned();
        self.notes.push(Note::new(now, None, NoteKind::Repaired, works));
        let alarm = |(gateway, message)| Note::new(now, Some(gateway), NoteKind::Alarm, message);
        self.notes.extend(self.rollouts.found(states).into_iter().map(alarm));
        let all = self.wanted.values();
        let all = all.map(|w| Chosen { file: Arc::clone(&w.file), gateway: Arc::clone(&w.newest) });
        for chosen in all.collect::<Vec<_>>() {
            self.unseen.insert(Arc::clone(&chosen.file));
            self.choose(chosen, now);
        }
        self.rollouts.look_again(now);
        self.files.keep_again();
    }

    /// What [`World::take_documents`] would say, once, while another Serin writes for all: for this one alone.
    pub fn take_documents_aside(&mut self) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        self.files.take_good_aside()
    }

    /// What the store is to keep before it counts, once. One proposal is under way at a time.
    pub fn take_proposal(&mut self) -> Option<Proposal> {
        self.rollouts.take_proposal()
    }

    /// The orders that another Serin has to carry out, once.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.outbox.handed)
    }

    /// What running releases live on; `None`: the same as when it was asked last.
    pub fn take_wants(&mut self) -> Option<Wants> {
        self.rollouts.take_wants()
    }

    /// What an operator says. Where another Serin leads, or soon will, the order goes there.
    pub(super) fn take_command(&mut self, mut command: Command, asker: Asker, now: Timestamp) {
        // What takes traffic off a canary waits for nobody.
        self.rollouts.act(&mut command, now);
        match (self.token(), &command.ticket) {
            // One that was handed on to us waits in the store for whoever leads.
            (Err(_), Some(_)) => return,
            (Err(NotLeading::Leader(_) | NotLeading::Nobody), None) => {
                return self.outbox.handed.push(Handed::Command(command, asker));
            }
            (Ok(_) | Err(NotLeading::Cut(_)), _) => {}
        }
        if self.wanted.contains_key(&command.gateway) {
            self.rollouts.order(command, asker, now);
        } else {
            self.answers.push((asker, Err(Refusal::UnknownGateway(command.gateway))));
        }
    }

    /// Orders that act here and are not kept are given again, here or to the Serin that leads.
    pub(super) fn give_again(&mut self, now: Timestamp) {
        let elsewhere = self.rollouts.give_again(now);
        let handed = elsewhere.into_iter().map(|command| Handed::Command(command, Asker::new().0));
        self.outbox.handed.extend(handed);
    }

    /// Serves what orders leave to canaries now, and tells people what became of such orders; true when there is news.
    pub(super) fn take_override_news(&mut self, now: Timestamp) -> bool {
        let news = self.rollouts.take_override_news();
        let gateways: Vec<GatewayName> = news.iter().map(|(name, _)| name.clone()).collect();
        for (name, message) in news {
            if let Some(message) = message {
                self.note(now, &name, NoteKind::Alarm, format!("gateway {name}: {message}"));
            }
        }
        self.follow_states(&gateways, now)
    }

    /// Somebody said something about a metric of a release, or could not.
    pub(super) fn take_said(&mut self, said: Said, now: Timestamp) -> bool {
        let name = said.question.gateway.clone();
        let Some(news) = self.rollouts.said(said, now) else { return false };
        let Some(wanted) = self.wanted.get(&name) else { return false };
        self.unseen.insert(Arc::clone(&wanted.file));
        match news {
            News::Nothing => {}
            News::Data(message) => {
                self.note(now, &name, NoteKind::Repaired, format!("gateway {name}: {message}"));
            }
            News::NoData(message) => {
                let notice = notice::who(&wanted.newest.notify, Occasion::NoData).map(|to| Notice {
                    time: now,
                    gateway: name.clone(),
                    occasion: Occasion::NoData,
                    actor: ENGINE.to_owned(),
                    reason: None,
                    message: message.clone(),
                    release: self.rollouts.get(&name).map(|(_, state)| Release::of(state)),
                    to,
                });
                self.notices.extend(notice);
                self.note(now, &name, NoteKind::Alarm, format!("gateway {name}: {message}"));
            }
        }
        true
    }

    /// What is kept counts from now on.
    pub(super) fn take_answer(&mut self, id: u64, result: Result<(), Unkept>, now: Timestamp) -> bool {
        let Answered { gateways, entries, alarm, lost } = self.rollouts.committed(id, result, now);
        if lost > 0 {
            let message = format!(
                "the store took so long that {lost} reports of Envoys about rollouts were not counted, of both versions alike"
            );
            self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
        }
        for (name, entry) in entries {
            let kind = match entry.kind {
                EntryKind::Paused | EntryKind::RolledBack => NoteKind::Stopped,
                _ => NoteKind::Rollout,
            };
            if let Some(wanted) = self.wanted.get(&name) {
                let state = self.rollouts.get(&name).map(|(_, state)| state);
                self.notices.extend(Notice::of(&name, &entry, state, &wanted.newest.notify));
            }
            self.note(now, &name, kind, format!("gateway {name}: {}", entry.message));
        }
        let alarm = alarm.map(|works| match works {
            Ok(()) => (NoteKind::Repaired, "the store works again, and rollouts move".to_owned()),
            Err(why) => (NoteKind::Alarm, format!("rollouts do not move, since nothing can be kept: {why}")),
        });
        let note = |(kind, message)| Note::new(now, None, kind, message);
        self.notes.extend(alarm.map(note));
        self.follow_states(&gateways, now)
    }

    /// What another Serin has kept counts here as well.
    pub(super) fn take_kept(&mut self, kept: Kept, now: Timestamp) -> bool {
        if self.token().is_ok() {
            return false;
        }
        self.shared_switches = Switches::restored(&kept.switches);
        let is_thrown = self.follow_switches();
        let was_recalled = self.rollouts.is_recalled();
        let (gateways, alarms) = self.rollouts.follow(kept, now);
        if was_recalled && !self.rollouts.is_recalled() {
            // The store may lack texts that were only remembered here.
            self.files.keep_again();
        }
        let alarm = |(gateway, message)| Note::new(now, Some(gateway), NoteKind::Alarm, message);
        self.notes.extend(alarms.into_iter().map(alarm));
        self.follow_states(&gateways, now) || is_thrown
    }

    /// Another Serin decides from now on, or this one.
    pub(super) fn take_seat(&mut self, seat: Seat, now: Timestamp) -> bool {
        let (kind, message) = match &seat {
            Seat::Leads { token } => {
                (NoteKind::Leader, format!("this serin leads the rollouts from now on, with token {token}"))
            }
            Seat::Follows { leader: Some(leader) } => {
                (NoteKind::Leader, format!("the serin at {leader} leads the rollouts"))
            }
            Seat::Follows { leader: None } => {
                (NoteKind::Leader, "no serin leads the rollouts at the moment".to_owned())
            }
            Seat::Cut { why } => {
                (NoteKind::Alarm, format!("everything serves on, and no rollout moves from here: {why}"))
            }
        };
        match &seat {
            Seat::Follows { leader: Some(_) } => self.forget_thrown(),
            Seat::Leads { token } => {
                // A gap: others led meanwhile, and had left before that was seen here.
                if self.led.is_some_and(|last| last + 1 < *token) {
                    self.forget_thrown();
                }
                self.keep_thrown();
                self.led = Some(*token);
            }
            Seat::Follows { leader: None } | Seat::Cut { .. } => {}
        }
        if self.rollouts.sit(seat, now) {
            self.notes.push(Note::new(now, None, kind, message));
        }
        // People are shown who leads.
        true
    }

    /// Serves what is kept now.
    fn follow_states(&mut self, gateways: &[GatewayName], now: Timestamp) -> bool {
        for name in gateways {
            let Some(wanted) = self.wanted.get(name) else { continue };
            self.unseen.insert(Arc::clone(&wanted.file));
            let (file, gateway) = (Arc::clone(&wanted.file), Arc::clone(&wanted.newest));
            self.choose(Chosen { file, gateway }, now);
        }
        !gateways.is_empty()
    }
}
