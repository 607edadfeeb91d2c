//! Writes a file as a whole, so that no reader ever sees half of it, and not at all when somebody else changed it
//! meanwhile.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Why a file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what the change was made for.
    #[error("{} was changed by somebody else meanwhile; look at it and try again", .0.display())]
    Meanwhile(PathBuf),
    /// The folder takes no new file.
    #[error("cannot write in {}; change the file where it comes from", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The new file could not be given to the owner of the old one.
    #[error("{} has another owner; change it as that owner", .0.display())]
    Owner(PathBuf, #[source] io::Error),
    /// The file itself.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(file("read", path))
}

/// Replaces a file that holds `before`. It keeps its owner and its mode bits. Behind a link lies the file; the link stays.
pub fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), Error> {
    let path = path.canonicalize().map_err(file("find", path))?;
    let metadata = path.metadata().map_err(file("look at", &path))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let beside = write_beside(directory, after)?;
    let fresh = beside.as_file().metadata().map_err(file("look at", beside.path()))?;
    if (fresh.uid(), fresh.gid()) != (metadata.uid(), metadata.gid()) {
        // Before the mode bits, some of which a change of owner takes away.
        fchown(beside.as_file(), Some(metadata.uid()), Some(metadata.gid()))
            .map_err(|e| Error::Owner(path.clone(), e))?;
    }
    finish(&beside, metadata.permissions())?;
    if read(&path)? != before {
        return Err(Error::Meanwhile(path));
    }
    beside.persist(&path).map_err(|e| file("replace", &path)(e.error))?;
    sync(directory)
}

/// Makes a file that is not there yet, with these mode bits.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = write_beside(directory, bytes)?;
    finish(&beside, Permissions::from_mode(mode))?;
    beside.persist_noclobber(path).map_err(|e| match e.error.kind() {
        ErrorKind::AlreadyExists => Error::Meanwhile(path.to_path_buf()),
        _ => file("create", path)(e.error),
    })?;
    sync(directory)
}

/// Removes a file that holds `before`; of a link, the link.
pub fn remove(path: &Path, before: &[u8]) -> Result<(), Error> {
    if read(path)? != before {
        return Err(Error::Meanwhile(path.to_path_buf()));
    }
    std::fs::remove_file(path).map_err(file("remove", path))?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Whether every user of the machine may read a file.
pub fn is_exposed(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// A new file for its owner alone, under a name that nobody watches.
fn write_beside(directory: &Path, bytes: &[u8]) -> Result<NamedTempFile, Error> {
    let made = tempfile::Builder::new().prefix(".serin-").tempfile_in(directory);
    let mut beside = made.map_err(|e| Error::Folder(directory.to_path_buf(), e))?;
    beside.write_all(bytes).map_err(|e| Error::Folder(directory.to_path_buf(), e))?;
    Ok(beside)
}

fn finish(beside: &NamedTempFile, permissions: Permissions) -> Result<(), Error> {
    let file_of = beside.as_file();
    file_of
        .set_permissions(permissions)
        .and_then(|()| file_of.sync_all())
        .map_err(file("write", beside.path()))
}

/// Only then does a new name outlive a power cut.
fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(file("write", directory))
}

fn file<'a>(verb: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + use<'a> {
    move |source| Error::File { verb, path: path.to_path_buf(), source }
}
