//! Switches for all gateways at once.

use super::{Note, NoteKind, World};
use crate::clock::Timestamp;
use crate::control::Throw;
use crate::model::Switches;
use crate::translate;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// With the switches as they were left.
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        self.switches = switches;
        self.common.runtime = Arc::new(translate::runtime(switches));
        self
    }

    /// The switches that were thrown, once, to be kept.
    pub fn take_switches(&mut self) -> BTreeMap<Arc<str>, bool> {
        std::mem::take(&mut self.thrown)
    }

    /// Throws a switch. Unlike a step of a rollout it does not wait for the store: it takes load away from something, and
    /// that is most urgent when something does not work.
    pub(super) fn throw(&mut self, Throw { switch, on, by, asker }: Throw, now: Timestamp) -> bool {
        let changed = self.switches.is_on(switch) != on;
        if changed {
            self.switches.set(switch, on);
            self.common.runtime = Arc::new(translate::runtime(self.switches));
            self.thrown.insert(switch.name().into(), on);
            let message = format!("{} switched {}", switch.name(), if on { "on" } else { "off" });
            self.notes.push(Note { by: Some(by), ..Note::new(now, None, NoteKind::Switched, message) });
        }
        asker.answer(self.switches);
        changed
    }
}
