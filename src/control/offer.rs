//! What Envoys are told about each gateway, and for how long.
//!
//! Traffic must never meet a cluster that is not there. A version that brings a new upstream is therefore told in
//! two steps: its clusters first, its routes when Envoys had time to find the endpoints. What routes no longer
//! refer to stays for a while. Both are a matter of time, since no Envoy says that a cluster is warm.

use super::{LINGER, WARM_UP, WARM_UP_MAX};
use crate::clock::Timestamp;
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::resource::{Kind, Resource};
use crate::translate::{self, Parts};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A gateway and its translation.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) gateway: Arc<Gateway>,
    parts: Arc<Parts>,
}

/// What is told about one gateway.
#[derive(Debug)]
struct Told {
    /// Its routes are those of this version.
    routes: Version,
    /// The next version, whose clusters are known and whose routes wait until then.
    warming: Option<(Version, Timestamp)>,
}

/// Something that is kept although nothing refers to it any more.
#[derive(Debug)]
struct Lingering {
    resource: Arc<Resource>,
    proxies: BTreeSet<String>,
    until: Timestamp,
}

/// What is told about all gateways.
#[derive(Debug, Default)]
pub(super) struct Offers {
    told: BTreeMap<GatewayName, Told>,
    lingering: Vec<Lingering>,
}

impl Version {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self { parts: Arc::new(translate::gateway(&gateway)), gateway }
    }

    fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.resources.iter().filter(|r| r.kind() == Kind::Cluster).map(|r| r.name())
    }

    /// How long the clusters that `before` does not have need until they can take traffic; `None`: it has them all.
    fn warm_up(&self, before: &Self) -> Option<Duration> {
        let known: BTreeSet<_> = before.clusters().collect();
        // Who may come in changes at once: a new upstream can do without its first requests, a lock cannot wait.
        if self.gateway.authentication != before.gateway.authentication
            || self.clusters().all(|c| known.contains(c))
        {
            return None;
        }
        let checks = self.gateway.upstreams.iter().filter_map(|u| u.health_check.as_ref());
        let slowest = checks.map(|c| c.timeout).max().unwrap_or_default();
        Some((WARM_UP + slowest).min(WARM_UP_MAX))
    }
}

impl Offers {
    /// From now on this is what should be told about a gateway; `None`: nothing.
    pub(super) fn set(&mut self, name: &GatewayName, version: Option<Version>, now: Timestamp) {
        self.replace(name, version, now, now.plus(LINGER));
    }

    /// Like [`Offers::set`], for a version that Envoys refuse: no Envoy can be using what only it has, and some
    /// would go on to refuse it, with all that comes with it.
    pub(super) fn step_back(&mut self, name: &GatewayName, version: Option<Version>, now: Timestamp) {
        self.replace(name, version, now, now);
    }

    fn replace(&mut self, name: &GatewayName, version: Option<Version>, now: Timestamp, until: Timestamp) {
        let Some(version) = version else {
            if let Some(told) = self.told.remove(name) {
                let Told { routes, warming } = told;
                self.linger(&routes, now, until);
                warming.into_iter().for_each(|(w, _)| self.linger(&w, now, until));
            }
            return;
        };
        let Some(told) = self.told.get_mut(name) else {
            self.told.insert(name.clone(), Told { routes: version, warming: None });
            return;
        };
        let mut warm_at = None;
        if let Some((abandoned, at)) = told.warming.take() {
            // Edits that bring no further upstream do not begin the wait anew.
            warm_at = abandoned.clusters().eq(version.clusters()).then_some(at);
            if !Arc::ptr_eq(&abandoned.gateway, &version.gateway) {
                self.linger(&abandoned, now, until);
            }
        }
        let Some(told) = self.told.get_mut(name) else { return };
        if let Some(wait) = version.warm_up(&told.routes) {
            told.warming = Some((version, warm_at.unwrap_or(now.plus(wait))));
        } else {
            let old = std::mem::replace(&mut told.routes, version);
            self.linger(&old, now, until);
        }
    }

    /// Lets time pass; true when what is told is different now.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let mut replaced = Vec::new();
        for told in self.told.values_mut() {
            if let Some((version, _)) = told.warming.take_if(|(_, until)| *until <= now) {
                replaced.push(std::mem::replace(&mut told.routes, version));
            }
        }
        let lingered = self.lingering.len();
        self.lingering.retain(|l| l.until > now);
        let changed = !replaced.is_empty() || self.lingering.len() != lingered;
        replaced.iter().for_each(|old| self.linger(old, now, now.plus(LINGER)));
        changed
    }

    /// When [`Offers::advance`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let warming = self.told.values().filter_map(|t| t.warming.as_ref().map(|(_, until)| *until));
        warming.chain(self.lingering.iter().map(|l| l.until)).min()
    }

    /// The versions whose routes are told, by name.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&Gateway, &Bytes)> {
        self.told.values().map(|t| (t.routes.gateway.as_ref(), &t.routes.parts.routes))
    }

    /// The version of a gateway whose routes are told, if it is the given one.
    pub(super) fn told(&self, name: &GatewayName, gateway: &Arc<Gateway>) -> Option<&Version> {
        self.told.get(name).map(|t| &t.routes).filter(|v| v.gateway == *gateway)
    }

    /// Whether this version is told, or will be when its clusters are warm.
    pub(super) fn holds(&self, name: &GatewayName, gateway: &Arc<Gateway>) -> bool {
        self.told.get(name).is_some_and(|t| {
            let newest = t.warming.as_ref().map_or(&t.routes, |(v, _)| v);
            newest.gateway == *gateway
        })
    }

    /// The resources of all gateways that the Envoys of an audience should know, what counts most first.
    pub(super) fn resources<'a>(
        &'a self,
        sees: impl Fn(&BTreeSet<String>) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        let sees = Arc::new(sees);
        let also = Arc::clone(&sees);
        let told = self.told.values().flat_map(|t| t.warming.iter().map(|(v, _)| v).chain([&t.routes]));
        let told = told.filter(move |v| sees(&v.gateway.proxies)).flat_map(|v| &v.parts.resources);
        told.chain(self.lingering.iter().filter(move |l| also(&l.proxies)).map(|l| &l.resource))
    }

    /// The `node.cluster`s that gateways name.
    pub(super) fn audiences(&self) -> BTreeSet<&str> {
        let told = self.told.values().flat_map(|t| t.warming.iter().map(|(v, _)| v).chain([&t.routes]));
        told.flat_map(|v| &v.gateway.proxies).map(String::as_str).collect()
    }

    fn linger(&mut self, old: &Version, now: Timestamp, until: Timestamp) {
        if until <= now {
            return;
        }
        let told: BTreeSet<_> = self
            .told
            .get(&old.gateway.name)
            .into_iter()
            .flat_map(|t| t.routes.parts.resources.iter().map(|r| (r.kind(), Arc::clone(r.name()))))
            .collect();
        for resource in &old.parts.resources {
            if !told.contains(&(resource.kind(), Arc::clone(resource.name()))) {
                let (resource, proxies) = (Arc::clone(resource), old.gateway.proxies.clone());
                self.lingering.push(Lingering { resource, proxies, until });
            }
        }
    }
}
