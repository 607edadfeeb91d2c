//! The public keys of token issuers and the endpoints of providers of logins: fetched from where gateway files say, and
//! told to the control loop.
//!
//! Envoy could fetch them itself, and would do so anew with each push of a route. Fetched here, they are fetched once
//! for all Envoys, outlive an outage of the issuer, and change what Envoys are told only when they change.

mod fetch;
mod plan;

use crate::clock::Stopwatch;
use crate::control::{Event, Fetch, View};
use crate::latest::Subscriber;
use plan::Plan;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Keeps what the published view asks for fresh, until nobody listens any more.
pub async fn run(mut views: Subscriber<View>, events: mpsc::Sender<Event>) {
    let (client, local) = match (fetch::client(), fetch::local_client()) {
        (Ok(client), Ok(local)) => (client, local),
        (Err(error), _) | (_, Err(error)) => {
            return tracing::error!("nothing of issuers can be fetched: {error}");
        }
    };
    let clock = Stopwatch::start();
    let mut plan = Plan::default();
    let mut under_way = JoinSet::new();
    loop {
        plan.want(&views.load().fetches, clock.elapsed());
        for what in plan.due(clock.elapsed()) {
            let (Fetch::Keys(url) | Fetch::Metadata(url)) = &what;
            // Only this machine may be asked in plain text.
            let client = if url.starts_with("http://") { local.clone() } else { client.clone() };
            under_way.spawn(async move {
                let result = fetch::fetch(&client, &what).await;
                (what, result)
            });
        }
        let wait = plan.deadline().map(|at| at.saturating_sub(clock.elapsed()));
        tokio::select! {
            more = views.changed() => if !more { return },
            () = sleep(wait) => {}
            Some(Ok((what, result))) = under_way.join_next() => {
                plan.done(&what, result.is_ok(), clock.elapsed());
                if events.send(Event::Fetched { what, result }).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn sleep(wait: Option<std::time::Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
