//! What survives a restart: the state of every rollout, the journal, and the last good version of every file.
//!
//! [`Store`] is the border. A commit is all or nothing, and what it answers is durable: a decision is committed before
//! any Envoy hears of it, so that a restart never goes back behind what was served. The contract of a store is a
//! generic test (`contract`), to which both are held: a file of `SQLite` for one Serin, a database of `PostgreSQL` for
//! several. Of several one leads, by a [`lease`] whose token every write checks; [`replica`] is what each of them does
//! for that, and for hearing what the leader keeps; each remembers that for a start without the database (`cache`); and by
//! [`exchange`] the leader hears what Envoys measured elsewhere.
//!
//! What is not here: secrets of users, which stay in their files, and what Envoys were told, which follows from the
//! files and the states.

mod cache;
mod commit;
mod entry;
mod error;
pub mod exchange;
pub mod lease;
pub mod measured;
pub mod peers;
mod postgres;
pub mod replica;
pub mod roster;
pub mod run;
mod sqlite;

pub use cache::Memory;
pub use commit::{Commit, Kept, Restored, Settled, StateChange};
pub use entry::{Entry, Kind, NewEntry, Query, Weights};
pub use error::Error;
pub use lease::Seat;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use crate::clock::Timestamp;
use crate::model::StoreAt;
use cache::Cached;

/// The longest that an entry is kept.
pub const KEEP_DAYS: u64 = 90;
/// The most entries that are kept.
pub const KEEP_ENTRIES: u64 = 100_000;

/// Something that keeps [`Commit`]s. All methods block, and each has one caller at a time.
pub trait Store: Send {
    /// Everything that a start needs.
    fn load(&mut self) -> Result<Restored, Error>;

    /// Keeps commits, in their order, and answers each: the sequence of its last entry (`None`: it has no entries), or
    /// why nothing of it was kept. What is answered with `Ok` survives a loss of power.
    ///
    /// Commits are independent: one in conflict does not harm the others, and sees those before it.
    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>>;

    /// Entries in their order, at most as many as asked for.
    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error>;

    /// The bytes that are kept under a name. When there are none, `new` are kept from now on.
    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error>;

    /// Removes entries from before a time, and the oldest beyond a count; says how many.
    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error>;

    /// Remembers something for a start without a store that is elsewhere; nothing where the store is here.
    fn remember(&mut self, _: &Memory, _: Timestamp) {}

    /// What is remembered of a store that cannot be reached; `None`: nothing, or what may be outdated by now.
    fn recall(&mut self, _: Timestamp) -> Option<Restored> {
        None
    }
}

/// Opens the store that the settings name. A database is connected to when it is asked first, and again whenever that is
/// needed.
pub fn open(at: &StoreAt) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(match at {
        StoreAt::Memory => Sqlite::in_memory()?,
        StoreAt::Sqlite(path) => Sqlite::open(path)?,
        StoreAt::Postgres(at) => {
            let store = Box::new(Postgres::new(at.clone())?);
            return Ok(match &at.cache {
                Some(path) => Cached::over(store, &at.to_string(), path),
                None => store,
            });
        }
    }))
}

/// In place of a store that cannot be opened: says why to all who ask. Traffic does not need a store, so Serin serves
/// without one.
#[derive(Debug)]
pub struct Absent(pub Error);

impl Store for Absent {
    fn load(&mut self) -> Result<Restored, Error> {
        Err(self.0.clone())
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        vec![Err(self.0.clone()); commits.len()]
    }

    fn entries(&mut self, _: &Query) -> Result<Vec<Entry>, Error> {
        Err(self.0.clone())
    }

    fn secret(&mut self, _: &str, _: &[u8]) -> Result<Vec<u8>, Error> {
        Err(self.0.clone())
    }

    fn prune(&mut self, _: Timestamp, _: u64) -> Result<u64, Error> {
        Ok(0)
    }
}

#[cfg(test)]
pub(crate) mod contract;
