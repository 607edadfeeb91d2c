//! `GET /api/v1/watch`: what changes, as server-sent events, for pages that stay open.
//!
//! Without `gateway`, the list: `list` with all rows, then `changes` with those that are different or gone. With it, one
//! gateway: `gateway` with all that is known of it whenever that changes (`gone` when it is not there), `numbers` of the
//! last minute each second, `points` of the last quarter of an hour, and the journal, whose entries have no event name.
//! Both have `alarms` when they begin and whenever they are others.
//! A `beat` comes at least every [`BEAT`], so that silence means that nobody is there.
//!
//! A listener has no queue. It asks the newest board what it has not told yet, when its reader is ready, so a slow one
//! skips states and holds up nobody; rows, views and numbers were encoded once for all of them.

mod board;
mod points;
mod row;
mod work;

pub use work::{Hub, Work, start};

use super::Sources;
use super::access::Caller;
use super::alarms::Alarms;
use super::events::{entries_after, follow_patiently, over};
use super::problem::Problem;
use crate::clock;
use crate::control::Unlisted;
use crate::latest::Subscriber;
use crate::names::GatewayName;
use crate::store::run::Status;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use board::Board;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Interval;

/// The longest silence of a stream.
pub const BEAT: Duration = Duration::from_secs(5);
/// Entries of the journal that a page of a gateway begins with.
const ENTRIES: usize = 200;

/// What a reader may ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// One gateway in place of the list.
    gateway: Option<String>,
}

/// Answers `GET /api/v1/watch`.
pub(super) async fn watch(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wish) = wish.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let seat = sources.hub.seats.take(&caller)?;
    let with_lines = !caller.is_viewer();
    let over = over(&sources, caller, seat).boxed();
    Ok(match wish.gateway {
        None => {
            let listener = Listener::new(sources, About::List { seen: None });
            Sse::new(listener.tell().take_until(over)).into_response()
        }
        Some(name) => {
            let name: Arc<str> = name.into();
            let journal = journal(&sources, &name);
            let interest = sources.hub.look(&name).await;
            let about = About::Gateway { _interest: interest, name, with_lines, told: Told::default() };
            let listener = Listener::new(sources, about).tell();
            Sse::new(stream::select(journal, listener).take_until(over)).into_response()
        }
    })
}

/// The newest entries about a gateway, and those that come. What has no name of a gateway has no journal.
fn journal(sources: &Sources, name: &str) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let gateway = GatewayName::new(name).ok();
    let entries = gateway.map(|gateway| follow_patiently(sources.clone(), entries_after(gateway, ENTRIES)));
    // The end of this must not be the end of the page.
    stream::iter(entries).flatten().chain(stream::pending())
}

/// One open stream.
struct Listener {
    board: Subscriber<Board>,
    unlisted: Subscriber<Unlisted>,
    store: Subscriber<Status>,
    sources: Sources,
    /// As they were told.
    alarms: Option<Alarms>,
    about: About,
    /// Until silence was too long.
    beats: Interval,
    /// What comes next; at first the beat that says that somebody is there.
    waiting: VecDeque<Event>,
}

enum About {
    /// Up to which change the list was told.
    List { seen: Option<u64> },
    Gateway {
        name: Arc<str>,
        /// Whether the reader may see the lines of a file that is wrong.
        with_lines: bool,
        told: Told,
        /// As long as it lives, numbers of the gateway are made.
        _interest: Arc<()>,
    },
}

/// What was told of a gateway.
#[derive(Default)]
struct Told {
    is_begun: bool,
    /// `None`: that it is not there.
    view: Option<Arc<str>>,
    numbers: Option<Arc<str>>,
    points_to: i64,
}

impl Listener {
    fn new(sources: Sources, about: About) -> Self {
        let (board, unlisted) = (sources.hub.board.subscribe(), sources.unlisted.subscribe());
        let store = sources.store.status().subscribe();
        let (beats, waiting) = (tokio::time::interval(BEAT), [beat()].into());
        Self { board, unlisted, store, sources, alarms: None, about, beats, waiting }
    }

    fn tell(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut listener| async move {
            let event = listener.next().await?;
            // Silence begins anew with what is told, and not with what happens and is nothing to tell.
            listener.beats.reset();
            Some((Ok(event), listener))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            self.unlisted.load();
            self.store.load();
            let (board, alarms) = (self.board.load(), self.sources.alarms());
            if self.alarms.as_ref() != Some(&alarms) {
                self.waiting.push_back(named("alarms", &board::text(&alarms)));
                self.alarms = Some(alarms);
            }
            // No gateway is shown before all files were read once.
            if self.board.is_published() {
                self.waiting.extend(self.about.news(&board));
            }
            if !self.waiting.is_empty() {
                continue;
            }
            tokio::select! {
                more = self.board.changed() => more.then_some(())?,
                more = self.unlisted.changed() => more.then_some(())?,
                more = self.store.changed() => more.then_some(())?,
                _ = self.beats.tick() => return Some(beat()),
            }
        }
    }
}

impl About {
    /// What was not told yet.
    fn news(&mut self, board: &Board) -> Vec<Event> {
        match self {
            Self::List { seen } => {
                let news = match seen.map(|seen| board.changes(seen)) {
                    Some(Some(changes)) => changes.map(|text| named("changes", &text)).collect(),
                    Some(None) | None => vec![named("list", &board.list())],
                };
                *seen = Some(board.number());
                news
            }
            Self::Gateway { name, with_lines, told, .. } => told.news(name, *with_lines, board),
        }
    }
}

impl Told {
    fn news(&mut self, name: &str, with_lines: bool, board: &Board) -> Vec<Event> {
        let mut news = Vec::new();
        let view = board.gateway(name, with_lines);
        let is_told = match (&self.view, &view) {
            (Some(told), Some(view)) => Arc::ptr_eq(told, view),
            (told, view) => self.is_begun && told.is_none() && view.is_none(),
        };
        if !is_told {
            news.push(view.as_ref().map_or_else(|| named("gone", "{}"), |view| named("gateway", view)));
            (self.view, self.is_begun) = (view, true);
        }
        if let Some((to, points)) = board.points(name, self.points_to) {
            news.push(named("points", &points));
            self.points_to = to;
        }
        if let Some(numbers) = board.numbers(name)
            && !self.numbers.as_ref().is_some_and(|told| Arc::ptr_eq(told, numbers))
        {
            news.push(named("numbers", numbers));
            self.numbers = Some(Arc::clone(numbers));
        }
        news
    }
}

/// The time here, so that a page whose clock goes wrong can say how long ago something was.
fn beat() -> Event {
    named("beat", &json!({ "now": clock::now() }).to_string())
}

/// The text is JSON, which has no line breaks.
fn named(name: &str, text: &str) -> Event {
    Event::default().event(name).data(text)
}
