//! What Envoys took and refused, and which gateways that is about.

use super::super::event::{Note, NoteKind};
use super::super::offer::Version;
use super::super::trial::{Ruling, Standing};
use super::{Wanted, World};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::resource::{Kind, Resource};
use crate::snapshot::Node;
use crate::translate;
use crate::xds::{Said, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    /// Takes what an Envoy answered; true when what is offered is different now.
    pub(super) fn take_verdict(&mut self, Said { node, verdict, others }: Said, now: Timestamp) -> bool {
        match verdict {
            Verdict::Came => {
                translate::older(&node.version).is_some_and(|release| self.boards.expect(release))
            }
            Verdict::Accepted { kind, first, taken, .. } => {
                // In this order, since it may be the last of those on trial there.
                let is_free = self.taken_apart(&node, kind, &taken, now);
                self.take_accepted(&first, now) || is_free
            }
            Verdict::Refused { kind, resources, has, text } => {
                let refused: Vec<Arc<Resource>> =
                    resources.into_iter().filter(|r| self.boards.of(&node).tells(r)).collect();
                self.tell_of_common(&refused, &text, now);
                // What another Envoy has taken is good.
                let new: Vec<&Arc<Resource>> = refused.iter().filter(|r| !r.is_accepted()).collect();
                let suspects: BTreeSet<GatewayName> = new.iter().flat_map(|r| self.suspects_in(r)).collect();
                if suspects.is_empty() || self.may_be_taken(&suspects, &others) {
                    self.refuse_apart(&node, kind, (&refused, &has), &text, now)
                } else {
                    self.refuse_for_all(suspects, &new, &text, now)
                }
            }
        }
    }

    /// Whether another Envoy may take what this one refuses: one that is told of it, and has not refused it itself.
    fn may_be_taken(&self, suspects: &BTreeSet<GatewayName>, others: &[Arc<Node>]) -> bool {
        let proxies = |name| self.wanted.get(name).map(|w: &Wanted| &w.newest.proxies);
        others.iter().any(|other| {
            let board = self.boards.of(other);
            !self.quarantines.excludes_any(other, suspects)
                && !suspects.iter().all(|gateway| board.excludes(gateway))
                && suspects.iter().filter_map(proxies).any(|proxies| self.boards.sees(other, proxies))
        })
    }

    /// No Envoy took the newest version of one of these gateways yet, so all are told the ones before.
    fn refuse_for_all(
        &mut self,
        suspects: BTreeSet<GatewayName>,
        refused: &[&Arc<Resource>],
        text: &str,
        now: Timestamp,
    ) -> bool {
        match self.trial.refused(suspects, text, now) {
            Ruling::Nothing => return false,
            Ruling::Offers => {}
            Ruling::Refused(name) => {
                let newest = self.wanted.get(&name).map(|wanted| &wanted.newest);
                if let Some(version) = newest.and_then(|newest| self.offers.version(newest)).cloned() {
                    self.blamed.insert(name.clone(), version, refused.iter().copied());
                }
                self.note(now, &name, NoteKind::Refused, format!("Envoy refuses gateway {name}: {text}"));
            }
        }
        self.offer_moved(now);
        true
    }

    fn take_accepted(&mut self, first: &[Arc<Resource>], now: Timestamp) -> bool {
        let gateways: Vec<GatewayName> =
            first.iter().filter(|r| r.kind() == Kind::Route).flat_map(|r| self.suspects_in(r)).collect();
        let (freed, ruling) = self.trial.taken(gateways, now);
        for name in freed {
            if let Some(wanted) = self.wanted.get_mut(&name) {
                wanted.taken = self.offers.told(&name, &wanted.newest).cloned();
            }
        }
        let absolved = self.blamed.take(first);
        if ruling == Ruling::Nothing && absolved.is_empty() {
            return false;
        }
        for (name, version, kind) in absolved {
            self.absolve(&name, version, kind, now);
        }
        self.offer_moved(now);
        true
    }

    /// An Envoy took what this version was refused for.
    fn absolve(&mut self, name: &GatewayName, version: Version, kind: Kind, now: Timestamp) {
        let Some(wanted) = self.wanted.get_mut(name).filter(|w| w.newest == version.gateway) else { return };
        let taken = kind == Kind::Route;
        if taken {
            wanted.taken = Some(version.clone());
        }
        wanted.absolved = Some(version);
        self.trial.absolve(name, taken);
        let message = format!("gateway {name} is offered again: another Envoy takes what one refused");
        self.note(now, name, NoteKind::Repaired, message);
    }

    /// Tells people that Envoys refuse a listener or its certificate: no gateway can be blamed, nothing can be
    /// offered instead, and somebody has to look.
    fn tell_of_common(&mut self, resources: &[Arc<Resource>], text: &str, now: Timestamp) {
        for resource in resources {
            let (kind, name, version) = (resource.kind(), resource.name(), resource.version());
            let common = matches!(kind, Kind::Runtime | Kind::Listener)
                || (kind == Kind::Secret && translate::owner(resource).is_none());
            if !common {
                continue;
            }
            if self.told_refused.insert((kind, Arc::clone(name)), version) != Some(version) {
                let message = format!("Envoy refuses {kind} {name}: {text}");
                self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
            }
        }
    }

    /// The gateways on trial whose newest version a resource holds.
    fn suspects_in(&self, resource: &Resource) -> Vec<GatewayName> {
        let owner = match resource.kind() {
            Kind::Cluster | Kind::Endpoint | Kind::Secret => translate::owner(resource),
            // A listener depends on no gateway.
            Kind::Runtime | Kind::Listener => None,
            Kind::ScopedRoute | Kind::Route => {
                let is_told = |name: &&GatewayName| {
                    let told = |w: &Wanted| self.offers.told(name, &w.newest).is_some();
                    *self.trial.standing(name) == Standing::OnTrial
                        && self.wanted.get(*name).is_some_and(told)
                };
                let mut suspects = BTreeSet::new();
                // One name, but another content for each audience.
                for board in self.boards.telling(resource) {
                    let is_whole = |name: &&GatewayName| !board.excludes(name);
                    if translate::parse_scope_name(resource.name()).is_some() {
                        let on_host = board.in_routes(resource.name());
                        suspects.extend(on_host.filter(is_told).filter(is_whole).cloned());
                    } else {
                        let is_in = |name: &&GatewayName| board.has_in_routes(name, resource.name());
                        let on_trial = self.trial.on_trial().filter(is_in);
                        suspects.extend(on_trial.filter(is_told).filter(is_whole).cloned());
                    }
                }
                return suspects.into_iter().collect();
            }
        };
        owner.into_iter().filter(|name| *self.trial.standing(name) == Standing::OnTrial).collect()
    }
}
