//! Writes a file as a whole, so that no reader ever sees half of it.

use super::{Failure, wrong};
use anyhow::Context;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use tempfile::NamedTempFile;

/// Changes the text of a file. It keeps its owner and its mode bits, and is not touched when nothing changes, or
/// when somebody else changed it meanwhile. Whether it was written.
pub(super) fn edit(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, Failure>,
) -> Result<bool, Failure> {
    let read = || std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let before = read()?;
    let text = str::from_utf8(&before).map_err(|_| wrong(format!("{} is not UTF-8", path.display())))?;
    let after = change(text)?;
    if after == text {
        return Ok(false);
    }
    replace(path, after.as_bytes(), || Ok(read()? == before))?;
    Ok(true)
}

/// The same, for a file that may not be there yet: then its text is empty, and only its owner may read the new one.
pub(super) fn edit_secret(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => create_secret(path, change("")?.as_bytes()),
        _ => edit(path, change).map(drop),
    }
}

/// Whether every user of the machine may read a file.
pub(super) fn is_exposed(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        let directory = directory.display();
        return Err(wrong(format!(
            "the folder {directory} does not exist; run `mkdir -p -m 700 {directory}`"
        )));
    }
    let beside = write_beside(directory, bytes)?;
    beside.as_file().set_permissions(Permissions::from_mode(0o600))?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(path).map_err(|e| match e.error.kind() {
        ErrorKind::AlreadyExists => meanwhile(path),
        _ => Failure::World(anyhow::Error::new(e.error).context(format!("cannot create {}", path.display()))),
    })?;
    sync(directory)
}

fn replace(
    path: &Path,
    bytes: &[u8],
    unchanged: impl FnOnce() -> anyhow::Result<bool>,
) -> Result<(), Failure> {
    // Behind a link lies the file; the link stays.
    let path = path.canonicalize()?;
    let metadata = path.metadata()?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let beside = write_beside(directory, bytes)?;
    let fresh = beside.as_file().metadata()?;
    if (fresh.uid(), fresh.gid()) != (metadata.uid(), metadata.gid()) {
        // Before the mode bits, some of which a change of owner takes away.
        fchown(beside.as_file(), Some(metadata.uid()), Some(metadata.gid()))
            .with_context(|| format!("{} has another owner; change it as that owner", path.display()))?;
    }
    beside.as_file().set_permissions(metadata.permissions())?;
    beside.as_file().sync_all()?;
    if !unchanged()? {
        return Err(meanwhile(&path));
    }
    beside.persist(&path).with_context(|| format!("cannot replace {}", path.display()))?;
    sync(directory)
}

/// A new file for its owner alone, under a name that nobody watches.
fn write_beside(directory: &Path, bytes: &[u8]) -> anyhow::Result<NamedTempFile> {
    let mut beside =
        tempfile::Builder::new().prefix(".serin-").tempfile_in(directory).with_context(|| {
            format!("cannot write in {}; change the file where it comes from", directory.display())
        })?;
    beside.write_all(bytes)?;
    Ok(beside)
}

/// Only then does a new name outlive a power cut.
fn sync(directory: &Path) -> Result<(), Failure> {
    Ok(File::open(directory)?.sync_all()?)
}

fn meanwhile(path: &Path) -> Failure {
    wrong(format!("{} was changed by somebody else meanwhile; look at it and try again", path.display()))
}
