//! What is compared, from what serves.

use crate::compare::receiver::Receiver;
use crate::compare::run::Task;
use crate::compare::{self, Comparisons, Reports};
use crate::control::View;
use crate::latest::{Latest, Subscriber};
use crate::names::GatewayName;
use std::sync::Arc;
use tokio::sync::watch;

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
    /// Runs until the loop ends.
    pub(super) async fn run(self) {
        tokio::select! {
            () = self.task.run() => {}
            () = follow(self.views, self.wanted) => {}
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
    let compared = view.gateways.values().filter_map(|gateway| {
        let comparison = gateway.gateway.as_ref()?.shadow.as_ref()?.comparison.as_ref()?;
        Some((GatewayName::new(&gateway.name).ok()?, Arc::clone(comparison)))
    });
    compared.collect()
}
