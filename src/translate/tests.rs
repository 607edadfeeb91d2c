//! Laws of translation, over gateways of every shape.

use super::*;
use crate::model::{
    Authentication, Compare, Condition, DirectAccess, Endpoint, HealthCheck, Host, JsonPath, Match, Number,
    Pattern, Pem, Protocol, Routing, SessionAffinity, Shadow, Tls, Tolerance, Upstream,
};
use crate::names::ListenerName;
use crate::weight::{Split, WHOLE, Weight};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeSet;
use std::time::Duration as Time;

const UPSTREAMS: [&str; 3] = ["v1", "v2", "gold"];

fn upstream_name(text: &str) -> UpstreamName {
    UpstreamName::new(text).unwrap()
}

fn listener_name() -> ListenerName {
    ListenerName::new("default").unwrap()
}

fn an_upstream(name: &'static str) -> impl Strategy<Value = Upstream> {
    let protocol = prop::sample::select(vec![Protocol::Http1, Protocol::Http2, Protocol::Grpc]);
    let hosts = prop::sample::select(vec!["10.0.0.1", "::1", "model.internal"]);
    (protocol, hosts, any::<bool>(), any::<bool>(), prop::option::of(1u32..)).prop_map(
        move |(protocol, host, tls, check, max_concurrent)| Upstream {
            name: upstream_name(name),
            endpoints: vec![Endpoint { host: host.into(), port: 8080 }],
            model: None,
            version: None,
            health_check: check.then(|| HealthCheck {
                target: "/healthz".into(),
                interval: Time::from_secs(5),
                timeout: Time::from_secs(1),
                unhealthy_threshold: 3,
                healthy_threshold: 1,
            }),
            protocol,
            tls: tls.then(|| Tls {
                ca: Pem::new(*b"PEM"),
                server_name: "model.internal".into(),
                client: None,
            }),
            max_concurrent,
        },
    )
}

/// How answers compare is nothing to Envoy, which sends them here.
fn compare() -> Compare {
    let none = Number::new(0.0).unwrap();
    Compare {
        path: JsonPath(Vec::new()),
        tolerance: Tolerance { absolute: none, relative: none },
        similarity: None,
        top1: false,
        min_match: Weight::new(9_900).unwrap(),
        keep_examples: false,
        max_bytes: 1000,
    }
}

fn a_split() -> impl Strategy<Value = Split> {
    (0..=WHOLE, 0..=WHOLE).prop_map(|(a, b)| {
        let (low, high) = (a.min(b), a.max(b));
        let weights = [low, high - low, WHOLE - high].map(|w| Weight::new(w).unwrap());
        Split::new(UPSTREAMS.iter().rev().map(|n| upstream_name(n)).zip(weights).collect()).unwrap()
    })
}

fn a_gateway(name: &'static str) -> impl Strategy<Value = Gateway> {
    let condition = prop_oneof![
        Just(Condition::Header("x-card".into(), Pattern::Exact("gold".into()))),
        Just(Condition::Query("model".into(), Pattern::Prefix("v".into()))),
        Just(Condition::Cookie("beta".into(), Pattern::Regex("[0-9]+".into()))),
    ];
    let matches = prop::collection::vec((condition, prop::sample::select(UPSTREAMS.to_vec())), 0..3);
    let host = prop_oneof![
        Just(Host::Any),
        Just(Host::Exact("a.example.com".into())),
        Just(Host::Suffix(".example.com".into()))
    ];
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/much/longer"]);
    let rewrite = prop::option::of(prop::sample::select(vec!["/", "/r"]));
    let upstreams = UPSTREAMS.map(an_upstream);
    let places = (prop::collection::btree_set(host, 1..3), path, rewrite);
    let affinity = prop::option::of(prop_oneof![
        Just(SessionAffinity::Header("x-user".into())),
        Just(SessionAffinity::Query("user".into())),
        Just(SessionAffinity::Cookie { name: "serin".into(), max_age: Time::from_mins(1) }),
        Just(SessionAffinity::SourceIp),
    ]);
    let shadow = prop::option::of((prop::sample::select(UPSTREAMS.to_vec()), 0..=WHOLE, any::<bool>()));
    let shadow = shadow.prop_map(|shadow| {
        shadow.map(|(name, percent, is_compared)| Shadow {
            upstream: upstream_name(name),
            percent: Weight::new(percent).unwrap(),
            compare: is_compared.then(compare),
        })
    });
    (places, upstreams, a_split(), (matches, affinity, shadow), any::<[bool; 2]>()).prop_map(
        move |(
            (hosts, path, rewrite),
            upstreams,
            traffic,
            (matches, affinity, shadow),
            [direct, expose_upstream],
        )| Gateway {
            name: GatewayName::new(name).unwrap(),
            description: String::new(),
            labels: [].into(),
            proxies: [].into(),
            listener: listener_name(),
            hosts: hosts.into_iter().collect(),
            path: path.into(),
            rewrite: rewrite.map(Into::into),
            timeout: Time::from_mins(1),
            upstreams: upstreams.into(),
            traffic,
            rollout: None,
            notify: Vec::new(),
            shadow,
            matches: matches
                .into_iter()
                .map(|(c, u)| Match { conditions: vec![c], upstream: upstream_name(u) })
                .collect(),
            affinity,
            authentication: Authentication::None,
            direct_access: direct.then(|| DirectAccess { header: "x-serin-upstream".into() }),
            expose_upstream,
        },
    )
}

fn table(gateways: &[&Gateway]) -> RouteConfiguration {
    let mut table = RouteTable::new(Routing::Plain);
    gateways.iter().for_each(|g| table.add(g, &gateway(g).routes));
    let changed = table.take_changed();
    let [(Kind::Route, _, Some(resource))] = changed.as_slice() else { panic!("one listener") };
    RouteConfiguration::decode(resource.message()).unwrap()
}

fn clusters_of(route: &Route) -> Vec<(String, u32)> {
    let Some(Action::Route(action)) = &route.action else { return Vec::new() };
    match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => vec![(name.clone(), WHOLE)],
        ClusterSpecifier::WeightedClusters(w) => {
            w.clusters.iter().map(|c| (c.name.clone(), c.weight.unwrap().value)).collect()
        }
        other => panic!("not ours: {other:?}"),
    }
}

fn path_of(route: &Route) -> &str {
    match route.r#match.as_ref().unwrap().path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(p) | PathSpecifier::Path(p) | PathSpecifier::PathSeparatedPrefix(p) => p,
        other => panic!("not ours: {other:?}"),
    }
}

fn names(parts: &Parts, kind: Kind) -> BTreeSet<&str> {
    parts.resources.iter().filter(|r| r.kind() == kind).map(|r| &**r.name()).collect()
}

proptest! {
    #[test]
    fn other_weights_leave_all_but_the_routes(before in a_gateway("g"), traffic in a_split(), description in "|b") {
        let next = Gateway { description, traffic, ..before.clone() };
        let whole = gateway(&next);
        match with_other_weights(&next, &before, &gateway(&before)) {
            Some(parts) => prop_assert_eq!((parts.resources, parts.routes), (whole.resources, whole.routes)),
            None => prop_assert!(next.description != before.description),
        }
        let mut fewer = next.clone();
        fewer.traffic = Split::new(vec![(upstream_name("v1"), Weight::new(WHOLE).unwrap())]).unwrap();
        prop_assert!(with_other_weights(&fewer, &next, &gateway(&next)).is_none(), "who answers is asked for answers");
    }

    #[test]
    fn weights_are_the_whole_in_one_order(gateway in a_gateway("g")) {
        for host in table(&[&gateway]).virtual_hosts {
            let splits = ["g", "g/sampled", "g/keyless", "g/keyless/sampled"];
            let split: Vec<_> =
                host.routes.iter().filter(|r| splits.contains(&r.name.as_str())).map(clusters_of).collect();
            let by_key = matches!(gateway.affinity, Some(ref by) if *by != SessionAffinity::SourceIp);
            let least = if by_key { 2 } else { 1 } * if gateway.shadow.is_some() { 2 } else { 1 };
            prop_assert!(split.len() >= least);
            for clusters in split {
                prop_assert_eq!(clusters.iter().map(|(_, w)| w).sum::<u32>(), WHOLE);
                let order: Vec<&str> = clusters.iter().map(|(n, _)| n.as_str()).collect();
                prop_assert_eq!(order, ["g/gold", "g/v2", "g/v1"]);
            }
        }
    }

    #[test]
    fn other_weights_are_other_routes_and_nothing_else(before in a_gateway("g"), traffic in a_split()) {
        let after = Gateway { traffic, ..before.clone() };
        let (old, new) = (gateway(&before), gateway(&after));
        let versions = |parts: &Parts| parts.resources.iter().map(|r| r.version()).collect::<Vec<_>>();
        prop_assert_eq!(versions(&old), versions(&new));
        prop_assert_eq!(old.routes == new.routes, before.traffic == after.traffic);
    }

    #[test]
    fn every_reference_resolves(g in a_gateway("g")) {
        let parts = gateway(&g);
        let clusters = names(&parts, Kind::Cluster);
        for route in table(&[&g]).virtual_hosts.iter().flat_map(|h| &h.routes) {
            prop_assert!(clusters_of(route).iter().all(|(name, _)| clusters.contains(name.as_str())));
        }
        for resource in &parts.resources {
            prop_assert!(!resource.name().contains('.'), "{} has a dot", resource.name());
        }
        let (mut by_eds, mut by_sds) = (BTreeSet::new(), BTreeSet::new());
        let live = g.upstreams.iter().map(|u| (u, Leg::Live));
        let shadow = g.upstreams.iter().filter(|u| g.shadow.as_ref().is_some_and(|s| s.upstream == u.name));
        let legs: Vec<_> = live.chain(shadow.map(|u| (u, Leg::Shadow))).collect();
        prop_assert_eq!(clusters.len(), legs.len());
        for (resource, (upstream, leg)) in parts.resources.iter().filter(|r| r.kind() == Kind::Cluster).zip(legs) {
            let cluster = Cluster::decode(resource.message()).unwrap();
            prop_assert_eq!(&cluster.name, &**resource.name());
            let name = Some((g.name.clone(), upstream.name.clone(), leg));
            prop_assert_eq!(parse_cluster_name(&cluster.name), name);
            if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(3)) {
                by_eds.insert(&**resource.name());
            }
            if cluster.transport_socket.is_some() {
                let secret = ca_secret_name(&g.name, &upstream.name);
                let message = resource.message();
                prop_assert!(message.windows(secret.len()).any(|w| w == secret.as_bytes()));
                by_sds.insert(secret);
            }
        }
        prop_assert_eq!(by_eds, names(&parts, Kind::Endpoint));
        prop_assert_eq!(by_sds.iter().map(String::as_str).collect::<BTreeSet<_>>(), names(&parts, Kind::Secret));
        for resource in parts.resources.iter().filter(|r| r.kind() == Kind::Endpoint) {
            let assignment = ClusterLoadAssignment::decode(resource.message()).unwrap();
            prop_assert_eq!(&assignment.cluster_name, &**resource.name());
        }
    }

    #[test]
    fn only_samples_of_the_split_are_mirrored_and_what_is_not_sampled_has_the_same_split(g in a_gateway("g")) {
        for host in table(&[&g]).virtual_hosts {
            let mirrors = |route: &Route| match &route.action {
                Some(Action::Route(action)) => action.request_mirror_policies.len(),
                _ => 0,
            };
            for (i, route) in host.routes.iter().enumerate() {
                let Some(name) = route.name.strip_suffix("/sampled") else {
                    prop_assert_eq!(mirrors(route), 0);
                    continue;
                };
                prop_assert_eq!(mirrors(route), 1);
                let path = |r: &Route| r.r#match.as_ref().unwrap().path_specifier.clone();
                let is_rest = |r: &&Route| r.name == name && path(r) == path(route);
                let rest = host.routes[i..].iter().find(is_rest).unwrap();
                let Some(Action::Route(mut action)) = route.action.clone() else { panic!("a route") };
                action.request_mirror_policies.clear();
                prop_assert_eq!(Some(Action::Route(action)), rest.action.clone());
            }
            let sampled = host.routes.iter().filter(|r| r.name.ends_with("/sampled")).count();
            let splits = host.routes.iter().filter(|r| r.name == "g" || r.name == "g/keyless").count();
            prop_assert_eq!(sampled, if g.shadow.is_some() { splits } else { 0 });
        }
    }

    #[test]
    fn routes_are_tried_in_the_order_of_the_contract(a in a_gateway("a"), b in a_gateway("b")) {
        for host in table(&[&a, &b]).virtual_hosts {
            let paths: Vec<usize> = host.routes.iter().map(|r| path_of(r).trim_end_matches('/').len()).collect();
            prop_assert!(paths.is_sorted_by(|x, y| x >= y), "longer paths first: {:?}", host.routes);
            for gateway in ["a", "b"] {
                let rank = |route: &Route| match route.name.split('/').nth(1) {
                    Some("direct") => 0,
                    Some("match") => 1,
                    _ => 2,
                };
                let own: Vec<_> = host.routes.iter().filter(|r| r.name.split('/').next() == Some(gateway)).collect();
                prop_assert!(own.iter().is_sorted_by_key(|r| rank(r)), "direct access, match, split");
            }
        }
    }

    #[test]
    fn a_name_that_no_upstream_has_is_not_found(g in a_gateway("g")) {
        let last_resort = |r: &&Route| r.name == "g/direct";
        for host in table(&[&g]).virtual_hosts {
            let found: Vec<_> = host.routes.iter().filter(last_resort).collect();
            prop_assert_eq!(!found.is_empty(), g.direct_access.is_some());
            for route in found {
                let Some(Action::DirectResponse(response)) = &route.action else { panic!("an answer of Envoy's own") };
                prop_assert_eq!(response.status, 404);
                let after = host.routes.iter().skip_while(|r| r.name != "g/direct");
                prop_assert!(after.skip(1).all(|r| !r.name.starts_with("g/direct/")), "upstreams come before");
            }
        }
    }

    #[test]
    fn the_order_of_gateways_does_not_matter(a in a_gateway("a"), b in a_gateway("b")) {
        prop_assert_eq!(table(&[&a, &b]), table(&[&b, &a]));
    }
}

#[test]
fn only_our_own_cluster_names_parse() {
    for text in ["", "a", "a/", "/b", "a/b/c", "A/b", "a/b.c", "a/b/shadow/c", "a//shadow", "a/_oauth2"] {
        assert_eq!(parse_cluster_name(text), None, "{text}");
    }
}

/// gRPC without a proxy.
mod proxyless {
    use super::*;
    use envoy_types::pb::envoy::config::listener::v3::Listener;

    /// What is told of these gateways: the names of listeners, and of each host the routes in their order, with
    /// whether they lead anywhere.
    fn told(gateways: &[Gateway]) -> (Vec<String>, Vec<(String, bool)>) {
        let mut targets = Targets::default();
        for gateway in gateways {
            let parts = proxyless(gateway);
            parts.iter().for_each(|parts| targets.add(gateway, &parts.routes));
        }
        let (mut listeners, mut routes) = (Vec::new(), Vec::new());
        for resource in targets.take_changed().into_iter().filter_map(|(_, _, resource)| resource) {
            if resource.kind() == Kind::Listener {
                let listener = Listener::decode(resource.message()).unwrap();
                assert!(listener.api_listener.is_some() && listener.filter_chains.is_empty());
                listeners.push(listener.name);
            } else {
                let all = RouteConfiguration::decode(resource.message()).unwrap();
                let all = all.virtual_hosts.into_iter().flat_map(|host| host.routes);
                routes.extend(all.map(|r| (r.name, matches!(r.action, Some(Action::Route(_))))));
            }
        }
        (listeners, routes)
    }

    /// Plain, on one host, so that each is there.
    fn plain(gateway: Gateway, path: &str) -> Gateway {
        let upstreams = gateway.upstreams.iter().cloned();
        Gateway {
            hosts: vec![Host::Exact("a.example.com".into())],
            path: path.into(),
            rewrite: None,
            authentication: Authentication::None,
            affinity: None,
            proxies: BTreeSet::new(),
            upstreams: upstreams.map(|u| Upstream { protocol: Protocol::Grpc, tls: None, ..u }).collect(),
            matches: Vec::new(),
            direct_access: None,
            ..gateway
        }
    }

    proptest! {
        #[test]
        fn who_cannot_be_there_takes_its_calls_and_answers_none(a in a_gateway("a"), b in a_gateway("b"), how in 0..4) {
            let (a, b) = (plain(a, "/"), plain(b, "/models.Admin"));
            let both = vec![("b".to_owned(), true), ("a".to_owned(), true)];
            prop_assert_eq!(told(&[a.clone(), b.clone()]), (vec!["a.example.com".to_owned()], both));
            let mut away = b.clone();
            match how {
                0 => away.authentication = Authentication::Closed,
                1 => away.rewrite = Some("/".into()),
                2 => away.upstreams[0].protocol = Protocol::Http2,
                _ => away.upstreams[0].tls = Some(Tls { ca: Pem::new(*b"PEM"), server_name: "b".into(), client: None }),
            }
            let closed = vec![("b".to_owned(), false), ("a".to_owned(), true)];
            prop_assert_eq!(told(&[a, away.clone()]), (vec!["a.example.com".to_owned()], closed));
            prop_assert_eq!(told(&[away]), (vec![], vec![]), "it is nobody's target");
        }

        #[test]
        fn what_was_added_and_taken_away_leaves_nothing(a in a_gateway("a"), b in a_gateway("b")) {
            let gateways = [a.clone(), plain(a, "/"), plain(b, "/models.Admin")];
            for gateway in gateways {
                let mut targets = Targets::default();
                let Some(parts) = proxyless(&gateway) else { continue };
                targets.add(&gateway, &parts.routes);
                targets.remove(&gateway);
                prop_assert!(targets.take_changed().iter().all(|(_, _, resource)| resource.is_none()));
            }
        }
    }

    #[test]
    fn only_paths_that_can_be_called_are_there() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let any = a_gateway("a").new_tree(&mut runner).unwrap().current();
        for (path, is_there) in [
            ("/", true),
            ("/models.Fraud", true),
            ("/models.Fraud/Score", true),
            ("/v1/models.Fraud/Score", false),
        ] {
            assert_eq!(targets(&plain(any.clone(), path)).next().is_some(), is_there, "{path}");
        }
    }
}
