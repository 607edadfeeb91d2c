//! A store in one file, which `sqlite3` can read while Serin runs.
//!
//! Write-ahead log with full synchronization: what is answered is on the disk, and readers are not in the way. Every
//! commit is tried together with what waits beside it, since the synchronization is what takes time; when that fails,
//! each is tried alone, so that one that is too large for a full disk does not take others with it.

mod journal;
pub(in crate::store) mod lock;
mod schema;

use super::{Commit, Entry, Error, Query, Restored, StateChange, Store};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use lock::Lock;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a person's `sqlite3` may hold up a commit.
const BUSY: Duration = Duration::from_secs(5);

/// A store in a file, or in memory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    place: String,
    /// Held as long as the file is open.
    _lock: Option<Lock>,
}

impl Sqlite {
    /// Opens a file, or makes it for its owner alone. Its folder must be there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let place = path.display().to_string();
        let (lock, connection) = connect(path, &place)?;
        Self::with(connection, place, Some(lock))
    }

    /// A store that ends with the process.
    pub fn in_memory() -> Result<Self, Error> {
        let place = "the store in memory".to_owned();
        let connection = Connection::open_in_memory().map_err(|e| explain(&e, &place))?;
        prepare(&connection, &place)?;
        Self::with(connection, place, None)
    }

    fn with(mut connection: Connection, place: String, lock: Option<Lock>) -> Result<Self, Error> {
        schema::migrate(&mut connection, schema::MIGRATIONS, &place)?;
        Ok(Self { connection, place, _lock: lock })
    }

    /// One transaction for all of them; `Err`: nothing of any was kept.
    fn together(&mut self, commits: &[Commit]) -> Result<Vec<Result<Option<u64>, Error>>, Error> {
        let place = self.place.clone();
        let wrong = |e| explain(&e, &place);
        let mut transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        let mut answers = Vec::new();
        for commit in commits {
            let part = transaction.savepoint().map_err(wrong)?;
            match keep(&part, commit, &place) {
                Ok(sequence) => {
                    part.commit().map_err(wrong)?;
                    answers.push(Ok(sequence));
                }
                // Taken back by the end of its part.
                Err(conflict @ Error::Conflict { .. }) => answers.push(Err(conflict)),
                Err(other) => return Err(other),
            }
        }
        transaction.commit().map_err(wrong)?;
        Ok(answers)
    }

    fn restored(&mut self) -> rusqlite::Result<Result<Restored, Error>> {
        let mut restored = Restored::default();
        let damaged = |why: String| Error::Corrupt { place: self.place.clone(), why };
        let mut states = self.connection.prepare("SELECT gateway, revision, state FROM rollout")?;
        let mut rows = states.query([])?;
        while let Some(row) = rows.next()? {
            let (name, revision, state): (String, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let Ok(gateway) = GatewayName::new(&name) else {
                return Ok(Err(damaged(format!("`{name}` in the table `rollout` is no name of a gateway"))));
            };
            match serde_json::from_str(&state) {
                Ok(state) => _ = restored.states.insert(gateway, (revision, state)),
                Err(e) => {
                    return Ok(Err(damaged(format!("the state of gateway {gateway} is not JSON: {e}"))));
                }
            }
        }
        let mut documents = self.connection.prepare("SELECT path, text FROM document")?;
        let pairs =
            documents.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        restored.documents = pairs
            .map(|pair| pair.map(|(path, text)| (Arc::from(path), Arc::from(text))))
            .collect::<rusqlite::Result<BTreeMap<Arc<str>, Arc<str>>>>()?;
        let mut switches = self.connection.prepare("SELECT name, is_on FROM switch")?;
        let pairs = switches.query_map([], |row| Ok((row.get::<_, String>(0)?.into(), row.get(1)?)))?;
        restored.switches = pairs.collect::<rusqlite::Result<BTreeMap<Arc<str>, bool>>>()?;
        Ok(Ok(restored))
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Restored, Error> {
        match self.restored() {
            Ok(restored) => restored,
            Err(e) => Err(explain(&e, &self.place)),
        }
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        match (self.together(commits), commits) {
            (Ok(answers), _) => answers,
            (Err(e), [_]) => vec![Err(e)],
            (Err(_), _) => {
                let alone = |commit| self.together(std::slice::from_ref(commit));
                commits.iter().map(alone).flat_map(|a| a.unwrap_or_else(|e| vec![Err(e)])).collect()
            }
        }
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        journal::entries(&self.connection, query).map_err(|e| explain(&e, &self.place))
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        let kept = |connection: &Connection| {
            let select = "SELECT bytes FROM secret WHERE name = ?1";
            connection.query_row(select, [name], |row| row.get(0)).optional()
        };
        let make = || {
            let insert = "INSERT INTO secret (name, bytes) VALUES (?1, ?2)";
            self.connection.execute(insert, params![name, new]).map(|_| new.to_vec())
        };
        kept(&self.connection)
            .and_then(|found| found.map_or_else(make, Ok))
            .map_err(|e| explain(&e, &self.place))
    }

    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        journal::prune(&self.connection, before, most).map_err(|e| explain(&e, &self.place))
    }
}

/// Opens a file, or makes it for its owner alone, and keeps other Serins away from it. Its folder must be there.
pub(in crate::store) fn connect(path: &Path, place: &str) -> Result<(Lock, Connection), Error> {
    let unavailable = |why: String| Error::Unavailable { place: place.to_owned(), why };
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(unavailable(format!("there is no folder {}", folder.display())));
    }
    let lock = Lock::take(path)?;
    // What only may be read is better than nothing: a rollout keeps its weights, and does not move.
    match OpenOptions::new().create(true).append(true).mode(0o600).open(path) {
        Ok(file) => close_to_others(&file).map_err(|e| unavailable(e.to_string()))?,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && path.is_file() => {}
        Err(e) => return Err(unavailable(e.to_string())),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| explain(&e, place))?;
    prepare(&connection, place)?;
    Ok((lock, connection))
}

/// Others than owner and group have no business with what signs cookies.
fn close_to_others(file: &std::fs::File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    let without_others = mode & 0o770;
    if mode & 0o777 == without_others {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(without_others))
}

/// Looks whether all is well, and sets how it is used.
fn prepare(connection: &Connection, place: &str) -> Result<(), Error> {
    let wrong = |e| explain(&e, place);
    connection.busy_timeout(BUSY).map_err(wrong)?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(wrong)?;
    if sound != "ok" {
        return Err(Error::Corrupt { place: place.to_owned(), why: sound });
    }
    if !connection.is_readonly("main").map_err(wrong)? {
        // In memory there is no log; the answer says so and is of no interest.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(wrong)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(wrong)?;
    }
    Ok(())
}

fn keep(transaction: &Connection, commit: &Commit, place: &str) -> Result<Option<u64>, Error> {
    for change in &commit.states {
        change_state(transaction, change, place)?;
    }
    let wrong = |e| explain(&e, place);
    for (path, text) in &commit.documents {
        if let Some(text) = text {
            let put = "INSERT INTO document (path, text) VALUES (?1, ?2) \
                       ON CONFLICT (path) DO UPDATE SET text = excluded.text";
            transaction.execute(put, params![&**path, &**text]).map_err(wrong)?;
        } else {
            transaction.execute("DELETE FROM document WHERE path = ?1", [&**path]).map_err(wrong)?;
        }
    }
    for (name, is_on) in &commit.switches {
        let put = "INSERT INTO switch (name, is_on) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on";
        transaction.execute(put, params![&**name, is_on]).map_err(wrong)?;
    }
    let mut last = None;
    for entry in &commit.entries {
        last = Some(journal::insert(transaction, entry).map_err(wrong)?);
    }
    Ok(last)
}

fn change_state(transaction: &Connection, change: &StateChange, place: &str) -> Result<(), Error> {
    let wrong = |e| explain(&e, place);
    let gateway = change.gateway.as_str();
    let select = "SELECT revision FROM rollout WHERE gateway = ?1";
    let found: Option<u64> =
        transaction.query_row(select, [gateway], |row| row.get(0)).optional().map_err(wrong)?;
    if found != change.expected {
        return Err(Error::Conflict { gateway: change.gateway.clone(), expected: change.expected, found });
    }
    match &change.state {
        Some(state) => {
            let put = "INSERT INTO rollout (gateway, revision, state) VALUES (?1, ?2, ?3) ON CONFLICT (gateway) \
                       DO UPDATE SET revision = excluded.revision, state = excluded.state";
            transaction.execute(put, params![gateway, change.revision, state.to_string()]).map_err(wrong)?;
        }
        None => {
            transaction.execute("DELETE FROM rollout WHERE gateway = ?1", [gateway]).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What an error of `SQLite` means for people.
pub(in crate::store) fn explain(error: &rusqlite::Error, place: &str) -> Error {
    let place = place.to_owned();
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => {
            return Error::Corrupt { place, why: "the database is malformed".into() };
        }
        Some(ErrorCode::NotADatabase) => {
            return Error::Corrupt { place, why: "it is not a database of SQLite".into() };
        }
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        Some(ErrorCode::SystemIoFailure) => format!("{error}, as on a disk that is full or broken"),
        Some(ErrorCode::ReadOnly) => "it may only be read".into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has held it for too long, perhaps a `sqlite3` in a transaction".into()
        }
        Some(_) | None => error.to_string(),
    };
    Error::Unavailable { place, why }
}

#[cfg(test)]
mod tests;
