//! What Envoys took and refused, and which gateways that is about.

use super::super::event::{Note, NoteKind};
use super::super::offer::{Version, sees};
use super::super::trial::{Ruling, Standing};
use super::{Wanted, World};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::resource::{Kind, Resource};
use crate::translate;
use crate::xds::Verdict;
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    /// Takes what an Envoy answered; true when what is offered is different now.
    pub(super) fn take_verdict(&mut self, verdict: Verdict, now: Timestamp) -> bool {
        match verdict {
            Verdict::Accepted { first, .. } => {
                let gateways: Vec<GatewayName> = first
                    .iter()
                    .filter(|r| r.kind() == Kind::Route && self.is_current(r))
                    .flat_map(|r| self.suspects_in(r))
                    .collect();
                let (freed, ruling) = self.trial.taken(gateways, now);
                for name in freed {
                    if let Some(wanted) = self.wanted.get_mut(&name) {
                        wanted.taken = self.offers.told(&name, &wanted.newest).cloned();
                    }
                }
                let absolved = self.blamed.take(&first);
                if ruling == Ruling::Nothing && absolved.is_empty() {
                    return false;
                }
                for (name, version, kind) in absolved {
                    self.absolve(&name, version, kind, now);
                }
            }
            Verdict::Refused { resources, text, .. } => {
                // What another Envoy has taken is good; what is no longer offered is settled.
                let refused: Vec<&Arc<Resource>> =
                    resources.iter().filter(|r| !r.is_accepted() && self.is_current(r)).collect();
                let suspects: BTreeSet<GatewayName> =
                    refused.iter().flat_map(|r| self.suspects_in(r)).collect();
                self.tell_of_common(&resources, &text, now);
                match self.trial.refused(suspects, &text, now) {
                    Ruling::Nothing => return false,
                    Ruling::Offers => {}
                    Ruling::Refused(name) => {
                        let newest = self.wanted.get(&name).map(|wanted| &wanted.newest);
                        if let Some(version) = newest.and_then(|newest| self.offers.version(newest)).cloned()
                        {
                            self.blamed.insert(name.clone(), version, refused.into_iter());
                        }
                        self.note(
                            now,
                            &name,
                            NoteKind::Refused,
                            format!("Envoy refuses gateway {name}: {text}"),
                        );
                    }
                }
            }
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
            if !common || !self.is_current(resource) {
                continue;
            }
            if self.told_refused.insert((kind, Arc::clone(name)), version) != Some(version) {
                let message = format!("Envoy refuses {kind} {name}: {text}");
                self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
            }
        }
    }

    /// The audiences (`None`: everyone) that are told this very resource now.
    fn audiences_of(&self, resource: &Resource) -> impl Iterator<Item = Option<&str>> {
        let named = self.fleet.named.iter().map(|(audience, snapshot)| (Some(&**audience), snapshot));
        let (kind, name, version) = (resource.kind(), Arc::clone(resource.name()), resource.version());
        std::iter::once((None, &self.fleet.everyone))
            .chain(named)
            .filter(move |(_, s)| s.get(kind, &name).is_some_and(|r| r.version() == version))
            .map(|(audience, _)| audience)
    }

    /// Whether a resource is what some audience is told now.
    fn is_current(&self, resource: &Resource) -> bool {
        self.audiences_of(resource).next().is_some()
    }

    /// The gateways on trial whose newest version a resource holds.
    fn suspects_in(&self, resource: &Resource) -> Vec<GatewayName> {
        let owner = match resource.kind() {
            Kind::Cluster | Kind::Endpoint | Kind::Secret => translate::owner(resource),
            // A listener depends on no gateway.
            Kind::Runtime | Kind::Listener => None,
            Kind::ScopedRoute | Kind::Route => {
                // One name, but another content for each audience.
                let audiences: Vec<Option<&str>> = self.audiences_of(resource).collect();
                let is_told = |name: &&GatewayName| {
                    let told = |w: &Wanted| self.offers.told(name, &w.newest).is_some();
                    *self.trial.standing(name) == Standing::OnTrial
                        && self.wanted.get(*name).is_some_and(told)
                };
                if let Some((listener, host)) = translate::parse_scope_name(resource.name()) {
                    let on_host = audiences.iter().flat_map(|a| self.boards.on_host(*a, listener, host));
                    return on_host.filter(is_told).cloned().collect();
                }
                let is_in = |name: &&GatewayName| {
                    self.wanted.get(*name).is_some_and(|w| {
                        w.newest.listener.as_str() == &**resource.name()
                            && audiences.iter().any(|a| sees(&w.newest.proxies, *a))
                    })
                };
                return self.trial.on_trial().filter(is_in).filter(is_told).cloned().collect();
            }
        };
        owner.into_iter().filter(|name| *self.trial.standing(name) == Standing::OnTrial).collect()
    }
}
