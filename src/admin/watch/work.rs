//! The task that keeps the board: takes what people may see, and each second the numbers of what somebody looks at.

use super::board::{Board, text};
use super::points::Points;
use crate::admin::numbers;
use crate::admin::seats::{SEATS, Seats};
use crate::clock::{self, Timestamp};
use crate::control::{GatewayView, View};
use crate::latest::{Latest, Subscriber};
use crate::telemetry::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

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
    pub(in crate::admin) seats: Seats,
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
    shown: Arc<View>,
    points: BTreeMap<Arc<str>, Arc<Points>>,
}

/// A hub, and the task behind it.
pub fn start(view: &Arc<Latest<View>>, table: Arc<Latest<Table>>) -> (Hub, Work) {
    let (looks_in, looks) = mpsc::channel(SEATS);
    let board = Latest::new(Board::default());
    let hub = Hub { board: Arc::clone(&board), seats: Seats::default(), looks: looks_in };
    let work = Work {
        view: view.subscribe(),
        table,
        out: board,
        looks,
        looked: Vec::new(),
        board: Board::default(),
        shown: Arc::default(),
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
                    self.shown = self.view.load();
                    self.board.take(&self.shown.gateways);
                    self.out.publish(self.board.clone());
                    tokio::time::sleep(PUBLISH).await;
                }
                look = self.looks.recv() => {
                    let Some(look) = look else { return };
                    // Its numbers come with the next second's: whoever opens pages all the time costs nothing more.
                    self.looked.push(look);
                }
                _ = ticks.tick() => self.measure(clock::now()),
            }
        }
    }

    /// Takes the numbers of what somebody looks at, and the points of what is followed.
    fn measure(&mut self, now: Timestamp) {
        self.looked.retain(|look| look.interest.strong_count() > 0);
        let table = self.table.load();
        let looked = self.looked.iter().filter_map(|look| self.board.view(&look.gateway));
        let looked: BTreeMap<Arc<str>, Arc<_>> =
            looked.map(|view| (Arc::clone(&view.name), Arc::clone(view))).collect();
        let numbers = looked
            .iter()
            .map(|(name, view)| (Arc::clone(name), text(&numbers::of(view, &table, now))))
            .collect::<BTreeMap<_, _>>();
        let was_idle = self.follow(looked.into_keys(), &table, now);
        if numbers.is_empty() && was_idle {
            return;
        }
        self.board.take_numbers(numbers);
        self.board.take_points(self.points.clone());
        self.out.publish(self.board.clone());
    }

    /// Takes the points of gateways that are there: those that somebody looks at, then those with a release under way.
    /// What is neither keeps its points for whoever comes back, as long as nobody needs the place. Whether there was
    /// nothing to do.
    fn follow(&mut self, looked: impl Iterator<Item = Arc<str>>, table: &Table, now: Timestamp) -> bool {
        let (before, board) = (self.points.len(), &self.board);
        self.points.retain(|name, points| board.view(name).is_some() && !points.is_old(now));
        let mut is_idle = self.points.len() == before;
        let mut wanted: BTreeSet<Arc<str>> = looked.take(FOLLOWED).collect();
        for view in self.shown.busy.values().filter(|view| is_running(view)) {
            if wanted.len() < FOLLOWED {
                wanted.insert(Arc::clone(&view.name));
            }
        }
        for name in &wanted {
            if !self.points.contains_key(name) && self.points.len() >= FOLLOWED {
                let others = self.points.iter().filter(|(name, _)| !wanted.contains(*name));
                let oldest =
                    others.min_by_key(|(_, points)| points.newest()).map(|(name, _)| Arc::clone(name));
                oldest.and_then(|oldest| self.points.remove(&oldest));
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

fn is_running(view: &GatewayView) -> bool {
    view.rollout.as_ref().is_some_and(|rollout| rollout.phase.is_running())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Phase;
    use crate::rollout;

    #[test]
    fn places_are_for_what_is_there_and_wanted() {
        let view = |name: &Arc<str>| {
            let (gateway, rollout, diagnostics) = (None, None, Vec::new());
            let (name, phase) = (Arc::clone(name), Phase::Of(rollout::Phase::Stable));
            let file: Arc<str> = "a.yaml".into();
            Arc::new(GatewayView {
                name,
                file,
                file_tag: None,
                phase,
                serving: true,
                gateway,
                rollout,
                diagnostics,
            })
        };
        let names: Vec<Arc<str>> = (0..=FOLLOWED).map(|i| format!("g{i:03}").into()).collect();
        let (_hub, mut work) = start(&Latest::new(View::default()), Latest::new(Table::default()));
        work.board.take(&names.iter().map(|name| (Arc::clone(name), view(name))).collect());
        let interest = Arc::new(());
        let look =
            |gateway: &Arc<str>| Look { gateway: Arc::clone(gateway), interest: Arc::downgrade(&interest) };
        let now = |second: i64| Timestamp(1_000_000_000 + second * 1000);
        // Names of nothing take no place.
        work.looked = (0..FOLLOWED).map(|i| look(&format!("none{i}").into())).collect();
        work.measure(now(0));
        assert!(work.points.is_empty());
        // Nor do those that nobody looks at any more keep theirs from somebody.
        work.looked = names.iter().take(FOLLOWED).map(look).collect();
        work.measure(now(0));
        assert_eq!(work.points.len(), FOLLOWED);
        work.looked = names.iter().skip(2).map(look).collect();
        work.measure(now(1));
        let kept: Vec<bool> = names.iter().map(|name| work.points.contains_key(name)).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), FOLLOWED);
        assert!(!(kept[0] && kept[1]) && kept[2..].iter().all(|kept| *kept));
        // What is gone is forgotten.
        work.board.take(&names.iter().take(1).map(|name| (Arc::clone(name), view(name))).collect());
        work.measure(now(2));
        assert!(work.points.len() <= 1);
    }
}
