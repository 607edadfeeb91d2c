//! What a gateway file refers to without holding it, and what was found there.

use super::resolve;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that a document refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A file. A relative path is meant from the folder of the document, so this is that folder joined with the path
    /// as it is written: `../ca.pem` in `team/a.yaml` is `team/../ca.pem`, relative to the watched directory like
    /// the document itself. An absolute path is its own.
    File(PathBuf),
    /// A variable of the environment in which Serin was started.
    Environment(String),
}

impl Reference {
    /// A path that a document mentions.
    pub(super) fn file(document: &Path, written: &str) -> Self {
        Self::File(resolve(document, written))
    }
}

/// What was found where a document refers to.
#[derive(Clone, PartialEq, Eq)]
pub enum Attachment {
    /// It was read.
    Bytes {
        /// What is in it.
        bytes: Arc<[u8]>,
        /// Whether every user of the machine may read it.
        exposed: bool,
    },
    /// There is no such file or variable.
    Missing,
    /// Reading failed, for this reason.
    Unreadable(String),
    /// It has this many bytes, more than [`MAX_FILE`](super::MAX_FILE), and was not read.
    TooLarge(u64),
    /// Nobody looked, because of who asks: what is said of it would tell them what is there.
    Withheld(Withheld),
}

/// Why nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Whoever only looks learns of nothing but what the gateway refers to already.
    Viewer,
    /// An edit through the API does not lead out of the directory of gateway files, nor to variables, by itself.
    Outside,
}

impl Attachment {
    /// Bytes that only their owner may read.
    pub fn private(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes { bytes: bytes.into(), exposed: false }
    }
}

impl fmt::Debug for Attachment {
    /// Without the bytes: they may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { bytes, exposed } => write!(f, "Bytes([{}], exposed: {exposed})", bytes.len()),
            Self::Missing => f.write_str("Missing"),
            Self::Unreadable(why) => write!(f, "Unreadable({why:?})"),
            Self::TooLarge(size) => write!(f, "TooLarge({size})"),
            Self::Withheld(why) => write!(f, "Withheld({why:?})"),
        }
    }
}
