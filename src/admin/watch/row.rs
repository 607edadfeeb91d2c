//! What the list shows of a gateway: little, and nothing that changes each second.

use crate::control::{GatewayView, Phase};
use crate::diag::{Diagnostic, Severity};
use crate::weight::Weight;
use serde::Serialize;
use std::sync::Arc;

/// A row of the list. `None` where nothing is served.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    name: Arc<str>,
    file: Arc<str>,
    phase: Phase,
    serving: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    hosts: Vec<String>,
    path: Option<String>,
    listener: Option<String>,
    authentication: Option<&'static str>,
    upstreams: Vec<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Release>,
    /// How many errors and warnings there are.
    errors: usize,
    warnings: usize,
    /// The first of the errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Share {
    name: String,
    /// In percent.
    weight: Weight,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Release {
    primary: String,
    canary: String,
    weight: Weight,
    /// The weights of all steps.
    steps: Vec<Weight>,
    revision: u64,
}

impl Row {
    pub(super) fn of(view: &GatewayView) -> Self {
        let served = view.gateway.as_ref();
        let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
        let errors = view.diagnostics.iter().filter(is_error).count();
        Self {
            name: Arc::clone(&view.name),
            file: Arc::clone(&view.file),
            phase: view.phase,
            serving: view.serving,
            description: served.map(|g| g.description.clone()).filter(|d| !d.is_empty()),
            hosts: served.map(|g| g.hosts.clone()).unwrap_or_default(),
            path: served.map(|g| g.path.clone()),
            listener: served.map(|g| g.listener.clone()),
            authentication: served.map(|g| g.authentication),
            upstreams: served
                .into_iter()
                .flat_map(|g| &g.upstreams)
                .map(|u| Share { name: u.name.clone(), weight: u.weight, version: u.version.clone() })
                .collect(),
            shadow: served.and_then(|g| g.shadow.as_ref()).map(|s| s.upstream.clone()),
            rollout: view.rollout.as_ref().map(|r| Release {
                primary: r.primary.clone(),
                canary: r.canary.clone(),
                weight: r.weight,
                steps: r.steps.iter().map(|s| s.weight).collect(),
                revision: r.revision,
            }),
            errors,
            warnings: view.diagnostics.len() - errors,
            problem: view.diagnostics.iter().find(is_error).map(|d| d.message.clone()),
        }
    }
}
