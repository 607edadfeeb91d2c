//! Directories that cannot be listed: what people are told of them, and that nothing is served before all was seen once.

use super::super::event::{Note, NoteKind};
use super::super::unlisted::Unlisted;
use super::World;
use crate::clock::Timestamp;

impl World {
    /// The directories that cannot be listed, when they are others than before.
    pub fn take_unlisted(&mut self) -> Option<Unlisted> {
        self.unlisted.take()
    }

    /// Whether all files were read once. Before that nobody is told anything: what is not known is not nothing.
    pub fn has_begun(&self) -> bool {
        self.files.begun
    }

    pub(super) fn look_away(&mut self, unlisted: Unlisted, now: Timestamp) {
        let (bad, good) = self.files.look_away(unlisted.clone());
        let note = |kind| move |message| Note::new(now, None, kind, message);
        self.notes.extend(bad.into_iter().map(note(NoteKind::Alarm)));
        self.notes.extend(good.into_iter().map(note(NoteKind::Repaired)));
        self.unlisted = Some(unlisted);
    }
}
