//! The environment as a value: whoever starts Serin hands it in.

use crate::config::Attachment;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// Variables by their names. Never printed: some are secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// What a gateway file finds under a name.
    pub(super) fn find(&self, name: &str) -> Attachment {
        let value = self.0.get(OsStr::new(name));
        value.map_or(Attachment::Missing, |value| Attachment::private(value.as_bytes()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} variables]", self.0.len())
    }
}
