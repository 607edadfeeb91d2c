//! What is remembered is what was kept, of the right database, and not for long.

use super::*;
use crate::store::contract::{commit, gateway, state};
use crate::store::{Absent, Sqlite};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const NAME: &str = "postgres://serin@db:5432/serin";

/// A file, and stores that are remembered in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("serin-cache.db")
    }

    /// With a store that works.
    fn near(&self) -> Box<dyn Store> {
        Cached::over(Box::new(Sqlite::in_memory().unwrap()), NAME, &self.path())
    }

    /// With one that cannot be reached.
    fn away(&self, name: &str) -> Box<dyn Store> {
        let why = Error::Unavailable { place: name.into(), why: "gone".into() };
        Cached::over(Box::new(Absent(why)), name, &self.path())
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_790_000_000_000).plus(Duration::from_secs(seconds))
}

/// What a store has kept, as others read it.
fn kept(all: bool, weight: Option<u32>) -> Memory {
    let change = weight.map(|weight| (7, state("spam", None, 7, weight).state.unwrap()));
    let states = [(gateway("spam"), change)].into();
    Memory::Kept(Kept { all, states, switches: [("shadow".into(), false)].into(), ..Kept::default() })
}

#[test]
fn what_was_kept_and_what_was_heard_is_there_without_the_store() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    let mut first = commit(vec![state("fraud", None, 1, 50)], vec![]);
    first.documents =
        [("fraud.yaml".into(), Some("good".into())), ("old.yaml".into(), Some("x".into()))].into();
    let refused = commit(vec![state("fraud", Some(9), 10, 90)], vec![]);
    let answers = store.commit(&[first, refused]);
    assert!(answers[0].is_ok() && answers[1].is_err());
    store.remember(&kept(false, Some(5)), at(0));
    let documents = [("old.yaml".into(), None), ("mine.yaml".into(), Some(Arc::from("mine")))].into();
    store.remember(&Memory::Own { documents, switches: [("compare".into(), false)].into() }, at(0));
    assert_eq!(store.secret("session", b"key").unwrap(), b"key");
    store.remember(&Memory::Awake, at(1));
    drop(store);

    let mut store = place.away(NAME);
    assert!(store.load().is_err());
    let found = store.recall(at(2)).unwrap();
    assert_eq!(found.states[&gateway("fraud")], (1, state("fraud", None, 1, 50).state.unwrap()));
    assert_eq!(found.states[&gateway("spam")].0, 7);
    let documents: Vec<_> = found.documents.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert_eq!(documents, [("fraud.yaml", "good"), ("mine.yaml", "mine")]);
    let switches: Vec<_> = found.switches.iter().map(|(name, on)| (&**name, *on)).collect();
    assert_eq!(switches, [("compare", false), ("shadow", false)]);
    assert_eq!(store.secret("session", b"other").unwrap(), b"key");
    assert!(store.secret("none", b"other").is_err(), "what was never kept is not made here");
    drop(store);

    // The store is the truth as soon as it can be read.
    let mut store = place.near();
    store.load().unwrap();
    drop(store);
    assert_eq!(place.away(NAME).recall(at(2)), Some(Restored::default()));
}

#[test]
fn what_was_forgotten_is_not_remembered() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    let forget = super::super::StateChange { state: None, ..state("fraud", Some(1), 2, 5) };
    store.commit(&[commit(vec![state("fraud", None, 1, 5)], vec![]), commit(vec![forget], vec![])]);
    store.remember(&kept(false, Some(5)), at(0));
    store.remember(&kept(false, None), at(0));
    store.remember(&Memory::Awake, at(0));
    assert_eq!(store.recall(at(0)).unwrap().states.len(), 0);
    store.commit(&[commit(vec![state("fraud", None, 1, 5)], vec![])]);
    store.remember(&kept(true, Some(5)), at(0));
    let states = store.recall(at(0)).unwrap().states;
    assert_eq!(states.into_keys().collect::<Vec<_>>(), [gateway("spam")], "all there are");
}

#[test]
fn who_was_away_for_long_remembers_nothing() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    assert_eq!(store.recall(at(0)), None, "nobody was here to hear of changes");
    for second in 0..=7 {
        store.remember(&Memory::Awake, at(second));
    }
    drop(store);
    let mut store = place.away(NAME);
    // Stamped at 5 s, as every 5 s.
    let limit = FRESH.as_secs();
    assert!(store.recall(at(5 + limit)).is_some());
    assert_eq!(store.recall(at(6 + limit)), None);
    assert_eq!(store.recall(Timestamp(at(4).0 - i64::try_from(limit).unwrap() * 1000)), None, "set back");
    // Who runs without the store is here, though it hears nothing.
    store.remember(&Memory::Awake, at(6 + limit));
    assert!(store.recall(at(7 + limit)).is_some());
}

#[test]
fn another_database_is_another_memory() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.commit(&[commit(vec![state("fraud", None, 1, 50)], vec![])]);
    store.secret("session", b"key").unwrap();
    store.remember(&Memory::Awake, at(0));
    drop(store);
    let other = "postgres://serin@db:5432/other";
    let mut store = place.away(other);
    assert_eq!(store.recall(at(0)), None);
    assert!(store.secret("session", b"new").is_err());
    drop(store);
    assert!(place.away(NAME).recall(at(0)).is_some(), "a look changes nothing");
    let mut store = place.away(other);
    store.remember(&kept(true, Some(5)), at(0));
    drop(store);
    assert_eq!(place.away(NAME).recall(at(0)), None);
}

#[test]
fn it_is_one_serins_alone_and_nobody_elses() {
    let place = Place::new();
    let store = place.near();
    let mode = place.path().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(place.near().recall(at(0)), None, "a second one has its store alone");
    drop(store);
    let mut near = place.near();
    near.load().unwrap();
    near.remember(&Memory::Awake, at(0));
    assert!(near.recall(at(0)).is_some());
    // A file of something else is left alone.
    let strange = place.0.path().join("serin.db");
    let mut own = Sqlite::open(&strange).unwrap();
    own.commit(&[commit(vec![state("fraud", None, 1, 50)], vec![])]);
    drop(own);
    let mut store = Cached::over(Box::new(Sqlite::in_memory().unwrap()), NAME, &strange);
    store.load().unwrap();
    drop(store);
    assert_eq!(Sqlite::open(&strange).unwrap().load().unwrap().states.len(), 1);
}

#[test]
fn a_file_that_lacks_something_grows_old() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    // Somebody's `sqlite3` has taken a table away.
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("ALTER TABLE rollout RENAME TO away").unwrap();
    store.commit(&[commit(vec![state("fraud", None, 1, 50)], vec![])]);
    other.execute_batch("ALTER TABLE away RENAME TO rollout").unwrap();
    store.remember(&Memory::Awake, at(10));
    let limit = FRESH.as_secs();
    assert_eq!(store.recall(at(1 + limit)), None, "it was not stamped");
    store.remember(&kept(true, Some(5)), at(11));
    store.remember(&Memory::Awake, at(11));
    assert!(store.recall(at(1 + limit)).is_some(), "it is whole again");
}

#[test]
fn another_format_is_made_anew() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    drop(store);
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("PRAGMA user_version = 99; ALTER TABLE about ADD COLUMN more TEXT").unwrap();
    drop(other);
    let mut store = place.near();
    assert_eq!(store.recall(at(0)), None);
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    assert!(store.recall(at(0)).is_some());
}
