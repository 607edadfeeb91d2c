//! What people may see: plain values, without secrets, made anew in each turn that changes something.

use super::files::Files;
use super::issuers::{self, Fetch, Issuers, Unfetched};
use super::trial::Trial;
use super::world::Wanted;
use crate::config::Loaded;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::snapshot::Fleet;
use crate::translate;
use crate::weight::Weight;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that can be seen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By name; a file whose name cannot be read stands under its path.
    pub gateways: BTreeMap<Arc<str>, Arc<GatewayView>>,
    /// What Envoys are told.
    pub fleet: Fleet,
    /// All gateway files are gone at once.
    pub all_vanished: bool,
    /// What is to be fetched of token issuers and providers of logins.
    pub fetches: BTreeSet<Fetch>,
}

/// Where a gateway stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Phase {
    /// It serves what its file says.
    Stable,
    /// Its newest version is in error; the last good one serves on, if there is one.
    Invalid,
}

impl Phase {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "Stable",
            Self::Invalid => "Invalid",
        }
    }
}

/// One gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayView {
    /// Unique.
    pub name: Arc<str>,
    /// Below the watched directory.
    pub file: Arc<str>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether Envoys are told of it at all; in phase `Invalid` it is then the last good version.
    pub serving: bool,
    /// What serves.
    #[serde(flatten)]
    pub gateway: Option<Served>,
    /// What is wrong or suspicious about the newest version.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a gateway that serves looks like.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// For people.
    pub description: String,
    /// For people and their tools.
    pub labels: BTreeMap<String, String>,
    /// The Envoys that serve it; empty: all.
    pub proxies: Vec<String>,
    /// Where requests come in.
    pub listener: String,
    /// As in the file.
    pub hosts: Vec<String>,
    /// As in the file.
    pub path: String,
    /// "none", "basicAuth", "accessKey", "jwt" or "oauth2"; "closed" when nobody is let in.
    pub authentication: &'static str,
    /// In the order of the file.
    pub upstreams: Vec<UpstreamView>,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamView {
    /// Unique in its gateway.
    pub name: String,
    /// `host:port`
    pub endpoints: Vec<String>,
    /// "http1", "http2" or "grpc".
    pub protocol: &'static str,
    /// Of the ML model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of the ML model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its share of the split, in percent.
    pub weight: Weight,
    /// Its name in Envoy's statistics.
    pub cluster: String,
}

/// The views of last time, and what each was made of: of many gateways few change in a turn.
#[derive(Debug, Default)]
pub(super) struct Cache {
    by_path: BTreeMap<Arc<str>, (Facts, Arc<GatewayView>)>,
}

/// All that the view of one file is made of.
#[derive(Debug)]
struct Facts {
    name: Arc<str>,
    loaded: Arc<Loaded>,
    conflicts: Vec<Diagnostic>,
    refusal: Option<String>,
    /// What it wants of others and cannot get.
    unfetched: Vec<Unfetched>,
    serving: Option<Arc<Gateway>>,
}

impl Facts {
    fn is_same(&self, other: &Self) -> bool {
        let same_gateway = match (&self.serving, &other.serving) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_gateway
            && Arc::ptr_eq(&self.loaded, &other.loaded)
            && self.name == other.name
            && self.conflicts == other.conflicts
            && self.refusal == other.refusal
            && self.unfetched == other.unfetched
    }

    fn view(&self, path: &Arc<str>) -> GatewayView {
        let mut diagnostics = [&self.loaded.diagnostics[..], &self.conflicts[..]].concat();
        diagnostics.extend(self.refusal.as_deref().map(|text| refusal(path, text)));
        diagnostics.extend(self.unfetched.iter().map(|unfetched| not_fetched(path, unfetched)));
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        GatewayView {
            name: Arc::clone(&self.name),
            file: Arc::clone(path),
            phase: if broken { Phase::Invalid } else { Phase::Stable },
            serving: self.serving.is_some(),
            gateway: self.serving.as_deref().map(served),
            diagnostics,
        }
    }
}

/// What people may see now.
pub(super) fn view(
    cache: &mut Cache,
    files: &Files,
    wanted: &BTreeMap<GatewayName, Wanted>,
    trial: &Trial,
    issuers: &Issuers,
    fleet: &Fleet,
) -> View {
    let mut gateways = BTreeMap::new();
    let by_file: BTreeMap<&Arc<str>, &Wanted> = wanted.values().map(|w| (&w.file, w)).collect();
    let mut next = BTreeMap::new();
    for (path, file) in files.iter() {
        let own = by_file.get(path).copied();
        if file.is_vanished() && own.is_none() {
            continue;
        }
        // The name that serves, whatever the broken file says now. A second file with a name that is taken must
        // not hide the one that has it.
        let free = |n: &&GatewayName| !wanted.contains_key(*n) && !gateways.contains_key(n.as_str());
        let name = own.map(|w| &w.newest.name).or_else(|| file.name().filter(free));
        let name: Arc<str> = name.map_or_else(|| path.clone(), |n| n.as_str().into());
        let facts = Facts {
            name: Arc::clone(&name),
            loaded: Arc::clone(file.newest()),
            conflicts: file.conflicts().to_vec(),
            refusal: own.and_then(|w| w.refusal(trial)).map(str::to_owned),
            unfetched: own.map(|w| issuers.unfetched(&w.newest)).unwrap_or_default(),
            serving: own.and_then(|w| w.serving(trial)),
        };
        let view = match cache.by_path.remove(path) {
            Some((known, view)) if known.is_same(&facts) => view,
            _ => Arc::new(facts.view(path)),
        };
        gateways.insert(name, Arc::clone(&view));
        next.insert(Arc::clone(path), (facts, view));
    }
    cache.by_path = next;
    let fetches = wanted.values().flat_map(|w| issuers::wants(&w.newest)).collect();
    View { gateways, fleet: fleet.clone(), all_vanished: files.all_vanished, fetches }
}

fn not_fetched(path: &Arc<str>, unfetched: &Unfetched) -> Diagnostic {
    let Unfetched { what, why, has_older } = unfetched;
    let (severity, then) = if *has_older {
        (Severity::Warning, "those of last time count")
    } else {
        (Severity::Error, "the gateway answers 503 to everyone")
    };
    let (code, what, help) = match what {
        Fetch::Keys(_) => (
            Code::KeysNotFetched,
            "keys of the issuer",
            "look whether `jwksUri` is right and can be reached from here, or use `jwksFile`",
        ),
        Fetch::Metadata(_) => (
            Code::ProviderNotFound,
            "endpoints of the issuer",
            "look whether `issuer` is right and can be reached from here, or write its endpoints",
        ),
    };
    Diagnostic {
        severity,
        code,
        place: Place::file(Arc::clone(path)),
        message: format!("the {what} cannot be fetched, {then}: {why}"),
        help: Some(help.into()),
    }
}

fn refusal(path: &Arc<str>, text: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::RefusedByEnvoy,
        place: Place::file(Arc::clone(path)),
        message: format!("Envoy refuses this gateway: {text}"),
        help: Some("change what Envoy names; the last version that it took serves on".into()),
    }
}

fn served(gateway: &Gateway) -> Served {
    Served {
        description: gateway.description.clone(),
        labels: gateway.labels.clone(),
        proxies: gateway.proxies.iter().cloned().collect(),
        listener: gateway.listener.to_string(),
        hosts: gateway.hosts.iter().map(ToString::to_string).collect(),
        path: gateway.path.clone(),
        authentication: gateway.authentication.as_str(),
        upstreams: gateway
            .upstreams
            .iter()
            .map(|u| UpstreamView {
                name: u.name.to_string(),
                endpoints: u.endpoints.iter().map(ToString::to_string).collect(),
                protocol: u.protocol.as_str(),
                model: u.model.clone(),
                version: u.version.clone(),
                weight: gateway.traffic.of(&u.name),
                cluster: translate::cluster_name(&gateway.name, &u.name),
            })
            .collect(),
    }
}
