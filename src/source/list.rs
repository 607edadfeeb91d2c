//! Which gateway files there are, and where that cannot be seen.

use super::read::reason;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How deep sub-directories may lie: deeper than anyone's, and an end for symlinks that go in circles.
const MAX_DEPTH: usize = 8;

/// What lies in a directory and below.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The whole paths of gateway files, in no order.
    pub(super) files: Vec<PathBuf>,
    /// Directories of which it is not known what is in them, and why: no descriptor is left, or no permission is
    /// there. Of what is below them, some may be among the files.
    pub(super) unread: BTreeMap<PathBuf, String>,
}

impl Listing {
    /// Lists a directory; one that is not there is empty.
    pub(super) fn of(directory: &Path) -> Self {
        let mut listing = Self::default();
        listing.list(directory, 0);
        listing
    }

    fn list(&mut self, directory: &Path, depth: usize) {
        if let Err(error) = self.try_list(directory, depth)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.unread.insert(directory.to_path_buf(), reason(&error));
        }
    }

    fn try_list(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        let mut below = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            // ext4 makes `lost+found` for root in every volume, and only fsck puts anything there (mklost+found(8)).
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".") || n == "lost+found") {
                continue;
            }
            if is_gateway_file(&path) {
                // Of a plain file the listing itself tells what it is; only links are looked up.
                if entry.file_type().is_ok_and(|t| t.is_file()) || !path.is_dir() {
                    self.files.push(path);
                }
            } else if depth < MAX_DEPTH && path.extension().is_none() {
                below.push(path);
            }
        }
        // This one is closed by now, so that a deep tree holds one descriptor at a time.
        for path in below {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.list(&path, depth + 1),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.unread.insert(path, reason(&error));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Files that editors leave for a moment end otherwise (`~`, `.swp`, `.tmp`, vim's `4913`). The settings may lie
/// beside the gateways.
pub(super) fn is_gateway_file(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    is_yaml && path.file_name().is_some_and(|n| n != "serin.yaml")
}
