//! Users keep their version: as a canary grows they only move to it, and back they only move away from it.

use super::stage::{Stage, toy};
use crate::real::eventually;
use futures_util::{StreamExt, stream};
use reqwest::Client;
use serde_json::Value;
use serin::clock;
use serin::launch::{Toy, VERSION_HEADER};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// Whoever wants the whole play says `SERIN_USERS=2000`.
fn users() -> usize {
    let said = std::env::vars_os().find(|(key, _)| key == "SERIN_USERS");
    said.map_or(400, |(_, n)| n.to_str().unwrap().parse().unwrap())
}

/// Requests of each user at each weight.
const VISITS: usize = 10;

/// How a user is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    Header,
    Query,
    Cookie,
    Address,
}

impl Key {
    fn yaml(self) -> &'static str {
        match self {
            Self::Header => "{ header: x-user-id }",
            Self::Query => "{ query: user }",
            Self::Cookie => "{ cookie: serin }",
            Self::Address => "sourceIp",
        }
    }
}

/// A client of its own for each user, with a jar for cookies and an address.
fn clients(key: Key) -> Vec<Client> {
    let client = |i: usize| {
        let builder = Client::builder().pool_max_idle_per_host(1);
        let address =
            Ipv4Addr::new(127, 1, u8::try_from(i / 250).unwrap(), u8::try_from(i % 250 + 1).unwrap());
        match key {
            Key::Address => builder.local_address(IpAddr::V4(address)),
            _ => builder.cookie_store(key == Key::Cookie),
        }
        .build()
        .unwrap()
    };
    match key {
        // Who the user is stands in the request.
        Key::Header | Key::Query => vec![client(0); users()],
        Key::Cookie | Key::Address => (0..users()).map(client).collect(),
    }
}

fn gateway(key: Key, name: &str, toys: &[Toy], weights: &[u32]) -> String {
    let upstreams: Vec<String> =
        toys.iter().enumerate().map(|(i, t)| format!("v{}: {}", i + 1, t.url())).collect();
    let traffic: Vec<String> = weights.iter().enumerate().map(|(i, w)| format!("v{}: {w}", i + 1)).collect();
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams: {{ {} }}\ntraffic: {{ {} }}\nsessionAffinity: {}\n",
        upstreams.join(", "),
        traffic.join(", "),
        key.yaml()
    )
}

/// The versions that each user met in so many visits.
async fn visit(
    stage: &Stage,
    gateway: &str,
    key: Key,
    clients: &[Client],
    visits: usize,
) -> Vec<BTreeSet<String>> {
    let one = |(i, client): (usize, Client)| async move {
        let mut met = BTreeSet::new();
        for visit in 0..visits {
            let mut request = client.get(stage.url(&format!("/{gateway}/{visit}")));
            if key == Key::Header {
                request = request.header("x-user-id", format!("user-{i}"));
            } else if key == Key::Query {
                request = client.get(stage.url(&format!("/{gateway}/{visit}?user=user-{i}")));
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            met.insert(answer.headers().get(VERSION_HEADER).unwrap().to_str().unwrap().to_owned());
        }
        met
    };
    stream::iter(clients.iter().cloned().enumerate()).map(one).buffered(16).collect().await
}

/// Who met this version, and only this one.
fn loyal(met: &[BTreeSet<String>], version: &str) -> BTreeSet<usize> {
    let only = BTreeSet::from([version.to_owned()]);
    met.iter().enumerate().filter(|(_, m)| **m == only).map(|(i, _)| i).collect()
}

async fn canary_grows_and_shrinks(key: Key) {
    let toys = [toy("v1").await, toy("v2").await];
    let text = |canary: u32| gateway(key, "fraud", &toys, &[100 - canary, canary]);
    let stage = Stage::new(&[("fraud.yaml", &text(5))]).await;
    let envoy = stage.envoy().await;
    let clients = clients(key);
    let mut sets: Vec<BTreeSet<usize>> = Vec::new();
    for weight in [5, 25, 50, 5] {
        stage.replace("fraud.yaml", &text(weight));
        stage.serves_weight("fraud", "v2", f64::from(weight)).await;
        let met = visit(&stage, "fraud", key, &clients, VISITS).await;
        let canary = loyal(&met, "v2");
        assert_eq!(loyal(&met, "v1").len() + canary.len(), users(), "{key:?} {weight} %: nobody changes");
        sets.push(canary);
    }
    let [first, second, third, back] = sets.try_into().unwrap();
    assert!(first.is_subset(&second) && second.is_subset(&third), "{key:?}: users only move to the canary");
    assert!(!first.is_empty() && first.len() < second.len() && second.len() < third.len(), "{key:?}");
    assert_eq!(first, back, "{key:?}: and back only away from it");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn users_keep_their_version_by_header() {
    canary_grows_and_shrinks(Key::Header).await;
}

#[tokio::test]
async fn users_keep_their_version_by_query() {
    canary_grows_and_shrinks(Key::Query).await;
}

#[tokio::test]
async fn users_keep_their_version_by_cookie() {
    canary_grows_and_shrinks(Key::Cookie).await;
}

#[tokio::test]
async fn users_keep_their_version_by_address() {
    canary_grows_and_shrinks(Key::Address).await;
}

#[tokio::test]
async fn of_three_upstreams_the_other_two_keep_their_users() {
    let toys = [toy("v1").await, toy("v2").await, toy("v3").await];
    let text = |canary: u32| gateway(Key::Header, "fraud", &toys, &[80 - canary, 20, canary]);
    let stage = Stage::new(&[("fraud.yaml", &text(5))]).await;
    let envoy = stage.envoy().await;
    let clients = clients(Key::Header);
    let mut canaries: Vec<BTreeSet<usize>> = Vec::new();
    let mut others: Vec<BTreeSet<usize>> = Vec::new();
    for weight in [5, 25, 50, 5] {
        stage.replace("fraud.yaml", &text(weight));
        stage.serves_weight("fraud", "v3", f64::from(weight)).await;
        let met = visit(&stage, "fraud", Key::Header, &clients, 2).await;
        canaries.push(loyal(&met, "v3"));
        others.push(loyal(&met, "v2"));
    }
    assert!(canaries[0].is_subset(&canaries[1]) && canaries[1].is_subset(&canaries[2]));
    assert!(!canaries[0].is_empty() && canaries[0] == canaries[3]);
    assert!(!others[0].is_empty() && others.iter().all(|o| *o == others[0]), "v2 keeps its users");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn the_first_users_of_a_canary_are_others_at_each_gateway_and_strangers_go_by_chance() {
    let toys = [toy("v1").await, toy("v2").await];
    let text = |name: &str| gateway(Key::Header, name, &toys, &[75, 25]);
    let stage = Stage::new(&[("fraud.yaml", &text("fraud")), ("churn.yaml", &text("churn"))]).await;
    let envoy = stage.envoy().await;
    let clients = clients(Key::Header);
    let fraud = loyal(&visit(&stage, "fraud", Key::Header, &clients, 1).await, "v2");
    let churn = loyal(&visit(&stage, "churn", Key::Header, &clients, 1).await, "v2");
    // Of a quarter a quarter: of 100 users 25, and 60 are eight standard deviations away.
    let both = fraud.intersection(&churn).count();
    assert!(both * 10 < fraud.len() * 6, "{both} of {} and {}", fraud.len(), churn.len());

    // Without the key, and with an empty one, a request goes its own way: one client meets both versions.
    for header in [None, Some(("x-user-id", ""))] {
        let mut met = BTreeSet::new();
        for _ in 0..100 {
            met.insert(stage.ask("/fraud", header.as_slice()).await.1);
        }
        assert_eq!(met.len(), 2, "{header:?}");
    }
    stage.end([envoy]).await;
}

#[tokio::test]
async fn requests_without_the_key_are_counted_once_each() {
    const KEYLESS: u64 = 30;
    let toys = [toy("v1").await, toy("v2").await];
    let hosts = "hosts: [a.example.com, '*']\n";
    let known = gateway(Key::Header, "known", &toys, &[50, 50]) + hosts;
    let copied =
        gateway(Key::Query, "copied", &toys, &[50, 50]) + hosts + "shadow: { upstream: v2, percent: 50 }\n";
    let stage = Stage::new(&[("a.yaml", &known), ("b.yaml", &copied)]).await;
    let envoy = stage.envoy().await;
    for i in 0..KEYLESS {
        let host = ["a.example.com", "b.example.com"][usize::try_from(i % 2).unwrap()];
        for path in ["/known", "/copied"] {
            assert_eq!(stage.ask(path, &[("host", host)]).await.0, 200);
        }
    }
    for _ in 0..20 {
        assert_eq!(stage.ask("/known", &[("x-user-id", "ann")]).await.0, 200);
        assert_eq!(stage.ask("/copied?user=ann", &[]).await.0, 200);
    }
    let numbers = |name: &str| {
        let table = stage.app.table.load();
        let all: f64 = table.gateway(name, clock::now()).values().map(|n| n.total.requests).sum();
        (all, table.keyless(name, clock::now()).0)
    };
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let expected = (KEYLESS as f64 + 20.0, KEYLESS as f64);
    for name in ["known", "copied"] {
        eventually("all are counted", || numbers(name) == expected).await;
    }
    let url = format!("http://{}", stage.app.http);
    let page = |path: &str| reqwest::get(format!("{url}{path}"));
    let shown: Value = page("/api/v1/gateways/known/metrics").await.unwrap().json().await.unwrap();
    assert_eq!(shown["keyless"]["requests"], KEYLESS);
    let metrics = page("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("serin_keyless_requests_total{gateway=\"copied\"} 30"), "{metrics}");
    // What Envoy keeps for it: one number for each host of a gateway, made when it is needed.
    let (status, statistics) = envoy.admin("/stats?filter=^vhost").await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(statistics.lines().count(), 4, "{statistics}");
    stage.end([envoy]).await;
}
