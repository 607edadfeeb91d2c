//! One file from disk: never more than a limit, never a device or a pipe, and not again when it did not change.

use crate::config::MAX_FILE;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// What identifies the state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: i128,
    size: u64,
    file: (u64, u64),
    mode: u32,
}

impl Stamp {
    /// Whether every user of the machine may read it.
    pub(super) fn is_exposed(&self) -> bool {
        self.mode & 0o004 != 0
    }

    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            size: metadata.len(),
            file: (metadata.dev(), metadata.ino()),
            mode: metadata.mode(),
        }
    }
}

/// What reading a file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes(Arc<[u8]>),
    TooLarge(u64),
    Unreadable(String),
    Gone,
}

/// Reads a file, following symlinks.
pub(super) fn read(path: &Path) -> (Found, Option<Stamp>) {
    match try_read(path) {
        Ok((found, stamp)) => (found, Some(stamp)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (Found::Gone, None),
        Err(e) => (Found::Unreadable(reason(&e)), None),
    }
}

/// The state of a file without reading it; `None`: it is not there or cannot be looked at.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|m| Stamp::of(&m))
}

fn try_read(path: &Path) -> io::Result<(Found, Stamp)> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let stamp = Stamp::of(&metadata);
    if metadata.len() > MAX_FILE {
        return Ok((Found::TooLarge(metadata.len()), stamp));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    // It may grow while it is read.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > MAX_FILE {
        return Ok((Found::TooLarge(size), stamp));
    }
    Ok((Found::Bytes(bytes.into()), stamp))
}

/// An error of the operating system in words, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
