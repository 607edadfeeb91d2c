//! The one task that has the store: takes requests from a queue, groups the commits that wait, and answers.
//!
//! It blocks, as stores do, so it has a thread of its own. Reading goes through it as well: a page of the journal takes
//! less than the synchronization of a commit, and one owner needs no lock.

use super::{Absent, Commit, Entry, Error, KEEP_DAYS, KEEP_ENTRIES, Memory, Query, Restored, Store};
use crate::clock::{self, Stopwatch};
use crate::latest::Latest;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait before a sender has to.
const QUEUE: usize = 1024;
/// Commits that are kept together.
const GROUP: usize = 256;
/// What nobody waits for is gathered this long before it is kept: a write to a disk would otherwise compete with the
/// answers to the Envoys that the same change has just woken.
const GATHER: Duration = Duration::from_millis(50);
/// Between two removals of old entries.
const PRUNE: Duration = Duration::from_hours(1);

/// Opens a store, and reads what a start needs.
pub type Open = Box<dyn FnMut() -> Result<(Box<dyn Store>, Restored), Error> + Send>;

/// Where one asks the store.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: Arc<Latest<Status>>,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The largest sequence in the journal; who waits for entries waits for this.
    pub newest: u64,
    /// Why the last commit was not kept; `None`: it was.
    pub failure: Option<Error>,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As the asker numbered it.
    pub id: u64,
    /// The sequence of its last entry, if it has any; or why nothing of it was kept.
    pub result: Result<Option<u64>, Error>,
}

#[derive(Debug)]
enum Request {
    Commit { commit: Commit, id: Option<u64> },
    Entries { query: Query, reply: oneshot::Sender<Result<Vec<Entry>, Error>> },
    Secret { name: String, new: Vec<u8>, reply: oneshot::Sender<Result<Vec<u8>, Error>> },
    Look,
    Remember(Memory),
    Open { reply: oneshot::Sender<Result<Restored, Error>> },
}

impl Request {
    /// Nobody waits for it. A switch takes load away from something, and what is most urgent is not put off.
    fn can_wait(&self) -> bool {
        matches!(self, Self::Commit { commit, id: None } if commit.switches.is_empty())
    }

    /// Whoever asked has gone. A store that does not answer takes seconds for each question, and those who come after it
    /// wait for nothing.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Entries { reply, .. } => reply.is_closed(),
            Self::Secret { reply, .. } => reply.is_closed(),
            Self::Commit { .. } | Self::Look | Self::Remember(_) | Self::Open { .. } => false,
        }
    }
}

impl Handle {
    /// Asks for a commit, whose [`Answer`] comes on the other queue. `false`: there is no store any more.
    pub async fn commit(&self, id: u64, commit: Commit) -> bool {
        self.requests.send(Request::Commit { commit, id: Some(id) }).await.is_ok()
    }

    /// Asks for a commit whose end nobody waits for, so that it may be a moment later than others; whoever reads sees it
    /// all the same. `Err`: too much is waiting.
    pub fn note(&self, commit: Commit) -> Result<(), Box<Commit>> {
        match self.requests.try_send(Request::Commit { commit, id: None }) {
            Err(mpsc::error::TrySendError::Full(Request::Commit { commit, .. })) => Err(Box::new(commit)),
            // There is no store any more, and soon nobody who could ask it.
            _ => Ok(()),
        }
    }

    /// Reads the journal.
    pub async fn entries(&self, query: Query) -> Result<Vec<Entry>, Error> {
        self.ask(|reply| Request::Entries { query, reply }).await
    }

    /// The bytes that are kept under a name; `new` from now on, when there are none.
    pub async fn secret(&self, name: &str, new: Vec<u8>) -> Result<Vec<u8>, Error> {
        let name = name.to_owned();
        self.ask(|reply| Request::Secret { name, new, reply }).await
    }

    /// Somebody else may have written: look how the store is, and tell those who wait for entries.
    pub fn look(&self) {
        // Where so much is waiting, what is written next tells them.
        let _ = self.requests.try_send(Request::Look);
    }

    /// Something to remember for a start without the store. `false`: too much is waiting, and it is lost.
    pub fn remember(&self, what: Memory) -> bool {
        let sent = self.requests.try_send(Request::Remember(what));
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Tries once more to open a store that could not be opened. What it holds, or why it still cannot be opened.
    pub async fn open(&self) -> Result<Restored, Error> {
        self.ask(|reply| Request::Open { reply }).await
    }

    /// How the store is.
    pub fn status(&self) -> &Arc<Latest<Status>> {
        &self.status
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // A send that fails drops the reply, which the answer then tells.
        let _ = self.requests.send(request(reply)).await;
        let ended = || Error::Unavailable { place: "the store".into(), why: "Serin is stopping".into() };
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The task that has the store. [`Work::run`] blocks until no [`Handle`] is left.
pub struct Work {
    store: Box<dyn Store>,
    open: Option<Open>,
    requests: mpsc::Receiver<Request>,
    answers: mpsc::UnboundedSender<Answer>,
    status: Arc<Latest<Status>>,
    state: Status,
}

/// A store's handle, its work, and where the answers come.
///
/// Answers are not bounded, since commits are: a full queue on both ways would be a dead end.
pub fn start(
    mut store: Box<dyn Store>,
    failure: Option<Error>,
) -> (Handle, Work, mpsc::UnboundedReceiver<Answer>) {
    let (requests_in, requests) = mpsc::channel(QUEUE);
    let (answers_in, answers) = mpsc::unbounded_channel();
    // What could not be read a moment ago is not asked again: somebody waits for the start.
    let newest = if failure.is_none() { newest(&mut *store).unwrap_or(0) } else { 0 };
    let state = Status { newest, failure };
    let status = Latest::new(state.clone());
    let handle = Handle { requests: requests_in, status: Arc::clone(&status) };
    (handle, Work { store, open: None, requests, answers: answers_in, status, state }, answers)
}

/// The largest sequence in the journal; 0 when it is empty.
fn newest(store: &mut dyn Store) -> Result<u64, Error> {
    let last = store.entries(&Query { newest: true, limit: 1, ..Query::default() })?;
    Ok(last.first().map_or(0, |e| e.sequence))
}

/// Wakes the thread of the store, which has no runtime of its own to wait with a limit.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Work {
    /// How [`Handle::open`] opens the store, in place of one that is [`Absent`].
    #[must_use]
    pub fn opened_by(mut self, open: Open) -> Self {
        self.open = Some(open);
        self
    }

    /// Does what is asked, until nobody is left who could ask.
    pub fn run(mut self) {
        let mut pruned = None;
        while let Some(first) = self.requests.blocking_recv() {
            let waiting = self.gather(first);
            let (mut commits, mut ids) = (Vec::new(), Vec::new());
            for request in waiting {
                if request.is_given_up() {
                    continue;
                }
                match request {
                    Request::Commit { commit, id } => {
                        commits.push(commit);
                        ids.push(id);
                    }
                    // Who asks sees what was asked for before.
                    Request::Entries { query, reply } => {
                        self.keep(&mut commits, &mut ids);
                        // Who has gone meanwhile needs no answer.
                        let _ = reply.send(self.store.entries(&query));
                    }
                    Request::Secret { name, new, reply } => {
                        self.keep(&mut commits, &mut ids);
                        let _ = reply.send(self.store.secret(&name, &new));
                    }
                    Request::Look => {
                        self.keep(&mut commits, &mut ids);
                        self.look();
                    }
                    Request::Remember(what) => {
                        self.keep(&mut commits, &mut ids);
                        // Another process compares it with its own time.
                        self.store.remember(&what, clock::time_of_day());
                    }
                    Request::Open { reply } => {
                        self.keep(&mut commits, &mut ids);
                        let _ = reply.send(self.reopen());
                    }
                }
            }
            self.keep(&mut commits, &mut ids);
            let now = clock::now();
            if pruned.is_none_or(|last| now.since(last) >= PRUNE) {
                pruned = Some(now);
                let oldest = now.minus(Duration::from_hours(24 * KEEP_DAYS));
                if let Err(e) = self.store.prune(oldest, KEEP_ENTRIES) {
                    tracing::warn!("old entries of the journal stay: {e}");
                }
            }
        }
    }

    /// All that waits beside this, up to [`GROUP`]; and as long as none of it is urgent, what comes soon.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut waiting = vec![first];
        let since = Stopwatch::start();
        loop {
            while waiting.len() < GROUP
                && let Ok(more) = self.requests.try_recv()
            {
                waiting.push(more);
            }
            if waiting.len() == GROUP || !waiting.iter().all(Request::can_wait) {
                return waiting;
            }
            match self.next_within(GATHER, since) {
                Some(more) => waiting.push(more),
                None => return waiting,
            }
        }
    }

    /// The next request. `None`: it is time, or nobody is left who could ask.
    fn next_within(&mut self, limit: Duration, since: Stopwatch) -> Option<Request> {
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(request) = self.requests.poll_recv(&mut context) {
                return request;
            }
            let left = limit.checked_sub(since.elapsed()).filter(|left| !left.is_zero())?;
            thread::park_timeout(left);
        }
    }

    fn reopen(&mut self) -> Result<Restored, Error> {
        // One that is open stays open.
        let Some(open) = &mut self.open else { return self.store.load() };
        let mut state = self.state.clone();
        let result = open().map(|(store, restored)| {
            (self.store, self.open) = (store, None);
            state.newest = newest(&mut *self.store).unwrap_or(0);
            restored
        });
        if let Err(why) = &result {
            self.store = Box::new(Absent(why.clone()));
        }
        state.failure = result.as_ref().err().cloned();
        self.tell(state);
        result
    }

    fn keep(&mut self, commits: &mut Vec<Commit>, ids: &mut Vec<Option<u64>>) {
        if commits.is_empty() {
            return;
        }
        let results = self.store.commit(commits);
        commits.clear();
        let mut state = self.state.clone();
        for (id, result) in ids.drain(..).zip(results) {
            match &result {
                Ok(sequence) => {
                    state.newest = sequence.unwrap_or(0).max(state.newest);
                    state.failure = None;
                }
                // Somebody was slower, and the store is well.
                Err(Error::Conflict { .. } | Error::Fenced | Error::Late) => {}
                Err(e) => state.failure = Some(e.clone()),
            }
            if let Some(id) = id {
                // Nobody listens any more only when everything stops.
                let _ = self.answers.send(Answer { id, result });
            }
        }
        self.tell(state);
    }

    fn look(&mut self) {
        let mut state = self.state.clone();
        match newest(&mut *self.store) {
            Ok(newest) => {
                state.newest = newest.max(state.newest);
                state.failure = None;
            }
            Err(e) => state.failure = Some(e),
        }
        self.tell(state);
    }

    /// Says how the store is, where that is another than before.
    fn tell(&mut self, state: Status) {
        match (&self.state.failure, &state.failure) {
            (before, Some(e)) if before.as_ref() != Some(e) => tracing::error!("not kept: {e}"),
            (Some(_), None) => tracing::info!("the store can be used again"),
            _ => {}
        }
        if state != self.state {
            self.state = state.clone();
            self.status.publish(state);
        }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;
    use crate::store::contract::{Moody, commit, entry, state};
    use std::sync::atomic::Ordering;

    #[test]
    fn commits_are_answered_in_their_order_and_readers_see_them() {
        let (handle, work, mut answers) = start(Box::new(Sqlite::in_memory().unwrap()), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // All of it waits before the work begins, so that it is done in groups.
        let asked = handle.clone();
        let readers = runtime.block_on(async move {
            for i in 0..600_u64 {
                let change = state("fraud", i.checked_sub(1), i, 5);
                let made = commit(vec![change], vec![entry(Some("fraud"), "advanced", 0)]);
                assert!(asked.commit(i, made).await);
            }
            let conflict = commit(vec![state("fraud", None, 1, 5)], vec![]);
            assert!(asked.commit(600, conflict).await);
            assert_eq!(asked.note(commit(vec![], vec![entry(None, "alarm", 0)])), Ok(()));
            let (reply, answer) = oneshot::channel();
            let query = Query { newest: true, limit: 1, ..Query::default() };
            asked.requests.send(Request::Entries { query, reply }).await.unwrap();
            [answer]
        });
        let status = Arc::clone(handle.status());
        drop(handle);
        work.run();
        for i in 0..600 {
            let answer = answers.blocking_recv().unwrap();
            assert_eq!((answer.id, answer.result), (i, Ok(Some(i + 1))));
        }
        assert!(matches!(answers.blocking_recv().unwrap().result, Err(Error::Conflict { .. })));
        assert_eq!(answers.blocking_recv(), None, "a note has no answer");
        let [reader] = readers;
        let read = reader.blocking_recv().unwrap().unwrap();
        assert_eq!(read[0].entry.kind.as_str(), "alarm");
        assert_eq!(*status.load(), Status { newest: 601, failure: None }, "a conflict is no failure");
    }

    #[test]
    fn a_reader_sees_what_is_still_gathered_and_an_end_loses_nothing() {
        let (handle, work, _answers) = start(Box::new(Sqlite::in_memory().unwrap()), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let status = Arc::clone(handle.status());
        let work = thread::spawn(|| work.run());
        let note =
            |kind| assert_eq!(handle.note(commit(vec![], vec![entry(None, kind, clock::now().0)])), Ok(()));
        for round in 1..=20 {
            note("alarm");
            let read = runtime.block_on(handle.entries(Query { limit: 100, ..Query::default() })).unwrap();
            assert_eq!(read.len(), round);
        }
        note("loaded");
        note("changed");
        drop(handle);
        work.join().unwrap();
        assert_eq!(status.load().newest, 22);
    }

    #[test]
    fn who_has_gone_is_not_waited_for() {
        let store = Moody::new();
        let reads = Arc::clone(&store.reads);
        let (handle, work, _answers) = start(Box::new(store), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let before = reads.load(Ordering::Relaxed);
        // All of it waits before the work begins.
        let page = runtime.block_on(async {
            let ask = async |stays: bool| {
                let (reply, answer) = oneshot::channel();
                handle.requests.send(Request::Entries { query: Query::default(), reply }).await.unwrap();
                stays.then_some(answer)
            };
            let secret = async |new: u8, stays: bool| {
                let (reply, answer) = oneshot::channel();
                let (name, new) = ("cookies".to_owned(), vec![new]);
                handle.requests.send(Request::Secret { name, new, reply }).await.unwrap();
                stays.then_some(answer)
            };
            assert!(ask(false).await.is_none() && secret(1, false).await.is_none());
            (ask(true).await.unwrap(), secret(2, true).await.unwrap())
        });
        drop(handle);
        work.run();
        assert_eq!(page.0.blocking_recv(), Ok(Ok(vec![])));
        assert_eq!(page.1.blocking_recv(), Ok(Ok(vec![2])), "the first is not kept");
        assert_eq!(reads.load(Ordering::Relaxed) - before, 1);
    }

    #[test]
    fn a_store_that_is_not_there_says_why_to_all() {
        let why = Error::Corrupt { place: "serin.db".into(), why: "malformed".into() };
        let absent = Box::new(Absent(why.clone()));
        let (handle, work, mut answers) = start(absent, Some(why.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let work = std::thread::spawn(|| work.run());
        runtime.block_on(async {
            assert!(handle.commit(1, commit(vec![], vec![])).await);
            assert_eq!(handle.entries(Query::default()).await, Err(why.clone()));
            assert_eq!(handle.secret("cookies", vec![1]).await, Err(why.clone()));
        });
        assert_eq!(handle.status().load().failure, Some(why.clone()));
        drop(handle);
        work.join().unwrap();
        assert_eq!(answers.blocking_recv(), Some(Answer { id: 1, result: Err(why) }));
    }

    #[test]
    fn a_store_that_comes_late_is_used_from_then_on() {
        let away = |why: &str| Error::Unavailable { place: "serin.db".into(), why: why.into() };
        let absent = Box::new(Absent(away("no folder")));
        let (handle, work, mut answers) = start(absent, Some(away("no folder")));
        let mut tries = 0;
        let work = work.opened_by(Box::new(move || {
            tries += 1;
            if tries == 1 {
                return Err(away("no room"));
            }
            let mut store = Sqlite::in_memory()?;
            let before = commit(vec![state("fraud", None, 1, 50)], vec![entry(Some("fraud"), "advanced", 0)]);
            store.commit(&[before]).remove(0)?;
            let restored = store.load()?;
            Ok((Box::new(store), restored))
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let work = std::thread::spawn(|| work.run());
        runtime.block_on(async {
            assert_eq!(handle.open().await, Err(away("no room")));
            assert_eq!(handle.status().load().failure, Some(away("no room")), "what stands in the way now");
            assert!(handle.commit(1, commit(vec![], vec![])).await);
            let restored = handle.open().await.unwrap();
            assert_eq!(restored.states.len(), 1);
            assert_eq!(*handle.status().load(), Status { newest: 1, failure: None });
            let next = commit(vec![state("fraud", Some(1), 2, 100)], vec![]);
            assert!(handle.commit(2, next).await);
            assert_eq!(handle.open().await.unwrap().states.len(), 1, "it is not opened twice");
        });
        drop(handle);
        work.join().unwrap();
        assert_eq!(answers.blocking_recv(), Some(Answer { id: 1, result: Err(away("no room")) }));
        assert_eq!(answers.blocking_recv(), Some(Answer { id: 2, result: Ok(None) }));
    }
}
