//! Traces of state-of-the-world streams.

use super::super::MAX_NAMES;
use super::super::sotw::Sotw;
use super::*;
use Kind::{Cluster, Endpoint, Listener, Route, ScopedRoute};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;

fn ask(kind: Kind, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names: strings(names),
        ..Default::default()
    }
}

/// A stream and the one who talks to it.
struct Client(Sotw);

impl Client {
    fn new() -> Self {
        Self(Sotw::new(None))
    }

    fn says(&mut self, request: DiscoveryRequest) -> Option<Verdict> {
        self.0.on_request(request).unwrap()
    }

    fn hears(&mut self, kind: Kind, names: &[&str], snapshot: &Snapshot) -> Heard {
        let response = self.0.next(snapshot).unwrap_or_else(|| panic!("nothing of {kind}"));
        let heard = Heard::sotw(response, snapshot);
        assert_eq!((heard.kind, heard.names()), (kind, names.to_vec()));
        heard
    }

    /// An answer, with the names that the client wants from then on.
    fn answers(&mut self, heard: &Heard, names: &[&str], error_detail: Option<Status>) -> Option<Verdict> {
        let (response_nonce, version_info) = (heard.nonce.clone(), heard.version.clone());
        self.says(DiscoveryRequest { response_nonce, version_info, error_detail, ..ask(heard.kind, names) })
    }

    fn hears_and_takes(&mut self, kind: Kind, asked: &[&str], names: &[&str], snapshot: &Snapshot) -> Heard {
        let heard = self.hears(kind, names, snapshot);
        assert!(matches!(self.answers(&heard, asked, None), Some(Verdict::Accepted { .. })));
        heard
    }

    fn is_quiet(&mut self, snapshot: &Snapshot) {
        if let Some(response) = self.0.next(snapshot) {
            panic!("not quiet: {:?}", Heard::sotw(response, snapshot));
        }
    }
}

#[test]
fn clusters_are_sent_whole_and_what_is_missing_is_gone() {
    let first = snapshot("cluster a=1, cluster b=2");
    for star in [&[][..], &["*"]] {
        let mut client = Client::new();
        client.says(ask(Cluster, star));
        client.hears_and_takes(Cluster, star, &["a", "b"], &first);
        client.is_quiet(&first);
        let second = after(&first, "cluster b=2");
        client.hears_and_takes(Cluster, star, &["b"], &second);
        client.hears_and_takes(Cluster, star, &[], &after(&second, ""));
    }
}

#[test]
fn an_empty_wildcard_is_answered_once() {
    let mut client = Client::new();
    client.says(ask(Listener, &[]));
    client.hears_and_takes(Listener, &[], &[], &snapshot(""));
    client.is_quiet(&snapshot(""));
}

#[test]
fn of_endpoints_only_what_changed_or_was_asked_for_is_sent() {
    let first = snapshot("endpoint a=1, endpoint b=2, endpoint c=3");
    let mut client = Client::new();
    client.says(ask(Endpoint, &["a"]));
    client.hears_and_takes(Endpoint, &["a"], &["a"], &first);
    client.says(ask(Endpoint, &["a", "b", "later"]));
    client.hears_and_takes(Endpoint, &["a", "b", "later"], &["b"], &first);
    client.is_quiet(&first);
    let second = after(&first, "endpoint a=9, endpoint b=2, endpoint c=8");
    client.hears_and_takes(Endpoint, &["a", "b", "later"], &["a"], &second);
    let third = after(&second, "endpoint a=9, endpoint b=2, endpoint later=4");
    client.hears_and_takes(Endpoint, &["a", "b", "later"], &["later"], &third);
    client.is_quiet(&after(&third, "endpoint b=2, endpoint later=4"));
}

#[test]
fn an_acknowledgement_may_change_the_names() {
    let only = snapshot("route r=1, route s=2");
    let mut client = Client::new();
    client.says(ask(Route, &["r"]));
    client.hears_and_takes(Route, &["r", "s"], &["r"], &only);
    client.hears_and_takes(Route, &[], &["s"], &only);
    client.is_quiet(&after(&only, "route r=3, route s=4"));
}

#[test]
fn a_wildcard_may_begin_and_end_in_mid_stream() {
    let only = snapshot("cluster a=1, cluster b=2");
    let mut client = Client::new();
    client.says(ask(Cluster, &["a"]));
    client.hears_and_takes(Cluster, &["a"], &["a"], &only);
    client.says(ask(Cluster, &["*", "a"]));
    client.hears_and_takes(Cluster, &["*", "a"], &["a", "b"], &only);
    client.says(ask(Cluster, &[]));
    client.is_quiet(&after(&only, "cluster a=3"));
}

#[test]
fn who_comes_back_with_all_of_the_current_version_is_sent_nothing() {
    let first = snapshot("cluster a=1, cluster b=2");
    let mut client = Client::new();
    client.says(ask(Cluster, &[]));
    let heard = client.hears_and_takes(Cluster, &[], &["a", "b"], &first);

    let again = || DiscoveryRequest { version_info: heard.version.clone(), ..ask(Cluster, &[]) };
    let mut client = Client::new();
    client.says(again());
    client.is_quiet(&snapshot("cluster a=1, cluster b=2"));
    assert!(matches!(client.0.confirmed(), Some(Verdict::Accepted { first, .. }) if first.len() == 2));
    assert!(client.0.confirmed().is_none());

    let mut client = Client::new();
    client.says(again());
    client.hears(Cluster, &["a", "b"], &snapshot("cluster a=7, cluster b=2"));
}

/// It may have let go of the route and asked for it again since: its version does not tell.
#[test]
fn who_comes_back_for_names_is_sent_what_they_are_now() {
    let first = snapshot("route r=1, route s=2");
    let mut client = Client::new();
    client.says(ask(Route, &["r"]));
    let heard = client.hears_and_takes(Route, &["r"], &["r"], &first);
    let mut client = Client::new();
    client.says(DiscoveryRequest { version_info: heard.version.clone(), ..ask(Route, &["r"]) });
    client.hears_and_takes(Route, &["r"], &["r"], &first);
    client.is_quiet(&first);
}

#[test]
fn what_is_refused_is_not_sent_again_until_something_changes() {
    let first = snapshot("route r=1, route s=2");
    let mut client = Client::new();
    client.says(ask(Route, &["r", "s"]));
    client.hears_and_takes(Route, &["r", "s"], &["r", "s"], &first);
    let second = after(&first, "route r=9, route s=2");
    let heard = client.hears(Route, &["r"], &second);
    let verdict = client.answers(&heard, &["r", "s"], Some(refusal()));
    assert!(matches!(verdict, Some(Verdict::Refused { resources, .. }) if resources.len() == 1));
    client.is_quiet(&second);
    client.hears_and_takes(Route, &["r", "s"], &["r"], &after(&second, "route r=1, route s=2"));
}

#[test]
fn what_is_refused_is_sent_again_when_it_was_taken_back_meanwhile() {
    for kind in [Route, Cluster] {
        let all = |word: &str, a: u32| format!("{word} a={a}, {word} b=2");
        let word = if kind == Route { "route" } else { "cluster" };
        let first = snapshot(&all(word, 1));
        let mut client = Client::new();
        let names: &[&str] = if kind == Route { &["a", "b"] } else { &[] };
        client.says(ask(kind, names));
        client.hears_and_takes(kind, names, &["a", "b"], &first);
        let bad = after(&first, &all(word, 9));
        let changed: &[&str] = if kind == Route { &["a"] } else { &["a", "b"] };
        let heard = client.hears(kind, changed, &bad);
        client.answers(&heard, names, Some(refusal()));
        let again = after(&after(&bad, &all(word, 1)), &all(word, 9));
        let heard = client.hears(kind, changed, &again);
        let Some(Verdict::Refused { has, .. }) = client.answers(&heard, names, Some(refusal())) else {
            panic!("a verdict")
        };
        assert_eq!(has["a"], first.get(kind, "a").unwrap().version(), "what it took last");
        client.is_quiet(&again);
    }
}

#[test]
fn of_a_refused_response_each_resource_is_offered_alone() {
    let all = snapshot("route a=1, route b=2, route c=3, route d=4");
    let names = ["a", "b", "c", "d"];
    let mut client = Client::new();
    client.says(ask(Route, &names));
    let mut heard = client.hears(Route, &names, &all);
    let mut taken = Vec::new();
    let bad = loop {
        let offered: Vec<String> = heard.names().iter().map(ToString::to_string).collect();
        let is_bad = offered.contains(&"c".to_owned());
        let verdict = client.answers(&heard, &names, is_bad.then(refusal));
        match verdict {
            Some(Verdict::Refused { resources, .. }) => break resources,
            Some(Verdict::Accepted { .. }) => taken.extend(offered),
            Some(Verdict::Came) | None => {}
        }
        heard = Heard::sotw(client.0.next(&all).unwrap(), &all);
    };
    assert_eq!(bad.iter().map(|r| &**r.name()).collect::<Vec<_>>(), ["c"]);
    while let Some(response) = client.0.next(&all) {
        let heard = Heard::sotw(response, &all);
        taken.extend(heard.names().iter().map(ToString::to_string));
        client.answers(&heard, &names, None);
    }
    taken.sort();
    assert_eq!(taken, ["a", "b", "d"]);
}

#[test]
fn answers_to_an_older_response_change_nothing() {
    let first = snapshot("endpoint a=1");
    let mut client = Client::new();
    client.says(ask(Endpoint, &["a"]));
    let old = client.hears(Endpoint, &["a"], &first);
    let second = after(&first, "endpoint a=2");
    let new = client.hears(Endpoint, &["a"], &second);
    assert!(
        client.answers(&old, &[], Some(refusal())).is_none(),
        "neither a verdict nor an end of the subscription"
    );
    assert!(client.answers(&new, &["a"], None).is_some());
    client.hears(Endpoint, &["a"], &after(&second, "endpoint a=3"));
}

#[test]
fn a_nonce_of_an_earlier_stream_is_no_answer() {
    let only = snapshot("cluster a=1");
    let mut client = Client::new();
    let request =
        DiscoveryRequest { response_nonce: "1".into(), error_detail: Some(refusal()), ..ask(Cluster, &[]) };
    assert!(client.says(request).is_none());
    client.hears(Cluster, &["a"], &only);
}

#[test]
fn what_refers_waits_for_clusters() {
    let all = snapshot("cluster a=1, endpoint a=2, listener l=3, route r=4");
    let mut client = Client::new();
    for (kind, names) in [(Route, &["r"][..]), (Listener, &[]), (Endpoint, &["a"]), (Cluster, &[])] {
        client.says(ask(kind, names));
    }
    let clusters = client.hears(Cluster, &["a"], &all);
    client.hears(Endpoint, &["a"], &all);
    client.is_quiet(&all);
    client.answers(&clusters, &[], None);
    client.hears(Listener, &["l"], &all);
    client.hears(Route, &["r"], &all);
    client.is_quiet(&all);
}

/// A refused response takes nothing at all, so the routes that came with it would lead nowhere.
#[test]
fn what_refers_waits_until_clusters_are_taken() {
    let first = snapshot("cluster a=1, route r=2");
    let mut client = Client::new();
    client.says(ask(Cluster, &[]));
    client.hears_and_takes(Cluster, &[], &["a"], &first);
    client.says(ask(Route, &["r"]));
    client.hears_and_takes(Route, &["r"], &["r"], &first);
    let second = after(&first, "cluster a=1, cluster bad=3, route r=4");
    let refused = client.hears(Cluster, &["a", "bad"], &second);
    client.answers(&refused, &[], Some(refusal()));
    client.is_quiet(&second);
    let third = after(&second, "cluster a=1, cluster good=5, route r=6");
    client.hears_and_takes(Cluster, &[], &["a", "good"], &third);
    client.hears_and_takes(Route, &["r"], &["r"], &third);
}

/// A listener of the other layout may still have connections: its scopes go with it, not before.
#[test]
fn the_last_scopes_are_not_taken_away() {
    let scoped = snapshot("listener l=1, scope s=2, route s=3");
    let mut client = Client::new();
    client.says(ask(Listener, &[]));
    client.hears_and_takes(Listener, &[], &["l"], &scoped);
    client.says(ask(ScopedRoute, &[]));
    client.hears_and_takes(ScopedRoute, &[], &["s"], &scoped);
    let plain = after(&scoped, "listener l=4, route l=5");
    client.hears_and_takes(Listener, &[], &["l"], &plain);
    client.is_quiet(&plain);
}

#[test]
fn wrong_and_unknown_types_and_too_many_names() {
    assert!(matches!(Sotw::new(Some(Route)).on_request(ask(Cluster, &[])), Err(Malformed::WrongType { .. })));
    let mut client = Client::new();
    client.says(DiscoveryRequest { type_url: "type.googleapis.com/unknown".into(), ..Default::default() });
    client.is_quiet(&snapshot("cluster a=1"));
    let resource_names = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    let many = DiscoveryRequest { resource_names, ..ask(Route, &[]) };
    assert!(matches!(client.0.on_request(many), Err(Malformed::TooManyNames(MAX_NAMES))));
}

/// Envoy replaces a cluster that changed, and waits for endpoints that it does not ask for again.
#[test]
fn endpoints_follow_a_cluster_that_changed_though_they_did_not() {
    let first = snapshot("cluster a=1, cluster b=2, endpoint a=5, endpoint b=6");
    let mut client = Client::new();
    client.says(ask(Cluster, &[]));
    client.hears_and_takes(Cluster, &[], &["a", "b"], &first);
    client.says(ask(Endpoint, &["a", "b"]));
    let endpoints = client.hears_and_takes(Endpoint, &["a", "b"], &["a", "b"], &first);
    let second = after(&first, "cluster a=3, cluster b=2, endpoint a=5, endpoint b=6");
    client.hears_and_takes(Cluster, &[], &["a", "b"], &second);
    client.hears_and_takes(Endpoint, &["a", "b"], &["a"], &second);
    client.is_quiet(&second);

    // The same for a client that comes back with endpoints that did not change.
    let mut back = Client::new();
    back.says(DiscoveryRequest {
        version_info: first.set(Cluster).version().to_string(),
        ..ask(Cluster, &[])
    });
    back.hears_and_takes(Cluster, &[], &["a", "b"], &second);
    back.says(DiscoveryRequest { version_info: endpoints.version, ..ask(Endpoint, &["a", "b"]) });
    back.hears_and_takes(Endpoint, &["a", "b"], &["a", "b"], &second);
    back.is_quiet(&second);
}
