//! The journal, as pages and as a stream that goes on where a reader left it.
//!
//! A stream is nothing but pages: what is in the journal after the last entry that was sent, then a wait for more. So a
//! reader that was away misses nothing, and a slow one holds up nobody.

use super::Sources;
use super::access::Caller;
use super::api::find;
use super::problem::Problem;
use super::seats::Seat;
use crate::names::GatewayName;
use crate::store::run::Handle;
use crate::store::{Entry, Error, Kind, Query};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

/// Entries on a page, unless the reader says how many.
const PAGE: usize = 100;
/// The most that a page has, and that a stream reads at once.
const MAX_PAGE: usize = 1000;
/// Until a journal that could not be read is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a reader may ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Kinds, with commas between; all, if none is named.
    kind: Option<String>,
    /// Only entries with a larger sequence: the oldest of them, up to the limit.
    after: Option<u64>,
    /// Only entries with a smaller sequence: the newest of them, up to the limit.
    before: Option<u64>,
    limit: Option<usize>,
}

/// A page of the journal.
#[derive(Debug, Serialize)]
struct Page {
    /// Oldest first.
    events: Vec<Entry>,
}

type Wished = Result<Parameters<Wish>, QueryRejection>;

/// `GET /api/v1/events`
pub(super) async fn all(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    wish: Wished,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(sources, caller, None, wish, &headers).await
}

/// `GET /api/v1/gateways/{name}/events`: also of a gateway that is gone.
pub(super) async fn of_gateway(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    wish: Wished,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let gateway = known(&sources, &name).await?;
    answer(sources, caller, Some(gateway), wish, &headers).await
}

/// `GET /api/v1/gateways/{name}/revisions`: the entries that came with a new revision of the rollout.
pub(super) async fn revisions(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    wish: Wished,
) -> Result<Response, Problem> {
    let gateway = known(&sources, &name).await?;
    let query = Query { with_revision: true, ..query(wish, Some(gateway))? };
    page(&sources, query).await
}

async fn answer(
    sources: Sources,
    caller: Caller,
    gateway: Option<GatewayName>,
    wish: Wished,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let wants = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    let mut query = query(wish, gateway)?;
    if !wants.contains("text/event-stream") {
        return page(&sources, query).await;
    }
    if query.before.is_some() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "a stream goes on for ever: leave out `before`"));
    }
    let newest = sources.store.status().load().newest;
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().trim().parse::<u64>());
    let after = match (last, query.newest) {
        (Some(Ok(id)), _) => id,
        (Some(Err(_)), _) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "`Last-Event-ID` is no sequence of an entry"));
        }
        (None, false) => query.after,
        (None, true) => newest,
    };
    // What lies ahead is of another journal, of which this reader has seen nothing.
    query.after = if after > newest { 0 } else { after };
    (query.newest, query.limit) = (false, MAX_PAGE);
    let seat = sources.hub.seats.take(&caller)?;
    let over = over(&sources, caller, seat);
    let events = follow(sources, query).take_until(over.boxed());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Ends when a stream has to: everything stops, or its reader would not be let in any more as who they are. Until then it
/// has its seat.
pub(super) fn over(sources: &Sources, caller: Caller, seat: Seat) -> impl Future<Output = ()> + Send + use<> {
    let (mut stopped, door) = (sources.stopped.clone(), sources.access.door.clone());
    async move {
        let _seat = seat;
        let out = async {
            match (door, caller) {
                (Some(door), Caller::Known(identity, key)) => door.until_out(key, &identity).await,
                // Where nobody says who they are, nobody is shut out.
                (None, _) | (_, Caller::Nobody(_)) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => {}
            () = out => {}
        }
    }
}

async fn page(sources: &Sources, query: Query) -> Result<Response, Problem> {
    let events = sources.store.entries(query).await.map_err(|e| unavailable(&e))?;
    Ok(Json(Page { events }).into_response())
}

fn unavailable(error: &Error) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// A gateway that is there, or of which the journal knows.
async fn known(sources: &Sources, name: &str) -> Result<GatewayName, Problem> {
    let there = find(sources, name).map(|_| ());
    let Ok(gateway) = GatewayName::new(name) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no gateway {name}")));
    };
    if let Err(missing) = there {
        let query = Query { gateway: Some(gateway.clone()), limit: 1, ..Query::default() };
        if sources.store.entries(query).await.map_err(|e| unavailable(&e))?.is_empty() {
            return Err(missing);
        }
    }
    Ok(gateway)
}

fn query(wish: Wished, gateway: Option<GatewayName>) -> Result<Query, Problem> {
    let Parameters(wish) = wish.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let limit = wish.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("`limit` is {limit}; it can be from 1 to {MAX_PAGE}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let kinds: BTreeSet<Kind> = wish
        .kind
        .iter()
        .flat_map(|kinds| kinds.split(','))
        .filter(|k| !k.is_empty())
        .map(|k| Kind::read(k.to_owned()))
        .collect();
    let newest = wish.after.is_none();
    let after = wish.after.unwrap_or(0);
    Ok(Query { gateway, kinds, with_revision: false, after, before: wish.before, newest, limit })
}

/// Where a stream is.
struct Follower {
    store: Handle,
    query: Query,
    waiting: VecDeque<Entry>,
    /// Why the journal could not be read the last time, as it was told.
    failure: Option<String>,
    /// Whether it is asked again then, which says also that it can be read again; else that is the end.
    is_patient: bool,
}

/// The newest entries about a gateway, and all that come.
pub(super) fn entries_after(gateway: GatewayName, newest: usize) -> Query {
    Query { gateway: Some(gateway), newest: true, limit: newest, ..Query::default() }
}

/// All entries after a place, for ever; when the store fails, a last event says so.
pub(super) fn follow(sources: Sources, query: Query) -> impl Stream<Item = Result<Event, Infallible>> {
    follow_as(sources, query, false)
}

/// The same, but when the store fails, it is asked again.
pub(super) fn follow_patiently(
    sources: Sources,
    query: Query,
) -> impl Stream<Item = Result<Event, Infallible>> {
    follow_as(sources, query, true)
}

fn follow_as(
    sources: Sources,
    query: Query,
    is_patient: bool,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let follower = Follower::new(sources.store, query, is_patient);
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

impl Follower {
    fn new(store: Handle, query: Query, is_patient: bool) -> Self {
        Self { store, query, waiting: VecDeque::new(), failure: None, is_patient }
    }

    async fn next(&mut self) -> Option<Event> {
        let mut status = self.store.status().subscribe();
        loop {
            if self.failure.is_some() && !self.is_patient {
                return None;
            }
            if let Some(entry) = self.waiting.pop_front() {
                return Some(event(&entry));
            }
            let now = status.load();
            if self.failure.is_some() && now.failure.is_some() {
                // The store is known to be ill, and would take its time for each question of each page, before anything
                // else. It says itself when it is well.
                status.changed().await.then_some(())?;
                continue;
            }
            let newest = now.newest;
            match self.store.entries(self.query.clone()).await {
                Ok(found) => {
                    // Of what is not ours nothing has to be looked at again.
                    let seen = if found.len() < self.query.limit { newest } else { 0 };
                    let last = found.last().map_or(0, |e| e.sequence);
                    self.query.after = self.query.after.max(seen).max(last);
                    // From here on all count.
                    (self.query.newest, self.query.limit) = (false, MAX_PAGE);
                    self.waiting = found.into();
                    if self.failure.take().is_some() {
                        return Some(problem(None));
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    if self.failure.as_ref() != Some(&why) {
                        let told = problem(Some(&why));
                        self.failure = Some(why);
                        return Some(told);
                    }
                }
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    more = status.changed() => more.then_some(())?,
                    () = tokio::time::sleep(AGAIN), if self.failure.is_some() => {}
                }
            }
        }
    }
}

/// Why the journal cannot be read; `None`: it can again.
fn problem(why: Option<&str>) -> Event {
    Event::default().event("problem").data(json!(why).to_string())
}

fn event(entry: &Entry) -> Event {
    // Without a name, so that a browser's `onmessage` gets all; JSON has no line breaks, which would end an event.
    Event::default().id(entry.sequence.to_string()).data(json!(entry).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{Moody, commit, entry};
    use crate::store::run;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn a_page_that_is_open_leaves_a_store_alone_that_is_ill() {
        let store = Moody::new();
        let (is_away, reads) = (Arc::clone(&store.is_away), Arc::clone(&store.reads));
        let (handle, work, _answers) = run::start(Box::new(store), None);
        let work = std::thread::spawn(|| work.run());
        is_away.store(true, Ordering::Relaxed);
        handle.look();
        let query = Query { newest: true, limit: 10, ..Query::default() };
        let mut page = Follower::new(handle.clone(), query, true);
        let told = page.next().await.unwrap();
        assert!(format!("{told:?}").contains("silence"), "{told:?}");
        assert!(handle.status().load().failure.is_some());
        let asked = reads.load(Ordering::Relaxed);
        {
            // The page is polled first each time, and what it asked would be answered before.
            let next = page.next();
            tokio::pin!(next);
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    event = &mut next => panic!("{event:?}"),
                    secret = handle.secret("cookies", vec![1]) => assert_eq!(secret, Ok(vec![1])),
                }
            }
            assert_eq!(reads.load(Ordering::Relaxed), asked);
        }
        is_away.store(false, Ordering::Relaxed);
        handle.look();
        let told = page.next().await.unwrap();
        assert!(format!("{told:?}").contains("null"), "it can be read again: {told:?}");
        handle.note(commit(vec![], vec![entry(None, "alarm", 1)])).unwrap();
        let told = page.next().await.unwrap();
        assert!(format!("{told:?}").contains("alarm"), "{told:?}");
        drop((page, handle));
        work.join().unwrap();
    }
}
