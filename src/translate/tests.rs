//! Laws of translation, over gateways of every shape.

use super::*;
use crate::model::{
    Authentication, Condition, DirectAccess, Endpoint, HealthCheck, Host, Match, Pattern, Pem, Protocol,
    Routing, SessionAffinity, Tls, Upstream,
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
    (places, upstreams, a_split(), (matches, affinity), any::<[bool; 2]>()).prop_map(
        move |(
            (hosts, path, rewrite),
            upstreams,
            traffic,
            (matches, affinity),
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
    fn weights_are_the_whole_in_one_order(gateway in a_gateway("g")) {
        for host in table(&[&gateway]).virtual_hosts {
            let splits = ["g", "g/keyless"];
            let split: Vec<_> =
                host.routes.iter().filter(|r| splits.contains(&r.name.as_str())).map(clusters_of).collect();
            let by_key = matches!(gateway.affinity, Some(ref by) if *by != SessionAffinity::SourceIp);
            let least = if by_key { 2 } else { 1 };
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
        for (resource, upstream) in parts.resources.iter().filter(|r| r.kind() == Kind::Cluster).zip(&g.upstreams) {
            let cluster = Cluster::decode(resource.message()).unwrap();
            prop_assert_eq!(&cluster.name, &**resource.name());
            prop_assert_eq!(parse_cluster_name(&cluster.name), Some((g.name.clone(), upstream.name.clone())));
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
    for text in ["", "a", "a/", "/b", "a/b/c", "A/b", "a/b.c", "a/_oauth2"] {
        assert_eq!(parse_cluster_name(text), None, "{text}");
    }
}
