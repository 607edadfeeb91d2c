//! Traces of incremental streams.

use super::super::MAX_NAMES;
use super::super::delta::Delta;
use super::*;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use std::collections::BTreeSet;

fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    let type_url = kind.type_url().to_owned();
    DeltaDiscoveryRequest { type_url, resource_names_subscribe: strings(names), ..Default::default() }
}

fn unsubscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { resource_names_unsubscribe: strings(names), ..subscribe(kind, &[]) }
}

fn holding(kind: Kind, names: &[&str], held: &[(&str, String)]) -> DeltaDiscoveryRequest {
    let initial_resource_versions = held.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    DeltaDiscoveryRequest { initial_resource_versions, ..subscribe(kind, names) }
}

/// A stream and the one who talks to it.
struct Client(Delta);

impl Client {
    fn new() -> Self {
        Self(Delta::new(None))
    }

    fn says(&mut self, request: DeltaDiscoveryRequest) -> Option<Verdict> {
        self.0.on_request(request).unwrap()
    }

    fn hears(&mut self, snapshot: &Snapshot) -> Option<Heard> {
        self.0.next(snapshot).map(Heard::delta)
    }

    /// Hears one response about a kind: the names in it and those that are gone.
    fn hears_of(&mut self, kind: Kind, snapshot: &Snapshot) -> (Heard, Vec<String>, Vec<String>) {
        let heard = self.hears(snapshot).unwrap_or_else(|| panic!("nothing of {kind}"));
        assert_eq!(heard.kind, kind);
        let (names, gone) = (heard.resources.keys().cloned().collect(), heard.removed.clone());
        (heard, names, gone)
    }

    fn hears_and_takes(&mut self, kind: Kind, names: &[&str], gone: &[&str], snapshot: &Snapshot) {
        let (heard, there, removed) = self.hears_of(kind, snapshot);
        assert_eq!((there, removed), (strings(names), strings(gone)));
        self.takes(&heard);
    }

    fn takes(&mut self, heard: &Heard) -> Option<Verdict> {
        self.answers(heard, None)
    }

    fn refuses(&mut self, heard: &Heard) -> Option<Verdict> {
        self.answers(heard, Some(refusal()))
    }

    fn answers(&mut self, heard: &Heard, error_detail: Option<Status>) -> Option<Verdict> {
        let response_nonce = heard.nonce.clone();
        self.says(DeltaDiscoveryRequest { response_nonce, error_detail, ..subscribe(heard.kind, &[]) })
    }

    fn is_quiet(&mut self, snapshot: &Snapshot) {
        if let Some(heard) = self.hears(snapshot) {
            panic!("not quiet: {heard:?}");
        }
    }
}

use Kind::{Cluster, Endpoint, Listener, Route, ScopedRoute, Secret};

#[test]
fn everything_is_sent_once_and_then_only_what_changes() {
    let first = snapshot("cluster a=1, cluster b=2");
    for star in [&[][..], &["*"]] {
        let mut client = Client::new();
        client.says(subscribe(Cluster, star));
        client.hears_and_takes(Cluster, &["a", "b"], &[], &first);
        client.is_quiet(&first);
        client.is_quiet(&after(&first, "cluster a=1, cluster b=2"));
        let second = after(&first, "cluster a=1, cluster b=3, cluster c=4");
        client.hears_and_takes(Cluster, &["b", "c"], &[], &second);
        client.hears_and_takes(Cluster, &[], &["a", "c"], &after(&second, "cluster b=3"));
    }
}

#[test]
fn a_client_that_skipped_states_is_told_the_difference() {
    let first = snapshot("cluster a=1, cluster b=2");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    client.hears_and_takes(Cluster, &["a", "b"], &[], &first);
    let third = after(&after(&first, "cluster a=9, cluster c=3"), "cluster a=1, cluster c=4");
    client.hears_and_takes(Cluster, &["c"], &[], &third);
    client.hears_and_takes(Cluster, &[], &["b"], &third);
    client.is_quiet(&third);
}

#[test]
fn a_state_that_was_there_before_is_told_again_after_another() {
    let first = snapshot("cluster a=1");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    client.hears_and_takes(Cluster, &["a"], &[], &first);
    client.is_quiet(&first);
    let second = after(&first, "cluster a=2");
    client.hears_of(Cluster, &second);
    client.hears_and_takes(Cluster, &["a"], &[], &first);
    client.is_quiet(&first);
}

#[test]
fn an_empty_wildcard_is_answered_once_and_names_that_do_not_exist_are_gone() {
    let nothing = snapshot("");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    client.hears_and_takes(Cluster, &[], &[], &nothing);
    client.is_quiet(&nothing);
    client.says(subscribe(Route, &["r"]));
    client.hears_and_takes(Route, &[], &["r"], &nothing);
    client.is_quiet(&nothing);
    client.hears_and_takes(Route, &["r"], &[], &after(&nothing, "route r=1, route other=2"));
}

#[test]
fn no_names_of_a_kind_without_wildcard_mean_nothing() {
    let mut client = Client::new();
    client.says(subscribe(Endpoint, &[]));
    client.is_quiet(&snapshot("endpoint a=1"));
}

#[test]
fn names_come_and_go_in_mid_stream() {
    let first = snapshot("endpoint a=1, endpoint b=2, endpoint c=3");
    let mut client = Client::new();
    client.says(subscribe(Endpoint, &["a"]));
    client.hears_and_takes(Endpoint, &["a"], &[], &first);
    client.says(subscribe(Endpoint, &["b"]));
    client.hears_and_takes(Endpoint, &["b"], &[], &first);
    client.says(unsubscribe(Endpoint, &["a"]));
    client.is_quiet(&first);
    let second = after(&first, "endpoint a=9, endpoint b=9, endpoint c=9");
    client.hears_and_takes(Endpoint, &["b"], &[], &second);
    client.says(subscribe(Endpoint, &["a"]));
    client.hears_and_takes(Endpoint, &["a"], &[], &second);
}

#[test]
fn who_subscribes_again_is_sent_the_same_again() {
    let only = snapshot("endpoint a=1, endpoint b=2");
    let mut client = Client::new();
    client.says(subscribe(Endpoint, &["a", "b"]));
    client.hears_and_takes(Endpoint, &["a", "b"], &[], &only);
    client.says(subscribe(Endpoint, &["a"]));
    client.hears_and_takes(Endpoint, &["a"], &[], &only);
    client.is_quiet(&only);
}

#[test]
fn a_wildcard_may_begin_and_end_in_mid_stream() {
    let only = snapshot("cluster a=1, cluster b=2");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &["a"]));
    client.hears_and_takes(Cluster, &["a"], &[], &only);
    client.says(subscribe(Cluster, &["*"]));
    client.hears_and_takes(Cluster, &["b"], &[], &only);
    client.says(unsubscribe(Cluster, &["*"]));
    let second = after(&only, "cluster a=1, cluster b=3");
    client.is_quiet(&second);
    client.says(subscribe(Cluster, &["*"]));
    client.hears_and_takes(Cluster, &["b"], &[], &second);
}

#[test]
fn what_is_unsubscribed_under_a_wildcard_is_answered() {
    let only = snapshot("cluster a=1, cluster b=2");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &["*", "a", "gone"]));
    client.hears_and_takes(Cluster, &["a", "b"], &["gone"], &only);
    client.says(unsubscribe(Cluster, &["a", "gone"]));
    client.hears_and_takes(Cluster, &["a"], &["gone"], &only);
}

#[test]
fn who_comes_back_is_sent_what_differs_and_told_what_is_gone() {
    let only = snapshot("cluster a=1, cluster b=2, cluster c=3");
    let held = |name: &str| version_in(&only, Cluster, name);
    let mut client = Client::new();
    client.says(holding(Cluster, &[], &[("a", held("a")), ("b", "0".repeat(16)), ("old", held("a"))]));
    client.hears_and_takes(Cluster, &["b", "c"], &[], &only);
    client.hears_and_takes(Cluster, &[], &["old"], &only);
    client.is_quiet(&only);
}

#[test]
fn who_comes_back_with_everything_is_sent_nothing_and_shows_that_it_is_sound() {
    let only = snapshot("route a=1, route b=2");
    let held = ["a", "b"].map(|name| (name, version_in(&only, Route, name)));
    let mut client = Client::new();
    client.says(holding(Route, &["a", "b"], &held));
    client.is_quiet(&only);
    let Some(Verdict::Accepted { kind: Route, first, .. }) = client.0.confirmed() else {
        panic!("a verdict")
    };
    assert_eq!(first.len(), 2);
    assert!(client.0.confirmed().is_none() && only.get(Route, "a").unwrap().is_accepted());
    // The next one shows nothing new, and is seen to have it too.
    let mut another = Client::new();
    another.says(holding(Route, &["a", "b"], &held));
    another.is_quiet(&only);
    let Some(Verdict::Accepted { first, version, .. }) = another.0.confirmed() else { panic!("a verdict") };
    assert_eq!((first.len(), version), (0, only.set(Route).version()));
    assert!(another.0.confirmed().is_none());
}

#[test]
fn a_refused_resource_is_not_sent_again_until_it_changes() {
    let first = snapshot("route r=1, route s=1");
    let mut client = Client::new();
    client.says(subscribe(Route, &["r", "s"]));
    client.hears_and_takes(Route, &["r", "s"], &[], &first);
    let second = after(&first, "route r=2, route s=1");
    let (heard, ..) = client.hears_of(Route, &second);
    let Some(Verdict::Refused { resources, text, .. }) = client.refuses(&heard) else { panic!("a verdict") };
    assert_eq!((resources.len(), &**resources[0].name(), text.as_str()), (1, "r", "no"));
    client.is_quiet(&second);
    let third = after(&second, "route r=2, route s=2");
    let (heard, names, _) = client.hears_of(Route, &third);
    assert_eq!(names, ["s"]);
    // Another yes does not make the refused one good.
    assert!(matches!(client.takes(&heard), Some(Verdict::Accepted { refusing: true, .. })));
    client.is_quiet(&third);
    let back = after(&third, "route r=1, route s=2");
    let (heard, names, _) = client.hears_of(Route, &back);
    assert_eq!(names, ["r"]);
    assert!(matches!(client.takes(&heard), Some(Verdict::Accepted { refusing: false, .. })));
}

#[test]
fn of_a_refused_response_the_bad_one_is_found_and_the_others_get_through() {
    for bad in 0..8 {
        let only = snapshot(&(0..8).map(|i| format!("cluster c{i}=1")).collect::<Vec<_>>().join(","));
        let bad = format!("c{bad}");
        let mut client = Client::new();
        client.says(subscribe(Cluster, &[]));
        let (mut taken, mut refused, mut responses) = (BTreeSet::new(), Vec::new(), 0);
        while let Some(heard) = client.hears(&only) {
            responses += 1;
            if heard.resources.contains_key(&bad) {
                if let Some(Verdict::Refused { resources, .. }) = client.refuses(&heard) {
                    refused.extend(resources.iter().map(|r| r.name().to_string()));
                }
            } else {
                client.takes(&heard);
                taken.extend(heard.resources.into_keys());
            }
        }
        assert_eq!((refused, taken.len(), responses), (vec![bad], 7, 7), "1 + 2 for each halving of eight");
    }
}

#[test]
fn what_a_refused_response_takes_away_is_taken_away_later() {
    let first = snapshot("route r=1, route s=1");
    let mut client = Client::new();
    client.says(subscribe(Route, &["r", "s"]));
    client.hears_and_takes(Route, &["r", "s"], &[], &first);
    let second = after(&first, "route r=2");
    let (heard, names, gone) = client.hears_of(Route, &second);
    assert_eq!((names, gone), (strings(&["r"]), strings(&["s"])));
    client.refuses(&heard);
    client.hears_and_takes(Route, &[], &["s"], &second);
    client.is_quiet(&second);
}

#[test]
fn what_changed_meanwhile_is_not_tried_in_its_old_form() {
    let first = snapshot("cluster a=1, cluster b=1, cluster c=1, cluster d=1");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    let (heard, ..) = client.hears_of(Cluster, &first);
    assert!(client.refuses(&heard).is_none());
    let second = after(&first, "cluster a=1, cluster b=2, cluster c=1");
    client.hears_and_takes(Cluster, &["a"], &[], &second);
    client.hears_and_takes(Cluster, &["c"], &[], &second);
    client.hears_and_takes(Cluster, &["b"], &[], &second);
    client.hears_and_takes(Cluster, &[], &["d"], &second);
}

#[test]
fn several_responses_in_flight_are_answered_each_for_itself() {
    let first = snapshot("endpoint a=1");
    let mut client = Client::new();
    client.says(subscribe(Endpoint, &["a", "b"]));
    let (one, ..) = client.hears_of(Endpoint, &first);
    let second = after(&first, "endpoint a=1, endpoint b=1");
    let (two, ..) = client.hears_of(Endpoint, &second);
    let Some(Verdict::Accepted { version, .. }) = client.takes(&one) else { panic!("a verdict") };
    assert_eq!(version.to_string(), one.version, "and not yet the newer one");
    assert!(matches!(client.refuses(&two), Some(Verdict::Refused { resources, .. }) if resources.len() == 1));
    client.is_quiet(&second);
}

#[test]
fn answers_to_nothing_of_ours_change_nothing() {
    let only = snapshot("cluster a=1");
    let mut client = Client::new();
    let unknown = |nonce: &str| Heard {
        kind: Cluster,
        nonce: nonce.into(),
        version: String::new(),
        resources: BTreeMap::new(),
        removed: vec![],
    };
    assert!(client.refuses(&unknown("7")).is_none(), "a nonce of an earlier stream");
    let (heard, ..) = client.hears_of(Cluster, &only);
    assert!(client.refuses(&unknown("ffff")).is_none() && client.refuses(&unknown("no nonce")).is_none());
    assert!(client.takes(&heard).is_some());
    assert!(client.refuses(&heard).is_none(), "answered already");
    client.is_quiet(&only);
}

#[test]
fn what_is_refused_is_sent_again_when_it_was_taken_back_meanwhile() {
    let first = snapshot("route a=1, route b=2");
    let mut client = Client::new();
    client.says(subscribe(Route, &["a", "b"]));
    let (heard, ..) = client.hears_of(Route, &first);
    client.takes(&heard);
    let bad = after(&first, "route a=9, route b=2");
    let (heard, ..) = client.hears_of(Route, &bad);
    client.refuses(&heard);
    let other = after(&bad, "route a=9, route b=3");
    let (heard, ..) = client.hears_of(Route, &other);
    assert_eq!(heard.names(), ["b"], "nothing came between");
    client.takes(&heard);
    let again = after(&after(&other, "route a=1, route b=3"), "route a=9, route b=3");
    let (heard, ..) = client.hears_of(Route, &again);
    let Some(Verdict::Refused { has, resources, .. }) = client.refuses(&heard) else { panic!("a verdict") };
    assert_eq!((resources.len(), has["a"]), (1, first.get(Route, "a").unwrap().version()));
    client.is_quiet(&again);
}

#[test]
fn who_never_answers_costs_a_bounded_amount() {
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    let mut now = snapshot("");
    let kept: Vec<_> = (0..200)
        .map(|i| {
            now = after(&now, &format!("cluster a={i}"));
            client.hears_of(Cluster, &now);
            Arc::downgrade(now.get(Cluster, "a").unwrap())
        })
        .collect();
    // The responses, and what it held before the first of them.
    assert_eq!(kept.iter().filter(|r| r.strong_count() > 0).count(), 65);
}

#[test]
fn what_refers_waits_for_what_it_refers_to() {
    let all = snapshot("cluster a=1, endpoint a=1, secret s=1, listener l=1, route r=1");
    let mut client = Client::new();
    client.says(subscribe(Listener, &[]));
    client.says(subscribe(Route, &["r"]));
    client.says(subscribe(Secret, &["s"]));
    client.says(subscribe(Endpoint, &["a"]));
    client.says(subscribe(Cluster, &[]));
    let (clusters, ..) = client.hears_of(Cluster, &all);
    client.hears_of(Endpoint, &all);
    client.hears_of(Secret, &all);
    client.is_quiet(&all);
    client.takes(&clusters);
    client.hears_of(Listener, &all);
    client.hears_of(Route, &all);
    client.is_quiet(&all);
}

#[test]
fn what_is_referred_to_goes_after_what_refers_to_it() {
    let both = snapshot("cluster a=1, cluster b=1, endpoint a=1, listener l=1, route r=1");
    let mut client = Client::new();
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"]), (Listener, &[]), (Route, &["r"])] {
        client.says(subscribe(kind, names));
    }
    while let Some(heard) = client.hears(&both) {
        client.takes(&heard);
    }
    let without = after(&both, "cluster b=1, cluster c=1, listener l=1, route r=2");
    client.hears_and_takes(Cluster, &["c"], &[], &without);
    let (routes, ..) = client.hears_of(Route, &without);
    client.is_quiet(&without);
    client.takes(&routes);
    client.hears_and_takes(Endpoint, &[], &["a"], &without);
    client.hears_and_takes(Cluster, &[], &["a"], &without);
    client.is_quiet(&without);
}

#[test]
fn what_was_to_go_and_came_back_in_time_never_went() {
    let both = snapshot("cluster a=1, cluster b=1, route r=1");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    client.says(subscribe(Route, &["r"]));
    client.hears_and_takes(Cluster, &["a", "b"], &[], &both);
    client.hears_and_takes(Route, &["r"], &[], &both);
    let without = after(&both, "cluster b=1, route r=2");
    let (routes, ..) = client.hears_of(Route, &without);
    let back = after(&without, "cluster a=1, cluster b=1, route r=2");
    client.is_quiet(&back);
    client.takes(&routes);
    client.is_quiet(&back);
}

#[test]
fn a_stream_for_one_kind_refuses_others_and_an_aggregated_one_ignores_unknown_ones() {
    let only = snapshot("route r=1");
    let mut routes = Delta::new(Some(Route));
    let error = routes.on_request(subscribe(Cluster, &[])).unwrap_err();
    assert!(matches!(error, Malformed::WrongType { .. }) && error.to_string().contains("RouteConfiguration"));
    let mut unsaid = subscribe(Route, &["r"]);
    unsaid.type_url = String::new();
    routes.on_request(unsaid).unwrap();
    assert_eq!(Heard::delta(routes.next(&only).unwrap()).names(), ["r"]);

    let mut client = Client::new();
    let type_url = "type.googleapis.com/envoy.service.runtime.v3.Runtime".to_owned();
    client.says(DeltaDiscoveryRequest { type_url, ..Default::default() });
    client.is_quiet(&only);
}

#[test]
fn names_are_limited_also_when_they_come_and_go() {
    let many: Vec<String> = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    let request = DeltaDiscoveryRequest { resource_names_subscribe: many, ..subscribe(Route, &[]) };
    assert_eq!(Delta::new(None).on_request(request).unwrap_err(), Malformed::TooManyNames(MAX_NAMES));

    // Routes wait for clusters that this client never takes; meanwhile it asks for one name after the other.
    let all = snapshot("cluster a=1, listener l=1");
    let mut client = Client::new();
    client.says(subscribe(Cluster, &[]));
    client.hears_of(Cluster, &all);
    client.says(subscribe(Listener, &[]));
    let refused = (0..).map_while(|i| {
        let names: Vec<String> = (0..MAX_NAMES / 2).map(|n| format!("{i}/{n}")).collect();
        let add =
            DeltaDiscoveryRequest { resource_names_subscribe: names.clone(), ..subscribe(Listener, &[]) };
        let leave = DeltaDiscoveryRequest { resource_names_unsubscribe: names, ..subscribe(Listener, &[]) };
        (client.0.on_request(add).is_ok() && client.0.on_request(leave).is_ok()).then_some(())
    });
    assert!(refused.take(10).count() < 10, "what waits for an answer is bounded");
}

/// Envoy replaces a cluster that changed, and waits for endpoints that it does not ask for again.
#[test]
fn endpoints_follow_a_cluster_that_changed_though_they_did_not() {
    let first = snapshot("cluster a=1, cluster b=1, endpoint a=5, endpoint b=5");
    let mut client = Client::new();
    client.says(subscribe(Kind::Cluster, &[]));
    client.hears_and_takes(Kind::Cluster, &["a", "b"], &[], &first);
    client.says(subscribe(Kind::Endpoint, &["a", "b"]));
    client.hears_and_takes(Kind::Endpoint, &["a", "b"], &[], &first);
    client.is_quiet(&first);
    let second = after(&first, "cluster a=2, cluster b=1, endpoint a=5, endpoint b=5");
    client.hears_and_takes(Kind::Cluster, &["a"], &[], &second);
    client.hears_and_takes(Kind::Endpoint, &["a"], &[], &second);
    client.is_quiet(&second);

    // The same for a client that comes back, whichever request comes first.
    let version = |kind, name| (name, version_in(&first, kind, name));
    let mut back = Client::new();
    back.says(holding(Kind::Cluster, &[], &[version(Kind::Cluster, "a"), version(Kind::Cluster, "b")]));
    back.hears_and_takes(Kind::Cluster, &["a"], &[], &second);
    let held = [version(Kind::Endpoint, "a"), version(Kind::Endpoint, "b")];
    back.says(holding(Kind::Endpoint, &["a", "b"], &held));
    back.hears_and_takes(Kind::Endpoint, &["a"], &[], &second);
    back.is_quiet(&second);
}

/// A listener of the other layout may still have connections: its scopes go with it, not before.
#[test]
fn the_last_scopes_are_not_taken_away() {
    let scoped = snapshot("listener l=1, scope s=2, scope t=3");
    let mut client = Client::new();
    client.says(subscribe(ScopedRoute, &[]));
    client.hears_and_takes(ScopedRoute, &["s", "t"], &[], &scoped);
    let fewer = after(&scoped, "listener l=1, scope s=2");
    client.hears_and_takes(ScopedRoute, &[], &["t"], &fewer);
    let plain = after(&fewer, "listener l=4");
    client.is_quiet(&plain);
    let again = after(&plain, "listener l=4, scope u=5");
    client.hears_and_takes(ScopedRoute, &["u"], &["s"], &again);
}
