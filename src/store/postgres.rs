//! A store in a database of `PostgreSQL`, which several Serins may share.
//!
//! One connection is enough: the store's task asks one thing at a time, and groups the commits that wait. A second one
//! belongs to [`replica`](super::replica), so that neither a large commit nor a page of the journal holds up the lease. A
//! connection that breaks is opened again by who needs it next.
//!
//! Every transaction that writes first reads the lease for sharing: a new leader waits for it, and what comes after the new
//! leader finds another token and is refused.

mod journal;
pub(in crate::store) mod lease;
pub(in crate::store) mod link;
pub(in crate::store) mod measured;
pub(in crate::store) mod orders;
pub(in crate::store) mod roster;
mod schema;
mod tls;

use super::{Commit, Entry, Error, Query, Restored, StateChange, Store};
use crate::clock::Timestamp;
use crate::model::Database;
use journal::number;
use link::{Failure, Link, begin};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

/// A value of a statement, and how the database is to take it.
type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// The longest that one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest that the removal of old entries may take.
const PRUNE: Duration = Duration::from_mins(1);

/// A store in a database.
pub struct Postgres {
    at: Database,
    place: String,
    /// Runs while somebody waits for an answer, as the methods of a store do. `None`: it is being dropped.
    runtime: Option<Runtime>,
    link: Option<Link>,
    /// Of the last commit that was kept.
    token: Option<u64>,
    /// Why the database could not be loaded from, until it answers something.
    away: Option<Error>,
}

impl Postgres {
    /// Not connected yet.
    pub fn new(at: Database) -> Result<Self, Error> {
        let place = at.to_string();
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Unavailable { place: place.clone(), why: e.to_string() })?;
        Ok(Self { at, place, runtime: Some(runtime), link: None, token: None, away: None })
    }

    /// Does something on the connection, which is opened if need be.
    fn ask<T>(
        &mut self,
        most: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let Self { at, runtime: Some(runtime), link, place, away, .. } = self else {
            let (place, why) = (self.place.clone(), "Serin is stopping".to_owned());
            return Err(Error::Unavailable { place, why });
        };
        runtime.block_on(async {
            // It may have been closed while nobody looked; what is closed is found out before anything is asked.
            if let Some(Link { client, wire }) = link {
                let alive = async { Ok(client.simple_query("").await.map(drop)?) };
                if wire.drive(ANSWER, alive).await.is_err() {
                    tracing::debug!("the connection to {place} is gone, and opened again");
                    *link = None;
                }
            }
            let open = match link {
                Some(open) => open,
                None => link.insert(Link::open(at).await?),
            };
            let done = open.wire.drive(most, work(&mut open.client)).await;
            if open.wire.is_broken() {
                *link = None;
            }
            if done.is_ok() {
                *away = None;
            }
            done
        })
    }

    /// One transaction for all of them; `Err`: it is not known that anything of any was kept.
    fn together(&mut self, commits: &[Commit]) -> Result<Vec<Result<Option<u64>, Error>>, Error> {
        let answers = self.ask(ANSWER, async |client| {
            let mut transaction = begin(client).await?;
            let newest = token(&transaction).await?;
            let mut answers = Vec::new();
            for commit in commits {
                if commit.token != newest || newest.is_none() {
                    answers.push(Err(Error::Fenced));
                    continue;
                }
                let part = transaction.transaction().await?;
                match keep(&part, commit).await {
                    Ok(sequence) => {
                        part.commit().await?;
                        answers.push(Ok(sequence));
                    }
                    Err(Failure::Store(why @ (Error::Conflict { .. } | Error::Late))) => {
                        part.rollback().await?;
                        answers.push(Err(why));
                    }
                    Err(other) => return Err(other),
                }
            }
            transaction.batch_execute("NOTIFY serin").await?;
            if commits.iter().any(|commit| !commit.settled.is_empty()) {
                transaction.batch_execute(orders::NOTIFY).await?;
            }
            transaction.commit().await?;
            Ok(answers)
        })?;
        let kept = commits.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.token = kept.filter_map(|(commit, _)| commit.token).next_back().or(self.token);
        Ok(answers)
    }
}

impl Store for Postgres {
    fn load(&mut self) -> Result<Restored, Error> {
        let place = self.place.clone();
        let loaded = self.ask(ANSWER, async |client| {
            let (kept, _) = lease::states(client, None, &place).await?;
            let states = kept.states.into_iter().filter_map(|(name, state)| Some((name, state?))).collect();
            let mut restored = Restored { states, switches: kept.switches, ..Restored::default() };
            for row in client.query_typed("SELECT path, text FROM serin.document", &[]).await? {
                let path: String = row.get(0);
                let text = String::from_utf8(row.get(1)).map_err(|e| Error::Corrupt {
                    place: place.clone(),
                    why: format!("the text of `{path}` in the table `document`: {e}"),
                })?;
                restored.documents.insert(path.into(), Arc::from(text));
            }
            Ok(restored)
        });
        self.away = loaded.as_ref().err().filter(|error| matches!(error, Error::Unavailable { .. })).cloned();
        loaded
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        match (self.together(commits), commits) {
            (Ok(answers), _) => answers,
            // Without a connection it is not known what was kept, and a second attempt could keep it twice.
            (Err(e), _) if self.link.is_none() || commits.len() < 2 => vec![Err(e); commits.len()],
            (Err(_), _) => {
                let alone = |commit| self.together(std::slice::from_ref(commit));
                commits.iter().map(alone).flat_map(|a| a.unwrap_or_else(|e| vec![Err(e)])).collect()
            }
        }
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        let place = self.place.clone();
        self.ask(ANSWER, async |client| journal::entries(client, query, &place).await)
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        // A start would wait once more for a database that has just not answered.
        if let Some(error) = &self.away {
            return Err(error.clone());
        }
        self.ask(ANSWER, async |client| {
            // Whoever comes first decides for all.
            let insert =
                "INSERT INTO serin.secret (name, bytes) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            client.execute_typed(insert, &[(&name, Type::TEXT), (&new, Type::BYTEA)]).await?;
            let select = "SELECT bytes FROM serin.secret WHERE name = $1";
            Ok(client.query_typed_one(select, &[(&name, Type::TEXT)]).await?.get(0))
        })
    }

    /// Nothing, unless this one leads.
    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        let Some(mine) = self.token else { return Ok(0) };
        self.ask(PRUNE, async |client| {
            let transaction = begin(client).await?;
            if token(&transaction).await? != Some(mine) {
                return Ok(0);
            }
            let removed = journal::prune(&transaction, before, most).await?;
            transaction.commit().await?;
            Ok(removed)
        })
    }
}

impl Drop for Postgres {
    /// Also where nobody may wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The token under which one may write, until the end of the transaction; `None`: nobody leads.
async fn token(transaction: &Transaction<'_>) -> Result<Option<u64>, Failure> {
    let select = "SELECT token FROM serin.lease WHERE holder IS NOT NULL FOR SHARE";
    let found = transaction.query_typed_opt(select, &[]).await?;
    Ok(found.map(|row| row.get::<_, i64>(0).unsigned_abs()))
}

async fn keep(transaction: &Transaction<'_>, commit: &Commit) -> Result<Option<u64>, Failure> {
    for change in &commit.states {
        change_state(transaction, change).await?;
    }
    keep_documents(transaction, commit).await?;
    for (name, is_on) in &commit.switches {
        let put = "INSERT INTO serin.switch (name, is_on) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on";
        let values: [Value<'_>; 2] = [(&&**name, Type::TEXT), (is_on, Type::BOOL)];
        transaction.execute_typed(put, &values).await?;
    }
    for settled in &commit.settled {
        orders::settle(transaction, settled).await?;
    }
    let mut last = None;
    for entry in &commit.entries {
        last = Some(journal::insert(transaction, entry).await?);
    }
    measured::forget(transaction, &commit.taken).await?;
    Ok(last)
}

/// All at once: a first start has one for every gateway.
async fn keep_documents(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), Failure> {
    let (mut paths, mut texts, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (path, text) in &commit.documents {
        match text {
            Some(text) => {
                paths.push(&**path);
                texts.push(text.as_bytes());
            }
            None => gone.push(&**path),
        }
    }
    if !paths.is_empty() {
        let put = "INSERT INTO serin.document (path, text) SELECT * FROM unnest($1, $2) \
                   ON CONFLICT (path) DO UPDATE SET text = excluded.text";
        let values: [Value<'_>; 2] = [(&paths, Type::TEXT_ARRAY), (&texts, Type::BYTEA_ARRAY)];
        transaction.execute_typed(put, &values).await?;
    }
    if !gone.is_empty() {
        let forget = "DELETE FROM serin.document WHERE path = ANY($1)";
        transaction.execute_typed(forget, &[(&gone, Type::TEXT_ARRAY)]).await?;
    }
    Ok(())
}

async fn change_state(transaction: &Transaction<'_>, change: &StateChange) -> Result<(), Failure> {
    let gateway = change.gateway.as_str();
    let select = "SELECT revision FROM serin.rollout WHERE gateway = $1 AND state IS NOT NULL";
    let found = transaction.query_typed_opt(select, &[(&gateway, Type::TEXT)]).await?;
    let found = found.map(|row| row.get::<_, i64>(0).unsigned_abs());
    if found != change.expected {
        let gateway = change.gateway.clone();
        return Err(Error::Conflict { gateway, expected: change.expected, found }.into());
    }
    // What was forgotten stays as a row without a state, by which followers hear of it.
    let put = "INSERT INTO serin.rollout (gateway, revision, state, changed) \
               VALUES ($1, $2, $3, nextval('serin.change')) ON CONFLICT (gateway) DO UPDATE \
               SET revision = excluded.revision, state = excluded.state, changed = excluded.changed";
    let state = change.state.as_ref().map(ToString::to_string);
    let revision = number(change.revision);
    let values: [Value<'_>; 3] = [(&gateway, Type::TEXT), (&revision, Type::INT8), (&state, Type::TEXT)];
    transaction.execute_typed(put, &values).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
