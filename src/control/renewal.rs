//! The certificates of a port of ours, read anew when their files change.

use super::event::{Note, NoteKind};
use crate::clock::Timestamp;
use crate::config::{Attachment, Reference};
use crate::mtls::{Credentials, Files, Unusable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The files, and what was made of them last.
#[derive(Debug)]
pub(super) struct Renewal {
    files: Files,
    newest: Credentials,
    /// Why the files of now cannot be used; those before are.
    unusable: Option<Unusable>,
    /// Nobody has taken `newest` yet.
    is_new: bool,
}

impl Renewal {
    /// Begins with credentials that are in use.
    pub(super) fn new(files: Files, newest: Credentials) -> Self {
        Self { files, newest, unusable: None, is_new: false }
    }

    /// Whether one of these is among the files.
    pub(super) fn refers_to(&self, touched: &BTreeSet<Reference>) -> bool {
        self.files.paths().any(|file| touched.contains(&Reference::File(file.clone())))
    }

    /// Looks at the files as they are now; says what that changes.
    pub(super) fn look(&mut self, found: &BTreeMap<Reference, Attachment>, now: Timestamp) -> Option<Note> {
        let note = |kind, message| Some(Note::new(now, None, kind, message));
        let unusable = match Credentials::load(&self.files, |path| read(found, path)) {
            Ok(same) if same == self.newest => {
                self.unusable.take()?;
                return note(
                    NoteKind::Repaired,
                    format!("the files of `{}` are right again", self.files.setting()),
                );
            }
            Ok(newest) => {
                (self.newest, self.unusable, self.is_new) = (newest, None, true);
                let setting = self.files.setting();
                let message =
                    format!("the files of `{setting}` have changed; new connections meet what they hold now");
                return note(NoteKind::Changed, message);
            }
            Err(unusable) => unusable,
        };
        if self.unusable.as_ref() == Some(&unusable) {
            return None;
        }
        self.unusable = Some(unusable);
        self.fault().and_then(|message| note(NoteKind::Alarm, message))
    }

    /// What is wrong with the files of now.
    pub(super) fn fault(&self) -> Option<String> {
        let unusable = self.unusable.as_ref()?;
        Some(format!("{unusable}; new connections meet what was there before"))
    }

    /// The newest credentials, once.
    pub(super) fn take(&mut self) -> Option<Credentials> {
        std::mem::take(&mut self.is_new).then(|| self.newest.clone())
    }
}

fn read(found: &BTreeMap<Reference, Attachment>, path: &Path) -> Result<Arc<[u8]>, String> {
    match found.get(&Reference::File(path.to_path_buf())) {
        Some(Attachment::Bytes { bytes, .. }) => Ok(Arc::clone(bytes)),
        Some(Attachment::Missing | Attachment::Withheld(_)) | None => Err("is not there".to_owned()),
        Some(Attachment::Unreadable(why)) => Err(format!("cannot be read: {why}")),
        Some(Attachment::TooLarge(size)) => Err(format!("has {size} bytes, which is no certificate")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_said_once() {
        let files = crate::model::MutualTls {
            cert_file: "cert".into(),
            key_file: "key".into(),
            client_ca_file: "cert".into(),
            allow: None,
        };
        let files = Files::from(&files);
        let pair = || {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["a".to_owned()]).unwrap();
            let file = |name: &str, text: String| {
                (Reference::File(name.into()), Attachment::private(text.into_bytes()))
            };
            BTreeMap::from([file("cert", cert.pem()), file("key", signing_key.serialize_pem())])
        };
        let (first, second) = (pair(), pair());
        let credentials = Credentials::load(&files, |path| read(&first, path)).unwrap();
        let mut renewal = Renewal::new(files, credentials.clone());
        let look = |renewal: &mut Renewal, found: &_| renewal.look(found, Timestamp(1)).map(|note| note.kind);
        assert_eq!((look(&mut renewal, &first), renewal.take()), (None, None));

        // The certificate came, its key is still on the way.
        let mut half = first.clone();
        let certificate = Reference::File("cert".into());
        half.insert(certificate.clone(), second[&certificate].clone());
        assert_eq!(look(&mut renewal, &half), Some(NoteKind::Alarm));
        assert_eq!((look(&mut renewal, &half), renewal.take()), (None, None));
        assert_eq!(look(&mut renewal, &first), Some(NoteKind::Repaired));
        assert_eq!(look(&mut renewal, &BTreeMap::new()), Some(NoteKind::Alarm));
        assert_eq!(look(&mut renewal, &second), Some(NoteKind::Changed));
        assert!(renewal.take().is_some_and(|new| new != credentials) && renewal.take().is_none());
    }
}
