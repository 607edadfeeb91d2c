//! The tables, in a schema of their own, and how a database of an older Serin comes to have them.

use super::link::{Failure, begin};
use crate::store::Error;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Each brings a database to the next version; the first makes it. What was released is never edited.
///
/// Replicas are replaced one after the other, so that older ones go on, and start, with tables that a newer one has changed.
/// Hence each only adds: a table, an index, or a column that may be left out of an `INSERT`. Where that cannot be, it
/// raises [`OLDEST`], and older ones leave the database alone.
///
/// The same holds for the JSON in them. Older ones pass over a field that they do not know, and their next commit leaves it
/// out: so a field whose loss matters, and a value that they cannot read (a new variant), come with a migration that may be
/// empty and raises [`OLDEST`]. Nor may a column have to follow what older ones write without it, as a copy of a part of
/// `state` would, nor a new `UNIQUE` or `CHECK` refuse what they write.
pub(super) const MIGRATIONS: &[&str] = &["
    -- One row: how many migrations were made.
    CREATE TABLE serin.schema_version (version BIGINT NOT NULL);
    -- The state of every rollout, as JSON; null: forgotten. `changed` counts up in the order of commits, for followers.
    CREATE SEQUENCE serin.change;
    CREATE TABLE serin.rollout (
        gateway TEXT PRIMARY KEY, revision BIGINT NOT NULL, state TEXT, changed BIGINT NOT NULL
    );
    CREATE INDEX rollout_changed ON serin.rollout (changed);
    -- What happened. Times are UTC; `before` and `after` are percents by upstream. No sequence is used twice.
    CREATE TABLE serin.journal (
        sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        time TEXT NOT NULL,
        gateway TEXT,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        message TEXT NOT NULL,
        reason TEXT,
        before TEXT,
        after TEXT,
        revision BIGINT,
        details TEXT
    );
    CREATE INDEX journal_gateway ON serin.journal (gateway, sequence);
    CREATE INDEX journal_time ON serin.journal (time);
    -- The last good text of every gateway file, in UTF-8: a TEXT cannot hold all of that.
    CREATE TABLE serin.document (path TEXT PRIMARY KEY, text BYTEA NOT NULL);
    -- Positions of switches that were thrown.
    CREATE TABLE serin.switch (name TEXT PRIMARY KEY, is_on BOOLEAN NOT NULL);
    -- Keys that Serin made for itself.
    CREATE TABLE serin.secret (name TEXT PRIMARY KEY, bytes BYTEA NOT NULL);
    -- One row: who leads. Every write of the others is refused by its token. `holder` is null when nobody leads.
    CREATE TABLE serin.lease (
        one BOOLEAN PRIMARY KEY CHECK (one), token BIGINT NOT NULL, beat BIGINT NOT NULL, holder TEXT
    );
    INSERT INTO serin.lease VALUES (true, 0, 0, NULL);
",
    "
    -- How many of these migrations a Serin has to know to use what they made.
    ALTER TABLE serin.schema_version ADD COLUMN oldest BIGINT NOT NULL DEFAULT 1;
", PEERS, MEASURED, "
    -- Orders that wait: the leader looks for them each second, among all that were answered.
    CREATE INDEX orders_open ON serin.orders (until) WHERE answer IS NULL;
"];

/// What several Serins say to each other.
const PEERS: &str = "
    -- Orders that were handed on to whoever leads, and those with a key, which may be given again. `paper` and `answer` are
    -- JSON; without an answer it was not carried out, and after `until` it never will be.
    CREATE SEQUENCE serin.ticket;
    CREATE TABLE serin.orders (
        ticket TEXT PRIMARY KEY, paper TEXT NOT NULL, is_keyed BOOLEAN NOT NULL, until TIMESTAMPTZ NOT NULL, answer TEXT
    );
    -- Who is there. `beat` counts up as long as it is; `token` is that under which it leads; `copy` counts up with each
    -- change of its gateway files.
    CREATE TABLE serin.replicas (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, since TIMESTAMPTZ NOT NULL,
        beat BIGINT NOT NULL, token BIGINT, gateways BIGINT NOT NULL, copy BIGINT NOT NULL
    );
    -- Which version of the file of each gateway it has.
    CREATE TABLE serin.copies (
        replica TEXT NOT NULL REFERENCES serin.replicas ON DELETE CASCADE, gateway TEXT NOT NULL, tag TEXT NOT NULL,
        PRIMARY KEY (replica, gateway)
    );
";

/// What brings evidence to the leader.
const MEASURED: &str = "
    -- What Envoys measured at those who follow, until it is counted. Not logged: each row is worth a second of evidence,
    -- and after a crash of the server, which empties these tables, what was not counted is lost of all versions alike. In
    -- milliseconds: `age`, of the end of the interval when it was written, and `length`.
    CREATE UNLOGGED TABLE serin.measured (
        source BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        gateway TEXT NOT NULL,
        stage BIGINT NOT NULL,
        age BIGINT NOT NULL,
        length BIGINT NOT NULL,
        measured TEXT NOT NULL,
        written TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (source, sequence)
    );
    -- How many endpoints of canaries that wait are healthy at those who follow.
    CREATE UNLOGGED TABLE serin.sighted (
        source BIGINT NOT NULL,
        gateway TEXT NOT NULL,
        healthy BIGINT NOT NULL,
        written TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (source, gateway)
    );
";

/// How many of the migrations a Serin has to know at least to use a database with all of them.
pub(super) const OLDEST: i64 = 1;

/// How many migrations this Serin knows.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Of all Serins that start at once, one makes the tables.
const LOCK: i64 = 0x0073_6572_696e;

/// Makes the migrations that a database lacks, all or none, and says who else may use it. That of a newer Serin is used as it
/// is, where that one has said so.
pub(super) async fn migrate(
    client: &mut Client,
    migrations: &[&str],
    oldest: i64,
    place: &str,
) -> Result<(), Failure> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let transaction = begin(client).await?;
    // What is there already needs neither the lock nor the right to make it.
    if version(transaction.client()).await? != Some(known) {
        transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        let exists = "SELECT to_regnamespace('serin') IS NOT NULL";
        let exists: bool = transaction.query_typed_one(exists, &[]).await?.get(0);
        let found = version(transaction.client()).await?;
        match found {
            None if exists => {
                let why = "its schema `serin` is not one of Serin".to_owned();
                return Err(Error::Corrupt { place: place.to_owned(), why }.into());
            }
            Some(found) if found > known => {
                let select = "SELECT oldest FROM serin.schema_version";
                let oldest: i64 = transaction.query_typed_one(select, &[]).await?.get(0);
                if oldest > known {
                    return Err(Error::TooNew { place: place.to_owned(), found, known }.into());
                }
                return Ok(());
            }
            _ => {}
        }
        if !exists {
            transaction.batch_execute("CREATE SCHEMA serin").await?;
        }
        let made = usize::try_from(found.unwrap_or(0)).unwrap_or(0);
        for migration in migrations.iter().skip(made) {
            transaction.batch_execute(migration).await?;
        }
        transaction.batch_execute("DELETE FROM serin.schema_version").await?;
        let insert = "INSERT INTO serin.schema_version (version, oldest) VALUES ($1, $2)";
        transaction.execute_typed(insert, &[(&known, Type::INT8), (&oldest, Type::INT8)]).await?;
    }
    Ok(transaction.commit().await?)
}

/// `None`: no Serin has written it yet.
async fn version(client: &Client) -> Result<Option<i64>, Failure> {
    let table = "SELECT to_regclass('serin.schema_version') IS NOT NULL";
    let exists: bool = client.query_typed_one(table, &[]).await?.get(0);
    if !exists {
        return Ok(None);
    }
    let found = client.query_typed_opt("SELECT version FROM serin.schema_version", &[]).await?;
    Ok(Some(found.map_or(0, |row| row.get(0))))
}
