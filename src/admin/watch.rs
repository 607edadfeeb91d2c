//! `GET /api/v1/watch`: what changes, as server-sent events, for pages that stay open.
//!
//! Without `gateway`, the list: `list` with all rows, then `changes` with those that are different or gone. With it, one
//! gateway: `gateway` with all that is known of it whenever that changes (`gone` when it is not there), `numbers` of the
//! last minute each second, `points` of the last quarter of an hour, and the journal, whose entries have no event name.
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
use super::events::{entries_after, follow, over};
use super::problem::Problem;
use crate::clock;
use crate::latest::Subscriber;
use crate::names::GatewayName;
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
use tokio::sync::OwnedSemaphorePermit;

/// The longest silence of a stream.
pub const BEAT: Duration = Duration::from_secs(5);
/// Streams at once. A browser has one for each page that can be seen.
const SEATS: usize = 256;
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
    let full = |_| {
        let why = format!("{SEATS} pages are open already; close one, and this one goes on");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
    };
    let seat = Arc::clone(&sources.hub.seats).try_acquire_owned().map_err(full)?;
    let board = sources.hub.board.subscribe();
    let over = over(&sources).boxed();
    Ok(match wish.gateway {
        None => {
            let listener = Listener::new(board, seat, About::List { seen: None });
            Sse::new(listener.tell().take_until(over)).into_response()
        }
        Some(name) => {
            let name: Arc<str> = name.into();
            let journal = journal(&sources, &name);
            let interest = sources.hub.look(&name).await;
            let with_lines = !caller.is_viewer();
            let about = About::Gateway { _interest: interest, name, with_lines, told: Told::default() };
            let listener = Listener::new(board, seat, about).tell();
            Sse::new(stream::select(journal, listener).take_until(over)).into_response()
        }
    })
}

/// The newest entries about a gateway, and those that come. What has no name of a gateway has no journal.
fn journal(sources: &Sources, name: &str) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let gateway = GatewayName::new(name).ok();
    let entries = gateway.map(|gateway| follow(sources.clone(), entries_after(gateway, ENTRIES)));
    // The end of this must not be the end of the page.
    stream::iter(entries).flatten().chain(stream::pending())
}

/// One open stream.
struct Listener {
    board: Subscriber<Board>,
    about: About,
    waiting: VecDeque<Event>,
    /// Whether nothing was told yet.
    is_new: bool,
    _seat: OwnedSemaphorePermit,
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
    fn new(board: Subscriber<Board>, seat: OwnedSemaphorePermit, about: About) -> Self {
        Self { board, about, waiting: VecDeque::new(), is_new: true, _seat: seat }
    }

    fn tell(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut listener| async move {
            let event = listener.next().await?;
            Some((Ok(event), listener))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.is_new {
            self.is_new = false;
            // Nothing is shown before all files were read once.
            if self.board.published().await {
                return Some(beat());
            }
            return None;
        }
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let board = self.board.load();
            self.waiting.extend(self.about.news(&board));
            if !self.waiting.is_empty() {
                continue;
            }
            match tokio::time::timeout(BEAT, self.board.changed()).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => return Some(beat()),
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
