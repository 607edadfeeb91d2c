//! The tables, and how a file of an older Serin comes to have them.

use super::explain;
use crate::store::Error;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// Each brings a file to the next version; the first makes it. What was released is never edited.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    -- One row: how many migrations were made.
    CREATE TABLE serin_schema (version INTEGER NOT NULL);
    -- The state of every rollout, as JSON.
    CREATE TABLE rollout (gateway TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL);
    -- What happened. Times are UTC; `before` and `after` are percents by upstream. No sequence is used twice.
    CREATE TABLE journal (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        gateway TEXT,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        message TEXT NOT NULL,
        reason TEXT,
        before TEXT,
        after TEXT,
        revision INTEGER,
        details TEXT
    );
    CREATE INDEX journal_gateway ON journal (gateway, sequence);
    CREATE INDEX journal_time ON journal (time);
    -- The last good text of every gateway file.
    CREATE TABLE document (path TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL);
    -- Keys that Serin made for itself.
    CREATE TABLE secret (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL);
",
    "
    -- Positions of switches that were thrown, 0 or 1.
    CREATE TABLE switch (name TEXT PRIMARY KEY NOT NULL, is_on INTEGER NOT NULL);
",
];

/// Makes the migrations that a file lacks, all or none.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str], place: &str) -> Result<(), Error> {
    let wrong = |e| explain(&e, place);
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = version(connection).map_err(wrong)?;
    if found == 0 && has_tables(connection).map_err(wrong)? {
        let why = "it is a database, but not one of Serin".to_owned();
        return Err(Error::Corrupt { place: place.to_owned(), why });
    }
    if found > known {
        return Err(Error::TooNew { place: place.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration).map_err(wrong)?;
    }
    transaction.execute("DELETE FROM serin_schema", []).map_err(wrong)?;
    transaction.execute("INSERT INTO serin_schema (version) VALUES (?1)", [known]).map_err(wrong)?;
    transaction.commit().map_err(wrong)
}

/// 0: no Serin has written it yet.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'serin_schema'";
    if connection.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let found = connection.query_row("SELECT version FROM serin_schema", [], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let any = connection.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()));
    Ok(any.optional()?.is_some())
}
