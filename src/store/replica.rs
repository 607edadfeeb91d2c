//! What one of several Serins does for the lease, and how it hears what the leader keeps: the one task that waits.
//!
//! It has a connection of its own. There it asks for the lease when [`Lease`] says so, and listens: every commit notifies
//! it (`LISTEN`), and each look at the lease reads what was missed as well. As a leader begins, it reads everything that was
//! kept under the tokens before, which the database does not let change any more, and decides only then.

use super::lease::{LOOK, Lease, Seat};
use super::postgres::lease::{ask, leave, listen, states};
use super::postgres::link::{Link, OPEN};
use super::run::Handle;
use super::{Error, Kept, Memory};
use crate::clock::Stopwatch;
use crate::model::Database;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// After a commit that failed, the next attempt.
const RETRY: Duration = Duration::from_secs(2);

/// What the loop is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// What others have kept.
    Kept(Kept),
    /// Where this Serin stands from now on.
    Seat(Seat),
}

/// What the task needs.
#[derive(Debug)]
pub struct Inputs {
    /// The database.
    pub at: Database,
    /// Under which name this Serin is known to others.
    pub name: String,
    /// Is told when others have written.
    pub store: Handle,
    /// Somebody says that a commit failed, so that it is not known what is kept.
    pub failed: Arc<Notify>,
    /// True: give the lease back, and end.
    pub stopped: watch::Receiver<bool>,
}

/// Runs until it is stopped, or nobody listens any more.
pub async fn run(inputs: Inputs, signals: mpsc::Sender<Signal>) {
    let mut stopped = inputs.stopped.clone();
    let mut replica = Replica {
        inputs,
        signals,
        lease: Lease::default(),
        watch: Stopwatch::start(),
        link: None,
        mark: None,
        switches: BTreeMap::new(),
        told: None,
        due: Duration::ZERO,
        hold: Duration::ZERO,
    };
    tokio::select! {
        () = replica.follow() => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
    replica.leave().await;
}

struct Replica {
    inputs: Inputs,
    signals: mpsc::Sender<Signal>,
    lease: Lease,
    /// Moments are what it shows.
    watch: Stopwatch,
    link: Option<Link>,
    /// Up to where states were read; `None`: all are to be read.
    mark: Option<i64>,
    /// As they were read last.
    switches: BTreeMap<Arc<str>, bool>,
    /// What the loop was told last; `None`: it has to be told again.
    told: Option<Seat>,
    /// When the lease is asked for next.
    due: Duration,
    /// Until when nothing is to be decided, since a commit failed.
    hold: Duration,
}

impl Replica {
    async fn follow(&mut self) {
        while !self.signals.is_closed() {
            self.inputs.store.remember(Memory::Awake);
            let Err(error) = self.turn().await else { continue };
            self.link = None;
            self.inputs.store.look();
            let now = self.watch.elapsed();
            if self.lease.token(now).is_none() {
                self.tell(Seat::Cut { why: error.to_string() }).await;
            }
            tokio::time::sleep(self.most(LOOK)).await;
        }
    }

    /// One step. `Err`: a new connection is needed.
    async fn turn(&mut self) -> Result<(), Error> {
        let most = self.most(OPEN);
        let Some(Link { wire, .. }) = &mut self.link else {
            let opened = tokio::time::timeout(most, Link::open(&self.inputs.at)).await;
            let Link { client, wire } = self.link.insert(opened.map_err(|_| Error::Unavailable {
                place: self.inputs.at.to_string(),
                why: "it does not answer".into(),
            })??);
            wire.drive(most, listen(client)).await?;
            (self.mark, self.due) = (None, Duration::ZERO);
            self.inputs.store.look();
            return Ok(());
        };
        let wait = self.due.saturating_sub(self.watch.elapsed());
        tokio::select! {
            // Not before what the lease needs.
            biased;
            () = tokio::time::sleep(wait) => self.ask().await,
            () = self.inputs.failed.notified() => {
                self.told = None;
                self.hold = self.watch.elapsed() + RETRY;
                Ok(())
            }
            notified = wire.notified() => {
                notified?;
                self.inputs.store.look();
                self.read().await
            }
        }
    }

    /// Asks for the lease, and reads what was missed.
    async fn ask(&mut self) -> Result<(), Error> {
        let most = self.most(OPEN);
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        let asked = self.watch.elapsed();
        let question = self.lease.ask(asked);
        let answer = wire.drive(most, ask(client, &question, &self.inputs.name)).await?;
        let now = self.watch.elapsed();
        self.lease.heard(answer, asked, now);
        self.due = now + self.lease.pause(now);
        let Some(token) = self.lease.token(now) else {
            self.read().await?;
            let leader = self.lease.leader().map(str::to_owned);
            self.tell(Seat::Follows { leader }).await;
            return Ok(());
        };
        let seat = Seat::Leads { token };
        if self.told.as_ref() != Some(&seat) && now >= self.hold {
            // Nobody else writes any more, and what we wrote ourselves has ended: the lease was given to us after it.
            self.mark = None;
            self.told = None;
            self.read().await?;
            if self.lease.token(self.watch.elapsed()).is_some() {
                self.tell(seat).await;
            }
        }
        Ok(())
    }

    /// Reads what others have kept, unless this one is who keeps.
    async fn read(&mut self) -> Result<(), Error> {
        if matches!(self.told, Some(Seat::Leads { .. })) {
            return Ok(());
        }
        let most = self.most(OPEN);
        let place = self.inputs.at.to_string();
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        let (kept, mark) = wire.drive(most, states(client, self.mark, &place)).await?;
        self.mark = Some(mark);
        let is_thrown = std::mem::replace(&mut self.switches, kept.switches.clone()) != kept.switches;
        if kept.all || is_thrown || !kept.states.is_empty() {
            if !self.inputs.store.remember(Memory::Kept(kept.clone())) {
                // What is remembered would lack it: all is read again.
                self.mark = None;
            }
            // Nobody listens any more only when everything stops.
            let _ = self.signals.send(Signal::Kept(kept)).await;
        }
        Ok(())
    }

    async fn tell(&mut self, seat: Seat) {
        if self.told.as_ref() == Some(&seat) {
            return;
        }
        if let Some(Seat::Leads { .. }) = self.told {
            // What was written by this one was not read.
            self.mark = None;
            self.due = Duration::ZERO;
        }
        self.told = Some(seat.clone());
        let _ = self.signals.send(Signal::Seat(seat)).await;
    }

    /// The longest to wait for anything: who leads must know in time when that is over.
    fn most(&self, most: Duration) -> Duration {
        let now = self.watch.elapsed();
        match self.lease.until() {
            Some(until) if until > now => most.min(until.saturating_sub(now)),
            _ => most,
        }
    }

    /// Gives the lease back, so that the next one need not wait.
    async fn leave(&mut self) {
        let Some(token) = self.lease.token(self.watch.elapsed()) else { return };
        let Some(Link { client, wire }) = &mut self.link else { return };
        if let Err(error) = wire.drive(LOOK, leave(client, token)).await {
            tracing::debug!("the lease ends by itself: {error}");
        }
    }
}
