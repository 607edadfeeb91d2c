//! What applications are told that use gRPC without a proxy: the gateways that Envoys are offered, in the form that gRPC
//! understands. Whether gRPC takes them has no say in what Envoys are told.

use super::offer::{Offers, Version};
use crate::names::GatewayName;
use crate::resource::Kind;
use crate::snapshot::{Patch, Snapshot};
use crate::translate::Targets;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What they are told.
#[derive(Debug, Default)]
pub(super) struct Proxyless {
    snapshot: Arc<Snapshot>,
    rows: BTreeMap<GatewayName, Row>,
    targets: Targets,
}

/// What one gateway has in it.
#[derive(Debug, Default)]
struct Row {
    resources: Vec<(Kind, Arc<str>)>,
    routes: Option<Version>,
}

impl Proxyless {
    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Follows the offers of these gateways.
    pub(super) fn follow(&mut self, gateways: &BTreeSet<GatewayName>, offers: &Offers) {
        let mut patch = Patch::default();
        for gateway in gateways {
            let before = self.rows.remove(gateway).unwrap_or_default();
            let mut row = Row::default();
            for resource in offers.grpc_resources(gateway) {
                row.resources.push((resource.kind(), Arc::clone(resource.name())));
                patch.put(Arc::clone(resource));
            }
            before.resources.iter().for_each(|(kind, name)| patch.remove(*kind, name));
            row.routes = offers.routes(gateway, None).filter(|version| version.grpc().is_some()).cloned();
            match (&before.routes, &row.routes) {
                (Some(old), Some(new)) if old.is(new) => {}
                (old, new) => {
                    old.iter().for_each(|old| self.targets.remove(&old.gateway));
                    let parts = new.iter().filter_map(|new| Some((&new.gateway, new.grpc()?)));
                    parts.for_each(|(gateway, parts)| self.targets.add(gateway, &parts.routes));
                }
            }
            if row.routes.is_some() || !row.resources.is_empty() {
                self.rows.insert(gateway.clone(), row);
            }
        }
        for (kind, name, resource) in self.targets.take_changed() {
            match resource {
                Some(resource) => patch.put(resource),
                None => patch.remove(kind, &name),
            }
        }
        self.snapshot = Snapshot::patched(&self.snapshot, patch);
    }
}
