//! What each audience is told, put together: of all gateways, only those that changed are looked at.

use super::exclusion::Exclusions;
use super::offer::{Offers, Version, sees};
use super::proxyless::Proxyless;
use crate::model::Routing;
use crate::names::{GatewayName, ListenerName};
use crate::resource::{self, Kind, Resource};
use crate::snapshot::{Fleet, Node, Older, Patch, Snapshot};
use crate::translate::{self, Release, RouteTable};
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
    /// The same listeners as older Envoys take them.
    pub(super) older: BTreeMap<(Release, ListenerName), Arc<Resource>>,
    /// Who signs the certificates of providers of logins: for Envoys that have a gateway with such a login.
    pub(super) authorities: Option<Arc<Resource>>,
}

/// What all audiences are told.
#[derive(Debug)]
pub(super) struct Boards {
    everyone: Board,
    /// By the `node.cluster` that gateways name.
    named: BTreeMap<Arc<str>, Board>,
    /// The gateways that name an audience.
    naming: BTreeMap<Arc<str>, BTreeSet<GatewayName>>,
    /// The audiences that a gateway names.
    named_by: BTreeMap<GatewayName, BTreeSet<Arc<str>>>,
    /// The releases, older than the newest, of which Envoys came.
    releases: BTreeSet<Release>,
    /// For these, by the audience.
    older: BTreeMap<Older, Board>,
    /// What Envoys are not told that refuse something.
    excluded: BTreeMap<Arc<Node>, Arc<Exclusions>>,
    /// For these: one board for all that are told the same.
    apart: Vec<Board>,
    grpc: Proxyless,
}

/// What one audience is told.
#[derive(Debug)]
pub(super) struct Board {
    /// `None`: everyone whom no gateway names.
    audience: Option<Arc<str>>,
    /// `None`: the newest.
    release: Option<Release>,
    /// But for this.
    without: Arc<Exclusions>,
    snapshot: Arc<Snapshot>,
    rows: BTreeMap<GatewayName, Row>,
    /// The gateways that the release does not take: it answers 503 in their place.
    beyond: Arc<Beyond>,
    table: RouteTable,
    /// The gateways that can do nothing without the authorities.
    trusting: BTreeSet<GatewayName>,
    /// Route configurations since it was asked last.
    routes: Vec<(Arc<str>, resource::Version)>,
}

/// What one gateway has in it.
#[derive(Debug, Default)]
struct Row {
    resources: Vec<(Kind, Arc<str>)>,
    routes: Option<Version>,
}

/// Gateways that a release does not take, and the oldest that does.
pub(super) type Beyond = BTreeMap<GatewayName, Release>;

/// Whom a board is for: an audience (`None`: everyone), and what release they are of (`None`: the newest).
type Who<'a> = (Option<&'a Arc<str>>, Option<Release>);

impl Boards {
    /// Nobody is told anything.
    pub(super) fn new(routing: Routing) -> Self {
        let everyone = Board::new(routing, Arc::default(), (None, None), Arc::default());
        Self {
            everyone,
            named: BTreeMap::new(),
            naming: BTreeMap::new(),
            named_by: BTreeMap::new(),
            releases: BTreeSet::new(),
            older: BTreeMap::new(),
            excluded: BTreeMap::new(),
            apart: Vec::new(),
            grpc: Proxyless::default(),
        }
    }

    /// Follows the offers of these gateways. Snapshots in which nothing changed stay the ones they were.
    pub(super) fn follow(&mut self, gateways: &BTreeSet<GatewayName>, offers: &Offers, common: &Common) {
        gateways.iter().for_each(|gateway| self.note_audiences(gateway, offers));
        self.named.retain(|audience, _| self.naming.contains_key(audience));
        for board in self.named.values_mut() {
            board.follow(gateways, offers, common, Patch::default());
        }
        for audience in self.naming.keys() {
            if !self.named.contains_key(audience) {
                // Until now these Envoys were told what everyone is.
                let board = self.everyone.fork((Some(audience), None), Arc::default(), offers, common);
                self.named.insert(Arc::clone(audience), board);
            }
        }
        self.everyone.follow(gateways, offers, common, Patch::default());
        self.follow_older(gateways, offers, common);
        self.follow_apart(gateways, offers, common);
        self.grpc.follow(gateways, offers);
    }

    /// What Envoys are not told from now on that refuse something.
    pub(super) fn exclude(&mut self, excluded: BTreeMap<Arc<Node>, Arc<Exclusions>>) {
        self.excluded = excluded;
    }

    /// From now on Envoys of this release have something to be told; false when they had before.
    pub(super) fn expect(&mut self, release: Release) -> bool {
        self.releases.insert(release)
    }

    fn follow_older(&mut self, gateways: &BTreeSet<GatewayName>, offers: &Offers, common: &Common) {
        let naming = &self.naming;
        self.older.retain(|(_, audience), _| audience.as_ref().is_none_or(|a| naming.contains_key(a)));
        for board in self.older.values_mut() {
            board.follow(gateways, offers, common, Patch::default());
        }
        for release in &self.releases {
            for audience in [None].into_iter().chain(self.naming.keys().map(Some)) {
                let key = (*release, audience.cloned());
                if !self.older.contains_key(&key) {
                    let who = (audience, Some(*release));
                    let board = self.newest(audience).fork(who, Arc::default(), offers, common);
                    self.older.insert(key, board);
                }
            }
        }
    }

    fn follow_apart(&mut self, gateways: &BTreeSet<GatewayName>, offers: &Offers, common: &Common) {
        let all: Vec<(Option<Arc<str>>, Option<Release>)> = self
            .excluded
            .keys()
            .map(|node| (self.audience(node).cloned(), translate::older(&node.version)))
            .collect();
        let whos = || all.iter().map(|(audience, release)| (audience.as_ref(), *release));
        let mut excluded = std::mem::take(&mut self.excluded);
        let mut apart = std::mem::take(&mut self.apart);
        apart.retain(|board| {
            let mut wanted = whos().zip(excluded.values());
            wanted.any(|(who, without)| board.is_for(who, without))
        });
        for board in &mut apart {
            board.follow(gateways, offers, common, Patch::default());
        }
        for (who, without) in whos().zip(excluded.values_mut()) {
            if let Some(board) = apart.iter().find(|board| board.is_for(who, without)) {
                // So that they are known as the same at once.
                *without = Arc::clone(&board.without);
            } else {
                apart.push(self.shared(who).fork(who, Arc::clone(without), offers, common));
            }
        }
        (self.excluded, self.apart) = (excluded, apart);
    }

    /// The audience that an Envoy is of.
    fn audience(&self, node: &Node) -> Option<&Arc<str>> {
        self.naming.get_key_value(node.cluster.as_str()).map(|(audience, _)| audience)
    }

    fn newest(&self, audience: Option<&Arc<str>>) -> &Board {
        audience.and_then(|audience| self.named.get(audience)).unwrap_or(&self.everyone)
    }

    fn shared(&self, (audience, release): Who<'_>) -> &Board {
        let older = release.and_then(|release| self.older.get(&(release, audience.cloned())));
        older.unwrap_or_else(|| self.newest(audience))
    }

    /// What this Envoy is told.
    pub(super) fn of(&self, node: &Node) -> &Board {
        let who = (self.audience(node), translate::older(&node.version));
        let apart = self
            .excluded
            .get(node)
            .and_then(|without| self.apart.iter().find(|board| board.is_for(who, without)));
        apart.unwrap_or_else(|| self.shared(who))
    }

    /// Whether this Envoy is told of a gateway that is meant for these.
    pub(super) fn sees(&self, node: &Node, proxies: &BTreeSet<String>) -> bool {
        sees(proxies, self.audience(node).map(|audience| &**audience))
    }

    /// The boards that tell this very resource.
    pub(super) fn telling(&self, resource: &Resource) -> impl Iterator<Item = &Board> {
        let shared = [&self.everyone].into_iter().chain(self.named.values()).chain(self.older.values());
        shared.chain(&self.apart).filter(move |board| board.tells(resource))
    }

    /// The route configurations that came since it was asked last.
    pub(super) fn take_routes(&mut self) -> Vec<(Arc<str>, resource::Version)> {
        let shared = [&mut self.everyone].into_iter().chain(self.named.values_mut());
        let shared = shared.chain(self.older.values_mut());
        shared.chain(&mut self.apart).flat_map(|board| std::mem::take(&mut board.routes)).collect()
    }

    /// The gateways that older Envoys do not take, by whom they are.
    pub(super) fn beyond(&self) -> BTreeMap<Older, Arc<Beyond>> {
        self.older.iter().map(|(who, board)| (who.clone(), Arc::clone(&board.beyond))).collect()
    }

    /// What Envoys should be told.
    pub(super) fn fleet(&self) -> Fleet {
        let named = self.named.iter().map(|(name, board)| (Arc::clone(name), Arc::clone(&board.snapshot)));
        let older = self.older.iter().map(|(who, board)| (who.clone(), Arc::clone(&board.snapshot)));
        let told = |node: &Arc<Node>| (Arc::clone(node), Arc::clone(&self.of(node).snapshot));
        let quarantined = self.excluded.keys().map(told);
        Fleet {
            everyone: Arc::clone(&self.everyone.snapshot),
            named: named.collect(),
            older: Arc::new(older.collect()),
            quarantined: Arc::new(quarantined.collect()),
            grpc: Arc::clone(self.grpc.snapshot()),
        }
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
    fn new(
        routing: Routing,
        snapshot: Arc<Snapshot>,
        (audience, release): Who<'_>,
        without: Arc<Exclusions>,
    ) -> Self {
        let (rows, table) = (BTreeMap::new(), RouteTable::new(routing));
        let (beyond, trusting, routes) = (Arc::default(), BTreeSet::new(), Vec::new());
        let audience = audience.cloned();
        Self { audience, release, without, snapshot, rows, beyond, table, trusting, routes }
    }

    /// A board for Envoys that were told what is on this one until now: what stays the same keeps its place in memory.
    fn fork(&self, who: Who<'_>, without: Arc<Exclusions>, offers: &Offers, common: &Common) -> Self {
        let mut patch = Patch::default();
        self.snapshot.resources().for_each(|r| patch.remove(r.kind(), r.name()));
        let routing = self.table.routing();
        let mut board = Self::new(routing, Arc::clone(&self.snapshot), who, without);
        board.follow(&offers.names(), offers, common, patch);
        board
    }

    /// Whether it is what these Envoys are told but for this.
    fn is_for(&self, who: Who<'_>, without: &Arc<Exclusions>) -> bool {
        let is_same = || {
            let both = self.without.iter().zip(&**without);
            self.without.len() == without.len()
                && both.fold(true, |same, ((a, x), (b, y))| same && a == b && x.is(y))
        };
        (self.audience.as_ref(), self.release) == who && (Arc::ptr_eq(&self.without, without) || is_same())
    }

    /// Whether it tells this very resource.
    pub(super) fn tells(&self, resource: &Resource) -> bool {
        let now = self.snapshot.get(resource.kind(), resource.name());
        now.is_some_and(|now| now.version() == resource.version())
    }

    /// The gateways with routes in a route configuration of this name.
    pub(super) fn in_routes<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a GatewayName> + 'a> {
        if let Some((listener, host)) = translate::parse_scope_name(name) {
            return Box::new(self.table.on_host(listener, host));
        }
        Box::new(self.rows.keys().filter(move |gateway| self.has_in_routes(gateway, name)))
    }

    /// Whether a gateway has routes in a route configuration of this name.
    pub(super) fn has_in_routes(&self, gateway: &GatewayName, name: &str) -> bool {
        let routes = self.rows.get(gateway).and_then(|row| row.routes.as_ref());
        routes.is_some_and(|version| match translate::parse_scope_name(name) {
            Some((listener, host)) => {
                let has = version.gateway.hosts.iter().any(|h| h.to_string() == host);
                version.gateway.listener.as_str() == listener && has
            }
            None => version.gateway.listener.as_str() == name,
        })
    }

    /// Whether its Envoys are not told the newest version of a gateway.
    pub(super) fn excludes(&self, gateway: &GatewayName) -> bool {
        self.without.contains_key(gateway) || self.is_beyond(gateway)
    }

    /// Whether the release of its Envoys does not take a gateway.
    pub(super) fn is_beyond(&self, gateway: &GatewayName) -> bool {
        self.beyond.contains_key(gateway)
    }

    fn follow(
        &mut self,
        gateways: &BTreeSet<GatewayName>,
        offers: &Offers,
        common: &Common,
        mut patch: Patch,
    ) {
        let audience = self.audience.clone();
        let audience = audience.as_deref();
        for gateway in gateways {
            let before = self.rows.remove(gateway).unwrap_or_default();
            let mut row = Row::default();
            self.trusting.remove(gateway);
            let mut put = |resource: &Arc<Resource>| {
                row.resources.push((resource.kind(), Arc::clone(resource.name())));
                if translate::needs_authorities(resource) {
                    self.trusting.insert(gateway.clone());
                }
                patch.put(Arc::clone(resource));
            };
            let routes = if let Some(exclusion) = self.without.get(gateway) {
                let (resources, routes) = offers.without(gateway, audience, exclusion);
                resources.iter().for_each(put);
                routes
            } else {
                offers.resources(gateway, audience).for_each(&mut put);
                offers.routes(gateway, audience).cloned()
            };
            let needs =
                routes.as_ref().map(Version::needs).filter(|needs| self.release.is_some_and(|r| r < *needs));
            if self.beyond.get(gateway) != needs.as_ref() {
                let beyond = Arc::make_mut(&mut self.beyond);
                match needs {
                    Some(needs) => _ = beyond.insert(gateway.clone(), needs),
                    None => _ = beyond.remove(gateway),
                }
            }
            row.routes = if needs.is_some() { routes.as_ref().map(Version::closed) } else { routes };
            before.resources.iter().for_each(|(kind, name)| patch.remove(*kind, name));
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
                Some(resource) => {
                    if kind == Kind::Route {
                        self.routes.push((name, resource.version()));
                    }
                    patch.put(resource);
                }
                None => patch.remove(kind, &name),
            }
        }
        patch.put(Arc::clone(&common.runtime));
        for (listener, resources) in &common.listeners {
            for resource in resources {
                let older = self.release.filter(|_| resource.kind() == Kind::Listener);
                let older = older.and_then(|release| common.older.get(&(release, listener.clone())));
                let resource = older.unwrap_or(resource);
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
