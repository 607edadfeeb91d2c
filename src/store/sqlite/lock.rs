//! Keeps a second Serin away from a store.
//!
//! A lock of the operating system on a file beside the database, which ends with the process however that ends. Not on
//! the database itself: closing a second handle of it would drop the locks of `SQLite` (`man 2 fcntl`).

use crate::store::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The right to use a store, as long as it lives.
#[derive(Debug)]
pub(in crate::store) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a database, by whichever link it is named.
    pub(in crate::store) fn take(database: &Path) -> Result<Self, Error> {
        let place = database.display().to_string();
        let path = beside(database);
        let unavailable = |e: std::io::Error| Error::Unavailable {
            place: place.clone(),
            why: format!("{}: {e}", path.display()),
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without it the sentence is shorter.
                let _ = file.read_to_string(&mut holder);
                return Err(Error::InUse { place, holder: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(e)) => return Err(unavailable(e)),
        }
        // For the sentence above; the lock holds without it, also on a full disk.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Unlocks it, also for a child process that was begun and has not executed its program yet: it holds the same open
    /// file, and closing ours would leave the lock with it (`man 2 flock`).
    fn drop(&mut self) {
        // The descriptor is closed next, which frees it for all but such a child.
        let _ = self.file.unlock();
    }
}

fn beside(database: &Path) -> PathBuf {
    let real = database.canonicalize().or_else(|_| {
        // Not there yet; its folder is.
        let folder = database.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().map(|f| f.join(database.file_name().unwrap_or_default()))
    });
    let mut name = real.unwrap_or_else(|_| database.to_path_buf()).into_os_string();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_end_frees_it_though_a_child_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serin.db");
        let lock = Lock::take(&path).unwrap();
        let _of_a_child = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::take(&path), Err(Error::InUse { .. })));
        drop(lock);
        Lock::take(&path).unwrap();
    }
}
