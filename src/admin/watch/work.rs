//! The task that keeps the board: takes what people may see, and each second the numbers of what somebody looks at.

use super::SEATS;
use super::board::{Board, text};
use super::points::Points;
use crate::admin::numbers;
use crate::clock::{self, Timestamp};
use crate::control::View;
use crate::latest::{Latest, Subscriber};
use crate::telemetry::Table;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Changes are told at most so often.
const PUBLISH: Duration = Duration::from_millis(250);
/// How often numbers are made.
const TICK: Duration = Duration::from_secs(1);
/// Gateways whose last quarter of an hour is kept: those that somebody looks at, then those with a release under way.
pub(super) const FOLLOWED: usize = 128;

/// Where listeners come to.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(super) board: Arc<Latest<Board>>,
    pub(super) seats: Arc<Semaphore>,
    looks: mpsc::Sender<Look>,
}

/// Somebody looks at a gateway, as long as this lives.
#[derive(Debug)]
struct Look {
    gateway: Arc<str>,
    interest: Weak<()>,
}

impl Hub {
    /// Makes numbers of a gateway come, as long as the answer lives.
    pub(super) async fn look(&self, gateway: &Arc<str>) -> Arc<()> {
        let interest = Arc::new(());
        let look = Look { gateway: Arc::clone(gateway), interest: Arc::downgrade(&interest) };
        // Nobody reads it any more when everything stops.
        let _ = self.looks.send(look).await;
        interest
    }
}

/// The task, until it is run.
#[derive(Debug)]
pub struct Work {
    view: Subscriber<View>,
    table: Arc<Latest<Table>>,
    out: Arc<Latest<Board>>,
    looks: mpsc::Receiver<Look>,
    looked: Vec<Look>,
    board: Board,
    points: BTreeMap<Arc<str>, Arc<Points>>,
}

/// A hub, and the task behind it.
pub fn start(view: &Arc<Latest<View>>, table: Arc<Latest<Table>>) -> (Hub, Work) {
    let (looks_in, looks) = mpsc::channel(SEATS);
    let board = Latest::new(Board::default());
    let hub = Hub { board: Arc::clone(&board), seats: Arc::new(Semaphore::new(SEATS)), looks: looks_in };
    let work = Work {
        view: view.subscribe(),
        table,
        out: board,
        looks,
        looked: Vec::new(),
        board: Board::default(),
        points: BTreeMap::new(),
    };
    (hub, work)
}

impl Work {
    /// Runs until nobody publishes or listens any more.
    pub async fn run(mut self) {
        if !self.view.published().await {
            return;
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                more = self.view.changed() => {
                    if !more {
                        return;
                    }
                    let view = self.view.load();
                    self.board.take(&view.gateways);
                    self.out.publish(self.board.clone());
                    tokio::time::sleep(PUBLISH).await;
                }
                look = self.looks.recv() => {
                    let Some(look) = look else { return };
                    self.looked.push(look);
                    self.measure(clock::now());
                }
                _ = ticks.tick() => self.measure(clock::now()),
            }
        }
    }

    /// Takes the numbers of what somebody looks at, and the points of what is followed.
    fn measure(&mut self, now: Timestamp) {
        self.looked.retain(|look| look.interest.strong_count() > 0);
        let table = self.table.load();
        let numbers: BTreeMap<Arc<str>, Arc<str>> = self
            .looked
            .iter()
            .filter_map(|look| self.board.view(&look.gateway))
            .map(|view| (Arc::clone(&view.name), text(&numbers::of(view, &table, now))))
            .collect();
        let was_idle = self.follow(&table, now);
        if numbers.is_empty() && was_idle {
            return;
        }
        self.board.take_numbers(numbers);
        self.board.take_points(self.points.clone());
        self.out.publish(self.board.clone());
    }

    /// Whether there was nothing to do.
    fn follow(&mut self, table: &Table, now: Timestamp) -> bool {
        let before = self.points.len();
        self.points.retain(|_, points| !points.is_old(now));
        let mut is_idle = self.points.len() == before;
        let running = |view: &&Arc<_>| is_running(view);
        let looked = self.looked.iter().map(|look| &look.gateway);
        let releases = self.board.views().filter(running).map(|view| &view.name);
        for name in looked.chain(releases) {
            if !self.points.contains_key(name) && self.points.len() >= FOLLOWED {
                continue;
            }
            let points = self.points.entry(Arc::clone(name)).or_default();
            if points.is_behind(now) {
                Arc::make_mut(points).take(name, table, now);
                is_idle = false;
            }
        }
        is_idle
    }
}

fn is_running(view: &crate::control::GatewayView) -> bool {
    view.rollout.as_ref().is_some_and(|rollout| rollout.phase.is_running())
}
