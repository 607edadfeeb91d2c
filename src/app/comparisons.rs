//! What is compared, from what serves; and what was found goes to the loop.

use crate::compare::receiver::Receiver;
use crate::compare::run::Task;
use crate::compare::{self, Comparisons, Reports};
use crate::control::{Event, View};
use crate::latest::{Latest, Subscriber};
use crate::names::GatewayName;
use crate::rollout::Reading;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// All ends of the comparison.
pub(super) struct Comparing {
    /// For Envoys.
    pub(super) receiver: Receiver,
    /// For people.
    pub(super) reports: Arc<Latest<Reports>>,
    task: Task,
    views: Subscriber<View>,
    wanted: Arc<Latest<Comparisons>>,
}

/// Compares what the published view has. Streams end when `stopped` is true.
pub(super) fn start(views: Subscriber<View>, stopped: watch::Receiver<bool>) -> Comparing {
    let wanted = Latest::new(Comparisons::new());
    let reports = Latest::new(Reports::default());
    let (receiver, task) = compare::run::start(wanted.subscribe(), Arc::clone(&reports), stopped);
    Comparing { receiver, reports, task, views, wanted }
}

impl Comparing {
    /// Runs until the loop ends, and tells it what was found.
    pub(super) async fn run(self, events: mpsc::Sender<Event>) {
        tokio::select! {
            () = self.task.run() => {}
            () = follow(self.views, self.wanted) => {}
            () = tell(self.reports.subscribe(), events) => {}
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

/// Tells the loop how often the predictions of both versions agreed, when that is more than before. Until the loop or
/// the comparison ends.
async fn tell(mut reports: Subscriber<Reports>, events: mpsc::Sender<Event>) {
    let mut told = BTreeMap::new();
    loop {
        let all = readings(&reports.load());
        let is_news = |(name, reading): &(&GatewayName, &Reading)| told.get(*name) != Some(*reading);
        let news: BTreeMap<GatewayName, Reading> =
            all.iter().filter(is_news).map(|(name, reading)| (name.clone(), *reading)).collect();
        if !news.is_empty() && events.send(Event::Compared(news)).await.is_err() {
            return;
        }
        told = all;
        if !reports.changed().await {
            return;
        }
    }
}

fn readings(reports: &Reports) -> BTreeMap<GatewayName, Reading> {
    let all = reports.gateways.iter().filter_map(|(name, report)| {
        let seen = report.matches()?;
        let (since, compared, matched) = (report.since, seen.compared, seen.matched);
        Some((name.clone(), Reading { since, compared, matched }))
    });
    all.collect()
}
