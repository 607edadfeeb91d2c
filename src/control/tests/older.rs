//! Envoys of older releases: what they do not take they are not told, and answer 503 in its place.

use super::quarantine::Peer;
use super::refusals::Envoy;
use super::*;
use std::collections::BTreeSet;

/// An Envoy that takes whatever it is told.
fn peer(version: &str) -> Peer {
    Peer::new(version, version, Envoy::delta(), "nothing of this kind")
}

/// A gateway of which the routes match by a cookie, which Envoy can since 1.37.
fn by_cookie(name: &str) -> String {
    format!("{}match: [{{ cookies: {{ group: beta }}, upstream: v1 }}]\n", gateway(name))
}

/// The gateways that an Envoy is too old for, and the releases that they need.
fn unsupported(play: &mut Play, peer: &Peer) -> Vec<String> {
    let view = play.world.view();
    let each = view.unsupported_at(&peer.node);
    each.map(|(name, (major, minor))| format!("{name} {major}.{minor}")).collect()
}

#[test]
fn what_an_envoy_is_too_old_for_is_closed_there() {
    let mut play = Play::new();
    play.files(&[("a", Some(gateway("a"))), ("b", Some(by_cookie("b")))]);
    let mut peers = [peer("1.36.4"), peer("1.37.0"), peer("1.40.0")];
    play.converse(&mut peers);
    let [oldest, older, newest] = &peers;
    assert!(play.is_closed_at(oldest, "b"), "{}", play.routes_of(oldest, "b"));
    assert!(!play.routes_of(oldest, "b").contains("cookies"), "it would pass over them");
    assert!(play.routes_of(older, "b").contains("cookies"));
    assert_eq!(play.routes_of(older, "b"), play.routes_of(newest, "b"));
    assert_eq!(play.routes_of(oldest, "a"), play.routes_of(newest, "a"));
    assert_eq!(unsupported(&mut play, &peers[0]), ["b 1.37"]);
    assert!(unsupported(&mut play, &peers[1]).is_empty() && unsupported(&mut play, &peers[2]).is_empty());
    assert_eq!(play.gateway("b").gateway.as_ref().unwrap().needs_envoy.as_deref(), Some("1.37"));
    assert_eq!(play.gateway("a").gateway.as_ref().unwrap().needs_envoy, None);

    // Edits open and close it there, and others reach it meanwhile.
    play.write("b", gateway("b"));
    play.converse(&mut peers);
    assert!(!play.is_closed_at(&peers[0], "b") && unsupported(&mut play, &peers[0]).is_empty());
    play.files(&[("b", Some(by_cookie("b"))), ("c", Some(gateway("c")))]);
    play.converse(&mut peers);
    assert!(play.is_closed_at(&peers[0], "b") && play.routes_of(&peers[0], "c").contains("c/v1"));
    play.write("b", by_cookie("b").replace("path: /b", "path: /elsewhere"));
    play.converse(&mut peers);
    assert!(play.routes_of(&peers[0], "b").contains("/elsewhere") && play.is_closed_at(&peers[0], "b"));
    play.files(&[("b", None)]);
    play.wait(GRACE + LINGER);
    play.converse(&mut peers);
    assert!(unsupported(&mut play, &peers[0]).is_empty());
}

#[test]
fn a_gateway_that_nobody_can_take_is_not_taken_for_taken() {
    let mut play = Play::new();
    play.files(&[("b", Some(by_cookie("b")))]);
    let mut old = [peer("1.36.4")];
    play.converse(&mut old);
    let mut picky = [Peer::new("newer", "1.40.0", Envoy::delta(), "group")];
    play.converse(&mut picky);
    assert_eq!(play.codes("b"), ["E001"], "the older Envoy has taken nothing of it");
}

#[test]
fn older_envoys_are_told_no_filters_that_they_do_not_know() {
    let mut play = Play::new();
    play.files(&[("a", Some(gateway("a")))]);
    let mut filters = BTreeSet::new();
    for version in ["1.36.4", "1.37.0", "1.38.3", "1.39.3", "1.40.0", ""] {
        let mut peers = [peer(version)];
        play.converse(&mut peers);
        let told = play.told_to(&peers[0]);
        let listener = told.set(Kind::Listener).resources().next().unwrap();
        let text = crate::snapshot::dump(listener).unwrap().to_string();
        let has = |name: &str| text.contains(&format!("\"envoy.filters.http.{name}\""));
        filters.insert((version, has("oauth2"), has("filter_chain"), has("basic_auth")));
    }
    let known = [
        ("", true, true, true),
        ("1.36.4", false, false, true),
        ("1.37.0", false, false, true),
        ("1.38.3", true, false, true),
        ("1.39.3", true, true, true),
        ("1.40.0", true, true, true),
    ];
    assert_eq!(filters.into_iter().collect::<Vec<_>>(), known);
}

#[test]
fn an_older_envoy_of_a_named_cluster_is_told_what_is_meant_for_it() {
    let mut play = Play::new();
    let meant = |text: String| format!("{text}proxies: [edge]\n");
    play.files(&[
        ("a", Some(meant(gateway("a")))),
        ("b", Some(gateway("b"))),
        ("c", Some(meant(by_cookie("c")))),
    ]);
    let mut peers = [peer("1.36.4"), peer("1.36.9")];
    peers[0].node = Arc::new(Node { cluster: "edge".into(), ..(*peers[0].node).clone() });
    peers[1].node = Arc::new(Node { cluster: "other".into(), ..(*peers[1].node).clone() });
    play.converse(&mut peers);
    assert!(play.routes_of(&peers[0], "a").contains("a/v1") && play.is_closed_at(&peers[0], "c"));
    assert!(play.routes_of(&peers[1], "b").contains("b/v1"));
    for unseen in ["a", "c"] {
        assert!(!play.routes_of(&peers[1], unseen).contains(&format!("{unseen}/")));
    }
    assert_eq!(unsupported(&mut play, &peers[0]), ["c 1.37"]);
    assert!(unsupported(&mut play, &peers[1]).is_empty());

    // Nobody names it any more: it is told what everyone is.
    play.files(&[("a", None), ("c", Some(by_cookie("c")))]);
    play.wait(GRACE + LINGER);
    play.converse(&mut peers);
    assert!(play.is_closed_at(&peers[0], "c") && play.is_closed_at(&peers[1], "c"));
}
