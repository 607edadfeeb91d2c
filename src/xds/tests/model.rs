//! Model clients against random courses of snapshots: they hold what was sent, take or refuse, come and go.

use super::super::delta::Delta;
use super::super::sotw::Sotw;
use super::*;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The most responses that one state may take: every resource alone and on the way there, twice over.
const ENOUGH: usize = 200;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const KINDS: [Kind; 3] = [Kind::Cluster, Kind::Endpoint, Kind::Route];
/// Resources with this meaning are refused by clients that are strict.
const BAD: u32 = 3;

type Holdings = BTreeMap<(Kind, String), String>;

#[derive(Clone, Debug)]
enum Step {
    /// These resources, by kind, name and meaning.
    Snapshot(Vec<(usize, usize, u32)>),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Reconnect,
    /// Hear and answer so many responses.
    Hear(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (kind, name) = (1..KINDS.len(), 0..NAMES.len());
    let resource = (0..KINDS.len(), 0..NAMES.len(), 0..=BAD);
    prop_oneof![
        3 => prop::collection::vec(resource, 0..14).prop_map(Step::Snapshot),
        2 => (kind.clone(), name.clone()).prop_map(|(k, n)| Step::Subscribe(k, n)),
        1 => (kind, name).prop_map(|(k, n)| Step::Unsubscribe(k, n)),
        1 => Just(Step::Reconnect),
        3 => (0usize..4).prop_map(Step::Hear),
    ]
}

/// A client of either protocol: everything of clusters, by name of the others.
trait Client: Sized {
    /// Begins a stream with what is held from an earlier one: each resource, and the last version of each kind.
    fn connect(wanted: &BTreeSet<(Kind, String)>, held: &Holdings, versions: &BTreeMap<Kind, String>)
    -> Self;
    fn subscribe(&mut self, wanted: &BTreeSet<(Kind, String)>, kind: Kind, name: &str);
    fn unsubscribe(&mut self, wanted: &BTreeSet<(Kind, String)>, kind: Kind, name: &str);
    fn hear(&mut self, snapshot: &Snapshot) -> Option<Heard>;
    fn answer(&mut self, heard: &Heard, wanted: &BTreeSet<(Kind, String)>, refused: bool);
    /// Takes what was heard into what is held.
    fn hold(heard: &Heard, held: &mut Holdings);
}

fn names_of(wanted: &BTreeSet<(Kind, String)>, kind: Kind) -> Vec<String> {
    wanted.iter().filter(|(k, _)| *k == kind).map(|(_, n)| n.clone()).collect()
}

struct Incremental(Delta);

impl Client for Incremental {
    fn connect(wanted: &BTreeSet<(Kind, String)>, held: &Holdings, _: &BTreeMap<Kind, String>) -> Self {
        let mut delta = Delta::new(None);
        for kind in KINDS {
            let mine = held.iter().filter(|((k, _), _)| *k == kind);
            let request = DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                resource_names_subscribe: names_of(wanted, kind),
                initial_resource_versions: mine.map(|((_, n), v)| (n.clone(), v.clone())).collect(),
                ..Default::default()
            };
            delta.on_request(request).unwrap();
        }
        Self(delta)
    }
    fn subscribe(&mut self, _: &BTreeSet<(Kind, String)>, kind: Kind, name: &str) {
        let (type_url, resource_names_subscribe) = (kind.type_url().into(), strings(&[name]));
        let request = DeltaDiscoveryRequest { type_url, resource_names_subscribe, ..Default::default() };
        self.0.on_request(request).unwrap();
    }
    fn unsubscribe(&mut self, _: &BTreeSet<(Kind, String)>, kind: Kind, name: &str) {
        let (type_url, resource_names_unsubscribe) = (kind.type_url().into(), strings(&[name]));
        let request = DeltaDiscoveryRequest { type_url, resource_names_unsubscribe, ..Default::default() };
        self.0.on_request(request).unwrap();
    }
    fn hear(&mut self, snapshot: &Snapshot) -> Option<Heard> {
        self.0.next(snapshot).map(Heard::delta)
    }
    fn answer(&mut self, heard: &Heard, _: &BTreeSet<(Kind, String)>, refused: bool) {
        let request = DeltaDiscoveryRequest {
            type_url: heard.kind.type_url().into(),
            response_nonce: heard.nonce.clone(),
            error_detail: refused.then(refusal),
            ..Default::default()
        };
        self.0.on_request(request).unwrap();
    }
    fn hold(heard: &Heard, held: &mut Holdings) {
        held.extend(heard.resources.iter().map(|(n, v)| ((heard.kind, n.clone()), v.clone())));
        heard.removed.iter().for_each(|n| drop(held.remove(&(heard.kind, n.clone()))));
    }
}

struct Whole {
    sotw: Sotw,
    /// By kind: nonce and version of the last response.
    last: BTreeMap<Kind, (String, String)>,
}

impl Whole {
    fn ask(&mut self, kind: Kind, wanted: &BTreeSet<(Kind, String)>, error_detail: Option<Status>) {
        let (response_nonce, version_info) = self.last.get(&kind).cloned().unwrap_or_default();
        let (type_url, resource_names) = (kind.type_url().into(), names_of(wanted, kind));
        let request = DiscoveryRequest {
            type_url,
            resource_names,
            response_nonce,
            version_info,
            error_detail,
            ..Default::default()
        };
        self.sotw.on_request(request).unwrap();
    }
}

impl Client for Whole {
    fn connect(wanted: &BTreeSet<(Kind, String)>, _: &Holdings, versions: &BTreeMap<Kind, String>) -> Self {
        let last = versions.iter().map(|(kind, version)| (*kind, (String::new(), version.clone())));
        let mut whole = Self { sotw: Sotw::new(None), last: last.collect() };
        for kind in KINDS {
            whole.ask(kind, wanted, None);
        }
        whole
    }
    fn subscribe(&mut self, wanted: &BTreeSet<(Kind, String)>, kind: Kind, _: &str) {
        self.ask(kind, wanted, None);
    }
    fn unsubscribe(&mut self, wanted: &BTreeSet<(Kind, String)>, kind: Kind, _: &str) {
        self.ask(kind, wanted, None);
    }
    fn hear(&mut self, snapshot: &Snapshot) -> Option<Heard> {
        self.sotw.next(snapshot).map(|response| Heard::sotw(response, snapshot))
    }
    fn answer(&mut self, heard: &Heard, wanted: &BTreeSet<(Kind, String)>, refused: bool) {
        self.last.insert(heard.kind, (heard.nonce.clone(), heard.version.clone()));
        self.ask(heard.kind, wanted, refused.then(refusal));
    }
    fn hold(heard: &Heard, held: &mut Holdings) {
        if heard.kind.is_wildcard() {
            held.retain(|(kind, _), _| *kind != heard.kind);
        }
        held.extend(heard.resources.iter().map(|(n, v)| ((heard.kind, n.clone()), v.clone())));
    }
}

/// Every meaning is written once per resource, so that contents tell names apart.
fn snapshot_of(previous: &Snapshot, resources: &[(usize, usize, u32)]) -> (Snapshot, Holdings) {
    let mut bad = Holdings::new();
    let unique: BTreeMap<(usize, usize), u32> = resources.iter().map(|(k, n, m)| ((*k, *n), *m)).collect();
    let resources: Vec<_> = unique
        .into_iter()
        .map(|((k, n), meaning)| {
            let number = u32::try_from(n).unwrap() * 10 + meaning;
            let resource = resource(KINDS[k], NAMES[n], number);
            if meaning == BAD {
                bad.insert((KINDS[k], NAMES[n].to_owned()), resource.version().to_string());
            }
            resource
        })
        .collect();
    (Snapshot::next(previous, resources), bad)
}

struct Course {
    snapshot: Snapshot,
    bad: Holdings,
    wanted: BTreeSet<(Kind, String)>,
    held: Holdings,
    /// Of each kind, of the last response that was taken.
    versions: BTreeMap<Kind, String>,
    strict: bool,
}

impl Course {
    fn hear<C: Client>(&mut self, client: &mut C) -> bool {
        let Some(heard) = client.hear(&self.snapshot) else { return false };
        let is_bad = |(n, v): (&String, &String)| self.bad.get(&(heard.kind, n.clone())) == Some(v);
        let refused = self.strict && heard.resources.iter().any(is_bad);
        if !refused {
            C::hold(&heard, &mut self.held);
            self.versions.insert(heard.kind, heard.version.clone());
        }
        client.answer(&heard, &self.wanted, refused);
        true
    }

    fn play<C: Client>(&mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        let mut client = C::connect(&self.wanted, &self.held, &self.versions);
        for step in steps {
            match step {
                Step::Snapshot(resources) => {
                    (self.snapshot, self.bad) = snapshot_of(&self.snapshot, &resources);
                }
                Step::Subscribe(k, n) => {
                    self.wanted.insert((KINDS[k], NAMES[n].to_owned()));
                    client.subscribe(&self.wanted, KINDS[k], NAMES[n]);
                }
                Step::Unsubscribe(k, n) => {
                    self.wanted.remove(&(KINDS[k], NAMES[n].to_owned()));
                    self.held.remove(&(KINDS[k], NAMES[n].to_owned()));
                    client.unsubscribe(&self.wanted, KINDS[k], NAMES[n]);
                }
                Step::Reconnect => client = C::connect(&self.wanted, &self.held, &self.versions),
                Step::Hear(count) => (0..count).for_each(|_| _ = self.hear(&mut client)),
            }
        }
        let responses =
            std::iter::repeat_with(|| self.hear(&mut client)).take(ENOUGH).take_while(|more| *more).count();
        prop_assert!(responses < ENOUGH, "no end");
        prop_assert!(client.hear(&self.snapshot).is_none(), "quiet stays quiet");
        Ok(())
    }

    /// What a client should hold in the end.
    fn expected(&self) -> Holdings {
        let wants = |r: &&Arc<Resource>| {
            r.kind() == Kind::Cluster || self.wanted.contains(&(r.kind(), r.name().to_string()))
        };
        let all = self.snapshot.resources().filter(wants);
        all.map(|r| ((r.kind(), r.name().to_string()), r.version().to_string())).collect()
    }
}

fn course(strict: bool) -> Course {
    let (snapshot, bad) = (Snapshot::default(), Holdings::new());
    let (wanted, held, versions) = (BTreeSet::new(), Holdings::new(), BTreeMap::new());
    Course { snapshot, bad, wanted, held, versions, strict }
}

proptest! {
    #[test]
    fn every_client_ends_with_what_there_is(steps in prop::collection::vec(step(), 1..30)) {
        let (mut delta, mut sotw) = (course(false), course(false));
        delta.play::<Incremental>(steps.clone())?;
        sotw.play::<Whole>(steps)?;
        prop_assert_eq!(&delta.held, &delta.expected());
        // This protocol has no word for the end of a route: who asked for it keeps it.
        let there = |held: &Holdings| -> Holdings {
            let lasts = |(k, n): &(Kind, String)| k.is_wildcard() || sotw.snapshot.get(*k, n).is_some();
            held.iter().filter(|(key, _)| lasts(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        prop_assert_eq!(there(&sotw.held), there(&delta.held));
    }

    #[test]
    fn a_strict_client_ends_with_all_that_it_does_not_refuse(steps in prop::collection::vec(step(), 1..30)) {
        let mut course = course(true);
        course.play::<Incremental>(steps)?;
        for (key, version) in course.expected() {
            let refused = course.bad.get(&key) == Some(&version);
            prop_assert_eq!(course.held.get(&key) == Some(&version), !refused, "{:?}", key);
        }
        for key in course.held.keys() {
            prop_assert!(course.snapshot.get(key.0, &key.1).is_some(), "{:?} is gone", key);
        }
    }

    #[test]
    fn a_strict_client_of_whole_states_is_not_sent_the_same_for_ever(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        course(true).play::<Whole>(steps)?;
    }
}
