//! Until when the certificates hold that are in use or that gateway files name.

use crate::config::{Attachment, Reference, Validity};
use crate::model::Settings;
use imbl::OrdMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// By the path of the file.
pub type Validities = OrdMap<Arc<str>, Validity>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// The files that the settings name.
    own: BTreeSet<Reference>,
    by_file: Validities,
}

impl Expiries {
    /// Of the files that the settings name; the keys among them are no certificates.
    pub(super) fn new(settings: &Settings) -> Self {
        let own = settings.files().map(|path| Reference::File(path.clone())).collect();
        Self { own, ..Self::default() }
    }

    /// A file is in use, as it was found.
    pub(super) fn look(&mut self, reference: &Reference, found: Option<&Attachment>) {
        let Reference::File(path) = reference else { return };
        let path: Arc<str> = path.to_string_lossy().into();
        let validity = match found {
            Some(Attachment::Bytes { bytes, .. }) => Validity::of(bytes),
            // Until it is there again, the last good one is shown.
            Some(Attachment::Missing | Attachment::Unreadable(_)) if self.own.contains(reference) => return,
            _ => None,
        };
        match validity {
            Some(validity) if self.by_file.get(&path) == Some(&validity) => {}
            Some(validity) => _ = self.by_file.insert(path, validity),
            None => _ = self.by_file.remove(&path),
        }
    }

    /// No gateway file names it any more.
    pub(super) fn forget(&mut self, reference: &Reference) {
        if let Reference::File(path) = reference
            && !self.own.contains(reference)
        {
            self.by_file.remove(&*path.to_string_lossy());
        }
    }

    /// Whether the settings name it.
    pub(super) fn is_own(&self, reference: &Reference) -> bool {
        self.own.contains(reference)
    }

    /// By the path of the file.
    pub(super) fn by_file(&self) -> &Validities {
        &self.by_file
    }
}
