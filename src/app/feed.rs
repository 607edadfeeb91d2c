//! What rollouts live on: measurements and healthy endpoints go to the loop, proposals to the store, and its answers
//! back.

use super::evidence::{Elsewhere, marks};
use crate::control::{Event, Measured, Others, Outcome, Phase, Proposal, View};
use crate::latest::Latest;
use crate::names::GatewayName;
use crate::rollout;
use crate::store::Error;
use crate::store::exchange::Healthy;
use crate::store::run::{Answer, Handle};
use crate::telemetry::{self, Measurement, Table};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc};

/// Envoys report every second at most; a canary that waits need not wait longer than that.
const LOOK: Duration = Duration::from_millis(500);

/// All ends of the lines.
pub(super) struct Feed {
    /// From the task that owns what Envoys measured.
    pub(super) measured: mpsc::Receiver<Vec<Measurement>>,
    /// For whoever looks on.
    pub(super) copies: broadcast::Sender<Vec<Measurement>>,
    /// Which canaries wait.
    pub(super) view: Arc<Latest<View>>,
    /// Whose endpoints are healthy.
    pub(super) table: Arc<Latest<Table>>,
    /// From the loop.
    pub(super) proposals: mpsc::Receiver<Proposal>,
    /// To the store.
    pub(super) store: Handle,
    /// From the store.
    pub(super) answers: mpsc::UnboundedReceiver<Answer>,
    /// Other Serins with the same store, if there can be any.
    pub(super) elsewhere: Option<Elsewhere>,
    /// Hears of each commit that failed, but for those that were late for an order: the store is well then.
    pub(super) failed: Arc<Notify>,
    /// To the loop.
    pub(super) events: mpsc::Sender<Event>,
}

impl Feed {
    /// Runs until one of the lines ends, which is when the loop or the store does.
    pub(super) async fn run(self) {
        tokio::select! {
            () = measurements(self.measured, self.elsewhere.as_ref(), self.events.clone(), self.copies) => {}
            () = healthy(self.view, self.table, self.elsewhere.as_ref(), self.events.clone()) => {}
            () = proposals(self.proposals, self.store, self.events.clone()) => {}
            () = answers(self.answers, self.events, &self.failed) => {}
        }
    }
}

/// Hands measurements to the loop, or to the Serin whose loop decides, and a copy to whoever looks on.
async fn measurements(
    mut from: mpsc::Receiver<Vec<Measurement>>,
    elsewhere: Option<&Elsewhere>,
    events: mpsc::Sender<Event>,
    copies: broadcast::Sender<Vec<Measurement>>,
) {
    while let Some(batch) = from.recv().await {
        if let Some(elsewhere) = elsewhere
            && let duty = elsewhere.duty.load()
            && !duty.counts
        {
            elsewhere.hand_on(&batch, &duty);
            let _ = copies.send(batch);
            continue;
        }
        let measured = batch.iter().map(|m| Measured {
            gateway: m.gateway.clone(),
            from: m.from,
            to: m.to,
            upstreams: m.upstreams.iter().map(|(name, o)| (name.clone(), outcome(o))).collect(),
            others: Others { term: m.others.term, marks: marks(&m.others) },
        });
        let event = Event::Measured(measured.collect());
        // Nobody need look on.
        let _ = copies.send(batch);
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn outcome(measured: &telemetry::Outcome) -> Outcome {
    Outcome { counts: measured.counts.clone(), client_errors: measured.client_errors }
}

/// Tells the loop when canaries that wait have healthy endpoints; or the Serin whose loop decides how many there are.
async fn healthy(
    view: Arc<Latest<View>>,
    table: Arc<Latest<Table>>,
    elsewhere: Option<&Elsewhere>,
    events: mpsc::Sender<Event>,
) {
    loop {
        tokio::time::sleep(LOOK).await;
        let own = healthy_canaries(&view.load(), &table.load());
        let all = match elsewhere {
            Some(elsewhere) if !elsewhere.duty.load().counts => {
                if own != *elsewhere.healthy.load() {
                    elsewhere.healthy.publish(own);
                }
                continue;
            }
            Some(elsewhere) => fewest(own, &elsewhere.sighted.load()),
            None => own,
        };
        let healthy: Healthy = all.into_iter().filter(|(_, count)| *count > 0).collect();
        if !healthy.is_empty() && events.send(Event::Healthy(healthy)).await.is_err() {
            return;
        }
    }
}

/// How many endpoints of the canaries that wait are healthy, where any Envoy knows.
fn healthy_canaries(view: &View, table: &Table) -> Healthy {
    let waiting = view.busy.values().filter(|g| g.phase == Phase::Of(rollout::Phase::Waiting));
    waiting
        .filter_map(|gateway| {
            let name = GatewayName::new(&gateway.name).ok()?;
            let healthy = table.healthy(&name, &gateway.rollout.as_ref()?.canary)?;
            Some((name, healthy))
        })
        .collect()
}

/// As the one sees it that sees the fewest.
fn fewest(mut own: Healthy, others: &Healthy) -> Healthy {
    for (gateway, theirs) in others {
        own.entry(gateway.clone()).and_modify(|ours| *ours = (*theirs).min(*ours)).or_insert(*theirs);
    }
    own
}

/// Hands proposals to the store.
async fn proposals(mut from: mpsc::Receiver<Proposal>, store: Handle, events: mpsc::Sender<Event>) {
    while let Some(Proposal { id, commit }) = from.recv().await {
        if !store.commit(id, commit).await {
            let answer = Event::Committed(id, Err("the store has ended".to_owned()));
            // The loop has ended as well, or it hears of it.
            let _ = events.send(answer).await;
        }
    }
}

/// Hands the store's answers to the loop.
async fn answers(mut from: mpsc::UnboundedReceiver<Answer>, events: mpsc::Sender<Event>, failed: &Notify) {
    while let Some(Answer { id, result }) = from.recv().await {
        let has_failed = matches!(&result, Err(why) if *why != Error::Late);
        let event = match result {
            Ok(_) => Event::Committed(id, Ok(())),
            Err(why @ (Error::Conflict { .. } | Error::Fenced | Error::Late)) => Event::Refused(id, why),
            Err(why) => Event::Committed(id, Err(why.to_string())),
        };
        if events.send(event).await.is_err() {
            return;
        }
        if has_failed {
            // After the loop, which then waits to hear what is kept.
            failed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_store_is_well_though_an_order_was_late() {
        let lost = Error::Unavailable { place: "it".into(), why: "it is gone".into() };
        for (error, is_refused, is_failure) in
            [(Error::Late, true, false), (Error::Fenced, true, true), (lost, false, true)]
        {
            let (answer, from) = mpsc::unbounded_channel();
            let (to, mut events) = mpsc::channel(1);
            let failed = Notify::new();
            answer.send(Answer { id: 7, result: Err(error.clone()) }).unwrap();
            drop(answer);
            answers(from, to, &failed).await;
            let has_failed = tokio::time::timeout(Duration::ZERO, failed.notified()).await.is_ok();
            assert_eq!(has_failed, is_failure, "{error}");
            let event = events.recv().await.unwrap();
            assert_eq!(matches!(event, Event::Refused(7, _)), is_refused, "{event:?}");
        }
    }
}
