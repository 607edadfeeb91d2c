//! What Envoys measured, from those who follow to the one who leads: the one task that waits for it.
//!
//! It has a connection of its own, from the first release on, so that a large answer never holds up the lease or a
//! commit. Who follows writes what its Envoys measured; who leads reads that, woken by `NOTIFY` and once a second in case it
//! missed one. While nothing is released it says and asks nothing.

use super::Error;
use super::measured::{Batch, Counters, Duty, Found, Mark, Queue};
use super::postgres::link::{Link, OPEN};
use super::postgres::measured::{ROWS, listen, prune, read, sight, sighted, source, write};
use crate::clock::Stopwatch;
use crate::latest::{Latest, Subscriber};
use crate::model::Database;
use crate::names::GatewayName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks at the rows, and between two tellings of what is healthy. The latter also when it is the same as
/// before: what was said three seconds ago may be of a Serin that is gone, or of another canary.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that one question may take. What was asked for and not answered in it is given up, so that no row looks
/// younger than it is by more than this, which is less than Envoys are given to take a weight.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two removals of rows that are too old.
const PRUNE: Duration = Duration::from_secs(10);
/// Rows that are written at once.
const BATCH: usize = 1_000;

/// Healthy endpoints of canaries that wait.
pub type Healthy = BTreeMap<GatewayName, u32>;

/// Rows that were read under a [`Duty::term`].
pub type Read = (u64, Vec<Found>);

/// What the task needs.
#[derive(Debug)]
pub struct Inputs {
    /// The database.
    pub at: Database,
    /// What is to be done.
    pub duty: Subscriber<Duty>,
    /// What own Envoys measured, where another one counts it.
    pub rows: mpsc::Receiver<Batch>,
    /// What own Envoys see.
    pub healthy: Subscriber<Healthy>,
}

/// Where the task puts what it finds.
#[derive(Debug)]
pub struct Outputs {
    /// What others measured, each row once in a term.
    pub found: mpsc::Sender<Read>,
    /// What the Envoys of others see.
    pub sighted: Arc<Latest<Healthy>>,
    /// How much went which way.
    pub counters: Arc<Counters>,
}

/// Runs until nobody measures any more, or nobody listens.
pub async fn run(inputs: Inputs, outputs: Outputs) {
    let watch = Stopwatch::start();
    let mut exchange = Exchange {
        inputs,
        outputs,
        watch,
        link: None,
        listens: false,
        last: None,
        queue: Queue::default(),
        write: Duration::ZERO,
        term: 0,
        seen: BTreeMap::new(),
        look: Duration::ZERO,
        tell: Duration::ZERO,
        prune: Duration::ZERO,
        retry: Duration::ZERO,
    };
    while exchange.turn().await {}
}

struct Exchange {
    inputs: Inputs,
    outputs: Outputs,
    /// Moments are what it shows.
    watch: Stopwatch,
    link: Option<Link>,
    /// Whether the connection is notified of rows.
    listens: bool,
    /// What this one wrote last; `None`: nothing, and it has no number yet.
    last: Option<Mark>,
    queue: Queue,
    /// When to write it. What may wait goes along with what may not, so that there is one statement about both.
    write: Duration,
    /// Under which term rows are read, and up to where of each source.
    term: u64,
    seen: BTreeMap<i64, i64>,
    /// When to look at the rows, to say what is healthy, and to remove what is old.
    look: Duration,
    tell: Duration,
    prune: Duration,
    /// Before this there is no other attempt to connect.
    retry: Duration,
}

impl Exchange {
    /// One step. `false`: it was the last.
    async fn turn(&mut self) -> bool {
        let duty = self.inputs.duty.load();
        if duty.term != self.term {
            (self.term, self.look) = (duty.term, Duration::ZERO);
            self.seen.clear();
        }
        if !duty.waits && !self.outputs.sighted.load().is_empty() {
            // Of who waits next, nothing is known yet.
            self.outputs.sighted.publish(Healthy::new());
        }
        let now = self.watch.elapsed();
        let reads = duty.counts && (duty.waits || !duty.stages.is_empty() || !duty.shadows.is_empty());
        let tells = !duty.counts && duty.waits && !self.inputs.healthy.load().is_empty();
        let is_due = (!self.queue.is_empty() && now >= self.write)
            || (reads && now >= self.look)
            || (tells && now >= self.tell)
            || (reads != self.listens && self.link.is_some());
        if is_due && now >= self.retry {
            if let Err(error) = self.work(&duty, reads, tells).await {
                tracing::debug!("what Envoys measured waits: {error}");
                (self.link, self.listens, self.retry) = (None, false, self.watch.elapsed() + LOOK);
            }
            self.count_dropped();
            if self.outputs.found.is_closed() {
                return false;
            }
        }
        self.wait(reads, tells).await
    }

    /// Until there is something to do. `false`: there will be nothing.
    async fn wait(&mut self, reads: bool, tells: bool) -> bool {
        let mut due = Vec::new();
        due.extend(reads.then_some(self.look));
        due.extend(tells.then_some(self.tell));
        due.extend((!self.queue.is_empty()).then_some(self.write));
        let at = due.into_iter().min().map(|at| at.max(self.retry));
        let pause = at.map(|at| at.saturating_sub(self.watch.elapsed()));
        let alarm = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        let notified = async {
            match &mut self.link {
                Some(Link { wire, .. }) => wire.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            rows = self.inputs.rows.recv() => {
                let Some(Batch { waits, rows, is_patient }) = rows else { return false };
                let now = self.watch.elapsed();
                let write = if is_patient { now + LOOK } else { now };
                self.write = if self.queue.is_empty() { write } else { self.write.min(write) };
                self.queue.push(rows, now.saturating_sub(waits.elapsed()));
            }
            more = self.inputs.duty.changed() => return more,
            more = self.inputs.healthy.changed() => return more,
            heard = notified => {
                self.look = Duration::ZERO;
                if heard.is_err() {
                    (self.link, self.listens) = (None, false);
                }
            }
            () = alarm => {}
        }
        true
    }

    /// All that is due. `Err`: a new connection is needed.
    async fn work(&mut self, duty: &Duty, reads: bool, tells: bool) -> Result<(), Error> {
        if self.link.is_none() {
            self.link =
                Some(tokio::time::timeout(OPEN, Link::open(&self.inputs.at)).await.map_err(|_| {
                    Error::Unavailable { place: self.inputs.at.to_string(), why: "it does not answer".into() }
                })??);
        }
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        if self.last.is_none() {
            let source = wire.drive(ANSWER, source(client)).await?;
            self.last = Some(Mark { source, sequence: 0 });
        }
        let Some(last) = &mut self.last else { return Ok(()) };
        if reads != self.listens {
            wire.drive(ANSWER, listen(client, reads)).await?;
            self.listens = reads;
            // What came before anybody listened.
            (self.look, self.prune) = (Duration::ZERO, Duration::ZERO);
        }
        let counters = &self.outputs.counters;
        let add =
            |counter: &std::sync::atomic::AtomicU64, count: u64| counter.fetch_add(count, Ordering::Relaxed);
        while !self.queue.is_empty() {
            let rows = self.queue.take(BATCH, self.watch.elapsed());
            let count = rows.len();
            last.sequence += i64::try_from(count).unwrap_or(i64::MAX);
            let written = wire.drive(ANSWER, write(client, *last, &rows)).await;
            match written {
                Ok(removed) => {
                    add(&counters.written, count as u64);
                    add(&counters.dropped, removed);
                }
                // They may be there. Whoever wrote them again might count them twice.
                Err(error) => {
                    add(&counters.dropped, count as u64);
                    return Err(error);
                }
            }
        }
        let now = self.watch.elapsed();
        if tells && now >= self.tell {
            self.tell = now + LOOK;
            let healthy = self.inputs.healthy.load();
            wire.drive(ANSWER, sight(client, last.source, &healthy)).await?;
        }
        if reads && now >= self.look {
            self.look = now + LOOK;
            if duty.waits {
                let seen = wire.drive(ANSWER, sighted(client, last.source)).await?;
                self.outputs.sighted.publish(seen);
            }
            if now >= self.prune {
                self.prune = now + PRUNE;
                add(&counters.dropped, wire.drive(ANSWER, prune(client)).await?);
            }
            let found = wire.drive(ANSWER, read(client, &self.seen)).await?;
            if found.len() == ROWS {
                self.look = Duration::ZERO;
            }
            add(&counters.read, found.len() as u64);
            for Found { mark, .. } in &found {
                self.seen.insert(mark.source, mark.sequence);
            }
            if !found.is_empty() {
                // Nobody listens any more only when everything stops.
                let _ = self.outputs.found.send((self.term, found)).await;
            }
        }
        Ok(())
    }

    fn count_dropped(&mut self) {
        let dropped = self.queue.take_dropped();
        self.outputs.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
}
