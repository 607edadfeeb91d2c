//! What Envoys are told about each gateway, and for how long.
//!
//! Traffic must never meet a cluster that is not there. A version that brings a new upstream is therefore told in
//! two steps: its clusters first, its routes when Envoys had time to find the endpoints. What routes no longer
//! refer to stays for a while. Both are a matter of time, since no Envoy says that a cluster is warm.

use super::exclusion::{self, Exclusion};
use super::{LINGER, WARM_UP, WARM_UP_MAX};
use crate::clock::Timestamp;
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::resource::{Kind, Resource};
use crate::translate::{self, Parts, Release};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A gateway and its translation.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) gateway: Arc<Gateway>,
    parts: Arc<Parts>,
    /// The same for applications that use gRPC without a proxy; `None`: it is not there for them.
    grpc: Option<Arc<Parts>>,
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
    /// The same for applications that use gRPC without a proxy.
    grpc: Option<Arc<Resource>>,
    proxies: BTreeSet<String>,
    until: Timestamp,
}

/// What is told about all gateways.
#[derive(Debug, Default)]
pub(super) struct Offers {
    told: BTreeMap<GatewayName, Told>,
    lingering: BTreeMap<GatewayName, Vec<Lingering>>,
    /// When something is to be done about which gateway: one moment for each that has any.
    due: BTreeSet<(Timestamp, GatewayName)>,
    due_of: BTreeMap<GatewayName, Timestamp>,
    /// The gateways of which something else is told than when it was asked last.
    changed: BTreeSet<GatewayName>,
    /// Versions whose routes were told until something else was, since it was asked last; `None`: there was none.
    replaced: Vec<(GatewayName, Option<Version>)>,
}

impl Version {
    /// The translation of a gateway, of which that version was told before.
    pub(super) fn new(gateway: Arc<Gateway>, before: Option<&Self>) -> Self {
        let same = before.and_then(|v| translate::with_other_weights(&gateway, &v.gateway, &v.parts));
        let parts = Arc::new(same.unwrap_or_else(|| translate::gateway(&gateway)));
        Self { parts, grpc: translate::proxyless(&gateway).map(Arc::new), gateway }
    }

    /// The encoded routes.
    pub(super) fn routes(&self) -> &Bytes {
        &self.parts.routes
    }

    /// The oldest release of Envoy that takes it as it is meant.
    pub(super) fn needs(&self) -> Release {
        self.parts.needs
    }

    /// The same place with nobody let in.
    pub(super) fn closed(&self) -> Self {
        Self::new(Arc::new(exclusion::closed(&self.gateway)), None)
    }

    /// Whether it is this very translation.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// What applications that use gRPC without a proxy are told.
    pub(super) fn grpc(&self) -> Option<&Arc<Parts>> {
        self.grpc.as_ref()
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
        self.tell(name, version, now, until);
        self.note(name);
    }

    fn tell(&mut self, name: &GatewayName, version: Option<Version>, now: Timestamp, until: Timestamp) {
        let Some(version) = version else {
            if let Some(told) = self.told.remove(name) {
                let Told { routes, warming } = told;
                self.replaced.push((name.clone(), Some(routes.clone())));
                self.linger(&routes, now, until);
                warming.into_iter().for_each(|(w, _)| self.linger(&w, now, until));
            }
            return;
        };
        let Some(told) = self.told.get_mut(name) else {
            self.told.insert(name.clone(), Told { routes: version, warming: None });
            self.replaced.push((name.clone(), None));
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
            self.replaced.push((name.clone(), Some(old.clone())));
            self.linger(&old, now, until);
        }
    }

    /// Something else is told of this gateway from now on.
    fn note(&mut self, name: &GatewayName) {
        self.changed.insert(name.clone());
        let warm = self.told.get(name).and_then(|t| t.warming.as_ref().map(|(_, until)| *until));
        let gone = self.lingering.get(name).into_iter().flatten().map(|l| l.until);
        let due = warm.into_iter().chain(gone).min();
        if let Some(before) = self.due_of.remove(name) {
            self.due.remove(&(before, name.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.clone()));
            self.due_of.insert(name.clone(), due);
        }
    }

    /// Lets time pass; true when what is told is different now.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let due: Vec<GatewayName> =
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, name)| name.clone()).collect();
        for name in &due {
            if let Some(told) = self.told.get_mut(name)
                && let Some((version, _)) = told.warming.take_if(|(_, until)| *until <= now)
            {
                let old = std::mem::replace(&mut told.routes, version);
                self.replaced.push((name.clone(), Some(old.clone())));
                self.linger(&old, now, now.plus(LINGER));
            }
            if let Some(lingering) = self.lingering.get_mut(name) {
                lingering.retain(|l| l.until > now);
                if lingering.is_empty() {
                    self.lingering.remove(name);
                }
            }
            self.note(name);
        }
        !due.is_empty()
    }

    /// When [`Offers::advance`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The translation of a gateway that may be told next.
    pub(super) fn translated(&self, gateway: Arc<Gateway>) -> Version {
        let before = self.versions(&gateway.name).next();
        Version::new(gateway, before)
    }

    /// The gateways of which something else is told than when it was asked last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<GatewayName> {
        std::mem::take(&mut self.changed)
    }

    /// The versions whose routes were told until something else was, since it was asked last.
    pub(super) fn take_replaced(&mut self) -> Vec<(GatewayName, Option<Version>)> {
        std::mem::take(&mut self.replaced)
    }

    /// All gateways of which anything is told.
    pub(super) fn names(&self) -> BTreeSet<GatewayName> {
        self.told.keys().chain(self.lingering.keys()).cloned().collect()
    }

    /// The version of a gateway whose routes an audience (`None`: everyone) is told.
    pub(super) fn routes(&self, name: &GatewayName, audience: Option<&str>) -> Option<&Version> {
        self.told.get(name).map(|t| &t.routes).filter(|v| sees(&v.gateway.proxies, audience))
    }

    /// The version of a gateway whose routes are told.
    pub(super) fn routes_of(&self, name: &GatewayName) -> Option<&Version> {
        self.told.get(name).map(|told| &told.routes)
    }

    /// The version of a gateway that a resource of it belongs to.
    pub(super) fn version_with(&self, name: &GatewayName, resource: &Resource) -> Option<&Version> {
        let is_it = |r: &Arc<Resource>| r.kind() == resource.kind() && **r == *resource;
        self.versions(name).find(|version| version.parts.resources.iter().any(is_it))
    }

    /// What Envoys of an audience are told that are not told one version: resources, what counts most first, and routes.
    pub(super) fn without(
        &self,
        name: &GatewayName,
        audience: Option<&str>,
        exclusion: &Exclusion,
    ) -> (Vec<Arc<Resource>>, Option<Version>) {
        let told = self.routes(name, audience);
        let is_left_out = |told: &Version| exclusion.covers(&told.gateway);
        let routes =
            told.map(|told| if is_left_out(told) { exclusion.instead_of(told) } else { told.clone() });
        let others = self.versions(name).filter(|v| !exclusion.covers(&v.gateway));
        let others = others.filter(|v| sees(&v.gateway.proxies, audience)).flat_map(|v| &v.parts.resources);
        let lingering = self.lingering.get(name).into_iter().flatten();
        let lingering = lingering.filter(|l| sees(&l.proxies, audience)).map(|l| &l.resource);
        let own = routes.iter().flat_map(|routes| &routes.parts.resources);
        (own.chain(others).chain(lingering).cloned().collect(), routes)
    }

    /// The version of a gateway whose routes are told, if it is the given one.
    pub(super) fn told(&self, name: &GatewayName, gateway: &Arc<Gateway>) -> Option<&Version> {
        self.told.get(name).map(|t| &t.routes).filter(|v| v.gateway == *gateway)
    }

    /// The translation of this version, if it is told or will be when its clusters are warm.
    pub(super) fn version(&self, gateway: &Arc<Gateway>) -> Option<&Version> {
        self.versions(&gateway.name).find(|v| v.gateway == *gateway)
    }

    /// Whether this version is told, or will be when its clusters are warm.
    pub(super) fn holds(&self, name: &GatewayName, gateway: &Arc<Gateway>) -> bool {
        self.told.get(name).is_some_and(|t| {
            let newest = t.warming.as_ref().map_or(&t.routes, |(v, _)| v);
            newest.gateway == *gateway
        })
    }

    /// The resources of a gateway that an audience (`None`: everyone) should know, what counts most first.
    pub(super) fn resources<'a>(
        &'a self,
        name: &GatewayName,
        audience: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        let told = self.versions(name).filter(move |v| sees(&v.gateway.proxies, audience));
        let lingering = self.lingering.get(name).into_iter().flatten();
        let lingering = lingering.filter(move |l| sees(&l.proxies, audience)).map(|l| &l.resource);
        told.flat_map(|v| &v.parts.resources).chain(lingering)
    }

    /// The `node.cluster`s that a gateway names.
    pub(super) fn audiences_of(&self, name: &GatewayName) -> BTreeSet<Arc<str>> {
        self.versions(name).flat_map(|v| &v.gateway.proxies).map(|p| Arc::from(p.as_str())).collect()
    }

    /// The resources of a gateway that applications that use gRPC without a proxy should know, what counts most first.
    pub(super) fn grpc_resources(&self, name: &GatewayName) -> impl Iterator<Item = &Arc<Resource>> {
        let told = self.versions(name).filter_map(Version::grpc).flat_map(|parts| &parts.resources);
        let lingering = self.lingering.get(name).into_iter().flatten();
        told.chain(lingering.filter_map(|l| l.grpc.as_ref()))
    }

    /// The versions of a gateway of which anything is told, the one whose routes are told last.
    pub(super) fn versions(&self, name: &GatewayName) -> impl Iterator<Item = &Version> {
        self.told.get(name).into_iter().flat_map(|t| t.warming.iter().map(|(v, _)| v).chain([&t.routes]))
    }

    fn linger(&mut self, old: &Version, now: Timestamp, until: Timestamp) {
        if until <= now {
            return;
        }
        let name = &old.gateway.name;
        let told: BTreeSet<_> = self
            .told
            .get(name)
            .into_iter()
            .flat_map(|t| t.routes.parts.resources.iter().map(|r| (r.kind(), Arc::clone(r.name()))))
            .collect();
        for resource in &old.parts.resources {
            if !told.contains(&(resource.kind(), Arc::clone(resource.name()))) {
                let same = |r: &&Arc<Resource>| (r.kind(), r.name()) == (resource.kind(), resource.name());
                let grpc = old.grpc().and_then(|parts| parts.resources.iter().find(same)).cloned();
                let (resource, proxies) = (Arc::clone(resource), old.gateway.proxies.clone());
                let lingering = Lingering { resource, grpc, proxies, until };
                self.lingering.entry(name.clone()).or_default().push(lingering);
            }
        }
    }
}

/// Whether Envoys of an audience (`None`: of none that is named) serve a gateway that is meant for these.
pub(super) fn sees(proxies: &BTreeSet<String>, audience: Option<&str>) -> bool {
    proxies.is_empty() || audience.is_some_and(|a| proxies.contains(a))
}
