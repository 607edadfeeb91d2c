//! All state of the control plane, and how one event changes it. Pure: no clock, no I/O.

mod apart;
mod change;
mod doors;
mod logins;
mod releases;
mod switches;
mod unlisted;
mod verdicts;

use super::blamed::Blamed;
use super::board::{Boards, Common};
use super::certificates::Certificates;
use super::command::{Asker, Edit, Reply};
use super::door::Door;
use super::event::{Changes, Event, Note, NoteKind};
use super::exclusion::{Exclusion, closed};
use super::files::{Chosen, Files, Outcome, Settled};
use super::handed::Outbox;
use super::issuers::Issuers;
use super::notice::Notice;
use super::offer::{Offers, Version};
use super::quarantine::Quarantines;
use super::renewal::Renewal;
use super::rollouts::{Rollouts, Unkept};
use super::trial::{Standing, Trial};
use super::unlisted::Unlisted;
use super::view::{Facts, View, Views};
use crate::clock::Timestamp;
use crate::config::Reference;
use crate::diag::Severity;
use crate::model::{Authentication, Gateway, SessionKey, Settings, Switches};
use crate::names::{GatewayName, ListenerName};
use crate::resource::{Kind, Resource};
use crate::snapshot::Fleet;
use crate::translate;
use change::{change_sentence, differ_by_rollout, weights};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything the control plane knows.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    /// Listeners and the secrets with their certificates.
    common: Common,
    certificates: Certificates,
    renewal: Option<Renewal>,
    http_renewal: Option<Renewal>,
    door: Option<Door>,
    files: Files,
    wanted: BTreeMap<GatewayName, Wanted>,
    /// The gateway that a file has.
    by_file: BTreeMap<Arc<str>, GatewayName>,
    trial: Trial,
    blamed: Blamed,
    quarantines: Quarantines,
    offers: Offers,
    boards: Boards,
    fleet: Fleet,
    /// What Envoys refused though it is of no gateway, so that people are told once and not by every Envoy.
    told_refused: BTreeMap<(Kind, Arc<str>), crate::resource::Version>,
    issuers: Issuers,
    session_key: Option<SessionKey>,
    switches: Switches,
    /// As they were kept last by whichever Serin leads, where there are several.
    shared_switches: Switches,
    /// Switches that were thrown since it began or since another Serin led, and whether the store was not told of the
    /// last one yet.
    thrown: BTreeMap<Arc<str>, bool>,
    unkept: bool,
    /// The token under which it led last.
    led: Option<u64>,
    rollouts: Rollouts,
    views: Views,
    /// The files of which people may see something else than before.
    unseen: BTreeSet<Arc<str>>,
    notes: Vec<Note>,
    notices: Vec<Notice>,
    answers: Vec<(Asker, Reply)>,
    outbox: Outbox,
    /// How many notes were taken.
    told: u64,
    /// The directories that cannot be listed, when nobody was told yet.
    unlisted: Option<Unlisted>,
}

/// What should be served under a name, and what Envoys took of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: Arc<str>,
    pub(super) newest: Arc<Gateway>,
    /// The last version that an Envoy took.
    taken: Option<Version>,
    /// A version that was taken back, and then an Envoy took what it was refused for.
    absolved: Option<Version>,
}

impl World {
    /// Before any file was read.
    pub fn new(settings: Settings) -> Self {
        let told = |name: &ListenerName, l, release| {
            let message = translate::listener(name, l, settings.routing, release);
            Arc::new(Resource::new(Kind::Listener, name.as_str(), &message))
        };
        let listeners =
            settings.listeners.iter().map(|(name, l)| (name.clone(), vec![told(name, l, translate::NEWEST)]));
        let older = translate::older_releases().flat_map(|release| {
            settings.listeners.iter().map(move |(name, l)| ((release, name.clone()), told(name, l, release)))
        });
        Self {
            common: Common {
                runtime: Arc::new(translate::runtime(Switches::default())),
                listeners: listeners.collect(),
                older: older.collect(),
                authorities: None,
            },
            certificates: Certificates::new(&settings),
            renewal: None,
            http_renewal: None,
            door: None,
            files: Files::new(&settings),
            wanted: BTreeMap::new(),
            by_file: BTreeMap::new(),
            trial: Trial::default(),
            blamed: Blamed::default(),
            quarantines: Quarantines::default(),
            offers: Offers::default(),
            boards: Boards::new(settings.routing),
            fleet: Fleet::default(),
            told_refused: BTreeMap::new(),
            issuers: Issuers::default(),
            session_key: None,
            switches: Switches::default(),
            shared_switches: Switches::default(),
            thrown: BTreeMap::new(),
            unkept: false,
            led: None,
            rollouts: Rollouts::default(),
            views: Views::default(),
            unseen: BTreeSet::new(),
            notes: Vec::new(),
            notices: Vec::new(),
            answers: Vec::new(),
            outbox: Outbox::default(),
            told: 0,
            unlisted: None,
            settings,
        }
    }

    /// With the last good text of files, for those that are broken when it begins.
    #[must_use]
    pub fn with_last_good(mut self, documents: BTreeMap<Arc<str>, Arc<str>>) -> Self {
        self.files = self.files.with_last_good(documents);
        self
    }

    /// Takes an event. True when what Envoys or people should see may be different now.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> bool {
        let changed = match event {
            Event::Files(changes) => {
                self.take_files(changes, now);
                true
            }
            Event::Unlisted(unlisted) => {
                self.look_away(unlisted, now);
                false
            }
            Event::Verdict(said) => self.take_verdict(said, now),
            Event::Fetched { what, result } => self.take_fetched(&what, result, now),
            Event::Command(command, asker) => {
                self.take_command(command, asker, now);
                false
            }
            Event::HandedBack(command, asker, reply) => {
                self.rollouts.handed_back(&command, asker, reply, now);
                false
            }
            Event::Draft(draft, asker) => {
                asker.answer(self.files.judge(&draft, &self.settings.listeners, self.settings.routing));
                false
            }
            Event::Edited(Edit { gateway, by, message }) => {
                let note = Note::new(now, gateway, NoteKind::Edited, message);
                self.notes.push(Note { by: Some(by), ..note });
                false
            }
            Event::Throw(throw) => self.throw(throw, now),
            Event::Measured(measured) => {
                self.rollouts.measured(measured, now);
                false
            }
            Event::Compared(readings) => {
                self.rollouts.compared(readings, now);
                false
            }
            Event::Agreed(agreed) => {
                self.rollouts.agreed(agreed, now);
                false
            }
            Event::Healthy(healthy) => {
                self.rollouts.healthy(healthy, now);
                false
            }
            Event::Answered(said) => self.take_said(said, now),
            Event::Committed(id, result) => self.take_answer(id, result.map_err(Unkept::Unknown), now),
            Event::Refused(id, error) => self.take_answer(id, Err(Unkept::Refused(error)), now),
            Event::Kept(kept) => self.take_kept(kept, now),
            Event::Seat(seat) => self.take_seat(seat, now),
            Event::Restored(restored) => {
                self.find_switches(restored.switches);
                self.take_restored(restored.states, now);
                true
            }
            Event::Tick => self.take_time(now),
        };
        let changed = self.take_override_news(now) | changed;
        if changed {
            self.build_fleet();
        }
        changed
    }

    /// When [`Event::Tick`] should come.
    pub fn deadline(&self) -> Option<Timestamp> {
        let deadlines = [
            self.files.deadline(),
            self.trial.deadline(),
            self.quarantines.deadline(),
            self.offers.deadline(),
            self.rollouts.deadline(),
        ];
        deadlines.into_iter().flatten().min()
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

    /// What operators are to be answered, once.
    pub fn take_answers(&mut self) -> Vec<(Asker, Reply)> {
        self.answers.extend(self.rollouts.take_answers());
        std::mem::take(&mut self.answers)
    }

    /// The files whose last good text is another now, once, to be kept for the next start; `None`: forget it.
    pub fn take_documents(&mut self) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        self.files.take_good()
    }

    /// What others want to be told, once.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What people may see.
    pub fn view(&mut self) -> View {
        let facts = Facts {
            files: &self.files,
            wanted: &self.wanted,
            by_file: &self.by_file,
            trial: &self.trial,
            quarantines: &self.quarantines,
            offers: &self.offers,
            issuers: &self.issuers,
            rollouts: &self.rollouts,
        };
        self.views.renew(std::mem::take(&mut self.unseen), facts);
        View {
            gateways: self.views.gateways().clone(),
            busy: self.views.busy().clone(),
            fleet: self.fleet.clone(),
            all_vanished: self.files.all_vanished,
            leads: self.rollouts.token().is_ok(),
            seat: self.rollouts.seat(),
            leaderless: self.rollouts.leaderless(),
            is_recalled: self.rollouts.is_recalled(),
            decisions: self.rollouts.decisions().clone(),
            refusing: self.quarantines.all(&self.offers),
            beyond: Arc::new(self.boards.beyond()),
            fetches: self.issuers.wanted(),
            expiries: self.files.expiries.by_file().clone(),
            certificate_faults: self.certificate_faults(),
            switches: self.switches,
        }
    }

    /// What Envoys should be told.
    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// The same, put together from nothing, and what should be served if all files were looked at.
    #[cfg(test)]
    pub(super) fn rebuilt(&self) -> (Fleet, BTreeMap<GatewayName, Arc<str>>) {
        let mut boards = Boards::new(self.settings.routing);
        boards.follow(&self.offers.names(), &self.offers, &self.common);
        let settled = self.files.settle(self.files.paths());
        let files = settled.chosen.into_iter().map(|(name, chosen)| (name, chosen.file));
        (boards.fleet(), files.collect())
    }

    /// The files that serve, by gateway.
    #[cfg(test)]
    pub(super) fn serving_files(&self) -> BTreeMap<GatewayName, Arc<str>> {
        self.wanted.iter().map(|(name, wanted)| (name.clone(), Arc::clone(&wanted.file))).collect()
    }

    fn build_fleet(&mut self) {
        let changed = self.offers.take_changed();
        let is_told = |name: &GatewayName, exclusion: &Exclusion| {
            self.offers.versions(name).any(|version| exclusion.covers(&version.gateway))
        };
        let forgotten = self.quarantines.forget_untold(&changed, is_told);
        self.look_again(&forgotten);
        if let Some(excluded) = self.quarantines.take_exclusions() {
            self.boards.exclude(excluded);
        }
        self.boards.follow(&changed, &self.offers, &self.common);
        self.quarantines.history.turn(self.offers.take_replaced(), self.boards.take_routes());
        self.fleet = self.boards.fleet();
    }

    fn take_files(&mut self, changes: Changes, now: Timestamp) {
        let touched: BTreeSet<Reference> = changes.attached.keys().cloned().collect();
        let outcome = self.files.apply(changes, &self.settings.listeners, self.settings.routing, now);
        let (shown, notes) = self.certificates.look(&touched, &self.files.attached, now);
        for (listener, secrets) in shown {
            let common = self.common.listeners.entry(listener).or_default();
            common.retain(|r| r.kind() != Kind::Secret);
            common.extend(secrets);
        }
        self.notes.extend(notes);
        self.look_at_doors(&touched, now);
        self.conclude(outcome, now);
    }

    /// Reports what became of the files, and brings what is wanted in line with them.
    fn conclude(&mut self, outcome: Outcome, now: Timestamp) {
        let gone = outcome.vanished.iter().filter(|_| !outcome.all_vanished);
        let mut what: BTreeMap<&Arc<str>, NoteKind> = gone.map(|path| (path, NoteKind::Vanished)).collect();
        what.extend(outcome.repaired.iter().map(|path| (path, NoteKind::Repaired)));
        what.extend(outcome.broken.iter().map(|path| (path, NoteKind::Invalid)));
        let mut lines = Vec::new();
        for (path, kind) in what {
            let Some(file) = self.files.get(path) else { continue };
            let mut line = |kind, message| lines.push((file.name().cloned(), kind, message));
            match kind {
                NoteKind::Repaired => line(kind, format!("{path} is right again")),
                NoteKind::Vanished => line(kind, format!("{path} is gone; it serves on for a while")),
                _ => {
                    let errors = file.diagnostics().filter(|d| d.severity == Severity::Error);
                    errors.for_each(|d| line(kind, format!("{}: {}", place(&d.place), d.message)));
                    if file.lets_in_as_before() {
                        let then = "whoever could before still can";
                        line(NoteKind::Alarm, format!("{path} says wrongly who may come in; {then}"));
                    }
                }
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
            self.notes.push(Note::new(now, gateway, kind, message));
        }
        self.settle(outcome.settled, now);
    }

    /// Brings what is wanted in line with the files.
    fn settle(&mut self, settled: Settled, now: Timestamp) {
        let Settled { files, chosen } = settled;
        let had = files.iter().filter_map(|path| self.by_file.get(path));
        let gone: Vec<GatewayName> = had.filter(|name| !chosen.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(wanted) = self.wanted.remove(&name) {
                self.by_file.remove(&wanted.file);
                self.issuers.replace(Some(&wanted.newest), None);
            }
            self.trial.forget(&name);
            self.blamed.remove(&name);
            self.rollouts.remove(&name);
            self.offers.set(&name, None, now);
            self.note(now, &name, NoteKind::Removed, format!("gateway {name} no longer serves"));
        }
        self.unseen.extend(files);
        chosen.into_values().for_each(|chosen| self.choose(chosen, now));
        self.issuers.forget_unwanted();
    }

    /// From now on this version of a gateway should be served.
    fn choose(&mut self, Chosen { file, gateway }: Chosen, now: Timestamp) {
        let gateway = self.with_session_secret(self.issuers.complete(gateway));
        let gateway = self.rollouts.with_weights(gateway);
        let name = gateway.name.clone();
        self.rollouts.set(&gateway, now);
        self.issuers.replace(self.wanted.get(&name).map(|w| w.newest.as_ref()), Some(&gateway));
        if let Some(wanted) = self.wanted.get(&name).filter(|w| w.file != file)
            && self.by_file.get(&wanted.file) == Some(&name)
        {
            self.by_file.remove(&wanted.file);
        }
        self.by_file.insert(Arc::clone(&file), name.clone());
        match self.wanted.get_mut(&name) {
            Some(wanted) if wanted.newest == gateway => wanted.file = file,
            Some(wanted) => {
                // What a rollout does is told when it is decided.
                let message = (!differ_by_rollout(&wanted.newest, &gateway))
                    .then(|| change_sentence(&wanted.newest, &gateway));
                let weights = (wanted.newest.traffic != gateway.traffic)
                    .then(|| (weights(&wanted.newest), weights(&gateway)));
                wanted.file = file;
                wanted.newest = gateway;
                let taken = wanted.taken.as_ref().is_some_and(|t| t.gateway == wanted.newest);
                self.trial.begin(&name, taken);
                self.blamed.remove(&name);
                if let Some(message) = message {
                    let note = Note::new(now, Some(name.clone()), NoteKind::Changed, message);
                    self.notes.push(Note { weights, ..note });
                }
                self.offer(&name, now);
            }
            None => {
                let message = format!("gateway {name} serves from {file}");
                self.wanted
                    .insert(name.clone(), Wanted { file, newest: gateway, taken: None, absolved: None });
                self.trial.begin(&name, false);
                self.note(now, &name, NoteKind::Loaded, message);
                self.offer(&name, now);
            }
        }
    }

    /// Offers the version of a gateway that its standing allows.
    fn offer(&mut self, name: &GatewayName, now: Timestamp) {
        let Some(wanted) = self.wanted.get(name) else { return };
        let version = match &wanted.taken {
            taken if !self.trial.is_offered(name) => {
                // What a rollout took away stays away, also from an older version.
                let fallback = wanted.fallback().map(|gateway| self.rollouts.with_weights(gateway));
                let version = fallback.map(|gateway| match taken {
                    Some(taken) if taken.gateway == gateway => taken.clone(),
                    _ => self.offers.translated(gateway),
                });
                return self.offers.step_back(name, version, now);
            }
            Some(taken) if taken.gateway == wanted.newest => Some(taken.clone()),
            _ => Some(match &wanted.absolved {
                // The very same: it is known that an Envoy took it.
                Some(absolved) if absolved.gateway == wanted.newest => absolved.clone(),
                _ => self.offers.translated(Arc::clone(&wanted.newest)),
            }),
        };
        self.offers.set(name, version, now);
    }

    /// Offers the versions of the gateways whose standing has changed.
    fn offer_moved(&mut self, now: Timestamp) {
        for name in self.trial.take_moved() {
            let Some(wanted) = self.wanted.get(&name) else { continue };
            self.unseen.insert(Arc::clone(&wanted.file));
            if self.trial.is_offered(&name) != self.offers.holds(&name, &wanted.newest) {
                self.offer(&name, now);
            }
        }
    }

    fn take_time(&mut self, now: Timestamp) -> bool {
        self.rollouts.tick(now);
        self.give_again(now);
        let outcome = self.files.expire(now);
        let expired = !outcome.settled.files.is_empty();
        self.conclude(outcome, now);
        let tried = self.trial.expire(now) | self.quarantines.expire(now);
        if tried {
            self.offer_moved(now);
        }
        self.offers.advance(now) || expired || tried
    }

    fn note(&mut self, time: Timestamp, gateway: &GatewayName, kind: NoteKind, message: String) {
        self.notes.push(Note::new(time, Some(gateway.clone()), kind, message));
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

fn place(place: &crate::diag::Place) -> String {
    match place.line {
        0 => place.file.to_string(),
        line => format!("{}:{line}:{}", place.file, place.column),
    }
}
