//! Gateways that do not fit together: one name twice, or one listener, host and path twice.

use super::Loaded;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::{Gateway, Host};
use crate::names::{GatewayName, ListenerName};
use std::collections::{BTreeMap, BTreeSet};

/// Finds the files that have to give way: the index of each, with a diagnostic that names the other file.
///
/// The input is in the order of seniority: of two files that claim the same, the first keeps serving. A file that
/// gives way claims nothing. Gateways for different Envoys, by `proxies`, never meet, so they may share a route.
pub fn conflicts<'a>(loaded: impl IntoIterator<Item = &'a Loaded>) -> Vec<(usize, Diagnostic)> {
    let mut names: BTreeMap<&GatewayName, &Place> = BTreeMap::new();
    let mut routes: BTreeMap<(&ListenerName, &Host, &str), Claims<'a>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, file) in loaded.into_iter().enumerate() {
        let before = found.len();
        if let Some(name) = &file.name
            && let Some(other) = names.get(name)
        {
            found.push((index, same_name(file, name, other)));
        }
        if let Some(gateway) = file.gateway.as_deref() {
            for host in &gateway.hosts {
                let claims = routes.get(&(&gateway.listener, host, gateway.path.as_str()));
                if let Some(other) = claims.and_then(|claims| claims.meets(&gateway.proxies)) {
                    found.push((index, same_route(file, gateway, host, other)));
                }
            }
        }
        if found.len() > before {
            continue;
        }
        if let Some(name) = &file.name {
            names.insert(name, &file.place_of_name);
        }
        if let Some(gateway) = file.gateway.as_deref() {
            for host in &gateway.hosts {
                let claims = routes.entry((&gateway.listener, host, gateway.path.as_str())).or_default();
                claims.add(&gateway.proxies, &file.place_of_route);
            }
        }
    }
    found
}

/// Who serves one listener, host and path.
#[derive(Default)]
struct Claims<'a> {
    on_every_proxy: Option<&'a Place>,
    /// The eldest of those that serve on some.
    eldest: Option<&'a Place>,
    by_proxy: BTreeMap<&'a str, &'a Place>,
}

impl<'a> Claims<'a> {
    /// One who serves on an Envoy that a set selects; the empty set selects all.
    fn meets(&self, proxies: &BTreeSet<String>) -> Option<&'a Place> {
        if self.on_every_proxy.is_some() {
            return self.on_every_proxy;
        }
        if proxies.is_empty() {
            return self.eldest;
        }
        proxies.iter().find_map(|proxy| self.by_proxy.get(proxy.as_str()).copied())
    }

    fn add(&mut self, proxies: &'a BTreeSet<String>, place: &'a Place) {
        if proxies.is_empty() {
            self.on_every_proxy = Some(place);
        }
        self.eldest.get_or_insert(place);
        self.by_proxy.extend(proxies.iter().map(|proxy| (proxy.as_str(), place)));
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
