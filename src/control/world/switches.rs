//! Switches for all gateways at once.

use super::{Note, NoteKind, World};
use crate::clock::Timestamp;
use crate::control::Throw;
use crate::control::handed::{self, Handed};
use crate::control::rollouts::NotLeading;
use crate::model::{Switch, Switches};
use crate::store::Settled;
use crate::translate;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// With the switches as they were left.
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        (self.switches, self.shared_switches) = (switches, switches);
        self.common.runtime = Arc::new(translate::runtime(switches));
        self
    }

    /// The store could be opened at last: the switches are as they were left, but for those that were thrown since.
    pub(super) fn find_switches(&mut self, mut kept: BTreeMap<Arc<str>, bool>) {
        kept.extend(self.thrown.clone());
        self.switches = Switches::restored(&kept);
        self.common.runtime = Arc::new(translate::runtime(self.switches));
        self.unkept = !self.thrown.is_empty();
    }

    /// The switches that were thrown, to be kept, once after each time.
    pub fn take_switches(&mut self) -> BTreeMap<Arc<str>, bool> {
        if std::mem::take(&mut self.unkept) { self.thrown.clone() } else { BTreeMap::new() }
    }

    /// The answers to switches that other Serins handed on, to be kept with the switches, once.
    pub fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.outbox.settled)
    }

    /// Throws a switch; where another Serin leads, that one does, and all follow. Unlike a step of a rollout it does not wait for
    /// the store: it takes load away from something, and that is most urgent when something does not work.
    pub(super) fn throw(&mut self, throw: Throw, now: Timestamp) -> bool {
        match (self.token(), &throw.ticket) {
            (Err(NotLeading::Leader(_)), None) => {
                self.outbox.handed.push(Handed::Throw(throw));
                return false;
            }
            // It waits in the store for whoever leads.
            (Err(_), Some(_)) => return false,
            (Ok(_) | Err(_), _) => {}
        }
        let Throw { switch, on, by, asker, ticket } = throw;
        // Met again before its answer was kept, it has acted, and somebody may have thrown the switch since.
        let is_new = ticket.as_ref().is_none_or(|ticket| self.outbox.remember(ticket));
        let changed = is_new && self.switches.is_on(switch) != on;
        if changed {
            self.switches.set(switch, on);
            self.common.runtime = Arc::new(translate::runtime(self.switches));
            self.thrown.insert(switch.name().into(), on);
            self.unkept = true;
            let message = format!("{} switched {}", switch.name(), if on { "on" } else { "off" });
            self.notes.push(Note { by: Some(by), ..Note::new(now, None, NoteKind::Switched, message) });
        }
        match ticket {
            // Who handed it on hears of it when it is kept: with this answer, since of what was thrown before it is not known.
            Some(ticket) => {
                self.outbox.settled.push(handed::thrown(ticket, self.switches));
                self.unkept |= !self.thrown.is_empty();
            }
            None => asker.answer(Ok(self.switches)),
        }
        changed
    }

    /// Another Serin has led, and what it left counts: no more what was thrown here before.
    pub(super) fn forget_thrown(&mut self) {
        self.thrown.clear();
        self.outbox.forget_thrown();
        self.unkept = false;
        self.follow_switches();
    }

    /// This one leads. What was thrown while nobody led is kept now, and so is once more what was thrown as it led before,
    /// since nobody knows whether that was kept.
    pub(super) fn keep_thrown(&mut self) {
        self.unkept = !self.thrown.is_empty();
    }

    /// The switches as another Serin left them, but for what was thrown here since. Says whether that is another than
    /// before.
    pub(super) fn follow_switches(&mut self) -> bool {
        let mut switches = self.shared_switches;
        for (switch, on) in self.thrown.iter().filter_map(|(name, on)| Some((Switch::of_name(name)?, *on))) {
            switches.set(switch, on);
        }
        let changed = self.switches != switches;
        if changed {
            self.switches = switches;
            self.common.runtime = Arc::new(translate::runtime(switches));
        }
        changed
    }
}
