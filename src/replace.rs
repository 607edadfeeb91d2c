//! Writes a file as a whole, so that no reader ever sees half of it, and not at all when somebody else changed it
//! meanwhile.

use crate::config::MAX_FILE;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Why a file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what the change was made for.
    #[error("{} was changed by somebody else meanwhile; look at it and try again", .0.display())]
    Meanwhile(PathBuf),
    /// Where a new one was to be made.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It is nothing whose text could be changed, and why.
    #[error("{} cannot be changed: {_1}", .0.display())]
    Unfit(PathBuf, String),
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

/// Reads a regular file of at most [`MAX_FILE`] bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let regular = |metadata: Metadata| {
        let why = || Error::Unfit(path.to_path_buf(), "it is not a regular file".to_owned());
        if metadata.is_file() { Ok(()) } else { Err(why()) }
    };
    // Before it is opened, since that does something to some devices; and what was opened, since it may have become
    // another one. Opening a pipe would wait for its writer.
    regular(path.metadata().map_err(file("read", path))?)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| file("read", path)(e.into()))?;
    let opened = File::from(opened);
    regular(opened.metadata().map_err(file("read", path))?)?;
    let mut bytes = Vec::new();
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(file("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::Unfit(path.to_path_buf(), format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

/// Replaces a file that holds `before`. It keeps its owner and its mode bits. Behind a link lies the file; the link stays.
///
/// Another file that takes its name meanwhile, as careful editors write theirs, gets it back where the file system can
/// exchange two names; elsewhere one is lost that comes between the last look and the change. Bytes that somebody writes
/// into the old file after that are lost anywhere.
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
    put_in_place(beside, &path, before, after)?;
    sync(directory)
}

fn put_in_place(beside: NamedTempFile, path: &Path, before: &[u8], after: &[u8]) -> Result<(), Error> {
    let holds = |path: &Path, bytes: &[u8]| read(path).is_ok_and(|held| held == bytes);
    match exchange(beside.path(), path) {
        Ok(()) if holds(beside.path(), before) => Ok(()),
        Ok(()) => {
            let back = || exchange(beside.path(), path).map_err(|e| file("give back", path)(e.into()));
            back()?;
            if !holds(beside.path(), after) {
                // There is one that is newer still.
                back()?;
            }
            Err(Error::Meanwhile(path.to_path_buf()))
        }
        Err(Errno::NOENT) => Err(file("replace", path)(Errno::NOENT.into())),
        // Not every file system knows how.
        Err(_) => beside.persist(path).map(drop).map_err(|e| file("replace", path)(e.error)),
    }
}

/// Two files swap their names in one step.
fn exchange(one: &Path, other: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

/// Makes a file that is not there yet, with these mode bits.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = write_beside(directory, bytes)?;
    finish(&beside, Permissions::from_mode(mode))?;
    beside.persist_noclobber(path).map_err(|e| match e.error.kind() {
        ErrorKind::AlreadyExists => Error::Exists(path.to_path_buf()),
        _ => file("create", path)(e.error),
    })?;
    sync(directory)
}

/// Removes a file that holds `before`; of a link, the link.
pub fn remove(path: &Path, before: &[u8]) -> Result<(), Error> {
    if read(path)? != before {
        return Err(Error::Meanwhile(path.to_path_buf()));
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let aside = write_beside(directory, &[])?;
    // Out of everyone's way first: what is removed is then what is compared.
    std::fs::rename(path, aside.path()).map_err(file("remove", path))?;
    if !read(aside.path()).is_ok_and(|held| held == before) {
        return match aside.persist_noclobber(path) {
            // Or there is one that is newer still.
            Err(e) if e.error.kind() != ErrorKind::AlreadyExists => Err(file("give back", path)(e.error)),
            _ => Err(Error::Meanwhile(path.to_path_buf())),
        };
    }
    aside.close().map_err(file("remove", path))?;
    sync(directory)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn pipes_folders_and_what_is_too_large_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'#'; usize::try_from(MAX_FILE).unwrap()]).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, MAX_FILE);
        std::fs::write(&large, vec![b'#'; usize::try_from(MAX_FILE).unwrap() + 1]).unwrap();
        for path in [&pipe, &large, folder.path(), Path::new("/dev/zero")] {
            assert!(matches!(read(path), Err(Error::Unfit(..))), "{}", path.display());
            assert!(matches!(remove(path, b""), Err(Error::Unfit(..))), "{}", path.display());
        }
    }

    /// Somebody edits by hand, as careful editors do, while the API does. No edit by hand may disappear.
    #[test]
    fn a_file_that_comes_between_the_last_look_and_the_change_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, "hand 0\n").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let Ok(before) = read(&path) else { continue };
                    let more = [&before[..], b"and the API\n"].concat();
                    // Nothing grows without end. Whether it succeeds is not the question here.
                    let _ = replace(&path, &before, if more.len() < 200 { &more } else { &before });
                }
            });
            let lost = (1..500).find(|number| {
                let own = format!("hand {number}\n");
                let fresh = folder.path().join("fresh");
                std::fs::write(&fresh, &own).unwrap();
                std::fs::rename(&fresh, &path).unwrap();
                // It may be out of sight for a moment, while it is compared.
                let is_there = || read(&path).is_ok_and(|held| held.starts_with(own.as_bytes()));
                !(0..200_000).any(|_| is_there())
            });
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(lost, None);
        });
    }

    #[test]
    fn what_is_removed_is_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, "by hand").unwrap();
        assert!(matches!(remove(&path, b"by the API"), Err(Error::Meanwhile(_))));
        assert_eq!(read(&path).unwrap(), b"by hand");
        remove(&path, b"by hand").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }
}
