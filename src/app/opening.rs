//! The store at the start: what it holds, and what becomes of one that cannot be opened.

use super::Error;
use crate::clock;
use crate::model::{Settings, StoreAt};
use crate::store::run::{Answer, Handle, Work};
use crate::store::{self, Absent, Restored, Store};
use tokio::sync::mpsc;
use tokio::task::JoinError;

/// The store, and all that it said at the start.
pub(super) struct Opened {
    pub(super) store: Handle,
    pub(super) work: Work,
    pub(super) answers: mpsc::UnboundedReceiver<Answer>,
    pub(super) before: Before,
    /// Whether it has to be opened later; a database is connected to whenever it can be.
    pub(super) is_late: bool,
}

/// What was kept before the start.
pub(super) struct Before {
    pub(super) restored: Restored,
    /// Whether that is what this Serin remembers of a shared store, which cannot be read.
    pub(super) is_recalled: bool,
    /// Why the store cannot be read, if that is so: traffic needs none, and only rollouts wait.
    pub(super) failure: Option<store::Error>,
}

/// Opens the store of the settings. `Err`: another Serin has it.
pub(super) async fn open_store(settings: &Settings) -> Result<Opened, Error> {
    let at = settings.store.clone().unwrap_or(StoreAt::Memory);
    let is_shared = is_shared(settings);
    // The whole file is checked, or a database is asked, which takes a moment.
    let opened = tokio::task::spawn_blocking(move || first(at, is_shared)).await;
    let stopped = |e: JoinError| store::Error::Unavailable { place: "the store".into(), why: e.to_string() };
    opened.map_err(stopped).flatten().map_err(Error::Store)
}

fn first(at: StoreAt, is_shared: bool) -> Result<Opened, store::Error> {
    let mut store = match store::open(&at) {
        Ok(store) => store,
        Err(error @ store::Error::InUse { .. }) => return Err(error),
        Err(error) => Box::new(Absent(error)),
    };
    let (loaded, mut is_recalled) = (store.load(), false);
    let (restored, failure) = match loaded {
        Ok(restored) => (restored, None),
        Err(error) => {
            tracing::error!("Serin serves without its store, and rollouts stay where they are: {error}");
            // Where others go on with a database that this one cannot read, what is remembered grows old for good.
            let recalled = if error.is_temporary() { store.recall(clock::now()) } else { None };
            is_recalled = recalled.is_some();
            (recalled.unwrap_or_default(), Some(error))
        }
    };
    // A database is connected to whenever it can be; a file is opened anew.
    let store = match &failure {
        Some(error) if !is_shared => Box::new(Absent(error.clone())),
        _ => store,
    };
    let (store, work, answers) = store::run::start(store, failure.clone());
    let is_late = failure.as_ref().is_some_and(store::Error::is_temporary) && !is_shared;
    let work = if is_late { work.opened_by(Box::new(move || opened(&at))) } else { work };
    Ok(Opened { store, work, answers, before: Before { restored, is_recalled, failure }, is_late })
}

fn opened(at: &StoreAt) -> Result<(Box<dyn Store>, Restored), store::Error> {
    let mut store = store::open(at)?;
    let restored = store.load()?;
    Ok((store, restored))
}

/// Whether other Serins use the same store.
pub(super) fn is_shared(settings: &Settings) -> bool {
    matches!(settings.store, Some(StoreAt::Postgres(_)))
}
