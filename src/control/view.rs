//! What people may see: plain values, without secrets, made anew in each turn that changes something.

use super::files::Files;
use super::trial::Trial;
use super::world::Wanted;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::Gateway;
use crate::names::GatewayName;
use crate::snapshot::Fleet;
use crate::translate;
use crate::weight::Weight;
use serde::Serialize;
use std::collections::BTreeMap;
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
    /// "none", "basicAuth", "accessKey" or "jwt".
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

pub(super) fn view(
    files: &Files,
    wanted: &BTreeMap<GatewayName, Wanted>,
    trial: &Trial,
    fleet: &Fleet,
) -> View {
    let mut gateways = BTreeMap::new();
    for (path, file) in files.iter() {
        let own = file.name().and_then(|name| wanted.get(name)).filter(|w| w.file == *path);
        if file.is_vanished() && own.is_none() {
            continue;
        }
        let mut diagnostics: Vec<Diagnostic> = file.diagnostics().cloned().collect();
        diagnostics.extend(own.and_then(|w| w.refusal(trial)).map(|text| refusal(path, text)));
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        let serving = own.and_then(|w| w.serving(trial));
        // A second file with a name that is taken must not hide the one that serves.
        let name = file.name().filter(|n| own.is_some() || !wanted.contains_key(*n));
        let name: Arc<str> = name.map_or_else(|| path.clone(), |n| n.as_str().into());
        let view = GatewayView {
            name: name.clone(),
            file: path.clone(),
            phase: if broken { Phase::Invalid } else { Phase::Stable },
            serving: serving.is_some(),
            gateway: serving.map(|g| served(g)),
            diagnostics,
        };
        gateways.insert(name, Arc::new(view));
    }
    View { gateways, fleet: fleet.clone(), all_vanished: files.all_vanished }
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
