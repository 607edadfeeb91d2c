//! The key from which the secrets of all logins are made, in a file of its own.

use crate::model::SessionKey;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The key in a file; made, for its owner alone, when there is no such file. Without a path a new key for this run.
pub(super) fn key(path: Option<&Path>) -> io::Result<SessionKey> {
    let Some(path) = path else { return random() };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    match fs::read(path) {
        Ok(bytes) => {
            let key = bytes.as_slice().try_into().map(SessionKey::new);
            let length = SessionKey::LENGTH;
            key.map_err(|_| named(io::Error::other(format!("it has {} bytes, not {length}", bytes.len()))))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let key = random()?;
            // Never over a file that came meanwhile: whoever has logged in would be out.
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(named)?;
            file.write_all(key.expose()).and_then(|()| file.sync_all()).map_err(named)?;
            Ok(key)
        }
        Err(e) => Err(named(e)),
    }
}

fn random() -> io::Result<SessionKey> {
    let mut bytes = [0; SessionKey::LENGTH];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(SessionKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = key(Some(&path)).unwrap();
        assert_eq!(key(Some(&path)).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(key(None).unwrap(), key(None).unwrap());
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "short").unwrap();
        assert!(key(Some(&path)).unwrap_err().to_string().ends_with("key: it has 5 bytes, not 32"));
        assert!(key(Some(&folder.path().join("no/key"))).is_err());
    }
}
