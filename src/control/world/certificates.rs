//! The certificates of listeners, which follow their files.

use super::World;
use crate::clock::Timestamp;
use crate::config::{Attachment, Reference};
use crate::control::event::{Note, NoteKind};
use crate::model::Listener;
use crate::resource::{Kind, Resource};
use crate::translate;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

impl World {
    /// Reads the certificates of listeners again whose files have changed, and says which cannot be read.
    pub(super) fn take_certificates(&mut self, touched: &BTreeSet<Reference>, now: Timestamp) {
        for (name, Listener { tls, .. }) in &self.settings.listeners {
            let Some(tls) = tls else { continue };
            let files = [&tls.cert_file, &tls.key_file];
            let found = |path: &PathBuf| self.files.attached.get(&Reference::File(path.clone()));
            let is_new = |path: &PathBuf| touched.contains(&Reference::File(path.clone()));
            for path in files.into_iter().filter(|path| is_new(path)) {
                let what = match found(path) {
                    None | Some(Attachment::Bytes { .. }) => continue,
                    Some(Attachment::Missing) => "is not there".to_owned(),
                    Some(Attachment::Unreadable(why)) => format!("cannot be read: {why}"),
                    Some(Attachment::TooLarge(size)) => format!("has {size} bytes, which is no certificate"),
                };
                let message = format!("{}, a file of listener {name}, {what}", path.display());
                let (gateway, kind) = (None, NoteKind::Alarm);
                self.notes.push(Note { sequence: 0, time: now, gateway, kind, message });
            }
            let [
                Some(Attachment::Bytes { bytes: certificate, .. }),
                Some(Attachment::Bytes { bytes: key, .. }),
            ] = files.map(found)
            else {
                continue;
            };
            if files.into_iter().any(is_new) {
                let secret = translate::listener_secret(name, certificate, key);
                let secret = Resource::new(Kind::Secret, &translate::listener_secret_name(name), &secret);
                let common = self.common.entry(name.clone()).or_default();
                common.retain(|r| r.kind() != Kind::Secret);
                common.push(Arc::new(secret));
            }
        }
    }
}
