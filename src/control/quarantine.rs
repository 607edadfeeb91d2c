//! Envoys that refuse what others take: each is told everything but that.
//!
//! Which gateway it is that an Envoy refuses is found as for all Envoys ([`super::trial`]), here among those of which it is told
//! another version than it has. Meanwhile, and afterwards, it is told the version that it has.

use super::exclusion::{Exclusion, Exclusions};
use super::history::History;
use super::offer::Offers;
use super::trial::{Ruling, Standing, Trial};
use super::view::Refusing;
use crate::clock::Timestamp;
use crate::model::Authentication;
use crate::names::GatewayName;
use crate::resource::Kind;
use crate::snapshot::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So many Envoys are remembered, also those that are not connected: more than may be. Of more, the one that refused something
/// first is forgotten, and is found again by what it refuses.
const REMEMBERED: usize = 50_000;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Quarantines {
    nodes: BTreeMap<Arc<Node>, Quarantine>,
    /// What they may have.
    pub(super) history: History,
    /// Whether some are told something else than when it was asked last.
    is_stale: bool,
}

/// What one Envoy refuses.
#[derive(Debug)]
struct Quarantine {
    since: Timestamp,
    /// Of which it refused something last.
    kind: Kind,
    /// What it said then.
    text: String,
    trial: Trial,
    /// The gateways that are on trial, wait for it or are refused.
    suspects: Exclusions,
    /// Those of which each is to be left out alone, the next one last.
    alone: Vec<GatewayName>,
}

/// What an Envoy refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Of which kind.
    pub(super) kind: Kind,
    /// The gateways of which it is told another version than it has, with that.
    pub(super) suspects: Exclusions,
    /// All gateways that it tells of.
    pub(super) told: BTreeSet<GatewayName>,
    /// It serves, and what is not known.
    pub(super) serves_unknown: bool,
    /// In the Envoy's words.
    pub(super) text: String,
}

/// So many gateways are left out one at a time, where an Envoy serves what is not known: what it takes, it serves at once, and a
/// gateway that it served before would answer 503 until the one is found.
const ALONE: usize = 64;

/// What a refusal comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing else can be told.
    Nothing,
    /// It is told something else from now on.
    Search,
    /// It refuses this gateway.
    Gateway(GatewayName),
    /// It refuses these gateways also as they were before.
    Before(Vec<GatewayName>),
}

impl Quarantines {
    /// Whether an Envoy is not told the newest version of one of these gateways.
    pub(super) fn excludes_any(&self, node: &Node, gateways: &BTreeSet<GatewayName>) -> bool {
        self.nodes.get(node).is_some_and(|q| gateways.iter().any(|gateway| !q.trial.is_offered(gateway)))
    }

    /// The gateways on trial at an Envoy, if it refused a resource of this kind.
    pub(super) fn on_trial(&self, node: &Node, kind: Kind) -> BTreeSet<GatewayName> {
        let quarantine = self.nodes.get(node).filter(|q| q.kind == kind);
        quarantine.into_iter().flat_map(|q| q.trial.on_trial()).cloned().collect()
    }

    /// An Envoy took the newest versions of these gateways, which were on trial there.
    pub(super) fn taken(&mut self, node: &Node, gateways: BTreeSet<GatewayName>, now: Timestamp) -> Found {
        let quarantine = self.nodes.get_mut(node).filter(|_| !gateways.is_empty());
        let Some(Quarantine { trial, suspects, text, .. }) = quarantine else { return Found::Nothing };
        let last = trial.last_waiting().cloned();
        let (freed, ruling) = trial.taken(gateways, now);
        freed.iter().for_each(|name| _ = suspects.remove(name));
        let found = match (ruling, last) {
            // All was refused, and all but this is taken.
            (Ruling::Offers, Some(name)) => {
                trial.refused([name.clone()], text, now);
                Found::Gateway(name)
            }
            (Ruling::Offers, None) => Found::Search,
            _ => Found::Nothing,
        };
        let is_over = suspects.is_empty();
        if is_over {
            self.nodes.remove(node);
        }
        self.is_stale |= is_over || found != Found::Nothing;
        if is_over { Found::Search } else { found }
    }

    /// An Envoy refused something.
    pub(super) fn refused(&mut self, node: &Arc<Node>, refusal: Refusal, now: Timestamp) -> Found {
        let Refusal { kind, suspects, told, serves_unknown, text } = refusal;
        let known = if suspects.len() > 1 { self.known(node, &suspects) } else { Vec::new() };
        self.make_room(node);
        let quarantine = self.nodes.entry(Arc::clone(node)).or_insert_with(|| Quarantine::new(kind, now));
        (quarantine.kind, quarantine.text) = (kind, text);
        let is_first = quarantine.add(suspects);
        let is_told = |name: &&GatewayName| told.contains(*name);
        let on_trial: Vec<GatewayName> = quarantine.trial.on_trial().filter(is_told).cloned().collect();
        let known: Vec<GatewayName> = known.into_iter().filter(|name| on_trial.contains(name)).collect();
        let found = if on_trial.is_empty() {
            quarantine.refuse_before(&told)
        } else if is_first && !known.is_empty() && known.len() < on_trial.len() {
            // Most likely it is what another Envoy refuses.
            quarantine.trial.step_back(known, now);
            Found::Search
        } else {
            if is_first && serves_unknown {
                quarantine.alone = likeliest_last(&quarantine.suspects, &on_trial);
            }
            quarantine.search(on_trial, now)
        };
        if quarantine.suspects.is_empty() {
            self.nodes.remove(node);
        }
        self.is_stale |= found != Found::Nothing;
        found
    }

    /// Forgets what was refused of these gateways and is not told any more, as `is_told` says. Returns of which.
    pub(super) fn forget_untold(
        &mut self,
        gateways: &BTreeSet<GatewayName>,
        is_told: impl Fn(&GatewayName, &Exclusion) -> bool,
    ) -> BTreeSet<GatewayName> {
        let mut forgotten = BTreeSet::new();
        for quarantine in self.nodes.values_mut() {
            for name in gateways {
                if quarantine.suspects.get(name).is_some_and(|exclusion| !is_told(name, exclusion)) {
                    quarantine.suspects.remove(name);
                    quarantine.trial.forget(name);
                    forgotten.insert(name.clone());
                }
            }
        }
        self.nodes.retain(|_, quarantine| !quarantine.suspects.is_empty());
        self.is_stale |= !forgotten.is_empty();
        forgotten
    }

    /// Forgets Envoys that answer no more while it is not known which gateway they refuse. True when there were some.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|_, quarantine| quarantine.trial.deadline().is_none_or(|at| now < at));
        self.is_stale |= self.nodes.len() < before;
        self.nodes.len() < before
    }

    /// When [`Quarantines::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.nodes.values().filter_map(|quarantine| quarantine.trial.deadline()).min()
    }

    /// What Envoys are not told, if that is something else than when it was asked last.
    pub(super) fn take_exclusions(&mut self) -> Option<BTreeMap<Arc<Node>, Arc<Exclusions>>> {
        std::mem::take(&mut self.is_stale).then(|| {
            let exclusions = |q: &Quarantine| {
                let left_out = q.suspects.iter().filter(|(name, _)| !q.trial.is_offered(name));
                Arc::new(left_out.map(|(name, e)| (name.clone(), e.clone())).collect::<Exclusions>())
            };
            self.nodes.iter().map(|(node, q)| (Arc::clone(node), exclusions(q))).collect()
        })
    }

    /// The Envoys that refuse the newest version of a gateway.
    pub(super) fn of(&self, gateway: &GatewayName, offers: &Offers) -> Vec<Refusing> {
        let found = self.nodes.iter().filter_map(|(node, q)| q.refusing(node, gateway, offers));
        found.collect()
    }

    /// All gateways that Envoys refuse, though others take them.
    pub(super) fn all(&self, offers: &Offers) -> Arc<[Refusing]> {
        let of = |(node, q): (&'_ Arc<Node>, &'_ Quarantine)| {
            q.suspects.keys().filter_map(|gateway| q.refusing(node, gateway, offers)).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// Those of some gateways that other Envoys refuse as they are.
    fn known(&self, node: &Arc<Node>, suspects: &Exclusions) -> Vec<GatewayName> {
        let others = || self.nodes.iter().filter(|(other, _)| *other != node).map(|(_, q)| q);
        let is_known = |(name, exclusion): &(&GatewayName, &Exclusion)| {
            others().any(|q| {
                let is_refused = matches!(q.trial.standing(name), Standing::Refused(_));
                is_refused && q.suspects.get(*name).is_some_and(|e| e.covers(&exclusion.refused))
            })
        };
        suspects.iter().filter(is_known).map(|(name, _)| name.clone()).collect()
    }

    fn make_room(&mut self, node: &Node) {
        if self.nodes.len() >= REMEMBERED && !self.nodes.contains_key(node) {
            let oldest = self.nodes.iter().min_by_key(|(_, q)| q.since).map(|(node, _)| Arc::clone(node));
            oldest.iter().for_each(|node| _ = self.nodes.remove(node));
        }
    }
}

impl Quarantine {
    fn new(kind: Kind, since: Timestamp) -> Self {
        let (trial, suspects, alone) = (Trial::default(), Exclusions::new(), Vec::new());
        Self { since, kind, text: String::new(), trial, suspects, alone }
    }

    /// Puts gateways on trial; true when none were.
    fn add(&mut self, suspects: Exclusions) -> bool {
        let is_first = self.trial.on_trial().next().is_none();
        for (name, exclusion) in suspects {
            if !self.suspects.contains_key(&name) {
                self.trial.begin(&name, false);
                self.suspects.insert(name, exclusion);
            }
        }
        is_first
    }

    /// Looks on for the one among those on trial.
    fn search(&mut self, on_trial: Vec<GatewayName>, now: Timestamp) -> Found {
        if on_trial.len() > 1
            && let Some(name) = self.alone.pop()
        {
            // Without the one before it was refused as well.
            self.trial.next_group(now);
            self.trial.step_back(vec![name], now);
            return Found::Search;
        }
        match self.trial.refused(on_trial, &self.text, now) {
            Ruling::Refused(name) => Found::Gateway(name),
            Ruling::Offers => Found::Search,
            Ruling::Nothing => Found::Nothing,
        }
    }

    fn refusing(&self, node: &Arc<Node>, gateway: &GatewayName, offers: &Offers) -> Option<Refusing> {
        let Standing::Refused(text) = self.trial.standing(gateway) else { return None };
        let (exclusion, told) = (self.suspects.get(gateway)?, offers.routes_of(gateway)?);
        let is_closed = exclusion.covers(&told.gateway) && exclusion.closes(told);
        let (node, gateway, text) = (Arc::clone(node), gateway.clone(), text.clone());
        Some(Refusing { node, gateway, text, is_closed })
    }

    /// It refuses what it is told in place of the newest versions.
    fn refuse_before(&mut self, told: &BTreeSet<GatewayName>) -> Found {
        let mut closed = Vec::new();
        for (name, exclusion) in &mut self.suspects {
            if told.contains(name) && exclusion.instead.take().is_some() {
                closed.push(name.clone());
            }
        }
        if closed.is_empty() { Found::Nothing } else { Found::Before(closed) }
    }
}

/// Gateways to be left out one at a time, those with more that an Envoy may refuse last.
fn likeliest_last(suspects: &Exclusions, on_trial: &[GatewayName]) -> Vec<GatewayName> {
    let peculiar = |name: &GatewayName| {
        let gateway = suspects.get(name).map(|exclusion| &exclusion.refused);
        gateway.map_or(0, |g| {
            let is_open = g.authentication == Authentication::None;
            [
                !is_open,
                !g.matches.is_empty(),
                g.shadow.is_some(),
                g.affinity.is_some(),
                g.direct_access.is_some(),
            ]
            .into_iter()
            .filter(|is_so| *is_so)
            .count()
        })
    };
    let mut order = on_trial.to_vec();
    order.sort_by_key(peculiar);
    let begin = order.len().saturating_sub(ALONE);
    order.split_off(begin)
}
