//! The file of a cache: a database of `SQLite` without a journal, of which nothing is lost when it is lost.
//!
//! What is written is safe from the end of the process. A loss of power may take the last writes with it, but leaves no half
//! of one, so that nothing waits for the disk here.

use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::store::sqlite::{connect, explain, lock::Lock};
use crate::store::{Commit, Error, Kept, Restored};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::Value;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// In the header of the file (`PRAGMA application_id`), so that no other database is taken for a cache: "srnc".
const APPLICATION: i32 = 0x7372_6e63;
/// Of the tables. A file of another format is made anew, since it is only a cache.
const FORMAT: i32 = 1;
const TABLES: &str = "
    -- One row: of which database this is known, when somebody was here last to hear of it, and whether all was read once.
    CREATE TABLE about (
        one INTEGER PRIMARY KEY CHECK (one = 1), database TEXT NOT NULL, stamp INTEGER NOT NULL, whole INTEGER NOT NULL
    );
    CREATE TABLE rollout (gateway TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL);
    CREATE TABLE document (path TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL);
    CREATE TABLE switch (name TEXT PRIMARY KEY NOT NULL, is_on INTEGER NOT NULL);
    CREATE TABLE secret (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL);
";

/// What is known of a database, in a file for its owner alone.
pub(super) struct File {
    connection: Connection,
    /// What the database is called.
    database: String,
    place: String,
    _lock: Lock,
}

impl File {
    /// Opens a file, or makes it; also in place of a damaged one, since it is only a cache.
    pub(super) fn open(path: &Path, database: &str) -> Result<Self, Error> {
        let place = path.display().to_string();
        let is_ours = look(path, &place)?;
        let (lock, mut connection) = match connect(path, &place) {
            Err(damaged @ Error::Corrupt { .. }) if is_ours => {
                tracing::warn!("{damaged}; it is made anew, since it is only a cache");
                remove(path, &place)?;
                connect(path, &place)?
            }
            other => other?,
        };
        prepare(&mut connection, &place)?;
        Ok(Self { connection, database: database.to_owned(), place, _lock: lock })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Everything that is in the database.
    pub(super) fn replace(&mut self, all: &Restored) -> Result<(), Error> {
        self.write(|file| {
            file.execute_batch(
                "DELETE FROM rollout; DELETE FROM document; DELETE FROM switch; UPDATE about SET whole = 1",
            )?;
            for (gateway, state) in &all.states {
                put_state(file, gateway, Some(state))?;
            }
            for (path, text) in &all.documents {
                put_document(file, path, Some(text))?;
            }
            all.switches.iter().try_for_each(|(name, is_on)| put_switch(file, name, *is_on))
        })
    }

    /// What another Serin has kept: some or all states, and always all switches.
    pub(super) fn keep(&mut self, kept: &Kept) -> Result<(), Error> {
        self.write(|file| {
            file.execute_batch("DELETE FROM switch")?;
            if kept.all {
                file.execute_batch("DELETE FROM rollout; UPDATE about SET whole = 1")?;
            }
            for (gateway, state) in &kept.states {
                put_state(file, gateway, state.as_ref())?;
            }
            kept.switches.iter().try_for_each(|(name, is_on)| put_switch(file, name, *is_on))
        })
    }

    /// What these have changed; not what they add to the journal.
    pub(super) fn follow<'a>(&mut self, commits: impl IntoIterator<Item = &'a Commit>) -> Result<(), Error> {
        let has_more =
            |c: &&Commit| !(c.states.is_empty() && c.documents.is_empty() && c.switches.is_empty());
        let mut commits = commits.into_iter().filter(has_more).peekable();
        if commits.peek().is_none() {
            return Ok(());
        }
        self.write(|file| {
            for commit in commits {
                for change in &commit.states {
                    let state = change.state.clone().map(|state| (change.revision, state));
                    put_state(file, &change.gateway, state.as_ref())?;
                }
                for (path, text) in &commit.documents {
                    put_document(file, path, text.as_deref())?;
                }
                for (name, is_on) in &commit.switches {
                    put_switch(file, name, *is_on)?;
                }
            }
            Ok(())
        })
    }

    /// Somebody is here to hear of changes.
    pub(super) fn stamp(&mut self, now: Timestamp) -> Result<(), Error> {
        self.write(|file| file.execute("UPDATE about SET stamp = ?1", [now.0]).map(drop))
    }

    pub(super) fn put_secret(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(|file| {
            let put = "INSERT INTO secret (name, bytes) VALUES (?1, ?2) \
                       ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes";
            file.execute(put, params![name, bytes]).map(drop)
        })
    }

    pub(super) fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let select = "SELECT bytes FROM secret JOIN about ON database = ?1 WHERE name = ?2";
        let found = self.connection.query_row(select, [&*self.database, name], |row| row.get(0)).optional();
        found.map_err(|e| explain(&e, &self.place))
    }

    /// What is known, and when somebody was here last; `None`: nothing of this database.
    pub(super) fn recall(&self) -> Result<Option<(Restored, Timestamp)>, Error> {
        let read = || {
            let about = "SELECT stamp FROM about WHERE database = ?1 AND whole";
            let stamp = self.connection.query_row(about, [&self.database], |row| row.get(0)).optional()?;
            let Some(stamp) = stamp else { return Ok(None) };
            let mut restored = Restored::default();
            let mut states = self.connection.prepare("SELECT gateway, revision, state FROM rollout")?;
            let mut rows = states.query([])?;
            while let Some(row) = rows.next()? {
                let (name, revision, state): (String, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                // What cannot be read is not known, and is served in its safe state.
                if let (Ok(gateway), Ok(state)) = (GatewayName::new(&name), serde_json::from_str(&state)) {
                    restored.states.insert(gateway, (revision, state));
                }
            }
            let mut documents = self.connection.prepare("SELECT path, text FROM document")?;
            let mut rows = documents.query([])?;
            while let Some(row) = rows.next()? {
                let (path, text): (String, String) = (row.get(0)?, row.get(1)?);
                restored.documents.insert(path.into(), Arc::from(text));
            }
            let mut switches = self.connection.prepare("SELECT name, is_on FROM switch")?;
            let mut rows = switches.query([])?;
            while let Some(row) = rows.next()? {
                restored.switches.insert(row.get::<_, String>(0)?.into(), row.get(1)?);
            }
            Ok(Some((restored, Timestamp(stamp))))
        };
        read().map_err(|e| explain(&e, &self.place))
    }

    /// One transaction, in a file that then knows of this database only.
    fn write(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), Error> {
        let database = &self.database;
        let done = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|file| {
            let of = file.query_row("SELECT database FROM about", [], |row| row.get::<_, String>(0));
            if of.optional()?.as_ref() != Some(database) {
                file.execute_batch(
                    "DELETE FROM about; DELETE FROM rollout; DELETE FROM document; DELETE FROM switch; DELETE FROM secret",
                )?;
                file.execute("INSERT INTO about VALUES (1, ?1, 0, 0)", [database])?;
            }
            work(&file)?;
            file.commit()
        });
        done.map_err(|e| explain(&e, &self.place))
    }
}

/// Looks what a file is before anything about it is changed, and closes it to everybody but its owner where it is a cache.
/// Says whether it is one; what is new may become one. `Err`: it is something else.
fn look(path: &Path, place: &str) -> Result<bool, Error> {
    let wrong = |e: io::Error| unavailable(&e, place);
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(wrong(e)),
    };
    let mut header = Vec::new();
    (&mut file).take(100).read_to_end(&mut header).map_err(wrong)?;
    // https://sqlite.org/fileformat2.html#the_database_header: a number is four bytes, the highest first.
    let number =
        |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    let (pages, application) = (number(28), number(68));
    let is_database = header.starts_with(b"SQLite format 3\0");
    let is_ours = is_database && application == Some(APPLICATION);
    // Without a table, as far as it was written when its Serin ended: the log is looked at when it is open.
    let is_new = header.is_empty() || is_database && application == Some(0) && pages <= Some(1);
    if !is_ours && !is_new {
        return Err(strange(place));
    }
    if file.metadata().map_err(wrong)?.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    }
    Ok(is_ours)
}

/// Removes a cache, unless another Serin uses it by now.
fn remove(path: &Path, place: &str) -> Result<(), Error> {
    let _lock = Lock::take(path)?;
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unavailable(&e, place)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn strange(place: &str) -> Error {
    let why = "it is none of the files in which Serin remembers a database".to_owned();
    Error::Corrupt { place: place.to_owned(), why }
}

fn unavailable(error: &io::Error, place: &str) -> Error {
    Error::Unavailable { place: place.to_owned(), why: error.to_string() }
}

/// Makes the tables, where there are none of this format.
fn prepare(connection: &mut Connection, place: &str) -> Result<(), Error> {
    let wrong = |e| explain(&e, place);
    let number = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0)).map_err(wrong)
    };
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables = {
        let select = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let mut tables = connection.prepare(select).map_err(wrong)?;
        let names = tables.query_map([], |row| row.get::<_, String>(0)).map_err(wrong)?;
        names.collect::<rusqlite::Result<Vec<String>>>().map_err(wrong)?
    };
    if application != APPLICATION && !tables.is_empty() {
        return Err(strange(place));
    }
    // The log is safe without a synchronization of each commit: https://sqlite.org/pragma.html#pragma_synchronous.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrong)?;
    // Whoever looks at it with `sqlite3` must not hold up a rollback: what could not be written is written again.
    connection.busy_timeout(Duration::ZERO).map_err(wrong)?;
    if (application, format) == (APPLICATION, FORMAT) {
        return Ok(());
    }
    let made = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|file| {
        for table in tables {
            file.execute_batch(&format!("DROP TABLE \"{table}\""))?;
        }
        file.execute_batch(TABLES)?;
        file.pragma_update(None, "application_id", APPLICATION)?;
        file.pragma_update(None, "user_version", FORMAT)?;
        file.commit()
    });
    made.map_err(wrong)?;
    // So that the header says what it is.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(wrong)
}

fn put_state(file: &Connection, gateway: &GatewayName, state: Option<&(u64, Value)>) -> rusqlite::Result<()> {
    let gateway = gateway.as_str();
    let Some((revision, state)) = state else {
        return file.execute("DELETE FROM rollout WHERE gateway = ?1", [gateway]).map(drop);
    };
    let put = "INSERT INTO rollout (gateway, revision, state) VALUES (?1, ?2, ?3) \
               ON CONFLICT (gateway) DO UPDATE SET revision = excluded.revision, state = excluded.state";
    file.execute(put, params![gateway, revision, state.to_string()]).map(drop)
}

fn put_document(file: &Connection, path: &str, text: Option<&str>) -> rusqlite::Result<()> {
    let Some(text) = text else {
        return file.execute("DELETE FROM document WHERE path = ?1", [path]).map(drop);
    };
    let put = "INSERT INTO document (path, text) VALUES (?1, ?2) \
               ON CONFLICT (path) DO UPDATE SET text = excluded.text";
    file.execute(put, params![path, text]).map(drop)
}

fn put_switch(file: &Connection, name: &str, is_on: bool) -> rusqlite::Result<()> {
    let put = "INSERT INTO switch (name, is_on) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on";
    file.execute(put, params![name, is_on]).map(drop)
}
