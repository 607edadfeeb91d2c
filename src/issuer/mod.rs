//! The public keys of token issuers: fetched from where gateway files say, and told to the control loop.
//!
//! Envoy could fetch them itself, and would do so anew with each push of a route. Fetched here, they are fetched once
//! for all Envoys, outlive an outage of the issuer, and change what Envoys are told only when they change.

mod fetch;
mod plan;

use crate::clock::Stopwatch;
use crate::control::{Event, View};
use crate::latest::Subscriber;
use plan::Plan;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

/// A JSON Web Key Set, or why there is none.
type Keys = Result<Arc<str>, String>;

/// Keeps the keys that the published view asks for fresh, until nobody listens any more.
pub async fn run(mut views: Subscriber<View>, events: mpsc::Sender<Event>) {
    let (client, local) = match (fetch::client(), fetch::local_client()) {
        (Ok(client), Ok(local)) => (client, local),
        (Err(error), _) | (_, Err(error)) => {
            return tracing::error!("no keys of issuers can be fetched: {error}");
        }
    };
    let clock = Stopwatch::start();
    let mut plan = Plan::default();
    let mut under_way = JoinSet::new();
    let mut asked: Vec<(Id, String)> = Vec::new();
    loop {
        plan.want(&views.load().issuer_keys, clock.elapsed());
        for uri in plan.due(clock.elapsed()) {
            // Only this machine may be asked in plain text.
            let client = if uri.starts_with("http://") { local.clone() } else { client.clone() };
            let at = uri.clone();
            let task = under_way.spawn(async move { fetch::keys(&client, &at).await });
            asked.push((task.id(), uri));
        }
        let wait = plan.deadline().map(|at| at.saturating_sub(clock.elapsed()));
        tokio::select! {
            more = views.changed() => if !more { return },
            () = sleep(wait) => {}
            Some(ended) = under_way.join_next_with_id() => {
                let (id, keys) = result(ended);
                let Some(index) = asked.iter().position(|(task, _)| *task == id) else { continue };
                let (_, uri) = asked.swap_remove(index);
                plan.done(&uri, keys.is_ok(), clock.elapsed());
                if events.send(Event::IssuerKeys { uri, keys }).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What a fetch came to. One that ended by a mistake of ours is a failure like others, and is repeated.
fn result(ended: Result<(Id, Keys), JoinError>) -> (Id, Keys) {
    ended.unwrap_or_else(|error| (error.id(), Err("the fetch broke off".to_owned())))
}

async fn sleep(wait: Option<std::time::Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fetch_that_panics_is_a_failure_with_a_name() {
        let mut under_way: JoinSet<Keys> = JoinSet::new();
        let task = under_way.spawn(async { panic!("a mistake of ours") });
        let (id, keys) = result(under_way.join_next_with_id().await.unwrap());
        assert_eq!((id, keys), (task.id(), Err("the fetch broke off".to_owned())));
    }
}
