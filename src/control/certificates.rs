//! The certificates of listeners, made to secrets anew when their files change.

use super::board::Listeners;
use super::event::{Note, NoteKind};
use crate::clock::Timestamp;
use crate::config::{Attachment, Half, Reference, pair};
use crate::model::{Certificate, CertificateFiles, ListenerTls, Settings};
use crate::names::ListenerName;
use crate::resource::{Kind, Resource};
use crate::translate::{listener_secret, listener_secret_names};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The certificates of all listeners that have some.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    listeners: BTreeMap<ListenerName, Vec<Slot>>,
}

/// One certificate of a listener.
#[derive(Debug)]
struct Slot {
    secret: String,
    files: CertificateFiles,
    /// The last one that could be used.
    good: Option<Certificate>,
    /// Why the files of now cannot be used.
    fault: Option<String>,
}

impl Certificates {
    /// None of them was read yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let slots = |name: &ListenerName, tls: &ListenerTls| {
            let slot = |(secret, files): (String, &CertificateFiles)| Slot {
                secret,
                files: files.clone(),
                good: None,
                fault: None,
            };
            listener_secret_names(name, tls).zip(&tls.certificates).map(slot).collect()
        };
        let with_tls = settings.listeners.iter().filter_map(|(name, l)| Some((name, l.tls.as_ref()?)));
        let listeners = with_tls.map(|(name, tls)| (name.clone(), slots(name, tls))).collect();
        Self { listeners }
    }

    /// Looks at the files that were touched, as they are now. All secrets of each listener that is to have others, and
    /// what people should know. A listener has none while none of its certificates was ever good.
    pub(super) fn look(
        &mut self,
        touched: &BTreeSet<Reference>,
        found: &BTreeMap<Reference, Attachment>,
        now: Timestamp,
    ) -> (Listeners, Vec<Note>) {
        let (mut changed, mut notes) = (Listeners::new(), Vec::new());
        for (name, slots) in &mut self.listeners {
            let mut has_news = false;
            for slot in slots.iter_mut().filter(|slot| slot.refers_to(touched)) {
                let (is_new, said) = slot.look(found);
                has_news |= is_new;
                notes.extend(said.map(|(kind, what)| {
                    let message = format!("listener {name}: {what}");
                    Note::new(now, None, kind, message)
                }));
            }
            if has_news {
                changed.insert(name.clone(), secrets(slots));
            }
        }
        (changed, notes)
    }
}

impl Certificates {
    /// What is wrong with the files of now.
    pub(super) fn faults(&self) -> impl Iterator<Item = String> {
        let slots =
            self.listeners.iter().flat_map(|(name, slots)| slots.iter().map(move |slot| (name, slot)));
        slots.filter_map(|(name, slot)| {
            let fault = slot.fault.as_ref()?;
            Some(format!("listener {name}: {fault}; {}", slot.instead()))
        })
    }
}

impl Slot {
    fn refers_to(&self, touched: &BTreeSet<Reference>) -> bool {
        let CertificateFiles { cert_file, key_file } = &self.files;
        [cert_file, key_file].into_iter().any(|path| touched.contains(&Reference::File(path.clone())))
    }

    /// Whether another certificate is to be shown now, and what there is to say.
    fn look(&mut self, found: &BTreeMap<Reference, Attachment>) -> (bool, Option<(NoteKind, String)>) {
        let file = self.files.cert_file.display().to_string();
        match self.read(found) {
            Ok(certificate) => {
                let repaired = self.fault.take().is_some();
                let before = self.good.replace(certificate);
                let is_new = before != self.good;
                let said = if repaired {
                    Some((NoteKind::Repaired, format!("the certificate in {file} is right")))
                } else if is_new && before.is_some() {
                    Some((NoteKind::Changed, format!("new connections meet the new certificate in {file}")))
                } else {
                    None
                };
                (is_new, said)
            }
            Err(fault) => {
                let news = self.fault.as_ref() != Some(&fault);
                self.fault = Some(fault.clone());
                let then = self.instead();
                (false, news.then(|| (NoteKind::Alarm, format!("{fault}; {then}"))))
            }
        }
    }

    /// What is shown while the files cannot be used.
    fn instead(&self) -> &'static str {
        match self.good {
            Some(_) => "the last good certificate is shown",
            None => "its hosts cannot be reached under their name",
        }
    }

    fn read(&self, found: &BTreeMap<Reference, Attachment>) -> Result<Certificate, String> {
        let CertificateFiles { cert_file, key_file } = &self.files;
        let (chain, key) = (bytes(found, cert_file)?, bytes(found, key_file)?);
        pair(chain, key).map_err(|no| match no.half {
            Half::Certificate => format!("{} {}: {}", cert_file.display(), no.what, no.help),
            Half::Key => format!("{} {}: {}", key_file.display(), no.what, no.help),
        })
    }
}

/// Envoy opens a TLS listener when it has all the secrets, so one that was never good has another stand in for it:
/// its hosts fail by the name, and all others are reached.
fn secrets(slots: &[Slot]) -> Vec<Arc<Resource>> {
    let stand_in = slots.iter().find_map(|slot| slot.good.as_ref());
    let of = |slot: &Slot| {
        let message = listener_secret(&slot.secret, slot.good.as_ref().or(stand_in)?);
        Some(Arc::new(Resource::new(Kind::Secret, &slot.secret, &message)))
    };
    slots.iter().filter_map(of).collect()
}

fn bytes<'f>(found: &'f BTreeMap<Reference, Attachment>, path: &Path) -> Result<&'f Arc<[u8]>, String> {
    let path_shown = path.display();
    match found.get(&Reference::File(path.to_path_buf())) {
        Some(Attachment::Bytes { bytes, .. }) => Ok(bytes),
        Some(Attachment::Missing | Attachment::Withheld(_)) | None => {
            Err(format!("{path_shown} is not there"))
        }
        Some(Attachment::Unreadable(why)) => Err(format!("{path_shown} cannot be read: {why}")),
        Some(Attachment::TooLarge(size)) => {
            Err(format!("{path_shown} has {size} bytes, which is no certificate"))
        }
    }
}
