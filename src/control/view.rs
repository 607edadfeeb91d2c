//! What people may see: plain values, without secrets. Of many gateways few change in a turn; only these are looked
//! at again.

use super::board::Beyond;
use super::expiries::Validities;
use super::file::File;
use super::files::Files;
use super::issuers::{Fetch, Issuers, Unfetched};
use super::offer::{Offers, Version};
use super::quarantine::Quarantines;
use super::rollout_view::RolloutView;
use super::rollouts::Rollouts;
use super::trial::Trial;
use super::world::Wanted;
use crate::clock::Timestamp;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::model::{Comparison, Gateway, Switches};
use crate::names::GatewayName;
use crate::rollout;
use crate::snapshot::{Fleet, Node, Older};
use crate::store::Seat;
use crate::translate::{self, Leg, Release};
use crate::weight::Weight;
use imbl::OrdMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that can be seen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By name; a file whose name cannot be read stands under its path.
    pub gateways: OrdMap<Arc<str>, Arc<GatewayView>>,
    /// Of these, the few that have a release or compare answers, so that who looks for them need not look at all.
    pub busy: OrdMap<Arc<str>, Arc<GatewayView>>,
    /// What Envoys are told.
    pub fleet: Fleet,
    /// All gateway files are gone at once.
    pub all_vanished: bool,
    /// Whether this Serin decides about releases: where several share a store, one does.
    pub leads: bool,
    /// Where it stands among those that share the store, and since when by its own clock; `None`: nothing is shared.
    pub seat: Option<(Seat, Timestamp)>,
    /// Since when no leader is known, by its own clock; `None`: one is, or none is needed.
    pub leaderless: Option<Timestamp>,
    /// Releases are served as this Serin remembers them, since a shared store could not be read since the start.
    pub is_recalled: bool,
    /// How many decisions about releases of each kind were kept since the start.
    pub decisions: BTreeMap<rollout::EntryKind, u64>,
    /// What Envoys refuse that others take.
    pub refusing: Arc<[Refusing]>,
    /// The gateways that older Envoys do not take, with the release that does.
    pub(super) beyond: Arc<BTreeMap<Older, Arc<Beyond>>>,
    /// Until when the certificates hold in the files that are in use.
    pub expiries: Validities,
    /// What is wrong with the certificates of listeners and of our own ports.
    pub certificate_faults: Vec<String>,
    /// What is to be fetched of token issuers and providers of logins.
    pub fetches: Arc<BTreeSet<Fetch>>,
    /// Where the switches stand.
    pub switches: Switches,
}

impl View {
    /// The gateways in whose place an Envoy answers 503 since it is too old, and the oldest release that takes each.
    pub fn unsupported_at(&self, node: &Node) -> impl Iterator<Item = (&GatewayName, Release)> {
        let older = translate::older(&node.version).map(|release| self.fleet.older_at(node, release));
        let gateways = older.and_then(|older| self.beyond.get(&older));
        gateways.into_iter().flat_map(|gateways| gateways.iter().map(|(name, needs)| (name, *needs)))
    }
}

/// A gateway of which an Envoy refuses the newest version, though others take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusing {
    /// The Envoy.
    pub node: Arc<Node>,
    /// The gateway.
    pub gateway: GatewayName,
    /// In the Envoy's words.
    pub text: String,
    /// Whether it answers 503 in the gateway's place; else it serves the version that it took last.
    pub is_closed: bool,
}

impl Refusing {
    /// Says what the Envoy does instead.
    pub fn instead(&self) -> &'static str {
        if self.is_closed { "answers 503 in its place" } else { "serves the version that it took last" }
    }
}

/// Where a gateway stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Where its release stands; `Stable` also of one without a release, which serves what its file says.
    Of(rollout::Phase),
    /// Its newest version is in error; the last good one serves on, if there is one, and so does its release.
    Invalid,
}

impl Phase {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        rollout::Phase::ALL.into_iter().map(Self::Of).chain([Self::Invalid])
    }

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Of(phase) => phase.as_str(),
            Self::Invalid => "Invalid",
        }
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
    /// The entity tag of the newest version of the file, as changes name it (`If-Match`); `None`: the file is gone, or
    /// cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_tag: Option<Arc<str>>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether Envoys are told of it at all; in phase `Invalid` it is then the last good version.
    pub serving: bool,
    /// What serves.
    #[serde(flatten)]
    pub gateway: Option<Served>,
    /// How its release goes; `None`: the file owns the weights, or nothing is known of the release yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutView>,
    /// What is wrong or suspicious about the newest version.
    pub diagnostics: Vec<Diagnostic>,
}

impl GatewayView {
    /// Whether it has a release, or answers of it are compared.
    pub(super) fn is_busy(&self) -> bool {
        let shadow = self.gateway.as_ref().and_then(|served| served.shadow.as_ref());
        self.rollout.is_some() || shadow.is_some_and(|shadow| shadow.comparison.is_some())
    }

    /// The same without the lines that its diagnostics quote: a line of a file that is wrong may hold a secret by mistake.
    #[must_use]
    pub fn without_lines(self: &Arc<Self>) -> Arc<Self> {
        if self.diagnostics.is_empty() {
            return Arc::clone(self);
        }
        let diagnostics = self.diagnostics.iter().map(Diagnostic::without_line).collect();
        Arc::new(Self { diagnostics, ..(**self).clone() })
    }
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
    /// The targets (`xds:///...`) under which applications find it that use gRPC without a proxy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grpc_targets: Vec<String>,
    /// "none", "basicAuth", "accessKey", "jwt" or "oauth2"; "closed" when nobody is let in.
    pub authentication: &'static str,
    /// By what users keep their version: "header x-user-id", "query user", "cookie serin" or "source IP".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<String>,
    /// In the order of the file.
    pub upstreams: Vec<UpstreamView>,
    /// The oldest release of Envoy that takes it ("1.40"); older ones answer 503 in its place. `None`: each that Serin knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_envoy: Option<String>,
    /// Who gets copies of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowView>,
}

/// An upstream that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowView {
    /// Its name.
    pub upstream: String,
    /// Of how many requests of the split, in percent.
    pub percent: Weight,
    /// The name of the copies' cluster in Envoy's statistics.
    pub cluster: String,
    /// How its answers are compared; `None`: they are not.
    #[serde(skip)]
    pub comparison: Option<Arc<Comparison>>,
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

/// The views so far.
#[derive(Debug, Default)]
pub(super) struct Views {
    gateways: OrdMap<Arc<str>, Arc<GatewayView>>,
    busy: OrdMap<Arc<str>, Arc<GatewayView>>,
    by_path: BTreeMap<Arc<str>, Shown>,
    /// The files that say or have a name.
    by_name: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// How a file is shown.
#[derive(Debug)]
struct Shown {
    /// Under which name, or path.
    key: Arc<str>,
    /// Names that it says or has.
    names: BTreeSet<Arc<str>>,
}

/// What views are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) files: &'a Files,
    pub(super) wanted: &'a BTreeMap<GatewayName, Wanted>,
    /// The gateway that a file has, if any.
    pub(super) by_file: &'a BTreeMap<Arc<str>, GatewayName>,
    pub(super) trial: &'a Trial,
    pub(super) quarantines: &'a Quarantines,
    pub(super) offers: &'a Offers,
    pub(super) issuers: &'a Issuers,
    pub(super) rollouts: &'a Rollouts,
}

impl Views {
    /// Looks anew at files whose facts have changed.
    pub(super) fn renew(&mut self, paths: BTreeSet<Arc<str>>, facts: Facts<'_>) {
        // Of those that say one name, only one is shown under it: they have to agree anew.
        let mut concerned = paths;
        let names = |path: &Arc<str>| {
            let before = self.by_path.get(path).into_iter().flat_map(|shown| shown.names.iter().cloned());
            before.chain(facts.names(path)).collect::<Vec<_>>()
        };
        let also = concerned.iter().flat_map(names).filter_map(|name| self.by_name.get(&name)).flatten();
        let also: Vec<Arc<str>> = also.cloned().collect();
        concerned.extend(also);
        let before: BTreeMap<Arc<str>, Arc<GatewayView>> =
            concerned.iter().filter_map(|path| Some((Arc::clone(path), self.remove(path)?))).collect();
        for path in &concerned {
            self.add(path, before.get(path), facts);
        }
    }

    /// All views.
    pub(super) fn gateways(&self) -> &OrdMap<Arc<str>, Arc<GatewayView>> {
        &self.gateways
    }

    /// Those of gateways with a release or a comparison.
    pub(super) fn busy(&self) -> &OrdMap<Arc<str>, Arc<GatewayView>> {
        &self.busy
    }

    fn remove(&mut self, path: &Arc<str>) -> Option<Arc<GatewayView>> {
        let shown = self.by_path.remove(path)?;
        for name in shown.names {
            if let Some(paths) = self.by_name.get_mut(&name) {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        self.busy.remove(&shown.key);
        self.gateways.remove(&shown.key)
    }

    fn add(&mut self, path: &Arc<str>, before: Option<&Arc<GatewayView>>, facts: Facts<'_>) {
        let own = facts.own(path);
        let Some(file) = facts.files.get(path).filter(|f| !f.is_vanished() || own.is_some()) else { return };
        // The name that serves, whatever the broken file says now. A second file with a name that is taken must
        // not hide the one that has it.
        let is_free =
            |n: &&GatewayName| !facts.wanted.contains_key(*n) && !self.gateways.contains_key(n.as_str());
        let name = own.map(|w| &w.newest.name).or_else(|| file.name().filter(is_free));
        let key: Arc<str> = name.map_or_else(|| Arc::clone(path), |n| n.as_str().into());
        let names: BTreeSet<Arc<str>> = facts.names(path).collect();
        for name in &names {
            self.by_name.entry(Arc::clone(name)).or_default().insert(Arc::clone(path));
        }
        let view = facts.view(&key, path, file, own);
        // An equal one stays the one that it was.
        let view = before.filter(|before| ***before == view).map_or_else(|| Arc::new(view), Arc::clone);
        if view.is_busy() {
            self.busy.insert(Arc::clone(&key), Arc::clone(&view));
        }
        self.gateways.insert(Arc::clone(&key), view);
        self.by_path.insert(Arc::clone(path), Shown { key, names });
    }
}

impl<'a> Facts<'a> {
    /// The gateway that a file has.
    fn own(&self, path: &str) -> Option<&'a Wanted> {
        self.by_file.get(path).and_then(|name| self.wanted.get(name))
    }

    /// The names that a file says or has.
    fn names(&self, path: &str) -> impl Iterator<Item = Arc<str>> + use<'a> {
        let says = self.files.get(path).and_then(File::name);
        says.into_iter().chain(self.by_file.get(path)).map(|name| Arc::from(name.as_str()))
    }

    fn view(&self, name: &Arc<str>, path: &Arc<str>, file: &File, own: Option<&Wanted>) -> GatewayView {
        let mut diagnostics: Vec<Diagnostic> = file.diagnostics().cloned().collect();
        diagnostics.extend(own.and_then(|w| w.refusal(self.trial)).map(|text| refusal(path, text)));
        let refusing = own.map(|w| self.refused_by_some(path, &w.newest.name)).unwrap_or_default();
        diagnostics.extend(refusing);
        let unfetched = own.map(|w| self.issuers.unfetched(&w.newest)).unwrap_or_default();
        diagnostics.extend(unfetched.iter().map(|unfetched| not_fetched(path, unfetched)));
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        let serving = own.and_then(|w| w.serving(self.trial));
        let rollout = own.and_then(|w| self.rollouts.get(&w.newest.name));
        GatewayView {
            name: Arc::clone(name),
            file: Arc::clone(path),
            file_tag: file.tag().cloned(),
            phase: match (broken, rollout) {
                (true, _) => Phase::Invalid,
                (false, None) => Phase::Of(rollout::Phase::Stable),
                (false, Some((_, state))) => Phase::Of(state.phase),
            },
            serving: serving.is_some(),
            gateway: serving.as_ref().map(|gateway| served(gateway, self.offers.version(gateway))),
            rollout: own.zip(rollout).map(|(own, rollout)| {
                let name = &own.newest.name;
                RolloutView::of(name, rollout, self.rollouts.answers(), self.rollouts.override_of(name))
            }),
            diagnostics,
        }
    }
}

/// So many Envoys that refuse a gateway are shown one by one.
const SHOWN: usize = 5;

impl Facts<'_> {
    /// What Envoys say that refuse what others take.
    fn refused_by_some(&self, path: &Arc<str>, gateway: &GatewayName) -> Vec<Diagnostic> {
        let all = self.quarantines.of(gateway, self.offers);
        let number = all.len();
        let sentences = all.into_iter().take(SHOWN).map(|refusing| {
            let (Node { id, version, .. }, instead) = (&*refusing.node, refusing.instead());
            format!("Envoy {id} ({version}) refuses this gateway and {instead}: {}", refusing.text)
        });
        let more =
            number.checked_sub(SHOWN + 1).map(|n| format!("{} more Envoys refuse this gateway", n + 1));
        let diagnostic = |message| Diagnostic {
            severity: Severity::Warning,
            code: Code::RefusedBySome,
            place: Place::file(Arc::clone(path)),
            message,
            help: Some("change what Envoy names, or look how that Envoy differs from the others".into()),
        };
        sentences.chain(more).map(diagnostic).collect()
    }
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

fn served(gateway: &Gateway, version: Option<&Version>) -> Served {
    let needs = version.map(Version::needs).filter(|needs| *needs > translate::OLDEST);
    Served {
        description: gateway.description.clone(),
        labels: gateway.labels.clone(),
        proxies: gateway.proxies.iter().cloned().collect(),
        listener: gateway.listener.to_string(),
        hosts: gateway.hosts.iter().map(ToString::to_string).collect(),
        path: gateway.path.clone(),
        grpc_targets: translate::targets(gateway).map(|host| format!("xds:///{host}")).collect(),
        authentication: gateway.authentication.as_str(),
        session_affinity: gateway.affinity.as_ref().map(ToString::to_string),
        needs_envoy: needs.map(|(major, minor)| format!("{major}.{minor}")),
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
                cluster: translate::cluster_name(&gateway.name, &u.name, Leg::Live),
            })
            .collect(),
        shadow: gateway.shadow.as_ref().map(|shadow| ShadowView {
            upstream: shadow.upstream.to_string(),
            percent: shadow.percent,
            cluster: translate::cluster_name(&gateway.name, &shadow.upstream, Leg::Shadow),
            comparison: Comparison::of(gateway).map(Arc::new),
        }),
    }
}
