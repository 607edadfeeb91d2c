//! Envoys that refuse what others take, seen from the loop: simulated Envoys on real streams.

use super::refusals::Envoy;
use super::*;
use crate::translate;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A text in routes or clusters that one Envoy does not take.
const NEW: &str = "novelty";

/// An Envoy with a name, a version, and what it does not take.
pub(super) struct Peer {
    pub(super) node: Arc<Node>,
    stream: Envoy,
    disliked: &'static str,
}

impl Peer {
    pub(super) fn new(id: &str, version: &str, stream: Envoy, disliked: &'static str) -> Self {
        Self { node: Arc::new(node(id, version)), stream, disliked }
    }

    /// One that takes everything.
    fn newer() -> Self {
        Self::new("newer", "1.40.0", Envoy::delta(), "nothing of this kind")
    }

    fn older(stream: Envoy) -> Self {
        Self::new("older", "1.39.3", stream, NEW)
    }
}

impl Play {
    /// What an Envoy is told.
    pub(super) fn told_to(&self, peer: &Peer) -> Arc<Snapshot> {
        let (fleet, older) = (self.world.fleet(), translate::older(&peer.node.version));
        fleet.snapshot_of(&peer.node, older).map(Arc::clone).unwrap_or_default()
    }

    /// An Envoy connects.
    pub(super) fn comes(&mut self, peer: &Peer) {
        let node = Arc::clone(&peer.node);
        self.event(Event::Verdict(Said { node, verdict: Verdict::Came, others: Vec::new() }));
    }

    /// Lets Envoys and the loop talk until nobody has anything to say, the first of them first.
    pub(super) fn converse(&mut self, peers: &mut [Peer]) -> usize {
        let nodes: Vec<Arc<Node>> = peers.iter().map(|peer| Arc::clone(&peer.node)).collect();
        let mut responses = 0;
        peers.iter().for_each(|peer| self.comes(peer));
        loop {
            let mut is_quiet = true;
            for peer in peers.iter_mut() {
                let snapshot = self.told_to(peer);
                let Some(verdicts) = peer.stream.turn(&snapshot, peer.disliked) else { continue };
                (is_quiet, responses) = (false, responses + 1);
                for verdict in verdicts {
                    let others = nodes.iter().filter(|node| **node != peer.node).cloned().collect();
                    self.event(Event::Verdict(Said { node: Arc::clone(&peer.node), verdict, others }));
                }
            }
            if is_quiet {
                return responses;
            }
            assert!(responses < 2000, "no end");
        }
    }

    /// The routes of a gateway in what an Envoy is told, as a text.
    pub(super) fn routes_of(&self, peer: &Peer, gateway: &str) -> String {
        let snapshot = self.told_to(peer);
        let own = snapshot.set(Kind::Route).resources().map(|route| {
            let mut dumped = crate::snapshot::dump(route).unwrap();
            crate::translate::keep_gateway(&mut dumped, gateway);
            dumped.to_string()
        });
        own.collect()
    }

    /// Whether an Envoy answers 503 in the place of a gateway.
    pub(super) fn is_closed_at(&self, peer: &Peer, gateway: &str) -> bool {
        let routes = self.routes_of(peer, gateway);
        routes.contains("direct_response") && routes.contains("503") && !routes.contains("weighted_clusters")
    }

    /// The gateways that some Envoys refuse.
    fn refused_by_some(&mut self) -> Vec<String> {
        let view = self.world.view();
        let is_it = |g: &&Arc<GatewayView>| g.diagnostics.iter().any(|d| d.code.as_str() == "E004");
        view.gateways.values().filter(is_it).map(|g| g.name.to_string()).collect()
    }
}

/// A gateway that only newer Envoys take.
fn novel(name: &str) -> String {
    let condition = format!("[{{ headers: {{ x-{NEW}: \"1\" }}, upstream: v1 }}]");
    format!("{}match: {condition}\n", gateway(name))
}

#[test]
fn an_envoy_that_refuses_one_gateway_gets_all_else() {
    for older in [Envoy::delta, Envoy::sotw] {
        for older_first in [false, true] {
            let mut play = Play::new();
            play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b"))), ("c", Some(split("c", 50)))]);
            let mut peers = [Peer::older(older()), Peer::newer()];
            if !older_first {
                peers.reverse();
            }
            play.converse(&mut peers);
            let before = play.routes_of(&peers[0], "b");
            play.write("b", novel("b"));
            play.converse(&mut peers);
            let (old, new) = if older_first { (0, 1) } else { (1, 0) };
            assert!(play.routes_of(&peers[new], "b").contains(NEW), "whoever answers first");
            assert_eq!(play.routes_of(&peers[old], "b"), before, "the version that it took");
            assert_eq!((play.refused_by_some(), play.codes("b")), (vec!["b".to_owned()], vec!["E004"]));
            assert_eq!(play.gateway("b").phase, Phase::Of(rollout::Phase::Stable));

            // Weights, new gateways and removals reach it.
            play.files(&[("c", Some(split("c", 10))), ("d", Some(gateway("d"))), ("a", None)]);
            play.wait(GRACE + LINGER);
            play.converse(&mut peers);
            let route = |peer: &Peer| play.routes_of(peer, "c");
            assert_eq!(route(&peers[old]), route(&peers[new]));
            assert!(route(&peers[old]).contains("\"weight\":1000") || route(&peers[old]).contains("10"));
            assert!(play.routes_of(&peers[old], "d").contains("d/v1"));
            assert!(!play.routes_of(&peers[old], "a").contains("a/v1"));
            assert_eq!(play.routes_of(&peers[old], "b"), before);

            // What is right for all ends it.
            play.write("b", gateway("b").replace("/b", "/other"));
            play.converse(&mut peers);
            assert!(play.world.fleet().quarantined.is_empty() && play.refused_by_some().is_empty());
            assert!(play.routes_of(&peers[old], "b").contains("/other"));
        }
    }
}

#[test]
fn a_gateway_that_an_envoy_never_took_is_closed_there() {
    for older in [Envoy::delta, Envoy::sotw] {
        let mut play = Play::new();
        let names: Vec<String> = (0..20).map(|n| format!("g{n:02}")).collect();
        let text = |name: &String| if name == "g07" { novel(name) } else { gateway(name) };
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), Some(text(name)))).collect();
        play.files(&files);
        let mut peers = [Peer::newer(), Peer::older(older())];
        play.converse(&mut peers[..1]);
        let responses = play.converse(&mut peers);
        assert!(responses < 40, "{responses}");
        assert!(play.is_closed_at(&peers[1], "g07"), "{}", play.routes_of(&peers[1], "g07"));
        assert!(!play.is_closed_at(&peers[0], "g07"));
        for name in names.iter().filter(|name| *name != "g07") {
            assert_eq!(play.routes_of(&peers[1], name), play.routes_of(&peers[0], name));
        }
        // One that comes later and refuses the same is asked once.
        let mut later = [Peer::new("later", "1.39.3", older(), NEW)];
        let responses = play.converse(&mut later);
        assert!(play.is_closed_at(&later[0], "g07"));
        assert!(responses <= 8, "{responses}");
        let fleet = play.world.fleet();
        let told: Vec<_> = fleet.quarantined.values().collect();
        assert!(told.len() == 2 && Arc::ptr_eq(told[0], told[1]), "they share what they are told");
        // It is the same when it comes back.
        let mut back = [Peer::new("older", "1.39.3", older(), NEW)];
        let responses = play.converse(&mut back);
        assert!(play.is_closed_at(&back[0], "g07") && responses <= 5, "{responses}");
    }
}

#[test]
fn after_a_restart_what_an_envoy_serves_is_not_interrupted() {
    for older in [Envoy::returning, Envoy::returning_sotw] {
        let names: Vec<String> = (0..20).map(|n| format!("g{n:02}")).collect();
        let files = |play: &mut Play| {
            let text = |name: &String| if name == "g07" { novel(name) } else { gateway(name) };
            let files: Vec<_> = names.iter().map(|name| (name.as_str(), Some(text(name)))).collect();
            play.files(&files);
        };
        let mut play = Play::new();
        files(&mut play);
        let mut peers = [Peer::newer(), Peer::older(Envoy::delta())];
        play.converse(&mut peers);
        let held = play.told_to(&peers[1]);

        let mut play = Play::new();
        files(&mut play);
        let others = vec![Arc::clone(&peers[0].node)];
        let mut peer = Peer::older(older(&held));
        play.comes(&peer);
        loop {
            let snapshot = play.told_to(&peer);
            let Some(verdicts) = peer.stream.turn(&snapshot, NEW) else { break };
            for verdict in verdicts {
                let has_taken = matches!(verdict, Verdict::Accepted { kind: Kind::Route, .. });
                if has_taken {
                    for name in names.iter().filter(|name| *name != "g07") {
                        assert!(!play.is_closed_at(&peer, name), "{name}");
                    }
                }
                let (node, others) = (Arc::clone(&peer.node), others.clone());
                play.event(Event::Verdict(Said { node, verdict, others }));
            }
        }
        assert!(play.is_closed_at(&peer, "g07"));
        assert_eq!(play.refused_by_some(), ["g07"]);
    }
}

#[test]
fn nobody_is_let_in_by_a_version_of_before() {
    let keys = "authentication: { accessKey: { keysFile: keys } }\n";
    let edits: [&dyn Fn(String) -> String; 3] =
        [&|text| format!("{text}{keys}"), &|text| text.replace("path: /b", "path: /elsewhere"), &|text| {
            text.replace("path:", "host: b.example.com\npath:")
        }];
    for edit in edits {
        let mut play = Play::new();
        play.attach("keys", Attachment::private("team:3b9d1f7c5a8e4d2f9c6b7a1e0d4f8c2b\n".as_bytes()));
        play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b")))]);
        let mut peers = [Peer::newer(), Peer::older(Envoy::delta())];
        play.converse(&mut peers);
        play.write("b", edit(novel("b")));
        play.converse(&mut peers);
        assert!(play.is_closed_at(&peers[1], "b"), "{}", play.routes_of(&peers[1], "b"));
        assert!(!play.is_closed_at(&peers[0], "b"));
        assert!(play.gateway("b").diagnostics.iter().any(|d| d.message.contains("answers 503")));
    }
}

#[test]
fn a_weight_of_now_reaches_a_version_of_before() {
    let text = |weight: u32, more: &str| format!("{}{more}", split("b", weight));
    let condition = format!("match: [{{ headers: {{ x-{NEW}: \"1\" }}, upstream: v1 }}]\n");
    let mut play = Play::new();
    play.files(&[("b", Some(text(50, "")))]);
    let mut peers = [Peer::newer(), Peer::older(Envoy::delta())];
    play.converse(&mut peers);
    play.write("b", text(50, &condition));
    play.converse(&mut peers);
    play.write("b", text(100, &condition));
    let responses = play.converse(&mut peers);
    assert_eq!(responses, 2, "it is not asked again for the sake of a weight");
    let routes = play.routes_of(&peers[1], "b");
    assert!(!routes.contains(NEW), "{routes}");
    assert!(routes.contains("{\"name\":\"b/v2\",\"weight\":0}"), "{routes}");
}

#[test]
fn a_cluster_that_one_refuses_concerns_its_gateway_there() {
    for older in [Envoy::delta, Envoy::sotw] {
        let mut play = Play::new();
        play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b"))), ("c", Some(split("c", 50)))]);
        let mut peers = [Peer::newer(), Peer::older(older())];
        play.converse(&mut peers);
        let text = gateway("b").replace("http://10.0.0.1:80", &format!("http://{NEW}.example"));
        play.write("b", text);
        play.converse(&mut peers);
        let cluster = |peer: &Peer| {
            let snapshot = play.told_to(peer);
            crate::snapshot::dump(snapshot.get(Kind::Cluster, "b/v1").unwrap()).unwrap().to_string()
        };
        assert!(cluster(&peers[0]).contains(NEW) && !cluster(&peers[1]).contains(NEW));
        assert_eq!(play.refused_by_some(), ["b"]);
        play.write("c", split("c", 10));
        play.converse(&mut peers);
        assert_eq!(play.routes_of(&peers[1], "c"), play.routes_of(&peers[0], "c"));
    }
}

#[test]
fn what_all_refuse_is_of_the_file_and_not_of_envoys() {
    for count in [2, 5] {
        let mut play = Play::new();
        play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b")))]);
        let version = |n: usize| if n == 0 { "1.40.0" } else { "1.39.3" };
        let mut peers: Vec<Peer> =
            (0..count).map(|n| Peer::new(&format!("e{n}"), version(n), Envoy::delta(), NEW)).collect();
        play.converse(&mut peers);
        play.write("b", novel("b"));
        play.converse(&mut peers);
        assert_eq!(play.codes("b"), ["E001"], "{count}");
        assert_eq!(play.was_told(NoteKind::Alarm), 0);
        assert!(play.world.fleet().quarantined.values().all(|s| s.is_same(&play.snapshot())));
    }
}

#[test]
fn an_envoy_that_refuses_also_the_version_before_is_closed_there() {
    let mut play = Play::new();
    play.files(&[("a", Some(gateway("a"))), ("b", Some(gateway("b")))]);
    let mut peers = [Peer::newer(), Peer::older(Envoy::delta())];
    play.converse(&mut peers);
    play.write("b", novel("b"));
    play.converse(&mut peers);
    // It comes back as one that takes nothing with this gateway's first version either.
    let mut back = [Peer::new("older", "1.39.3", Envoy::delta(), "b/v1")];
    play.converse(&mut back);
    assert!(play.is_closed_at(&back[0], "b"));
    assert!(play.routes_of(&back[0], "a").contains("a/v1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any Envoys, in any order of answers and edits: each is told all that it takes as it is.
    #[test]
    fn each_envoy_has_all_that_it_takes(
        edits in proptest::collection::vec((0usize..8, 0usize..3, 0u32..3), 1..12),
        older in 0usize..2,
        at_once in any::<bool>(),
    ) {
        let mut play = Play::new();
        let mut peers = [
            Peer::older(if older == 0 { Envoy::delta() } else { Envoy::sotw() }),
            Peer::newer(),
        ];
        let mut files: [Option<String>; 8] = Default::default();
        for (file, what, weight) in edits {
            let name = format!("g{file}");
            let text = match what {
                0 => Some(split(&name, weight * 50)),
                1 => Some(novel(&name)),
                _ => None,
            };
            files[file].clone_from(&text);
            match text {
                Some(text) => play.write(&name, text),
                None => play.files(&[(&name, None)]),
            }
            if !at_once {
                play.converse(&mut peers);
            }
        }
        play.converse(&mut peers);
        play.wait(GRACE + LINGER);
        play.converse(&mut peers);
        let all_gone = files.iter().all(Option::is_none);
        for (n, text) in files.iter().enumerate().filter(|_| !all_gone) {
            let name = format!("g{n}");
            let (old, new) = (play.routes_of(&peers[0], &name), play.routes_of(&peers[1], &name));
            match text {
                Some(text) if text.contains(NEW) => {
                    prop_assert!(new.contains(NEW), "{}", new);
                    prop_assert!(!old.contains(NEW) && old.contains(&name), "{}", old);
                }
                _ => prop_assert_eq!(old, new),
            }
        }
        let refused: BTreeSet<String> = play.refused_by_some().into_iter().collect();
        let novel = files.iter().enumerate().filter(|(_, text)| text.as_ref().is_some_and(|t| t.contains(NEW)));
        let wanted: BTreeSet<String> = novel.map(|(n, _)| format!("g{n}")).collect();
        prop_assert!(all_gone || refused == wanted, "{:?} {:?}", refused, wanted);
    }
}
