//! Tells others what happens to releases: webhooks, Slack, Teams.
//!
//! What a message looks like is decided in `format`, what is sent when in `queue`: both pure. Only `send` waits. A
//! message that is not taken is tried again for a quarter of an hour; the loop that makes them never waits.

mod format;
mod queue;
mod send;

use crate::clock::Stopwatch;
use crate::control::Notice;
use queue::{Message, Queues};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What became of messages since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// They were taken.
    pub delivered: AtomicU64,
    /// Attempts that came to nothing; some of their messages were taken later.
    pub failures: AtomicU64,
    /// They were never taken: refused, tried too often, or too many waited.
    pub undelivered: AtomicU64,
}

/// Tells what comes in, until nothing comes any more.
pub async fn run(mut notices: mpsc::Receiver<Notice>, counters: Arc<Counters>) {
    let clients = match send::clients() {
        Ok(clients) => clients,
        Err(error) => return tracing::error!("nobody can be told anything: {error}"),
    };
    let clock = Stopwatch::start();
    let mut queues = Queues::default();
    let mut under_way = JoinSet::new();
    loop {
        for (url, body) in queues.due(clock.elapsed()) {
            let clients = clients.clone();
            under_way.spawn(async move {
                let sent = send::send(&clients, &url, body).await;
                (url, sent)
            });
        }
        let wait = queues.deadline().map(|at| at.saturating_sub(clock.elapsed()));
        tokio::select! {
            notice = notices.recv() => {
                let Some(notice) = notice else { return };
                for to in &notice.to {
                    let message = Message::new(&notice, to.format);
                    let lost = queues.push(&to.url, message, clock.elapsed());
                    lost.into_iter().for_each(|lost| give_up(&lost, "too many wait", &counters));
                }
            }
            () = sleep(wait) => {}
            Some(Ok((url, sent))) = under_way.join_next() => {
                match &sent {
                    Ok(()) => counters.delivered.fetch_add(1, Ordering::Relaxed),
                    Err(_) => counters.failures.fetch_add(1, Ordering::Relaxed),
                };
                let lost = queues.done(&url, sent.as_ref().err(), clock.elapsed());
                if let (Some(lost), Err(failure)) = (lost, sent) {
                    give_up(&lost, &failure.why, &counters);
                }
            }
        }
    }
}

/// The log is told at least.
fn give_up(message: &Message, why: &str, counters: &Counters) {
    counters.undelivered.fetch_add(1, Ordering::Relaxed);
    let (gateway, event) = (&message.gateway, message.occasion.as_str());
    tracing::error!(%gateway, event, "a message could not be delivered: {why}");
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
