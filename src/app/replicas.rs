//! One of several Serins: its task, and what that has to say to the loop.

use crate::control::{Event, View};
use crate::latest::Subscriber;
use crate::model::{Settings, StoreAt};
use crate::store::replica::{self, Inputs, Signal};
use crate::store::run::Handle;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

/// What waits for a loop that is slow.
const QUEUE: usize = 16;

/// How people find this Serin among others: where it answers them, and on which machine or in which pod.
pub(super) fn name(http: SocketAddr) -> Arc<str> {
    format!("{http} on {}", rustix::system::uname().nodename().to_string_lossy()).into()
}

/// What the task needs, where a store is shared.
pub(super) fn inputs(
    settings: &Settings,
    name: &str,
    store: &Handle,
    failed: &Arc<Notify>,
    stopped: &watch::Receiver<bool>,
) -> Option<Inputs> {
    let Some(StoreAt::Postgres(at)) = &settings.store else { return None };
    Some(Inputs {
        at: at.clone(),
        name: name.to_owned(),
        store: store.clone(),
        failed: Arc::clone(failed),
        stopped: stopped.clone(),
    })
}

/// Runs until it is stopped.
pub(super) async fn run(inputs: Inputs, view: Subscriber<View>, events: mpsc::Sender<Event>) {
    // Who has not read its files yet has nothing to decide about, and its first event holds all of them.
    let mut stopped = inputs.stopped.clone();
    let has_begun = tokio::select! {
        begun = view.published() => begun,
        _ = stopped.wait_for(|s| *s) => false,
    };
    if !has_begun {
        return;
    }
    let (signals_in, mut signals) = mpsc::channel(QUEUE);
    let forward = async {
        while let Some(signal) = signals.recv().await {
            let event = match signal {
                Signal::Kept(kept) => Event::Kept(kept),
                Signal::Seat(seat) => Event::Seat(seat),
            };
            // The loop has ended, and so will we.
            if events.send(event).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(replica::run(inputs, signals_in), forward);
}
