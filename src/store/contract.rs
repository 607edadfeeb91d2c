//! What every store must do, told as one course of events for each promise.

use super::{Commit, Entry, Error, Kind, NewEntry, Query, Restored, Sqlite, StateChange, Store};
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::weight::Weight;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Holds a store to its contract. `open` gives the same store again each time, `empty` a new one.
pub(super) fn contract<S: Store>(mut empty: impl FnMut() -> S, reopen: impl Fn(S) -> S) {
    what_was_kept_is_found_again(empty(), &reopen);
    a_commit_is_kept_whole_or_not_at_all(empty());
    a_revision_is_checked(empty());
    commits_are_independent(empty());
    entries_are_found_by_what_they_are(empty());
    entries_come_in_pages(empty());
    a_sequence_is_never_used_twice(empty(), &reopen);
    a_secret_stays_what_it_was(empty(), &reopen);
    old_entries_go(empty());
}

pub(super) fn gateway(name: &str) -> GatewayName {
    GatewayName::new(name).unwrap()
}

pub(super) fn state(name: &str, expected: Option<u64>, revision: u64, weight: u32) -> StateChange {
    StateChange { gateway: gateway(name), expected, revision, state: Some(json!({ "weight": weight })) }
}

pub(crate) fn entry(name: Option<&str>, kind: &'static str, time: i64) -> NewEntry {
    NewEntry {
        time: Timestamp(time),
        gateway: name.map(gateway),
        kind: Kind::new(kind),
        actor: "engine".into(),
        message: format!("{kind} happened"),
        reason: None,
        before: None,
        after: None,
        revision: None,
        details: Value::Null,
    }
}

pub(crate) fn commit(states: Vec<StateChange>, entries: Vec<NewEntry>) -> Commit {
    Commit { states, entries, ..Commit::default() }
}

fn one(store: &mut impl Store, commit: Commit) -> Result<Option<u64>, Error> {
    let mut answers = store.commit(&[commit]);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn what_was_kept_is_found_again<S: Store>(mut store: S, reopen: &impl Fn(S) -> S) {
    let upstream = |name: &str| UpstreamName::new(name).unwrap();
    let weights = |v2: u32| {
        let parts = [("v1", 10_000 - v2), ("v2", v2)];
        Some(parts.into_iter().map(|(n, w)| (upstream(n), Weight::new(w).unwrap())).collect())
    };
    let full = NewEntry {
        reason: Some("it looked \"good\"\nto all".into()),
        before: weights(5),
        after: weights(2_550),
        revision: Some(1),
        details: json!({ "evidence": [1, 2.5, null] }),
        ..entry(Some("fraud"), "advanced", 1_790_000_000_123)
    };
    let mut first = commit(vec![state("fraud", None, 1, 25)], vec![full.clone()]);
    first.documents =
        [("a.yaml".into(), Some("name: a\n".into())), ("b.yaml".into(), Some("ü\u{0}".into()))].into();
    first.switches = [("shadow".into(), false), ("other".into(), true)].into();
    let sequence = one(&mut store, first).unwrap().unwrap();
    let mut second = commit(vec![state("fraud", Some(1), 7, 50), state("spam", None, 3, 5)], vec![]);
    second.documents = [("a.yaml".into(), Some("name: c\n".into())), ("b.yaml".into(), None)].into();
    second.switches = [("other".into(), false)].into();
    assert_eq!(one(&mut store, second), Ok(None));

    let mut store = reopen(store);
    let restored = store.load().unwrap();
    let states: Vec<_> = restored.states.into_iter().collect();
    assert_eq!(
        states,
        [(gateway("fraud"), (7, json!({ "weight": 50 }))), (gateway("spam"), (3, json!({ "weight": 5 })))]
    );
    assert_eq!(restored.documents, [("a.yaml".into(), "name: c\n".into())].into());
    assert_eq!(restored.switches, [("shadow".into(), false), ("other".into(), false)].into());
    let entries = store.entries(&Query::default()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].sequence, &entries[0].entry), (sequence, &full));
}

fn a_commit_is_kept_whole_or_not_at_all(mut store: impl Store) {
    let mut bad = commit(
        vec![state("fraud", None, 1, 5), state("spam", Some(4), 5, 5)],
        vec![entry(Some("fraud"), "started", 1)],
    );
    bad.documents = [("a.yaml".into(), Some("name: a\n".into()))].into();
    bad.switches = [("shadow".into(), false)].into();
    assert!(matches!(one(&mut store, bad), Err(Error::Conflict { .. })));
    assert_eq!(store.load().unwrap(), super::Restored::default());
    assert_eq!(store.entries(&Query::default()).unwrap(), []);
}

fn a_revision_is_checked(mut store: impl Store) {
    let conflict = |expected, found| Err(Error::Conflict { gateway: gateway("fraud"), expected, found });
    let mut change = |expected, revision, keep: bool| {
        let change = state("fraud", expected, revision, 5);
        let change = StateChange { state: change.state.filter(|_| keep), ..change };
        one(&mut store, commit(vec![change], vec![]))
    };
    assert_eq!(change(Some(1), 2, true), conflict(Some(1), None), "there is none yet");
    assert_eq!(change(None, 1, true), Ok(None));
    assert_eq!(change(None, 1, true), conflict(None, Some(1)), "there is one");
    assert_eq!(change(Some(1), 2, true), Ok(None));
    assert_eq!(change(Some(1), 2, true), conflict(Some(1), Some(2)), "it is another");
    assert_eq!(change(Some(1), 3, false), conflict(Some(1), Some(2)), "also to forget it");
    assert_eq!(change(Some(2), 3, false), Ok(None));
    assert_eq!(change(None, 1, true), Ok(None), "what was forgotten is not there");
}

fn commits_are_independent(mut store: impl Store) {
    let answers = store.commit(&[
        commit(vec![state("fraud", None, 1, 5)], vec![entry(Some("fraud"), "first", 1)]),
        commit(vec![state("fraud", None, 1, 25)], vec![entry(Some("fraud"), "second", 2)]),
        commit(vec![state("fraud", Some(1), 2, 50)], vec![entry(Some("fraud"), "third", 3)]),
    ]);
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(Error::Conflict { .. })), "{answers:?}");
    let kinds: Vec<_> = store.entries(&Query::default()).unwrap().into_iter().map(|e| e.entry.kind).collect();
    assert_eq!(kinds, [Kind::new("first"), Kind::new("third")]);
    assert_eq!(store.commit(&[]), [], "nothing asked, nothing answered");
}

fn entries_are_found_by_what_they_are(mut store: impl Store) {
    let decided = NewEntry { revision: Some(4), ..entry(Some("spam"), "advanced", 4) };
    let all = vec![
        entry(Some("fraud"), "changed", 1),
        entry(Some("spam"), "changed", 2),
        entry(None, "alarm", 3),
        decided,
    ];
    one(&mut store, commit(vec![], all)).unwrap();
    let mut times = |query: Query| -> Vec<i64> {
        store.entries(&query).unwrap().into_iter().map(|e| e.entry.time.0).collect()
    };
    assert_eq!(times(Query { gateway: Some(gateway("spam")), ..Query::default() }), [2, 4]);
    assert_eq!(times(Query { kinds: [Kind::new("changed")].into(), ..Query::default() }), [1, 2]);
    let kinds = [Kind::new("alarm"), Kind::new("advanced")].into();
    assert_eq!(times(Query { kinds, ..Query::default() }), [3, 4]);
    assert_eq!(times(Query { with_revision: true, ..Query::default() }), [4]);
    assert_eq!(times(Query { gateway: Some(gateway("nobody")), ..Query::default() }), [0_i64; 0]);
}

fn entries_come_in_pages(mut store: impl Store) {
    for i in 0..10 {
        one(&mut store, commit(vec![], vec![entry(Some("fraud"), "changed", i)])).unwrap();
    }
    let all = store.entries(&Query::default()).unwrap();
    assert_eq!(all.iter().map(|e| e.entry.time.0).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence), "sequences count up");
    let mut page = |after, before, newest| -> Vec<i64> {
        let query = Query { after, before, newest, limit: 3, ..Query::default() };
        store.entries(&query).unwrap().into_iter().map(|e| e.entry.time.0).collect()
    };
    assert_eq!(page(0, None, false), [0, 1, 2]);
    assert_eq!(page(all[2].sequence, None, false), [3, 4, 5]);
    assert_eq!(page(0, None, true), [7, 8, 9], "the newest, in their order");
    assert_eq!(page(0, Some(all[7].sequence), true), [4, 5, 6]);
    assert_eq!(page(all[9].sequence, None, false), [0_i64; 0]);
}

fn a_sequence_is_never_used_twice<S: Store>(mut store: S, reopen: &impl Fn(S) -> S) {
    let first = one(&mut store, commit(vec![], vec![entry(None, "alarm", 1)])).unwrap();
    assert_eq!(store.prune(Timestamp(0), 0), Ok(1));
    let mut store = reopen(store);
    let second = one(&mut store, commit(vec![], vec![entry(None, "alarm", 2)])).unwrap();
    assert!(second > first, "{second:?} after {first:?}");
}

fn a_secret_stays_what_it_was<S: Store>(mut store: S, reopen: &impl Fn(S) -> S) {
    assert_eq!(store.secret("cookies", &[0, 255, 7]), Ok(vec![0, 255, 7]));
    assert_eq!(store.secret("other", b"more"), Ok(b"more".to_vec()));
    let mut store = reopen(store);
    assert_eq!(store.secret("cookies", b"another"), Ok(vec![0, 255, 7]));
}

fn old_entries_go(mut store: impl Store) {
    let all = (0..10).map(|i| entry(None, "alarm", i * 1000)).collect();
    one(&mut store, commit(vec![state("fraud", None, 1, 5)], all)).unwrap();
    assert_eq!(store.prune(Timestamp(3000), 100), Ok(3), "those from before");
    assert_eq!(store.prune(Timestamp(3000), 5), Ok(2), "those beyond the count");
    let times: Vec<_> = store.entries(&Query::default()).unwrap().iter().map(|e| e.entry.time.0).collect();
    assert_eq!(times, [5000, 6000, 7000, 8000, 9000]);
    assert_eq!(store.prune(Timestamp(3000), 5), Ok(0));
    assert_eq!(store.load().unwrap().states.len(), 1, "states are not the journal's");
}

/// A store whose journal cannot be read at times, and that counts how often it was asked for it.
pub(crate) struct Moody {
    store: Sqlite,
    pub(crate) is_away: Arc<AtomicBool>,
    pub(crate) reads: Arc<AtomicUsize>,
}

impl Moody {
    pub(crate) fn new() -> Self {
        Self { store: Sqlite::in_memory().unwrap(), is_away: Arc::default(), reads: Arc::default() }
    }
}

impl Store for Moody {
    fn load(&mut self) -> Result<Restored, Error> {
        self.store.load()
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        self.store.commit(commits)
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Unavailable { place: "serin.db".into(), why: "silence".into() });
        }
        self.store.entries(query)
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        self.store.secret(name, new)
    }

    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        self.store.prune(before, most)
    }
}
