//! What the store and others answer about releases, and who is told of it.

use super::World;
use crate::clock::Timestamp;
use crate::control::event::{Answered as Said, Note, NoteKind};
use crate::control::files::Chosen;
use crate::control::notice::{self, Notice, Release};
use crate::control::questions::News;
use crate::control::rollouts::Answered;
use crate::model::Occasion;
use crate::rollout::{ENGINE, EntryKind};
use std::sync::Arc;

impl World {
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
    pub(super) fn take_answer(&mut self, id: u64, result: Result<(), String>, now: Timestamp) -> bool {
        let Answered { gateways, entries, alarm } = self.rollouts.committed(id, result, now);
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
        let note = |(kind, message)| Note { sequence: 0, time: now, gateway: None, kind, message };
        self.notes.extend(alarm.map(note));
        for name in &gateways {
            let Some(wanted) = self.wanted.get(name) else { continue };
            self.unseen.insert(Arc::clone(&wanted.file));
            let (file, gateway) = (Arc::clone(&wanted.file), Arc::clone(&wanted.newest));
            self.choose(Chosen { file, gateway }, now);
        }
        !gateways.is_empty()
    }
}
