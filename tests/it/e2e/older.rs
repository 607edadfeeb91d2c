//! One Envoy of each release that Serin knows, on one Serin, with gateways of all features: each serves or answers 503.

use super::auth::{Issuer, basic, claims, htpasswd};
use super::stage::{Stage, at, offered, settings, toy};
use crate::real::{DEADLINE, envoys, eventually};
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Toy};
use serin::model::{Routing, Settings};
use serin::resource::Kind;
use serin::translate::{self, Release};
use std::collections::BTreeMap;

const KEY: &str = "k-acme-0123456789abcdef";
const OLDEST: Release = translate::OLDEST;

/// A gateway, what lets a request in, how it is answered then, and the oldest Envoy that takes it.
struct Feature {
    name: &'static str,
    text: String,
    credentials: Vec<(&'static str, String)>,
    status: u16,
    needs: Release,
}

fn features(token: &str) -> Vec<Feature> {
    let split = "traffic: { v1: 50, v2: 50 }\n";
    let feature = |name, text: &str, needs| {
        let (credentials, status) = (Vec::new(), 200);
        Feature { name, text: text.to_owned(), credentials, status, needs }
    };
    let guarded = |name, text: &str, (header, value): (&'static str, String), needs| {
        let text = format!("{split}authentication: {{ {text} }}\n");
        Feature { credentials: vec![(header, value)], ..feature(name, &text, needs) }
    };
    let login = "oauth2: { authorizationEndpoint: \"http://127.0.0.1:1/a\", tokenEndpoint: \"http://127.0.0.1:1/t\", clientId: c, clientSecretFile: secret }";
    let login = format!("{split}authentication: {{ {login} }}\n");
    let jwt = "jwt: { issuer: \"https://idp.test\", jwksFile: jwks.json, audiences: [fraud] }";
    let rollout = "rollout: { primary: v1, canary: v2, steps: [50, 100], pause: 1h }\n";
    vec![
        feature(
            "minimal",
            "traffic: { v1: 100 }\nmatch: [{ headers: { x-never: \"1\" }, upstream: v2 }]\n",
            OLDEST,
        ),
        feature("canary", split, OLDEST),
        feature("rollout", rollout, OLDEST),
        guarded(
            "basic",
            "basicAuth: { usersFile: users }",
            ("authorization", basic("ann", "correct horse")),
            OLDEST,
        ),
        guarded("key", "accessKey: { keysFile: keys }", ("x-api-key", KEY.to_owned()), OLDEST),
        guarded("jwt", jwt, ("authorization", format!("Bearer {token}")), (1, 40)),
        Feature {
            // Who is no browser is not sent to log in.
            credentials: vec![("accept", "text/html".to_owned())],
            status: 302,
            ..feature("login", &login, (1, 39))
        },
        feature("by-header", &format!("{split}sessionAffinity: {{ header: x-user }}\n"), OLDEST),
        feature("by-cookie", &format!("{split}sessionAffinity: {{ cookie: who, maxAge: 1h }}\n"), (1, 37)),
        feature("by-address", &format!("{split}sessionAffinity: sourceIp\n"), OLDEST),
        feature("shadow", "traffic: { v1: 100 }\nshadow: { upstream: v2, percent: 10 }\n", OLDEST),
        feature(
            "compare",
            "traffic: { v1: 100 }\nshadow: { upstream: v2, percent: 10, compare: {} }\n",
            OLDEST,
        ),
        feature("match", &format!("{split}match: [{{ query: {{ beta: \"1\" }}, upstream: v2 }}]\n"), OLDEST),
        feature(
            "match-cookie",
            &format!("{split}match: [{{ cookies: {{ beta: \"1\" }}, upstream: v2 }}]\n"),
            (1, 37),
        ),
        feature("direct", &format!("{split}directAccess: true\nrewrite: /echo\n"), OLDEST),
    ]
}

/// The text of a gateway on a host of its own, so that it fits both layouts.
fn gateway(name: &str, feature: &str, [v1, v2]: &[Toy; 2]) -> String {
    let upstreams = format!("upstreams: {{ v1: {}, v2: {} }}\n", v1.url(), v2.url());
    format!("apiVersion: serin/v1\nname: {name}\nhost: {name}.test\n{upstreams}{feature}")
}

/// An Envoy, and where it listens.
struct Edge {
    release: Release,
    envoy: Envoy,
    port: u64,
}

impl Edge {
    async fn start(stage: &Stage, binary: &serin::launch::EnvoyBinary, is_strict: bool) -> Self {
        let release = translate::release(&binary.version).unwrap();
        let id = format!("edge-{}", release.1);
        let bootstrap = Bootstrap { id, release, control_plane: at(stage.app.xds), ..Bootstrap::default() };
        let mut bootstrap = bootstrap.to_string();
        if is_strict {
            bootstrap = bootstrap.replace("error_level: 100000", "error_level: 20");
        }
        let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
        let mut envoy = Envoy::start(binary, &bootstrap, &options).await.unwrap();
        envoy.ready(DEADLINE).await.unwrap();
        let (_, listeners) = envoy.admin("/listeners?format=json").await.unwrap();
        let listeners: Value = serde_json::from_str(&listeners).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().expect("it listens");
        Self { release, envoy, port }
    }

    async fn ask(&self, gateway: &str, headers: &[(&str, String)]) -> u16 {
        let no_redirects =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut request = no_redirects.get(format!("http://127.0.0.1:{}/", self.port)).timeout(DEADLINE);
        request = request.header("host", format!("{gateway}.test"));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// The share of an upstream in the routes that it has; `None`: it has none to it.
    async fn weight(&self, gateway: &str, upstream: &str) -> Option<u64> {
        let (_, dump) = self.envoy.admin("/config_dump?resource=dynamic_route_configs").await.unwrap();
        let dump: Value = serde_json::from_str(&dump).unwrap();
        let mut weights = BTreeMap::new();
        collect(&dump, &mut weights);
        weights.get(&format!("{gateway}/{upstream}")).copied()
    }
}

/// All weights of clusters in a configuration.
fn collect(value: &Value, weights: &mut BTreeMap<String, u64>) {
    if let (Some(name), Some(weight)) = (value["name"].as_str(), value["weight"].as_u64()) {
        weights.insert(name.to_owned(), weight);
    }
    let fields = value.as_object().into_iter().flat_map(|o| o.values());
    fields.chain(value.as_array().into_iter().flatten()).for_each(|inner| collect(inner, weights));
}

async fn settled(stage: &Stage, number: usize) {
    eventually("each Envoy has what it is told", || {
        let view = stage.app.view.load();
        let proxies = stage.app.registry.proxies();
        let has_all = |proxy: &serin::xds::Proxy| {
            let told = offered(&view, proxy);
            told.is_some() && proxy.kinds.get(&Kind::Route).is_some_and(|s| s.acknowledged == told)
        };
        proxies.len() == number && proxies.iter().all(has_all)
    })
    .await;
}

async fn json(stage: &Stage, path: &str) -> Value {
    reqwest::get(format!("http://{}{path}", stage.app.http)).await.unwrap().json().await.unwrap()
}

/// Two gateways of each feature; those with a credential let nobody in without it.
async fn play(routing: Routing) {
    let models = [toy("v1").await, toy("v2").await];
    let issuer = Issuer::new();
    let features = features(&issuer.token(&claims(&json!({}))));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("users", &htpasswd("ann", "correct horse"));
    write("keys", &format!("acme:{KEY}\n"));
    write("secret", "s-0123456789abcdef");
    write("jwks.json", &issuer.jwks());
    for (n, feature) in (1..=2).flat_map(|n| features.iter().map(move |f| (n, f))) {
        let name = format!("{}-{n}", feature.name);
        write(&format!("{name}.yaml"), &gateway(&name, &feature.text, &models));
    }
    // Each Envoy takes a port of its own.
    let settings = Settings { routing, ..settings(folder.path(), 0, None) };
    let options = Options { insecure_admin: true, ..Options::default() };
    let app = App::start(settings, options).await.unwrap();
    app.ready().await;
    let stage = Stage { folder: tempfile::tempdir().unwrap(), app, port: 0 };
    let mut edges = Vec::new();
    for binary in envoys().await {
        edges.push(Edge::start(&stage, binary, binary.version.starts_with("1.38")).await);
    }
    assert_eq!(edges.len(), 5);
    settled(&stage, 5).await;

    for edge in &edges {
        for (n, feature) in (1..=2).flat_map(|n| features.iter().map(move |f| (n, f))) {
            let name = format!("{}-{n}", feature.name);
            let (takes, is_guarded) = (edge.release >= feature.needs, !feature.credentials.is_empty());
            let expected = if takes { feature.status } else { 503 };
            assert_eq!(edge.ask(&name, &feature.credentials).await, expected, "{name} at {:?}", edge.release);
            let without = match (takes, is_guarded) {
                (true, true) => 401,
                _ => expected,
            };
            assert_eq!(edge.ask(&name, &[]).await, without, "{name} at {:?}", edge.release);
        }
    }

    // What each of them counted arrives.
    let upstream = serin::names::UpstreamName::new("v1").unwrap();
    eventually("ten requests are counted", || {
        let table = stage.app.table.load();
        let numbers = table.gateway("minimal-2", serin::clock::now()).remove(&upstream);
        numbers.is_some_and(|numbers| (numbers.total.requests - 10.0).abs() < 0.5)
    })
    .await;

    // It is said where one looks.
    let proxies = json(&stage, "/api/v1/proxies").await;
    let alarms = json(&stage, "/api/v1/alarms").await["alarms"].to_string();
    for edge in &edges {
        let id = format!("edge-{}", edge.release.1);
        let own = proxies["proxies"].as_array().unwrap().iter().find(|p| p["id"] == *id).unwrap();
        let beyond: Vec<_> =
            own["unsupportedGateways"].as_array().unwrap().iter().map(|g| g["gateway"].as_str()).collect();
        let number = 2 * features.iter().filter(|f| f.needs > edge.release).count();
        assert_eq!(beyond.len(), number, "{beyond:?} at {id}");
        assert_eq!(alarms.contains(&format!("Envoy {id} (")), number > 0, "{id}: {alarms}");
    }
    assert_eq!(json(&stage, "/api/v1/gateways/jwt-1").await["needsEnvoy"], "1.40");

    // An abort reaches them all, and one that refuses something is told all else.
    let large = "match: [{ headers: { x-a: { regex: \"[a-z]{15}-[0-9]{10}\" } }, upstream: v2 }]\ntraffic: { v1: 50, v2: 50 }\n";
    write("canary-1.yaml", &gateway("canary-1", large, &models));
    stage.sees("it is said", "canary-1", |g| g.is_some_and(|g| g["diagnostics"][0]["code"] == "E004")).await;
    let said = json(&stage, "/api/v1/gateways/canary-1").await["diagnostics"].to_string();
    assert!(said.contains("Envoy edge-38 (1.38.3"), "{said}");
    for edge in &edges {
        assert!(edge.weight("rollout-1", "v2").await.is_some_and(|weight| weight > 0));
    }
    let abort = format!("http://{}/api/v1/gateways/rollout-1/actions/abort", stage.app.http);
    let ordered = tokio::time::Instant::now();
    let answer = reqwest::Client::new().post(abort).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    stage.serves("rollout-1", "v2", 0.0).await;
    settled(&stage, 5).await;
    println!("an abort was at all five after {:?}", ordered.elapsed());
    for edge in &edges {
        assert_eq!(edge.weight("rollout-1", "v2").await.unwrap_or_default(), 0, "{:?}", edge.release);
        assert_eq!(edge.ask("canary-1", &[]).await, 200);
    }
    stage.end(edges.into_iter().map(|edge| edge.envoy)).await;
}

#[tokio::test]
async fn each_release_serves_what_it_takes_and_closes_the_rest() {
    play(Routing::Plain).await;
}

#[tokio::test]
async fn each_release_serves_what_it_takes_of_many_hosts_and_closes_the_rest() {
    play(Routing::Scoped).await;
}
