//! What several Serins say to each other, by their database alone: orders that the leader has to carry out, its answers,
//! and who is there. The one task that waits for that, with a connection of its own, so that it never holds up the lease.
//!
//! Orders are heard of by `LISTEN`, and looked for with each beat in case one was missed. What is safe does not depend on
//! this task: see `postgres/orders.rs`.

use super::Error;
use super::lease::LOOK;
use super::postgres::link::{Link, OPEN};
use super::postgres::orders::{self, End, Order};
use super::postgres::roster::{self as table, Entry};
use super::roster::{BEAT, Member, Roster};
use crate::clock::{Stopwatch, Timestamp};
use crate::latest::Latest;
use crate::model::Database;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long an order waits for whoever leads: longer than it takes until another one does.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// An order is taken only if its giver waits for so long still: longer than a store that is well takes to keep it.
const MARGIN: Duration = Duration::from_secs(2);
/// Orders of one replica that wait for their answers, and orders of all that the leader has at a time.
pub const MOST: usize = 64;
/// The longest that one question to the database may take; after it the connection is opened anew.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two removals of what nobody needs any more.
const PRUNE: Duration = Duration::from_secs(10);

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The leader's answer.
    Done(String),
    /// It was not carried out, and will not be.
    NotDone(String),
    /// Nobody knows, at least not here.
    Unknown(String),
}

/// An order for whoever leads.
#[derive(Debug)]
pub struct Ask {
    /// What it says.
    pub paper: String,
    /// Whether it has a key.
    pub is_keyed: bool,
    /// Whether it acts before it is kept, so that one that is withdrawn may have acted.
    pub is_switch: bool,
    /// Who waits.
    pub reply: oneshot::Sender<Answer>,
}

/// What is new here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The token under which this one leads.
    pub token: Option<u64>,
    /// The versions of gateway files that changed, by gateway; `None`: gone.
    pub copies: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

/// What the leader has decided about an order; `None`: nothing, or it is answered by what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which.
    pub ticket: Arc<str>,
    /// Its answer.
    pub answer: Option<String>,
}

/// What the task needs.
#[derive(Debug)]
pub struct Inputs {
    /// The database.
    pub at: Database,
    /// A name of this run that no other has.
    pub id: Arc<str>,
    /// How people find it.
    pub name: String,
    /// When it started.
    pub since: Timestamp,
    /// Orders for others.
    pub asks: mpsc::Receiver<Ask>,
    /// What is new here.
    pub news: mpsc::Receiver<News>,
    /// Answers to orders of others.
    pub decided: mpsc::Receiver<Decided>,
    /// True: say farewell, and end.
    pub stopped: watch::Receiver<bool>,
}

/// Where the task puts what it hears.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Orders of others, by their tickets.
    pub orders: mpsc::Sender<(Arc<str>, String)>,
    /// Who is there.
    pub members: Arc<Latest<Vec<Member>>>,
}

/// Runs until it is stopped.
pub async fn run(inputs: Inputs, outputs: Outputs) {
    let mut stopped = inputs.stopped.clone();
    let Inputs { at, id, name, since, asks, news, decided, .. } = inputs;
    let entry = Entry { id, name, version: env!("CARGO_PKG_VERSION"), since };
    let mut peers = Peers {
        at,
        entry,
        outputs,
        watch: Stopwatch::start(),
        link: None,
        waiting: BTreeMap::new(),
        count: 0,
        given: BTreeSet::new(),
        token: None,
        copies: BTreeMap::new(),
        changed: BTreeMap::new(),
        is_registered: false,
        roster: Roster::default(),
        due: Duration::ZERO,
        prune: Duration::ZERO,
    };
    tokio::select! {
        () = peers.follow(asks, news, decided) => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
    peers.leave().await;
}

/// An order that was given here.
struct Waiting {
    order: Order,
    is_switch: bool,
    reply: oneshot::Sender<Answer>,
    /// Until when it waits.
    until: Duration,
    /// Whether it is known to have reached the database.
    is_put: bool,
}

struct Peers {
    at: Database,
    entry: Entry,
    outputs: Outputs,
    /// Moments are what it shows.
    watch: Stopwatch,
    link: Option<Link>,
    /// Orders that were given here, by their number.
    waiting: BTreeMap<u64, Waiting>,
    count: u64,
    /// Orders of others that were handed to the loop, and not answered yet.
    given: BTreeSet<Arc<str>>,
    token: Option<u64>,
    /// The versions of all files here.
    copies: BTreeMap<Arc<str>, Arc<str>>,
    /// Those that the database does not know yet.
    changed: BTreeMap<Arc<str>, Option<Arc<str>>>,
    is_registered: bool,
    roster: Roster,
    /// When the next beat is due, or the next attempt to connect.
    due: Duration,
    prune: Duration,
}

/// What happened.
enum Step {
    Due,
    Notified,
    Ask(Ask),
    News(News),
    Decided(Decided),
    TooLate,
}

impl Peers {
    /// Ends when nobody is left who could say anything.
    async fn follow(
        &mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut news: mpsc::Receiver<News>,
        mut decided: mpsc::Receiver<Decided>,
    ) {
        loop {
            let now = self.watch.elapsed();
            let first = self.waiting.values().map(|waiting| waiting.until).min();
            let room = self.waiting.len() < MOST;
            let link = &mut self.link;
            let notified = async {
                match link {
                    Some(link) => link.wire.notified().await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                () = tokio::time::sleep(self.due.saturating_sub(now)) => Ok(Step::Due),
                () = tokio::time::sleep(first.unwrap_or(Duration::MAX).saturating_sub(now)), if first.is_some() => {
                    Ok(Step::TooLate)
                }
                notified = notified => notified.map(|()| Step::Notified),
                Some(ask) = asks.recv(), if room => Ok(Step::Ask(ask)),
                Some(decided) = decided.recv() => Ok(Step::Decided(decided)),
                news = news.recv() => match news {
                    Some(news) => Ok(Step::News(news)),
                    None => return,
                },
            };
            let done = match step {
                Ok(step) => self.take(step).await,
                Err(broken) => Err(broken),
            };
            if let Err(error) = done {
                tracing::debug!("orders of others and who is there: {error}");
                self.link = None;
                self.due = self.watch.elapsed() + LOOK;
                self.publish();
            }
        }
    }

    /// `Err`: a new connection is needed.
    async fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Due => self.look().await,
            Step::Notified => self.hear().await,
            Step::Ask(Ask { paper, is_keyed, is_switch, reply }) => {
                self.count += 1;
                let ticket = format!("{}-{}", self.entry.id, self.count).into();
                let order = Order { ticket, paper, is_keyed };
                let until = self.watch.elapsed() + PATIENCE;
                self.waiting.insert(self.count, Waiting { order, is_switch, reply, until, is_put: false });
                self.put().await
            }
            Step::News(News { token, copies }) => {
                if self.token != token {
                    self.token = token;
                    self.due = Duration::ZERO;
                }
                for (name, tag) in copies {
                    match &tag {
                        Some(tag) => drop(self.copies.insert(Arc::clone(&name), Arc::clone(tag))),
                        None => drop(self.copies.remove(&name)),
                    }
                    self.changed.insert(name, tag);
                }
                Ok(())
            }
            Step::Decided(Decided { ticket, answer }) => {
                self.given.remove(&ticket);
                let (Some(answer), Some(token), Some(link)) = (answer, self.token, &mut self.link) else {
                    // It stays in the database, and is looked at again.
                    return Ok(());
                };
                let Link { client, wire } = link;
                wire.drive(ANSWER, orders::answer(client, &ticket, &answer, token)).await
            }
            Step::TooLate => self.give_up().await,
        }
    }

    /// A beat: says that this one is there, and looks for all that may have been missed.
    async fn look(&mut self) -> Result<(), Error> {
        if self.link.is_none() {
            let opened = tokio::time::timeout(OPEN, Link::open(&self.at)).await;
            let Link { client, wire } = self.link.insert(opened.map_err(|_| Error::Unavailable {
                place: self.at.to_string(),
                why: "it does not answer".into(),
            })??);
            wire.drive(ANSWER, orders::listen(client)).await?;
            self.roster.listen_anew(self.watch.elapsed());
            self.put().await?;
        }
        self.beat().await?;
        self.hear().await?;
        self.read().await?;
        self.due = self.watch.elapsed() + BEAT;
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Error> {
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        let (entry, token) = (&self.entry, self.token);
        if self.is_registered {
            let beat = table::beat(client, &entry.id, token, &self.changed, self.copies.len());
            self.is_registered = wire.drive(OPEN, beat).await?;
        }
        if !self.is_registered {
            wire.drive(OPEN, table::register(client, entry, token, &self.copies)).await?;
            self.is_registered = true;
        }
        self.changed.clear();
        Ok(())
    }

    /// Hands on what was given here.
    async fn put(&mut self) -> Result<(), Error> {
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        for waiting in self.waiting.values_mut().filter(|waiting| !waiting.is_put) {
            let clock = wire.drive(ANSWER, orders::clock(client)).await?;
            // From when the answer is here, which is later: rather too short than too long.
            let left = waiting.until.saturating_sub(self.watch.elapsed());
            let put = orders::put(client, &waiting.order, clock + left.as_secs_f64());
            wire.drive(ANSWER, put).await?;
            waiting.is_put = true;
        }
        Ok(())
    }

    /// Reads answers, and where this one leads, orders.
    async fn hear(&mut self) -> Result<(), Error> {
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        if !self.waiting.is_empty() {
            let tickets: Vec<_> = self.waiting.values().map(|w| Arc::clone(&w.order.ticket)).collect();
            let answers = wire.drive(ANSWER, orders::answers(client, &tickets)).await?;
            for (ticket, answer) in answers {
                let number = self.waiting.iter().find(|(_, w)| w.order.ticket == ticket).map(|(n, _)| *n);
                if let Some(waiting) = number.and_then(|number| self.waiting.remove(&number)) {
                    // Whoever has hung up does not matter.
                    let _ = waiting.reply.send(Answer::Done(answer));
                }
            }
        }
        if self.token.is_some() && self.given.len() < MOST {
            let room = MOST - self.given.len();
            let open = wire.drive(ANSWER, orders::open(client, &self.given, MARGIN, room)).await?;
            for (ticket, paper) in open {
                // Where the loop is behind, it stays in the database and is looked at again.
                if self.outputs.orders.try_send((Arc::clone(&ticket), paper)).is_ok() {
                    self.given.insert(ticket);
                }
            }
        }
        Ok(())
    }

    /// Tells those who waited for too long.
    async fn give_up(&mut self) -> Result<(), Error> {
        let now = self.watch.elapsed();
        let late: Vec<u64> = self.waiting.iter().filter(|(_, w)| w.until <= now).map(|(n, _)| *n).collect();
        for number in late {
            let Some(Waiting { order, is_switch, reply, is_put, .. }) = self.waiting.remove(&number) else {
                continue;
            };
            let end = match &mut self.link {
                Some(Link { client, wire }) => {
                    wire.drive(ANSWER, orders::give_up(client, &order.ticket)).await
                }
                None => {
                    Err(Error::Unavailable { place: self.at.to_string(), why: "it does not answer".into() })
                }
            };
            let (answer, broken) = match end {
                Ok(End::Answered(answer)) => (Answer::Done(answer), None),
                Ok(End::Removed) if is_switch => {
                    let why = format!("no control plane that leads has answered within {PATIENCE:?}");
                    (Answer::Unknown(why), None)
                }
                Ok(End::Removed) => {
                    let why = format!("no control plane that leads has taken this order within {PATIENCE:?}");
                    (Answer::NotDone(why), None)
                }
                // It may be on its way still, or somebody has removed it.
                Ok(End::Unknown) => {
                    let why = if is_put { "the order is gone" } else { "the order was handed on too late" };
                    (Answer::Unknown(why.to_owned()), None)
                }
                Err(error) => (Answer::Unknown(error.to_string()), Some(error)),
            };
            let _ = reply.send(answer);
            if let (Some(error), true) = (broken, self.link.is_some()) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads who is there; the leader removes those that went, and old orders.
    async fn read(&mut self) -> Result<(), Error> {
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        let rows = wire.drive(ANSWER, table::rows(client)).await?;
        let now = self.watch.elapsed();
        if let Some(copies) = self.roster.read(rows, now) {
            let differing = wire.drive(OPEN, table::differing(client, &copies.leader)).await?;
            self.roster.compared(copies, differing);
        }
        self.publish();
        let Some(Link { client, wire }) = &mut self.link else { return Ok(()) };
        if self.token.is_some() {
            for (id, beat) in self.roster.gone(now) {
                wire.drive(ANSWER, table::remove(client, &id, Some(beat))).await?;
            }
            if now >= self.prune {
                self.prune = now + PRUNE;
                wire.drive(ANSWER, orders::prune(client)).await?;
            }
        }
        Ok(())
    }

    /// Says who is there, where that is another than before.
    fn publish(&self) {
        let members = self.roster.members(&self.entry.id, self.watch.elapsed());
        if members != *self.outputs.members.load() {
            self.outputs.members.publish(members);
        }
    }

    /// Is not there any more.
    async fn leave(&mut self) {
        let Some(Link { client, wire }) = &mut self.link else { return };
        if let Err(error) = wire.drive(LOOK, table::remove(client, &self.entry.id, None)).await {
            tracing::debug!("others will see that this one is gone: {error}");
        }
    }
}
