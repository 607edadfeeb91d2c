//! Envoys that refuse, seen from the loop: simulated Envoys on real streams.

use super::*;
use crate::control::TRIAL;
use crate::snapshot::Node;
use crate::xds::delta::Delta;
use crate::xds::sotw::Sotw;
use crate::xds::{Frame, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status;
use prost::Message;

/// What no simulated Envoy takes.
const MARKER: &str = "poison";

fn poison(name: &str) -> String {
    gateway(name).replace(&format!("/{name}"), &format!("/{MARKER}/{name}"))
}

/// The answer of an Envoy that does not take this text.
fn refusal(frame: &[u8], text: &str) -> Option<Status> {
    let bad = frame.windows(text.len()).any(|w| w == text.as_bytes());
    bad.then(|| Status { code: 13, message: format!("no {text}"), ..Default::default() })
}

/// An Envoy of the default audience.
pub(super) enum Envoy {
    Delta(Box<Delta>),
    Sotw(Box<Sotw>),
}

impl Envoy {
    pub(super) fn delta() -> Self {
        let mut delta = Delta::new(None);
        for (kind, names) in
            [(Kind::Cluster, vec![]), (Kind::Listener, vec![]), (Kind::Route, vec!["default".to_owned()])]
        {
            let (type_url, resource_names_subscribe) = (kind.type_url().to_owned(), names);
            delta
                .on_request(DeltaDiscoveryRequest {
                    type_url,
                    resource_names_subscribe,
                    ..Default::default()
                })
                .unwrap();
        }
        Self::Delta(delta.into())
    }

    /// One that comes back with all that is in a snapshot.
    pub(super) fn returning(snapshot: &Snapshot) -> Self {
        let mut delta = Delta::new(None);
        for (kind, names) in
            [(Kind::Cluster, vec![]), (Kind::Listener, vec![]), (Kind::Route, vec!["default".to_owned()])]
        {
            let held =
                snapshot.set(kind).resources().map(|r| (r.name().to_string(), r.version().to_string()));
            let request = DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                resource_names_subscribe: names,
                initial_resource_versions: held.collect(),
                ..Default::default()
            };
            delta.on_request(request).unwrap();
        }
        Self::Delta(delta.into())
    }

    /// One that comes back with all that is in a snapshot, of which it says the versions of the whole.
    pub(super) fn returning_sotw(snapshot: &Snapshot) -> Self {
        let mut sotw = Sotw::new(None);
        for (kind, names) in
            [(Kind::Cluster, vec![]), (Kind::Listener, vec![]), (Kind::Route, vec!["default".to_owned()])]
        {
            let (type_url, resource_names) = (kind.type_url().to_owned(), names);
            let version_info = snapshot.set(kind).version().to_string();
            let request = DiscoveryRequest { type_url, resource_names, version_info, ..Default::default() };
            sotw.on_request(request).unwrap();
        }
        Self::Sotw(sotw.into())
    }

    pub(super) fn sotw() -> Self {
        let mut sotw = Sotw::new(None);
        for (kind, names) in
            [(Kind::Cluster, vec![]), (Kind::Listener, vec![]), (Kind::Route, vec!["default".to_owned()])]
        {
            let (type_url, resource_names) = (kind.type_url().to_owned(), names);
            sotw.on_request(DiscoveryRequest { type_url, resource_names, ..Default::default() }).unwrap();
        }
        Self::Sotw(sotw.into())
    }

    /// Hears one response and answers it, with no to what has this text. `None`: there was none.
    pub(super) fn turn(&mut self, snapshot: &Snapshot, disliked: &str) -> Option<Vec<Verdict>> {
        let bytes = |frame: Frame| frame.into_pieces().concat()[5..].to_vec();
        let (response, mut verdicts) = match self {
            Self::Delta(delta) => (delta.next(snapshot), Vec::from_iter(delta.confirmed())),
            Self::Sotw(sotw) => (sotw.next(snapshot), Vec::from_iter(sotw.confirmed())),
        };
        let Some(response) = response else { return (!verdicts.is_empty()).then_some(verdicts) };
        let frame = bytes(response.frame);
        let error_detail = refusal(&frame, disliked);
        verdicts.extend(match self {
            Self::Delta(delta) => {
                let heard = DeltaDiscoveryResponse::decode(frame.as_slice()).unwrap();
                let (type_url, response_nonce) = (heard.type_url, heard.nonce);
                let answer =
                    DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() };
                delta.on_request(answer).unwrap()
            }
            Self::Sotw(sotw) => {
                let heard = DiscoveryResponse::decode(frame.as_slice()).unwrap();
                let named = response.kind == Kind::Route;
                let answer = DiscoveryRequest {
                    type_url: heard.type_url,
                    response_nonce: heard.nonce,
                    version_info: heard.version_info,
                    resource_names: if named { vec!["default".into()] } else { vec![] },
                    error_detail,
                    ..Default::default()
                };
                sotw.on_request(answer).unwrap()
            }
        });
        Some(verdicts)
    }
}

impl Play {
    /// Lets Envoys and the loop talk until nobody has anything to say; returns the number of responses.
    fn talk(&mut self, envoys: &mut [Envoy]) -> usize {
        let mut responses = 0;
        loop {
            let mut quiet = true;
            for envoy in envoys.iter_mut() {
                let Some(verdicts) = envoy.turn(&self.snapshot(), MARKER) else { continue };
                (quiet, responses) = (false, responses + 1);
                for verdict in verdicts {
                    self.event(said(verdict));
                }
            }
            if quiet {
                return responses;
            }
            assert!(responses < 1000, "no end");
        }
    }

    fn refused(&mut self) -> Vec<String> {
        let view = self.world.view();
        let refused =
            view.gateways.values().filter(|g| g.diagnostics.iter().any(|d| d.code.as_str() == "E001"));
        refused.map(|g| g.name.to_string()).collect()
    }
}

#[test]
fn at_a_cold_start_exactly_the_bad_ones_of_fifty_are_found() {
    for envoy in [Envoy::delta, Envoy::sotw] {
        let mut play = Play::new();
        let bad = ["g07", "g08", "g31"];
        let text = |name: &str| if bad.contains(&name) { poison(name) } else { gateway(name) };
        let all: Vec<String> = (0..50).map(|i| format!("g{i:02}")).collect();
        let files: Vec<_> = all.iter().map(|name| (name.as_str(), Some(text(name)))).collect();
        play.files(&files);
        let responses = play.talk(&mut [envoy()]);
        assert_eq!(play.refused(), bad);
        assert!(all.iter().all(|name| play.is_serving(name) != bad.contains(&name.as_str())));
        assert!(responses < 120, "{responses} responses");
        assert_eq!(play.was_told(NoteKind::Refused), 3);
        let more = play.talk(&mut [envoy()]);
        assert!(more < 10, "another Envoy hears only what is good: {more} responses");
        assert_eq!(play.was_told(NoteKind::Refused), 3);
    }
}

#[test]
fn a_refused_version_goes_back_to_the_one_that_was_taken_and_others_go_on() {
    let mut play = Play::new();
    play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b"))), ("c", Some(split("c", 90)))]);
    let mut envoys = [Envoy::delta(), Envoy::sotw()];
    play.talk(&mut envoys);
    let good = play.snapshot();
    play.files(&[("a", Some(gateway("a").replace("/a", "/new"))), ("b", Some(poison("b")))]);
    play.talk(&mut envoys);
    assert_eq!(play.refused(), ["b"]);
    assert!(play.is_serving("b") && play.gateway("b").gateway.as_ref().unwrap().path == "/b");
    assert!(play.routes_say("/new") && !play.routes_say(MARKER));
    assert_eq!(changed(&good, &play.snapshot()), [(Kind::Route, "default".into())]);

    play.write("c", split("c", 50));
    assert!(play.talk(&mut envoys) > 0, "changes of others go on");
    play.write("b", gateway("b"));
    play.talk(&mut envoys);
    assert_eq!((play.refused(), play.gateway("b").phase), (vec![], Phase::Of(rollout::Phase::Stable)));
}

#[test]
fn a_bad_cluster_is_blamed_on_its_gateway_and_does_not_linger() {
    for envoy in [Envoy::delta, Envoy::sotw] {
        let mut play = Play::new();
        let bad = gateway("b").replace("http://10.0.0.1:80", &format!("http://{MARKER}.example"));
        play.files(&[("a", Some(gateway("a"))), ("b", Some(bad)), ("c", Some(gateway("c")))]);
        play.talk(&mut [envoy()]);
        assert_eq!(play.refused(), ["b"]);
        assert_eq!(play.names(Kind::Cluster), ["a/v1", "c/v1"]);
        assert!(play.is_serving("a") && play.is_serving("c"));
    }
}

#[test]
fn what_others_take_is_not_blamed_for_one_that_refuses() {
    let mut play = Play::new();
    play.write("a", gateway("a"));
    play.talk(&mut [Envoy::delta()]);
    let route = Arc::clone(play.snapshot().get(Kind::Route, "default").unwrap());
    let before = play.snapshot();
    play.event(by(&node("odd", "1.40.0"), refuses(Kind::Route, vec![route], "mine alone")));
    assert!(play.refused().is_empty() && play.is_serving("a"));
    assert!(play.snapshot().is_same(&before), "all others are told the same");
}

/// Both were sent it before the first of them answered.
fn refused_and_then_taken(play: &mut Play, kind: Kind, name: &str) {
    let resource = Arc::clone(play.snapshot().get(kind, name).unwrap());
    let resources = vec![Arc::clone(&resource)];
    play.event(by(&node("odd", "1.40.0"), refuses(kind, resources, "mine alone")));
    let first = vec![resource].into_iter().filter(|r| r.accept()).collect();
    play.event(takes(kind, first));
}

#[test]
fn who_refuses_what_others_take_holds_nobody_up_by_answering_first() {
    for (kind, name) in [(Kind::Route, "default"), (Kind::Cluster, "a/v2")] {
        let mut play = Play::new();
        play.write("a", gateway("a"));
        play.talk(&mut [Envoy::delta()]);
        let text = gateway("a").replace("v1:", "v2:").replace("/a", "/new");
        play.write("a", text);
        if kind == Kind::Route {
            play.wait(Duration::from_mins(1));
        }
        refused_and_then_taken(&mut play, kind, name);
        assert!(play.refused().is_empty() && play.was_told(NoteKind::Repaired) == 1, "{kind}");
        assert!(play.snapshot().get(Kind::Cluster, "a/v2").is_some(), "{kind}");

        // The one that refuses does so each time that it is sent it, and nothing is taken back any more.
        let again = Arc::clone(play.snapshot().get(kind, name).unwrap());
        let before = play.snapshot();
        play.event(by(&node("odd", "1.40.0"), refuses(kind, vec![again], "mine alone")));
        assert!(play.snapshot().is_same(&before), "{kind}");
        assert!(play.refused().is_empty() && play.is_serving("a"), "{kind}");
        play.wait(Duration::from_mins(1));
        assert!(play.routes_say("/new"), "{kind}");
    }
}

#[test]
fn an_old_yes_does_not_help_a_newer_version() {
    let mut play = Play::new();
    play.write("a", gateway("a"));
    let route = Arc::clone(play.snapshot().get(Kind::Route, "default").unwrap());
    let refused = |route: &Arc<Resource>| {
        let resources = vec![Arc::clone(route)];
        refuses(Kind::Route, resources, "no")
    };
    play.event(refused(&route));
    play.write("a", poison("a"));
    let newer = Arc::clone(play.snapshot().get(Kind::Route, "default").unwrap());
    play.event(refused(&newer));
    let first = vec![route];
    let kind = Kind::Route;
    play.event(takes(kind, first));
    assert_eq!(play.refused(), ["a"]);
}

#[test]
fn after_a_restart_a_returning_envoy_vouches_for_what_it_holds() {
    let files = |play: &mut Play| {
        play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b"))), ("c", Some(gateway("c")))]);
    };
    let mut play = Play::new();
    files(&mut play);
    play.talk(&mut [Envoy::delta()]);
    let held = play.snapshot();

    let mut restarted = Play::new();
    files(&mut restarted);
    let mut envoys = [Envoy::returning(&held)];
    restarted.talk(&mut envoys);
    restarted.write("b", poison("b"));
    let responses = restarted.talk(&mut envoys);
    assert_eq!(restarted.refused(), ["b"]);
    assert!(restarted.is_serving("b"), "its last good version");
    assert_eq!(responses, 2, "the bad one and the way back: nobody else was suspected");
}

#[test]
fn one_audience_does_not_vouch_for_another() {
    let mut play = Play::new();
    let edge = poison("e").replace("path:", "proxies: [edge]\npath:");
    play.files(&[("a", Some(gateway("a"))), ("e", Some(edge))]);
    play.talk(&mut [Envoy::delta()]);
    let fleet = play.world.fleet();
    let route = Arc::clone(fleet.snapshot("edge").get(Kind::Route, "default").unwrap());
    let edge = Node { id: "e".into(), cluster: "edge".into(), version: "1.40.0".into() };
    play.event(by(&edge, refuses(Kind::Route, vec![route], "no")));
    assert_eq!(play.refused(), ["e"]);
    assert!(play.is_serving("a"));
}

#[test]
fn when_envoys_leave_in_mid_trial_everyone_gets_a_turn() {
    let mut play = Play::new();
    play.files(&[("a", Some(gateway("a"))), ("b", Some(poison("b"))), ("c", Some(gateway("c")))]);
    let mut envoy = Envoy::delta();
    while play.names(Kind::Cluster).len() == 3 {
        let verdicts = envoy.turn(&play.snapshot(), MARKER).unwrap();
        for verdict in verdicts {
            play.event(said(verdict));
        }
    }
    play.wait(TRIAL);
    assert_eq!(play.names(Kind::Cluster), ["a/v1", "b/v1", "c/v1"]);
    play.talk(&mut [Envoy::delta()]);
    assert_eq!(play.refused(), ["b"]);
}

#[test]
fn a_refused_listener_is_an_alarm_and_told_once() {
    let mut play = Play::new();
    play.write("a", gateway("a"));
    let listener: Arc<Resource> = Arc::clone(play.snapshot().get(Kind::Listener, "default").unwrap());
    for _ in 0..3 {
        let resources = vec![Arc::clone(&listener)];
        play.event(refuses(Kind::Listener, resources, "no port"));
    }
    assert_eq!(play.was_told(NoteKind::Alarm), 1);
    assert!(play.told.last().unwrap().1.contains("no port") && play.refused().is_empty());
}
