//! Directories of gateway files of which it is not known what is in them. What was known of it stands; where nothing was
//! known yet, that is not the same as that nothing is there.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Them, by their paths below the watched directory (empty: that one itself), and why they cannot be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlisted(BTreeMap<Arc<str>, Arc<str>>);

impl Unlisted {
    /// Why nothing is known of any gateway file, if that is so.
    pub fn everything(&self) -> Option<&Arc<str>> {
        self.0.get("")
    }

    /// Each by its path, with a sentence for people; `is_begun`: whether all files were read before.
    pub fn sentences(&self, is_begun: bool) -> impl Iterator<Item = (&Arc<str>, String)> {
        self.0.iter().map(move |(directory, why)| {
            let then = match (is_begun, directory.is_empty()) {
                (false, true) => "until it can be, Envoys are answered nothing and keep what they have",
                (false, false) => "of the files below it, the last good versions serve",
                (true, _) => "gateways of the files below it stay as they were",
            };
            (directory, format!("{} cannot be listed ({why}); {then}", called(directory)))
        })
    }

    /// Each by its path below the directory of gateway files, which is the empty one, and why.
    pub fn each(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What is new since before: the sentences about those that could be listed then, and about those that can be now.
    pub(super) fn since(&self, before: &Self, is_begun: bool) -> (Vec<String>, Vec<String>) {
        let new = self.sentences(is_begun).filter(|(directory, _)| !before.0.contains_key(*directory));
        let over = before.0.keys().filter(|directory| !self.0.contains_key(*directory));
        let known_again =
            |directory: &Arc<str>| format!("it is known again what is in {}", called(directory));
        (new.map(|(_, sentence)| sentence).collect(), over.map(known_again).collect())
    }
}

impl<D: Into<Arc<str>>, W: Into<Arc<str>>> FromIterator<(D, W)> for Unlisted {
    fn from_iter<I: IntoIterator<Item = (D, W)>>(directories: I) -> Self {
        Self(directories.into_iter().map(|(directory, why)| (directory.into(), why.into())).collect())
    }
}

fn called(directory: &str) -> String {
    if directory.is_empty() {
        "the directory of gateway files".to_owned()
    } else {
        format!("directory {directory}")
    }
}
