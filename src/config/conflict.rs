//! Gateways that do not fit together: one name twice, or one listener, host and path twice.

use super::Loaded;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::{Gateway, Host};
use crate::names::{GatewayName, ListenerName};
use std::collections::{BTreeMap, BTreeSet};

/// A file that takes part in the resolution of conflicts.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The version that wants a name and routes.
    pub wants: &'a Loaded,
    /// The version that was accepted before: what it claims and `wants` still does is nobody else's.
    pub holds: Option<&'a Loaded>,
}

/// Finds the files that have to give way: the index of each, with a diagnostic that names the other file.
///
/// The input is in the order of precedence: of two files that claim the same, the first keeps serving. A file that
/// gives way claims nothing. Gateways for different Envoys, by `proxies`, never meet, so they may share a route.
pub fn conflicts<'a>(loaded: impl IntoIterator<Item = &'a Loaded>) -> Vec<(usize, Diagnostic)> {
    let claimants: Vec<_> = loaded.into_iter().map(|wants| Claimant { wants, holds: None }).collect();
    conflicts_among(&claimants)
}

/// Finds the files that have to give way, as [`conflicts`] does, where some hold what they claim already.
pub fn conflicts_among(claimants: &[Claimant<'_>]) -> Vec<(usize, Diagnostic)> {
    let mut owners = Owners::default();
    for (index, claimant) in claimants.iter().enumerate() {
        claimant.holds.into_iter().for_each(|holds| owners.keep(index, holds, claimant.wants));
    }
    let mut found = Vec::new();
    for (index, Claimant { wants, .. }) in claimants.iter().enumerate() {
        let before = found.len();
        let diagnostics = owners.conflicts_of(index, wants);
        found.extend(diagnostics.into_iter().map(|diagnostic| (index, diagnostic)));
        if found.len() == before {
            owners.take(index, wants);
        }
    }
    found
}

/// Who has which name and which route, by the index of a claimant.
#[derive(Default)]
struct Owners<'a> {
    names: BTreeMap<&'a GatewayName, (usize, &'a Place)>,
    routes: BTreeMap<(&'a ListenerName, &'a Host, &'a str), RouteOwners<'a>>,
}

impl<'a> Owners<'a> {
    /// Gives a file what it holds, as far as it wants that still and no file before it holds it.
    fn keep(&mut self, index: usize, holds: &'a Loaded, wants: &'a Loaded) {
        if let Some(name) = holds.name.as_ref().filter(|name| wants.name.as_ref() == Some(name)) {
            self.names.entry(name).or_insert((index, &holds.place_of_name));
        }
        let (Some(held), Some(wanted)) = (holds.gateway.as_deref(), wants.gateway.as_deref()) else { return };
        if (&held.listener, &held.path) != (&wanted.listener, &wanted.path) {
            return;
        }
        let on = common(&held.proxies, &wanted.proxies);
        for host in held.hosts.iter().filter(|host| wanted.hosts.contains(host)) {
            let owners = self.routes.entry((&held.listener, host, held.path.as_str())).or_default();
            if owners.other_than(index, &on).is_none() {
                owners.add(index, &on, &holds.place_of_route);
            }
        }
    }

    fn take(&mut self, index: usize, wants: &'a Loaded) {
        if let Some(name) = &wants.name {
            self.names.insert(name, (index, &wants.place_of_name));
        }
        let Some(gateway) = wants.gateway.as_deref() else { return };
        for host in &gateway.hosts {
            let owners = self.routes.entry((&gateway.listener, host, gateway.path.as_str())).or_default();
            owners.add(index, &selectors(&gateway.proxies), &wants.place_of_route);
        }
    }

    fn conflicts_of(&self, index: usize, wants: &Loaded) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        if let Some(name) = &wants.name
            && let Some((_, other)) = self.names.get(name).filter(|(owner, _)| *owner != index)
        {
            found.push(same_name(wants, name, other));
        }
        let Some(gateway) = wants.gateway.as_deref() else { return found };
        let on = selectors(&gateway.proxies);
        for host in &gateway.hosts {
            let owners = self.routes.get(&(&gateway.listener, host, gateway.path.as_str()));
            if let Some(other) = owners.and_then(|owners| owners.other_than(index, &on)) {
                found.push(same_route(wants, gateway, host, other));
            }
        }
        found
    }
}

/// Who serves one listener, host and path.
#[derive(Default)]
struct RouteOwners<'a> {
    /// By what selects an Envoy, as [`selectors`] has it.
    by_proxy: BTreeMap<Option<&'a str>, (usize, &'a Place)>,
}

impl<'a> RouteOwners<'a> {
    /// A claimant other than `index` that serves on an Envoy that one of the selectors selects.
    fn other_than(&self, index: usize, on: &[Option<&str>]) -> Option<&'a Place> {
        let other = |(owner, _): &&(usize, &'a Place)| *owner != index;
        let found = if on.contains(&None) {
            self.by_proxy.values().filter(other).min_by_key(|(owner, _)| *owner)
        } else {
            std::iter::once(&None).chain(on).find_map(|proxy| self.by_proxy.get(proxy).filter(other))
        };
        found.map(|(_, place)| *place)
    }

    fn add(&mut self, index: usize, on: &[Option<&'a str>], place: &'a Place) {
        self.by_proxy.extend(on.iter().map(|proxy| (*proxy, (index, place))));
    }
}

/// The Envoys that `proxies` selects, by their `node.cluster`; `None`: all, which is what an empty set means.
fn selectors(proxies: &BTreeSet<String>) -> Vec<Option<&str>> {
    if proxies.is_empty() { vec![None] } else { proxies.iter().map(|proxy| Some(proxy.as_str())).collect() }
}

/// The Envoys that both sets select.
fn common<'a>(one: &'a BTreeSet<String>, other: &'a BTreeSet<String>) -> Vec<Option<&'a str>> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => selectors(other),
        (_, true) => selectors(one),
        _ => one.intersection(other).map(|proxy| Some(proxy.as_str())).collect(),
    }
}

fn same_name(file: &Loaded, name: &GatewayName, other: &Place) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::SameName,
        place: file.place_of_name.clone(),
        message: format!("the name `{name}` belongs to the gateway in {}", other.file),
        help: Some("give each gateway a name of its own".into()),
    }
}

fn same_route(file: &Loaded, gateway: &Gateway, host: &Host, other: &Place) -> Diagnostic {
    let Gateway { path, listener, .. } = gateway;
    Diagnostic {
        severity: Severity::Error,
        code: Code::SameRoute,
        place: file.place_of_route.clone(),
        message: format!(
            "host `{host}` with path `{path}` on listener `{listener}` is served by the gateway in {}",
            other.file
        ),
        help: Some(
            "choose another `host`, `path` or `listener`, or `proxies` that the two do not share".into(),
        ),
    }
}
