//! All state of the control plane, and how one event changes it. Pure: no clock, no I/O.

use super::event::{Changes, Event, Note, NoteKind};
use super::files::{Chosen, Files};
use super::issuers::Issuers;
use super::offer::{Offers, Version};
use super::renewal::Renewal;
use super::trial::{Ruling, Standing, Trial};
use super::view::{self, View};
use crate::clock::Timestamp;
use crate::config::{Attachment, Reference};
use crate::diag::Severity;
use crate::model::{Authentication, Gateway, Listener, Pem, SessionKey, Settings};
use crate::mtls::Credentials;
use crate::names::{GatewayName, ListenerName};
use crate::resource::{Kind, Resource};
use crate::snapshot::{Fleet, Snapshot};
use crate::translate;
use crate::xds::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Everything the control plane knows.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    listeners: BTreeMap<ListenerName, Arc<Resource>>,
    renewal: Option<Renewal>,
    files: Files,
    wanted: BTreeMap<GatewayName, Wanted>,
    trial: Trial,
    offers: Offers,
    fleet: Fleet,
    /// What Envoys refused though it is of no gateway, so that people are told once and not by every Envoy.
    told_refused: BTreeMap<(Kind, Arc<str>), crate::resource::Version>,
    issuers: Issuers,
    session_key: Option<SessionKey>,
    /// Who signs the certificates of providers of logins.
    authorities: Option<Arc<Resource>>,
    views: view::Cache,
    notes: Vec<Note>,
    /// How many notes were taken.
    told: u64,
}

/// What should be served under a name, and what Envoys took of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: Arc<str>,
    pub(super) newest: Arc<Gateway>,
    /// The last version that an Envoy took.
    taken: Option<Version>,
}

impl World {
    /// Before any file was read.
    pub fn new(settings: Settings) -> Self {
        let listeners = settings
            .listeners
            .iter()
            .map(|(name, l)| {
                let message = translate::listener(name, l);
                (name.clone(), Arc::new(Resource::new(Kind::Listener, name.as_str(), &message)))
            })
            .collect();
        Self {
            settings,
            listeners,
            renewal: None,
            files: Files::default(),
            wanted: BTreeMap::new(),
            trial: Trial::default(),
            offers: Offers::default(),
            fleet: Fleet::default(),
            told_refused: BTreeMap::new(),
            issuers: Issuers::default(),
            session_key: None,
            authorities: None,
            views: view::Cache::default(),
            notes: Vec::new(),
            told: 0,
        }
    }

    /// With the credentials that are in use when it begins; they follow their files.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.renewal = self.settings.xds_tls.clone().map(|files| Renewal::new(files, credentials));
        self
    }

    /// With the key from which the secrets of all logins are made; without it nobody can log in anywhere.
    #[must_use]
    pub fn with_session_key(mut self, key: SessionKey) -> Self {
        self.session_key = Some(key);
        self
    }

    /// With the authorities, in PEM, that sign the certificates of providers of logins.
    #[must_use]
    pub fn with_authorities(mut self, trusted: &Pem) -> Self {
        self.authorities = Some(Arc::new(translate::authorities(trusted)));
        self
    }

    /// Takes an event. True when what Envoys or people should see may be different now.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> bool {
        let changed = match event {
            Event::Files(changes) => {
                self.take_files(changes, now);
                true
            }
            Event::Verdict(verdict) => self.take_verdict(verdict, now),
            Event::Fetched { what, result } => {
                let (changed, alarm) = self.issuers.take(what, result);
                if let Some(message) = alarm {
                    self.notes.push(Note {
                        sequence: 0,
                        time: now,
                        gateway: None,
                        kind: NoteKind::Alarm,
                        message,
                    });
                }
                if changed {
                    self.settle(now);
                }
                changed
            }
            Event::Tick => self.take_time(now),
        };
        if changed {
            self.build_fleet();
        }
        changed
    }

    /// When [`Event::Tick`] should come.
    pub fn deadline(&self) -> Option<Timestamp> {
        [self.files.deadline(), self.trial.deadline(), self.offers.deadline()].into_iter().flatten().min()
    }

    /// What happened since it was asked last.
    pub fn take_notes(&mut self) -> Vec<Note> {
        let mut notes = std::mem::take(&mut self.notes);
        for note in &mut notes {
            self.told += 1;
            note.sequence = self.told;
        }
        notes
    }

    /// New credentials for the xDS port, once.
    pub fn take_credentials(&mut self) -> Option<Credentials> {
        self.renewal.as_mut().and_then(Renewal::take)
    }

    /// What people may see.
    pub fn view(&mut self) -> View {
        view::view(&mut self.views, &self.files, &self.wanted, &self.trial, &self.issuers, &self.fleet)
    }

    /// What Envoys should be told.
    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// Snapshots in which nothing changed stay the ones they were.
    fn build_fleet(&mut self) {
        let named: Vec<String> = self.offers.audiences().into_iter().map(str::to_owned).collect();
        let everyone = self.snapshot(&self.fleet.everyone, None);
        let named = named
            .into_iter()
            .map(|audience| {
                let snapshot = self.snapshot(self.fleet.snapshot(&audience), Some(&audience));
                (audience.into(), snapshot)
            })
            .collect();
        self.fleet = Fleet { everyone, named };
    }

    fn snapshot(&self, previous: &Arc<Snapshot>, audience: Option<&str>) -> Arc<Snapshot> {
        let sees = |proxies: &BTreeSet<String>| sees(proxies, audience);
        let mut resources: Vec<Arc<Resource>> = self.offers.resources(sees).cloned().collect();
        let mut routes: BTreeMap<&ListenerName, Vec<_>> = BTreeMap::new();
        for (gateway, encoded) in self.offers.routes().filter(|(g, _)| sees(&g.proxies)) {
            routes.entry(&gateway.listener).or_default().push((gateway, encoded));
        }
        for (name, gateways) in routes {
            let Some(listener) = self.listeners.get(name) else { continue };
            resources.push(Arc::clone(listener));
            resources.extend(self.listener_secret(name));
            resources.push(Arc::new(translate::route_configuration(name, gateways)));
        }
        if resources.iter().any(|r| translate::needs_authorities(r)) {
            resources.extend(self.authorities.clone());
        }
        let next = Snapshot::next(previous, resources);
        if next.is_same(previous) { Arc::clone(previous) } else { Arc::new(next) }
    }

    /// The certificate of a listener, as long as its files can be read; the last one that could be, otherwise.
    fn listener_secret(&self, name: &ListenerName) -> Option<Arc<Resource>> {
        let Listener { tls, .. } = self.settings.listeners.get(name)?;
        let tls = tls.as_ref()?;
        let bytes = |path: &Path| match self.files.attached.get(&Reference::File(path.into())) {
            Some(Attachment::Bytes { bytes, .. }) => Some(bytes),
            _ => None,
        };
        let secret_name = translate::listener_secret_name(name);
        let (Some(certificate), Some(key)) = (bytes(&tls.cert_file), bytes(&tls.key_file)) else {
            return self.fleet.snapshots().find_map(|s| s.get(Kind::Secret, &secret_name)).cloned();
        };
        let secret = translate::listener_secret(name, certificate, key);
        Some(Arc::new(Resource::new(Kind::Secret, &secret_name, &secret)))
    }

    fn take_files(&mut self, changes: Changes, now: Timestamp) {
        for (name, listener) in &self.settings.listeners {
            let Some(tls) = &listener.tls else { continue };
            for path in [&tls.cert_file, &tls.key_file] {
                let what = match changes.attached.get(&Reference::File(path.clone())) {
                    None | Some(Attachment::Bytes { .. }) => continue,
                    Some(Attachment::Missing) => "is not there".to_owned(),
                    Some(Attachment::Unreadable(why)) => format!("cannot be read: {why}"),
                    Some(Attachment::TooLarge(size)) => format!("has {size} bytes, which is no certificate"),
                };
                let message = format!("{}, a file of listener {name}, {what}", path.display());
                self.notes.push(Note {
                    sequence: 0,
                    time: now,
                    gateway: None,
                    kind: NoteKind::Alarm,
                    message,
                });
            }
        }
        let outcome = self.files.apply(changes, &self.settings.listeners, now);
        self.notes.extend(self.renewal.as_mut().and_then(|r| r.look(&self.files.attached, now)));
        let mut lines = Vec::new();
        for (path, file) in self.files.iter() {
            if outcome.broken.contains(path) {
                lines.extend(file.diagnostics().filter(|d| d.severity == Severity::Error).map(|d| {
                    (file.name().cloned(), NoteKind::Invalid, format!("{}: {}", place(&d.place), d.message))
                }));
            } else if outcome.repaired.contains(path) {
                lines.push((file.name().cloned(), NoteKind::Repaired, format!("{path} is right again")));
            } else if outcome.vanished.contains(path) && !outcome.all_vanished {
                lines.push((
                    file.name().cloned(),
                    NoteKind::Vanished,
                    format!("{path} is gone; it serves on for a while"),
                ));
            }
        }
        if outcome.all_vanished {
            lines.push((
                None,
                NoteKind::Alarm,
                "all gateway files are gone at once; everything serves on".into(),
            ));
        }
        if outcome.returned {
            lines.push((None, NoteKind::Repaired, "gateway files are back".into()));
        }
        for (gateway, kind, message) in lines {
            self.notes.push(Note { sequence: 0, time: now, gateway, kind, message });
        }
        match outcome.only {
            Some(only) => only.into_iter().for_each(|chosen| self.choose(chosen, now)),
            None => self.settle(now),
        }
    }

    /// Brings what is wanted in line with the files.
    fn settle(&mut self, now: Timestamp) {
        let chosen = self.files.settle();
        let gone: Vec<GatewayName> =
            self.wanted.keys().filter(|n| !chosen.contains_key(*n)).cloned().collect();
        for name in gone {
            self.wanted.remove(&name);
            self.trial.forget(&name);
            self.offers.set(&name, None, now);
            self.note(now, &name, NoteKind::Removed, format!("gateway {name} no longer serves"));
        }
        chosen.into_values().for_each(|chosen| self.choose(chosen, now));
    }

    /// From now on this version of a gateway should be served.
    fn choose(&mut self, Chosen { file, gateway }: Chosen, now: Timestamp) {
        let gateway = self.with_session_secret(self.issuers.complete(gateway));
        let name = gateway.name.clone();
        match self.wanted.get_mut(&name) {
            Some(wanted) if wanted.newest == gateway => wanted.file = file,
            Some(wanted) => {
                let message = change_sentence(&wanted.newest, &gateway);
                wanted.file = file;
                wanted.newest = gateway;
                let taken = wanted.taken.as_ref().is_some_and(|t| t.gateway == wanted.newest);
                self.trial.begin(&name, taken);
                self.note(now, &name, NoteKind::Changed, message);
                self.offer(&name, now);
            }
            None => {
                let message = format!("gateway {name} serves from {file}");
                self.wanted.insert(name.clone(), Wanted { file, newest: gateway, taken: None });
                self.trial.begin(&name, false);
                self.note(now, &name, NoteKind::Loaded, message);
                self.offer(&name, now);
            }
        }
    }

    /// The gateway with the secret of its logins.
    fn with_session_secret(&self, mut gateway: Arc<Gateway>) -> Arc<Gateway> {
        if matches!(gateway.authentication, Authentication::OAuth2(_)) {
            let secret = self.session_key.as_ref().map(|key| key.of_gateway(&gateway.name));
            if let Authentication::OAuth2(oauth2) = &mut Arc::make_mut(&mut gateway).authentication {
                oauth2.session_secret = secret;
            }
        }
        gateway
    }

    /// Offers the version of a gateway that its standing allows.
    fn offer(&mut self, name: &GatewayName, now: Timestamp) {
        let Some(wanted) = self.wanted.get(name) else { return };
        let version = match &wanted.taken {
            taken if !self.trial.is_offered(name) => {
                let version = wanted.fallback().map(|gateway| match taken {
                    Some(taken) if taken.gateway == gateway => taken.clone(),
                    _ => Version::new(gateway),
                });
                return self.offers.step_back(name, version, now);
            }
            Some(taken) if taken.gateway == wanted.newest => Some(taken.clone()),
            _ => Some(Version::new(Arc::clone(&wanted.newest))),
        };
        self.offers.set(name, version, now);
    }

    fn offer_all(&mut self, now: Timestamp) {
        let moved: Vec<GatewayName> = self
            .wanted
            .iter()
            .filter(|(name, w)| self.trial.is_offered(name) != self.offers.holds(name, &w.newest))
            .map(|(name, _)| name.clone())
            .collect();
        moved.iter().for_each(|name| self.offer(name, now));
    }

    fn take_time(&mut self, now: Timestamp) -> bool {
        let expired = !self.files.expire(now).is_empty();
        if expired {
            self.settle(now);
        }
        let tried = self.trial.expire(now);
        if tried {
            self.offer_all(now);
        }
        self.offers.advance(now) || expired || tried
    }

    fn take_verdict(&mut self, verdict: Verdict, now: Timestamp) -> bool {
        match verdict {
            Verdict::Accepted { first, .. } => {
                let gateways: Vec<GatewayName> = first
                    .iter()
                    .filter(|r| r.kind() == Kind::Route && self.is_current(r))
                    .flat_map(|r| self.gateways_of(r))
                    .collect();
                let (freed, ruling) = self.trial.taken(gateways, now);
                for name in freed {
                    if let Some(wanted) = self.wanted.get_mut(&name) {
                        wanted.taken = self.offers.told(&name, &wanted.newest).cloned();
                    }
                }
                if ruling == Ruling::Nothing {
                    return false;
                }
            }
            Verdict::Refused { resources, text, .. } => {
                // What another Envoy has taken is good; what is no longer offered is settled.
                let suspects: BTreeSet<GatewayName> = resources
                    .iter()
                    .filter(|r| !r.is_accepted() && self.is_current(r))
                    .flat_map(|r| self.gateways_of(r))
                    .collect();
                self.tell_of_common(&resources, &text, now);
                match self.trial.refused(suspects, &text, now) {
                    Ruling::Nothing => return false,
                    Ruling::Offers => {}
                    Ruling::Refused(name) => {
                        self.note(
                            now,
                            &name,
                            NoteKind::Refused,
                            format!("Envoy refuses gateway {name}: {text}"),
                        );
                    }
                }
            }
        }
        self.offer_all(now);
        true
    }

    /// Tells people that Envoys refuse a listener or its certificate: no gateway can be blamed, nothing can be
    /// offered instead, and somebody has to look.
    fn tell_of_common(&mut self, resources: &[Arc<Resource>], text: &str, now: Timestamp) {
        for resource in resources {
            let (kind, name, version) = (resource.kind(), resource.name(), resource.version());
            let common =
                kind == Kind::Listener || (kind == Kind::Secret && translate::owner(resource).is_none());
            if !common || !self.is_current(resource) {
                continue;
            }
            if self.told_refused.insert((kind, Arc::clone(name)), version) != Some(version) {
                let message = format!("Envoy refuses {kind} {name}: {text}");
                self.notes.push(Note {
                    sequence: 0,
                    time: now,
                    gateway: None,
                    kind: NoteKind::Alarm,
                    message,
                });
            }
        }
    }

    /// The audiences (`None`: everyone) that are told this very resource now.
    fn audiences_of(&self, resource: &Resource) -> impl Iterator<Item = Option<&str>> {
        let named = self.fleet.named.iter().map(|(audience, snapshot)| (Some(&**audience), snapshot));
        let (kind, name, version) = (resource.kind(), Arc::clone(resource.name()), resource.version());
        std::iter::once((None, &self.fleet.everyone))
            .chain(named)
            .filter(move |(_, s)| s.get(kind, &name).is_some_and(|r| r.version() == version))
            .map(|(audience, _)| audience)
    }

    /// Whether a resource is what some audience is told now.
    fn is_current(&self, resource: &Resource) -> bool {
        self.audiences_of(resource).next().is_some()
    }

    /// The gateways whose newest version a resource holds.
    fn gateways_of(&self, resource: &Resource) -> Vec<GatewayName> {
        let told = |name: &&GatewayName| {
            self.wanted.get(*name).is_some_and(|w| self.offers.told(name, &w.newest).is_some())
        };
        match resource.kind() {
            Kind::Cluster | Kind::Endpoint | Kind::Secret => translate::owner(resource).into_iter().collect(),
            // A listener depends on no gateway.
            Kind::Listener => Vec::new(),
            Kind::Route => {
                // One name, but another content for each audience.
                let audiences: Vec<Option<&str>> = self.audiences_of(resource).collect();
                let on_listener = |w: &Wanted| w.newest.listener.as_str() == &**resource.name();
                let seen = |w: &Wanted| audiences.iter().any(|a| sees(&w.newest.proxies, *a));
                let in_it = |w: &Wanted| on_listener(w) && seen(w);
                let all = self.wanted.iter().filter(|(_, w)| in_it(w)).map(|(name, _)| name);
                all.filter(told).cloned().collect()
            }
        }
    }

    fn note(&mut self, time: Timestamp, gateway: &GatewayName, kind: NoteKind, message: String) {
        self.notes.push(Note { sequence: 0, time, gateway: Some(gateway.clone()), kind, message });
    }
}

impl Wanted {
    /// Why Envoys refused the newest version.
    pub(super) fn refusal<'a>(&self, trial: &'a Trial) -> Option<&'a str> {
        match trial.standing(&self.newest.name) {
            Standing::Refused(text) => Some(text),
            _ => None,
        }
    }

    /// The version that people should be shown as serving.
    pub(super) fn serving(&self, trial: &Trial) -> Option<Arc<Gateway>> {
        if trial.is_offered(&self.newest.name) { Some(Arc::clone(&self.newest)) } else { self.fallback() }
    }

    /// What is told while the newest version cannot be: what Envoys took before, but never an open gateway in place
    /// of one that is not, nor a place from which requests would fall through to another gateway.
    fn fallback(&self) -> Option<Arc<Gateway>> {
        let open = |gateway: &Gateway| gateway.authentication == Authentication::None;
        match &self.taken {
            Some(taken) if !open(&taken.gateway) || open(&self.newest) => Some(Arc::clone(&taken.gateway)),
            None if open(&self.newest) => None,
            _ => Some(Arc::new(closed(&self.newest))),
        }
    }
}

/// Whether Envoys of an audience (`None`: of none that is named) serve a gateway that is meant for these.
fn sees(proxies: &BTreeSet<String>, audience: Option<&str>) -> bool {
    proxies.is_empty() || audience.is_some_and(|a| proxies.contains(a))
}

/// The gateway's place with nobody let in, and without anything that Envoy might refuse.
fn closed(gateway: &Gateway) -> Gateway {
    Gateway {
        authentication: Authentication::Closed,
        matches: Vec::new(),
        direct_access: None,
        ..gateway.clone()
    }
}

fn place(place: &crate::diag::Place) -> String {
    match place.line {
        0 => place.file.to_string(),
        line => format!("{}:{line}:{}", place.file, place.column),
    }
}

/// What a change is, for the log: a change of weights is the one people look for.
fn change_sentence(old: &Gateway, new: &Gateway) -> String {
    if old.authentication != new.authentication {
        return format!("gateway {}: who may use it changed", new.name);
    }
    if old.traffic == new.traffic {
        return format!("gateway {} changed", new.name);
    }
    let split = |gateway: &Gateway| {
        let parts = gateway.traffic.parts().iter().rev().map(|(u, w)| format!("{u} {w} %"));
        parts.collect::<Vec<_>>().join(", ")
    };
    format!("gateway {}: traffic was {}, is {}", new.name, split(old), split(new))
}
