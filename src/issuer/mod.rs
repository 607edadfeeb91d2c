//! The public keys of token issuers and the endpoints of providers of logins: fetched from where gateway files say, and
//! told to the control loop.
//!
//! Envoy could fetch them itself, and would do so anew with each push of a route. Fetched here, they are fetched once
//! for all Envoys, outlive an outage of the issuer, and change what Envoys are told only when they change.

mod fetch;
mod plan;

use crate::clock::Stopwatch;
use crate::control::{Event, Fetch, Fetched, View};
use crate::latest::Subscriber;
use plan::Plan;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

/// What there was, or why there is none.
type Outcome = Result<Fetched, String>;

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
    let mut asked: Vec<(Id, Fetch)> = Vec::new();
    loop {
        plan.want(&views.load().fetches, clock.elapsed());
        for what in plan.due(clock.elapsed()) {
            let (Fetch::Keys(url) | Fetch::Metadata(url)) = &what;
            // Only this machine may be asked in plain text.
            let client = if url.starts_with("http://") { local.clone() } else { client.clone() };
            let at = what.clone();
            let task = under_way.spawn(async move { fetch::fetch(&client, &at).await });
            asked.push((task.id(), what));
        }
        let wait = plan.deadline().map(|at| at.saturating_sub(clock.elapsed()));
        tokio::select! {
            more = views.changed() => if !more { return },
            () = sleep(wait) => {}
            Some(ended) = under_way.join_next_with_id() => {
                let (id, result) = result(ended);
                let Some(index) = asked.iter().position(|(task, _)| *task == id) else { continue };
                let (_, what) = asked.swap_remove(index);
                plan.done(&what, result.is_ok(), clock.elapsed());
                if events.send(Event::Fetched { what, result }).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What a fetch came to. One that ended by a mistake of ours is a failure like others, and is repeated.
fn result(ended: Result<(Id, Outcome), JoinError>) -> (Id, Outcome) {
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
        let mut under_way: JoinSet<Outcome> = JoinSet::new();
        let task = under_way.spawn(async { panic!("a mistake of ours") });
        let (id, outcome) = result(under_way.join_next_with_id().await.unwrap());
        assert_eq!((id, outcome), (task.id(), Err("the fetch broke off".to_owned())));
    }
}
