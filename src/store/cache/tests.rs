//! What is remembered is what was kept, of the right database, and not for long.

use super::*;
use crate::store::contract::{commit, gateway, state};
use crate::store::{Absent, Sqlite};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
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
    drop(store);
    // Who was refused serves something else, and does not make it fresh by being here: not even for the next start.
    let mut store = place.away(NAME);
    assert_eq!(store.recall(at(6 + limit)), None);
    (0..=7).for_each(|second| store.remember(&Memory::Awake, at(6 + limit + second)));
    drop(store);
    let mut store = place.away(NAME);
    assert_eq!(store.recall(at(14 + limit)), None);
    // Until it hears everything that is kept.
    store.remember(&kept(false, Some(5)), at(14 + limit));
    store.remember(&Memory::Awake, at(14 + limit));
    assert_eq!(store.recall(at(15 + limit)), None, "that is not all");
    store.remember(&kept(true, Some(5)), at(15 + limit));
    store.remember(&Memory::Awake, at(15 + limit));
    assert!(store.recall(at(16 + limit)).is_some());
}

#[test]
fn who_serves_what_it_remembers_is_here() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    drop(store);
    let limit = FRESH.as_secs();
    let mut store = place.away(NAME);
    assert!(store.recall(at(limit)).is_some());
    store.remember(&Memory::Awake, at(limit));
    drop(store);
    assert!(place.away(NAME).recall(at(2 * limit)).is_some(), "it was here, though it heard nothing");
}

/// What a store says that this Serin is too old for.
struct TooNew(Box<dyn Store>, Arc<AtomicBool>);

impl TooNew {
    fn said(&self) -> Result<(), Error> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::TooNew { place: NAME.into(), found: 9, known: 1 });
        }
        Ok(())
    }
}

impl Store for TooNew {
    fn load(&mut self) -> Result<Restored, Error> {
        self.said()?;
        self.0.load()
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        self.0.commit(commits)
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        self.said()?;
        self.0.entries(query)
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.secret(name, new)
    }

    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        self.0.prune(before, most)
    }
}

#[test]
fn with_a_store_for_newer_ones_it_grows_old() {
    let place = Place::new();
    let is_newer = Arc::new(AtomicBool::new(false));
    let store = TooNew(Box::new(Sqlite::in_memory().unwrap()), Arc::clone(&is_newer));
    let mut store = Cached::over(Box::new(store), NAME, &place.path());
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    is_newer.store(true, Ordering::Relaxed);
    assert!(store.entries(&Query::default()).is_err());
    let limit = FRESH.as_secs();
    (1..=limit).for_each(|second| store.remember(&Memory::Awake, at(second)));
    assert_eq!(store.recall(at(1 + limit)), None);
    // It was made usable again.
    is_newer.store(false, Ordering::Relaxed);
    store.remember(&Memory::Awake, at(MEND.as_secs() + limit));
    assert!(store.recall(at(MEND.as_secs() + limit)).is_some());
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
fn what_is_something_else_is_not_touched() {
    let place = Place::new();
    let look = || {
        let mode = place.path().metadata().unwrap().permissions().mode() & 0o777;
        (mode, std::fs::read(place.path()).unwrap())
    };
    let open = || {
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let before = look();
        let mut store = place.near();
        store.load().unwrap();
        store.remember(&Memory::Awake, at(0));
        assert_eq!(store.recall(at(0)), None);
        assert_eq!(look(), before);
    };
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(other);
    open();
    std::fs::write(place.path(), "gateways: gateways\n").unwrap();
    open();
}

#[test]
fn a_damaged_one_is_made_anew_and_is_for_its_owner_alone() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.commit(&[commit(vec![state("fraud", None, 1, 50)], vec![])]);
    drop(store);
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(place.path(), bytes).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o660)).unwrap();
    let mut store = place.near();
    assert_eq!(store.recall(at(0)), None);
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    assert!(store.recall(at(0)).is_some());
    drop(store);
    // And one that is whole.
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o660)).unwrap();
    let mut store = place.near();
    let mode = place.path().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(store.recall(at(0)).is_some());
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
    let documents = [("mine.yaml".into(), Some(Arc::from("mine")))].into();
    store.remember(&Memory::Own { documents, switches: BTreeMap::new() }, at(9));
    store.remember(&Memory::Awake, at(10));
    other.execute_batch("ALTER TABLE away RENAME TO rollout").unwrap();
    let limit = FRESH.as_secs();
    store.remember(&Memory::Awake, at(11));
    assert_eq!(store.recall(at(1 + limit)), None, "it was not stamped");
    store.remember(&Memory::Awake, at(10 + MEND.as_secs()));
    let found = store.recall(at(1 + limit)).unwrap();
    assert_eq!((found.states.len(), found.documents.len()), (1, 1), "all was written again");
}

#[test]
fn a_stamp_that_fails_is_made_up_for_and_nothing_waits_for_a_reader() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.remember(&Memory::Awake, at(0));
    let other = rusqlite::Connection::open(place.path()).unwrap();
    let limit = FRESH.as_secs();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.remember(&Memory::Awake, at(5));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(store.recall(at(5 + limit)), None);
    store.remember(&Memory::Awake, at(10));
    assert!(store.recall(at(10 + limit)).is_some(), "without a new connection to the store");
}

#[test]
fn a_switch_that_the_store_does_not_have_is_forgotten() {
    let place = Place::new();
    let mut store = place.near();
    store.load().unwrap();
    store.remember(
        &Memory::Own { documents: BTreeMap::new(), switches: [("compare".into(), false)].into() },
        at(0),
    );
    store.remember(&kept(false, Some(5)), at(0));
    store.remember(&Memory::Awake, at(0));
    let switches = store.recall(at(0)).unwrap().switches;
    assert_eq!(switches, [("shadow".into(), false)].into());
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
