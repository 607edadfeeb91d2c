//! The file of tokens, read anew when it changes.

use super::event::{Note, NoteKind};
use crate::access::Tokens;
use crate::clock::Timestamp;
use crate::config::{Attachment, Reference};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The file, and who may come in by it.
#[derive(Debug)]
pub(super) struct Door {
    file: Reference,
    path: PathBuf,
    tokens: Tokens,
    /// What is wrong with the file of now.
    wrong: Option<String>,
    /// Nobody has taken `tokens` yet.
    is_new: bool,
}

impl Door {
    /// Begins with the tokens that count.
    pub(super) fn new(path: PathBuf, tokens: Tokens) -> Self {
        Self { file: Reference::File(path.clone()), path, tokens, wrong: None, is_new: false }
    }

    /// Whether the file is one of these.
    pub(super) fn refers_to(&self, touched: &BTreeSet<Reference>) -> bool {
        touched.contains(&self.file)
    }

    /// Looks at the file as it is now; says what that changes. A wrong line lets nobody in. A file that is gone, which it
    /// may be for a moment only, changes nothing: who wants nobody to come in empties it.
    pub(super) fn look(&mut self, found: &BTreeMap<Reference, Attachment>, now: Timestamp) -> Option<Note> {
        let path = self.path.display();
        let (tokens, wrong) = match found.get(&self.file) {
            Some(Attachment::Bytes { bytes, .. }) => {
                let (tokens, wrong) = Tokens::read(bytes);
                let wrong = wrong.first().map(|why| format!("{path}: {why}; this line lets nobody in"));
                (Some(tokens), wrong)
            }
            Some(Attachment::Unreadable(why)) => (None, Some(format!("cannot be read: {why}"))),
            Some(Attachment::TooLarge(size)) => (None, Some(format!("has {size} bytes, too many"))),
            Some(Attachment::Missing | Attachment::Withheld(_)) | None => {
                (None, Some("is not there".to_owned()))
            }
        };
        let is_kept = tokens.is_none();
        let wrong =
            wrong.map(|why| if is_kept { format!("{path} {why}; the tokens of before count") } else { why });
        let changed = tokens.is_some_and(|tokens| {
            let changed = tokens != self.tokens;
            self.tokens = tokens;
            changed
        });
        self.is_new |= changed;
        let was = std::mem::replace(&mut self.wrong, wrong.clone());
        let note = |kind, message| Some(Note::new(now, None, kind, message));
        match (was, wrong) {
            (was, Some(wrong)) if was.as_ref() != Some(&wrong) => note(NoteKind::Alarm, wrong),
            (Some(_), None) => note(NoteKind::Repaired, format!("{path} is right again")),
            _ if changed => note(NoteKind::Changed, format!("the tokens of {path} have changed")),
            _ => None,
        }
    }

    /// The newest tokens, once.
    pub(super) fn take(&mut self) -> Option<Tokens> {
        std::mem::take(&mut self.is_new).then(|| self.tokens.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Digest, Role, line};

    #[test]
    fn a_token_that_is_taken_out_counts_no_more() {
        let text = |names: &[&str]| {
            let lines = names.iter().map(|name| line(name, Role::Viewer, name).unwrap());
            lines.collect::<Vec<_>>().join("\n")
        };
        let has = |tokens: &Tokens, name: &str| tokens.find(&Digest::of(name.as_bytes())).is_some();
        let mut door = Door::new("tokens".into(), Tokens::read(text(&["ann", "bob"]).as_bytes()).0);
        let mut look = |text: Option<String>| {
            let found = text.map(|t| (Reference::File("tokens".into()), Attachment::private(t.into_bytes())));
            let note = door.look(&found.into_iter().collect(), Timestamp(1));
            (note.map(|n| n.kind), door.take())
        };
        assert_eq!(look(Some(text(&["ann", "bob"]))), (None, None));
        let (note, tokens) = look(Some(text(&["ann"])));
        let tokens = tokens.unwrap();
        assert_eq!(note, Some(NoteKind::Changed));
        assert!(has(&tokens, "ann") && !has(&tokens, "bob"));

        assert_eq!(look(None), (Some(NoteKind::Alarm), None), "gone for a moment");
        assert_eq!(look(Some(text(&["ann"]))), (Some(NoteKind::Repaired), None));
        let (note, tokens) = look(Some("ann:viewer\n".to_owned()));
        assert_eq!(note, Some(NoteKind::Alarm));
        assert!(!has(&tokens.unwrap(), "ann"));
        assert_eq!(look(Some("ann:viewer\n".to_owned())), (None, None));
        assert_eq!(look(Some(String::new())), (Some(NoteKind::Repaired), None));
    }
}
