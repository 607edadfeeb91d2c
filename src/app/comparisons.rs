//! What is compared, from what serves; and what was found goes to whoever decides.

use super::evidence::Elsewhere;
use super::predictions::{News, Predictions, Readings};
use crate::clock;
use crate::compare::receiver::Receiver;
use crate::compare::run::Task;
use crate::compare::{self, Comparisons, Reports};
use crate::control::run::Outputs;
use crate::control::{self, Event, View};
use crate::latest::{Latest, Subscriber};
use crate::names::GatewayName;
use crate::rollout::Reading;
use crate::store::measured::Duty;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Between two rows for another Serin.
const PACE: Duration = Duration::from_secs(1);

/// All ends of the comparison.
pub(super) struct Comparing {
    /// For Envoys.
    pub(super) receiver: Receiver,
    /// For people.
    pub(super) reports: Arc<Latest<Reports>>,
    task: Task,
    views: Subscriber<View>,
    duty: Subscriber<Duty>,
    elsewhere: Option<Elsewhere>,
    wanted: Arc<Latest<Comparisons>>,
}

/// Compares what the published view has. Streams end when `stopped` is true.
pub(super) fn start(
    outputs: &Outputs,
    elsewhere: Option<Elsewhere>,
    stopped: watch::Receiver<bool>,
) -> Comparing {
    let wanted = Latest::new(Comparisons::new());
    let reports = Latest::new(Reports::default());
    let (receiver, task) = compare::run::start(wanted.subscribe(), Arc::clone(&reports), stopped);
    let (views, duty) = (outputs.view.subscribe(), outputs.duty.subscribe());
    Comparing { receiver, reports, task, views, duty, elsewhere, wanted }
}

impl Comparing {
    /// Runs until the loop ends, and tells it what was found, or the Serin whose loop decides.
    pub(super) async fn run(self, events: mpsc::Sender<Event>) {
        tokio::select! {
            () = self.task.run() => {}
            () = follow(self.views, self.wanted) => {}
            () = tell(self.reports.subscribe(), self.duty, self.elsewhere, events) => {}
        }
    }
}

async fn follow(mut views: Subscriber<View>, comparisons: Arc<Latest<Comparisons>>) {
    loop {
        let wanted = of(&views.load());
        if wanted != *comparisons.load() {
            comparisons.publish(wanted);
        }
        if !views.changed().await {
            return;
        }
    }
}

fn of(view: &View) -> Comparisons {
    let compared = view.busy.values().filter_map(|gateway| {
        let comparison = gateway.gateway.as_ref()?.shadow.as_ref()?.comparison.as_ref()?;
        Some((GatewayName::new(&gateway.name).ok()?, Arc::clone(comparison)))
    });
    compared.collect()
}

/// Tells how often the predictions of both versions agreed, when that is more than before. Until the loop or the
/// comparison ends.
async fn tell(
    mut reports: Subscriber<Reports>,
    mut duty: Subscriber<Duty>,
    elsewhere: Option<Elsewhere>,
    events: mpsc::Sender<Event>,
) {
    let mut predictions = Predictions::default();
    loop {
        let now = duty.load();
        let news = predictions.take(&readings(&reports.load()), &now, clock::now());
        match (news, &elsewhere) {
            (News::Own(token, readings), _) if !readings.is_empty() => {
                let event = Event::Compared(control::Readings { token, readings });
                if events.send(event).await.is_err() {
                    return;
                }
            }
            (News::Rows(rows), Some(elsewhere)) if !rows.is_empty() => {
                elsewhere.hand_on_predictions(rows);
                tokio::time::sleep(PACE).await;
            }
            _ => {}
        }
        // Who begins to lead, and whose shadow begins, says what is there.
        let more = tokio::select! {
            more = reports.changed() => more,
            more = duty.changed() => more,
        };
        if !more {
            return;
        }
    }
}

fn readings(reports: &Reports) -> Readings {
    let all = reports.gateways.iter().filter_map(|(name, report)| {
        let seen = report.matches()?;
        let (since, compared, matched) = (report.since, seen.compared, seen.matched);
        Some((name.clone(), Reading { since, compared, matched }))
    });
    all.collect()
}
