//! The task that owns what Envoys measured: waits, takes, publishes. It decides nothing.

use super::part::Parts;
use super::series::{Measurement, Series, Wanted};
use super::sink::Report;
use super::table::Table;
use crate::clock::{self, Timestamp};
use crate::latest::{Latest, Subscriber};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// People are shown new numbers at most so often.
const PUBLISH: Duration = Duration::from_millis(250);

/// What the task reads.
#[derive(Debug)]
pub struct Inputs {
    /// What Envoys sent.
    pub reports: mpsc::Receiver<Report>,
    /// A stream is over.
    pub ended: Arc<Notify>,
    /// What is to be measured.
    pub wanted: Subscriber<Wanted>,
    /// What other Serins measured, where it is counted here.
    pub parts: mpsc::Receiver<Parts>,
}

/// Where the task puts what it knows.
#[derive(Debug)]
pub struct Outputs {
    /// For people.
    pub table: Arc<Latest<Table>>,
    /// For whoever wants them; only what is wanted is sent, as many as are complete at once.
    pub measurements: mpsc::Sender<Vec<Measurement>>,
}

/// Runs until the queue of reports is closed.
pub async fn run(mut inputs: Inputs, outputs: Outputs) {
    let (mut series, mut table) = (Series::default(), Table::default());
    let mut streams: BTreeMap<u64, Weak<()>> = BTreeMap::new();
    series.want(Wanted::clone(&inputs.wanted.load()));
    // When people were shown numbers last, and since when there are newer ones.
    let (mut published, mut unpublished) = (Timestamp::default(), false);
    loop {
        let publish = unpublished.then(|| published.plus(PUBLISH));
        let wait = until([series.deadline(), publish].into_iter().flatten().min());
        tokio::select! {
            // What a stream said comes before its end.
            biased;
            report = inputs.reports.recv() => {
                let Some(Report { stream, alive, at, flush }) = report else { return };
                streams.insert(stream, alive);
                series.take(stream, &flush, at);
                table.take(stream, &flush, at);
                unpublished |= !flush.changed.is_empty() || !flush.keyless.is_empty();
            }
            more = inputs.wanted.changed() => {
                if !more {
                    return;
                }
                series.want(Wanted::clone(&inputs.wanted.load()));
            }
            () = inputs.ended.notified() => {
                streams.retain(|stream, alive| {
                    let is_alive = alive.strong_count() > 0;
                    if !is_alive {
                        series.end(*stream);
                        table.end(*stream);
                        unpublished = true;
                    }
                    is_alive
                });
            }
            Some(parts) = inputs.parts.recv() => series.take_parts(parts, clock::now()),
            () = wait => {}
        }
        let now = clock::now();
        let ready = series.ready(now);
        if !ready.is_empty() && outputs.measurements.send(ready).await.is_err() {
            return;
        }
        if unpublished && now.since(published) >= PUBLISH {
            outputs.table.publish(table.clone());
            (published, unpublished) = (now, false);
        }
    }
}

/// Waits until a moment, or for ever.
async fn until(moment: Option<Timestamp>) {
    match moment {
        // A little late rather than a little early, which would spin.
        Some(moment) => tokio::time::sleep(moment.since(clock::now()) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}
