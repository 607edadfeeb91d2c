//! The key from which the secrets of all logins are made, in a file of its own or in the store.

use crate::model::SessionKey;
use crate::store::run::Handle;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The name of the key in the store.
const NAME: &str = "session";

/// The key in a file; without a path that in the store, made when there is none. Where the store keeps nothing, the
/// logins end with this run.
pub(super) async fn key(file: Option<&Path>, store: &Handle) -> io::Result<SessionKey> {
    let Some(path) = file else {
        let new = random()?;
        return match store.secret(NAME, new.expose().to_vec()).await {
            Ok(bytes) => taken(&bytes),
            Err(error) => {
                tracing::warn!("logins will end with this run, since their key cannot be kept: {error}");
                Ok(new)
            }
        };
    };
    in_file(path)
}

/// The key in a file; made, for its owner alone, when there is no such file.
fn in_file(path: &Path) -> io::Result<SessionKey> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    match fs::read(path) {
        Ok(bytes) => taken(&bytes).map_err(named),
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

fn taken(bytes: &[u8]) -> io::Result<SessionKey> {
    let key = bytes.try_into().map(SessionKey::new);
    let length = SessionKey::LENGTH;
    key.map_err(|_| io::Error::other(format!("it has {} bytes, not {length}", bytes.len())))
}

fn random() -> io::Result<SessionKey> {
    let mut bytes = [0; SessionKey::LENGTH];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(SessionKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoreAt;
    use crate::store;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = in_file(&path).unwrap();
        assert_eq!(in_file(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_store_keeps_the_key_and_a_file_wins_over_it() {
        let (handle, work, _answers) = store::run::start(store::open(&StoreAt::Memory).unwrap(), None);
        let work = std::thread::spawn(|| work.run());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        runtime.block_on(async {
            let first = key(None, &handle).await.unwrap();
            assert_eq!(key(None, &handle).await.unwrap(), first);
            let other = key(Some(&path), &handle).await.unwrap();
            assert_ne!(other, first);
            assert_eq!(key(Some(&path), &handle).await.unwrap(), other);
        });
        drop(handle);
        work.join().unwrap();
    }

    #[test]
    fn without_a_store_each_run_has_its_own_key() {
        let why = store::Error::Corrupt { place: "serin.db".into(), why: "malformed".into() };
        let (handle, work, _answers) = store::run::start(Box::new(store::Absent(why.clone())), Some(why));
        let work = std::thread::spawn(|| work.run());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_ne!(key(None, &handle).await.unwrap(), key(None, &handle).await.unwrap());
        });
        drop(handle);
        work.join().unwrap();
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "short").unwrap();
        assert!(in_file(&path).unwrap_err().to_string().ends_with("key: it has 5 bytes, not 32"));
        assert!(in_file(&folder.path().join("no/key")).is_err());
    }
}
