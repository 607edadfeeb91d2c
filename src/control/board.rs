//! What each audience is told, put together: of all gateways, only those that changed are looked at.

use super::offer::{Offers, Version};
use super::proxyless::Proxyless;
use crate::model::Routing;
use crate::names::{GatewayName, ListenerName};
use crate::resource::{Kind, Resource};
use crate::snapshot::{Fleet, Patch, Snapshot};
use crate::translate::{self, RouteTable};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What Envoys are told that have a gateway on a listener: the listener, and its certificates.
pub(super) type Listeners = BTreeMap<ListenerName, Vec<Arc<Resource>>>;

/// The resources that are of no gateway.
#[derive(Debug)]
pub(super) struct Common {
    /// For all Envoys.
    pub(super) runtime: Arc<Resource>,
    /// For Envoys that have a gateway on the listener.
    pub(super) listeners: Listeners,
    /// Who signs the certificates of providers of logins: for Envoys that have a gateway with such a login.
    pub(super) authorities: Option<Arc<Resource>>,
}

/// What all audiences are told.
#[derive(Debug)]
pub(super) struct Boards {
    routing: Routing,
    everyone: Board,
    /// By the `node.cluster` that gateways name.
    named: BTreeMap<Arc<str>, Board>,
    /// The gateways that name an audience.
    naming: BTreeMap<Arc<str>, BTreeSet<GatewayName>>,
    /// The audiences that a gateway names.
    named_by: BTreeMap<GatewayName, BTreeSet<Arc<str>>>,
    grpc: Proxyless,
}

/// What one audience is told.
#[derive(Debug)]
struct Board {
    snapshot: Arc<Snapshot>,
    rows: BTreeMap<GatewayName, Row>,
    table: RouteTable,
    /// The gateways that can do nothing without the authorities.
    trusting: BTreeSet<GatewayName>,
}

/// What one gateway has in it.
#[derive(Debug, Default)]
struct Row {
    resources: Vec<(Kind, Arc<str>)>,
    routes: Option<Version>,
}

impl Boards {
    /// Nobody is told anything.
    pub(super) fn new(routing: Routing) -> Self {
        let everyone = Board::new(routing, Arc::default());
        Self {
            routing,
            everyone,
            named: BTreeMap::new(),
            naming: BTreeMap::new(),
            named_by: BTreeMap::new(),
            grpc: Proxyless::default(),
        }
    }

    /// Follows the offers of these gateways. Snapshots in which nothing changed stay the ones they were.
    pub(super) fn follow(&mut self, gateways: &BTreeSet<GatewayName>, offers: &Offers, common: &Common) {
        gateways.iter().for_each(|gateway| self.note_audiences(gateway, offers));
        self.named.retain(|audience, _| self.naming.contains_key(audience));
        for (audience, board) in &mut self.named {
            board.follow(gateways, offers, Some(audience), common, Patch::default());
        }
        for audience in self.naming.keys() {
            if !self.named.contains_key(audience) {
                // Until now these Envoys were told what everyone is: what stays the same keeps its place in memory.
                let snapshot = Arc::clone(&self.everyone.snapshot);
                let mut patch = Patch::default();
                snapshot.resources().for_each(|r| patch.remove(r.kind(), r.name()));
                let mut board = Board::new(self.routing, snapshot);
                board.follow(&offers.names(), offers, Some(audience), common, patch);
                self.named.insert(Arc::clone(audience), board);
            }
        }
        self.everyone.follow(gateways, offers, None, common, Patch::default());
        self.grpc.follow(gateways, offers);
    }

    /// What Envoys should be told.
    pub(super) fn fleet(&self) -> Fleet {
        let named = self.named.iter().map(|(name, board)| (Arc::clone(name), Arc::clone(&board.snapshot)));
        Fleet {
            everyone: Arc::clone(&self.everyone.snapshot),
            named: named.collect(),
            grpc: Arc::clone(self.grpc.snapshot()),
        }
    }

    /// The gateways on an exact host of a listener, as an audience (`None`: everyone) is told.
    pub(super) fn on_host(
        &self,
        audience: Option<&str>,
        listener: &str,
        host: &str,
    ) -> impl Iterator<Item = &GatewayName> {
        let board = audience.map_or(Some(&self.everyone), |audience| self.named.get(audience));
        board.into_iter().flat_map(move |board| board.table.on_host(listener, host))
    }

    fn note_audiences(&mut self, gateway: &GatewayName, offers: &Offers) {
        let now = offers.audiences_of(gateway);
        for audience in self.named_by.remove(gateway).unwrap_or_default() {
            if let Some(gateways) = self.naming.get_mut(&audience) {
                gateways.remove(gateway);
            }
        }
        for audience in &now {
            self.naming.entry(Arc::clone(audience)).or_default().insert(gateway.clone());
        }
        if !now.is_empty() {
            self.named_by.insert(gateway.clone(), now);
        }
        self.naming.retain(|_, gateways| !gateways.is_empty());
    }
}

impl Board {
    fn new(routing: Routing, snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, rows: BTreeMap::new(), table: RouteTable::new(routing), trusting: BTreeSet::new() }
    }

    fn follow(
        &mut self,
        gateways: &BTreeSet<GatewayName>,
        offers: &Offers,
        audience: Option<&str>,
        common: &Common,
        mut patch: Patch,
    ) {
        for gateway in gateways {
            let before = self.rows.remove(gateway).unwrap_or_default();
            let mut row = Row::default();
            self.trusting.remove(gateway);
            for resource in offers.resources(gateway, audience) {
                row.resources.push((resource.kind(), Arc::clone(resource.name())));
                if translate::needs_authorities(resource) {
                    self.trusting.insert(gateway.clone());
                }
                patch.put(Arc::clone(resource));
            }
            before.resources.iter().for_each(|(kind, name)| patch.remove(*kind, name));
            row.routes = offers.routes(gateway, audience).cloned();
            match (&before.routes, &row.routes) {
                (Some(old), Some(new)) if old.is(new) => {}
                (old, new) => {
                    old.iter().for_each(|old| self.table.remove(&old.gateway));
                    new.iter().for_each(|new| self.table.add(&new.gateway, new.routes()));
                }
            }
            if row.routes.is_some() || !row.resources.is_empty() {
                self.rows.insert(gateway.clone(), row);
            }
        }
        for (kind, name, resource) in self.table.take_changed() {
            match resource {
                Some(resource) => patch.put(resource),
                None => patch.remove(kind, &name),
            }
        }
        patch.put(Arc::clone(&common.runtime));
        for (listener, resources) in &common.listeners {
            for resource in resources {
                if self.table.has(listener) {
                    patch.put(Arc::clone(resource));
                } else {
                    patch.remove(resource.kind(), resource.name());
                }
            }
        }
        if let Some(authorities) = &common.authorities {
            if self.trusting.is_empty() {
                patch.remove(authorities.kind(), authorities.name());
            } else {
                patch.put(Arc::clone(authorities));
            }
        }
        self.snapshot = Snapshot::patched(&self.snapshot, patch);
    }
}
