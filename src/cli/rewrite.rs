//! What an edit of the command line does to a file.

use super::{Failure, wrong};
use crate::replace::{self, Error};
use std::io::ErrorKind;
use std::path::Path;

/// Changes the text of a file. It keeps its owner and its mode bits, and is not touched when nothing changes, or
/// when somebody else changed it meanwhile. Whether it was written.
pub(super) fn edit(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, Failure>,
) -> Result<bool, Failure> {
    let before = replace::read(path)?;
    let text = str::from_utf8(&before).map_err(|_| wrong(format!("{} is not UTF-8", path.display())))?;
    let after = change(text)?;
    if after == text {
        return Ok(false);
    }
    replace::replace(path, &before, after.as_bytes()).map_err(failure)?;
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

fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        let directory = directory.display();
        return Err(wrong(format!(
            "the folder {directory} does not exist; run `mkdir -p -m 700 {directory}`"
        )));
    }
    replace::create(path, bytes, 0o600).map_err(failure)
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Meanwhile(_) | Error::Exists(_) | Error::Unfit(..) => wrong(error),
        other => Failure::World(other.into()),
    }
}
