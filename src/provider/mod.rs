//! What neither Serin nor Envoy measures: Prometheus and webhooks are asked about canaries, and the answers told to the
//! control loop.
//!
//! When to ask is decided in `plan`, what an answer means in `prometheus`, `webhook` and `answer`: all pure. Only `fetch`
//! waits, bounded in time and size.

mod answer;
mod fetch;
mod plan;
mod prometheus;
mod webhook;

use crate::clock::Stopwatch;
use crate::control::{Answered, Event, Questions};
use crate::latest::Subscriber;
use plan::Plan;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Asks what the published questions want to know, until nobody listens any more.
pub async fn run(mut questions: Subscriber<Questions>, events: mpsc::Sender<Event>) {
    let clients = match fetch::clients() {
        Ok(clients) => clients,
        Err(error) => return tracing::error!("nobody can be asked about metrics: {error}"),
    };
    let clock = Stopwatch::start();
    let mut plan = Plan::default();
    let mut under_way = JoinSet::new();
    loop {
        plan.want(&questions.load(), clock.elapsed());
        for (ticket, question) in plan.due(clock.elapsed()) {
            let clients = clients.clone();
            under_way.spawn(async move {
                let answer = fetch::ask(&clients, &question).await;
                (ticket, Answered { question, answer })
            });
        }
        let wait = plan.deadline().map(|at| at.saturating_sub(clock.elapsed()));
        tokio::select! {
            more = questions.changed() => if !more { return },
            () = sleep(wait) => {}
            Some(Ok((ticket, answered))) = under_way.join_next() => {
                plan.done(ticket, answered.answer.is_ok(), clock.elapsed());
                if events.send(Event::Answered(answered)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
