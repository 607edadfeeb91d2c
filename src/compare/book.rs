//! All that waits and all that is counted, for all gateways. Pure: the time is an argument.

use super::answer::Answer;
use super::difference::Reason;
use super::joiner::{Alone, Joined, Joiner};
use super::judge::judge;
use super::report::{Report, Reports};
use super::tally::Tally;
use super::{Comparisons, watch};
use crate::clock::Timestamp;
use crate::model::Comparison;
use crate::names::{GatewayName, UpstreamName};
use crate::translate::Leg;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How much later than the timeout of its request the second answer may come.
const MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Book {
    gateways: BTreeMap<GatewayName, Entry>,
    joiner: Joiner,
    /// Counts the rules that there were.
    rules: u64,
    reports: Reports,
    /// A gateway came or went.
    is_changed: bool,
}

#[derive(Debug)]
struct Entry {
    comparison: Arc<Comparison>,
    watched: Arc<watch::Gateway>,
    rules: u64,
    since: Timestamp,
    tallies: BTreeMap<UpstreamName, Tally>,
    alone: BTreeMap<Reason, u64>,
    /// What streams had lost when the report was made.
    lost: u64,
    is_changed: bool,
}

impl Book {
    /// Compares at these gateways from now on. One whose versions or rules are others begins anew. Says what streams
    /// need to know.
    pub(super) fn want(&mut self, wanted: &Comparisons, now: Timestamp) -> watch::Watch {
        self.gateways.retain(|name, entry| wanted.get(name).is_some_and(|c| **c == *entry.comparison));
        for (name, comparison) in wanted {
            if !self.gateways.contains_key(name) {
                self.rules += 1;
                self.gateways.insert(name.clone(), Entry::new(comparison, self.rules, now));
            }
        }
        self.is_changed = true;
        self.reports.gateways.retain(|name, _| wanted.contains_key(name));
        self.gateways.iter().map(|(name, entry)| (name.clone(), Arc::clone(&entry.watched))).collect()
    }

    /// Takes an answer.
    pub(super) fn take(&mut self, answer: Answer, now: Timestamp) {
        // An Envoy with an older version may send answers of others.
        let entry = self.gateways.get_mut(&answer.gateway).filter(|entry| entry.knows(&answer));
        if let Some(entry) = entry {
            let until = now.plus(entry.comparison.timeout + MARGIN);
            entry.is_changed = true;
            match self.joiner.take(entry.rules, answer, until) {
                Joined::Waits => {}
                Joined::Pair { live, shadow } => entry.compare(&live, &shadow),
                Joined::Duplicate(_) => entry.lose(Reason::Duplicate),
            }
        }
        self.give_up(now);
    }

    /// Gives up what waited long enough.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        for Alone { rules, answer, reason } in self.joiner.give_up(now) {
            let entry = self.gateways.get_mut(&answer.gateway).filter(|entry| entry.rules == rules);
            let Some(entry) = entry else { continue };
            entry.is_changed = true;
            match answer.leg {
                // Whose answer the client got is known.
                Leg::Live => entry.tallies.entry(answer.upstream).or_default().lose(reason),
                Leg::Shadow => entry.lose(reason),
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.joiner.deadline()
    }

    /// Whether anything is compared.
    pub(super) fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// The reports, those that changed made anew; `None`: all are as they were.
    pub(super) fn reports(&mut self) -> Option<Reports> {
        let waiting = self.joiner.size();
        let mut is_new = std::mem::take(&mut self.is_changed) || waiting != self.reports.waiting;
        for (name, entry) in &mut self.gateways {
            let lost = entry.watched.lost().into_iter().map(|(_, count)| count).sum();
            if std::mem::take(&mut entry.is_changed) || lost != entry.lost {
                entry.lost = lost;
                self.reports.gateways.insert(name.clone(), Arc::new(entry.report()));
                is_new = true;
            }
        }
        self.reports.waiting = waiting;
        is_new.then(|| self.reports.clone())
    }
}

impl Entry {
    fn new(comparison: &Arc<Comparison>, rules: u64, now: Timestamp) -> Self {
        let tallies = comparison.live.iter().map(|side| (side.name.clone(), Tally::default()));
        Self {
            watched: Arc::new(watch::Gateway::new(comparison)),
            rules,
            since: now,
            tallies: tallies.collect(),
            alone: BTreeMap::new(),
            lost: 0,
            is_changed: true,
            comparison: Arc::clone(comparison),
        }
    }

    fn knows(&self, answer: &Answer) -> bool {
        match answer.leg {
            Leg::Live => self.tallies.contains_key(&answer.upstream),
            Leg::Shadow => self.comparison.shadow.name == answer.upstream,
        }
    }

    fn compare(&mut self, live: &Answer, shadow: &Answer) {
        let outcome = judge(&self.comparison.compare, &live.content, &shadow.content);
        let tally = self.tallies.entry(live.upstream.clone()).or_default();
        tally.count(&live.id, outcome, [live.took, shadow.took]);
    }

    fn lose(&mut self, reason: Reason) {
        *self.alone.entry(reason).or_default() += 1;
    }

    fn report(&self) -> Report {
        let mut not_paired = self.alone.clone();
        not_paired.extend(self.watched.lost().into_iter().filter(|(_, count)| *count > 0));
        let pairs = self.tallies.iter().map(|(upstream, tally)| tally.report(upstream, &self.comparison));
        Report {
            shadow: self.comparison.shadow.name.clone(),
            since: self.since,
            path: self.comparison.compare.path.to_string(),
            min_match: self.comparison.compare.min_match,
            pairs: pairs.collect(),
            not_paired,
        }
    }
}
