//! The scoped layout on a real Envoy: a change sends what it concerns, and hosts mean what the documents say.

use super::stage::{Stage, assert_all_well, envoy_on, settings, toy};
use crate::real::{DEADLINE, eventually};
use serin::app::{App, Options};
use serin::launch::Toy;
use serin::model::{Routing, Settings};
use std::path::Path;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const GATEWAYS: usize = 1_000;

/// A gateway on a host of its own; an access key lets in.
fn gateway(n: usize, model: &str, v1: u32) -> String {
    format!(
        "apiVersion: serin/v1\nname: g{n}\nhost: g{n}.example.com\n\
         authentication: {{ accessKey: {{ keysFile: g{n}.keys }} }}\n\
         upstreams: {{ v1: {model}, v2: {model} }}\ntraffic: {{ v1: {v1}, v2: {} }}\n",
        100 - v1
    )
}

fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn scoped(folder: &Path, port: u16) -> Settings {
    Settings { routing: Routing::Scoped, ..settings(folder, port, None) }
}

async fn stage(folder: TempDir, settings: Settings) -> Stage {
    let port = settings.listeners.values().next().unwrap().port;
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    Stage { folder, app, port }
}

/// What the Envoys are sent by something, in bytes.
async fn bytes_of(stage: &Stage, change: impl AsyncFnOnce()) -> u64 {
    let bytes = || stage.app.registry.bytes.load(Ordering::Relaxed);
    let before = bytes();
    change().await;
    stage.taken().await;
    bytes() - before
}

async fn status(stage: &Stage, host: &str, key: &str) -> u16 {
    stage.ask("/", &[("host", host), ("x-api-key", key)]).await.0
}

#[tokio::test]
async fn among_a_thousand_hosts_a_change_sends_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = toy("v1").await;
    for n in 0..GATEWAYS {
        std::fs::write(folder.path().join(format!("g{n}.yaml")), gateway(n, &model.url(), 95)).unwrap();
        private(&folder.path().join(format!("g{n}.keys")), "ann:0123456789abcdef\n");
    }
    let port = super::stage::free_port();
    let settings = scoped(folder.path(), port);
    let stage = stage(folder, settings).await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    assert_eq!(status(&stage, "g7.example.com", "0123456789abcdef").await, 200);

    let sent = bytes_of(&stage, async || {
        stage.replace("g7.yaml", &gateway(7, &model.url(), 50));
        stage.serves_weight("g7", "v1", 50.0).await;
    })
    .await;
    assert!((100..1_024).contains(&sent), "new weights: {sent} bytes");

    let sent = bytes_of(&stage, async || {
        private(&stage.path("new.keys"), "ann:another-key-of-ann\n");
        std::fs::rename(stage.path("new.keys"), stage.path("g8.keys")).unwrap();
        let mut asked = 0;
        while status(&stage, "g8.example.com", "another-key-of-ann").await != 200 {
            asked += 1;
            assert!(asked < 1_000, "the new key never came");
        }
    })
    .await;
    assert!((100..1_024).contains(&sent), "another key: {sent} bytes");
    assert_eq!(status(&stage, "g8.example.com", "0123456789abcdef").await, 401);
    assert_eq!(status(&stage, "g9.example.com", "0123456789abcdef").await, 200);
    stage.end([envoy]).await;
}

/// Two listeners with one host, and one with two gateways.
async fn two_listeners(model: &Toy) -> (Stage, u16) {
    let folder = tempfile::tempdir().unwrap();
    let (port, other) = (super::stage::free_port(), super::stage::free_port());
    let mut settings = scoped(folder.path(), port);
    let mut edge = settings.listeners.values().next().unwrap().clone();
    edge.port = other;
    settings.listeners.insert(serin::names::ListenerName::new("edge").unwrap(), edge);
    let text = |name: &str, rest: &str| {
        let url = model.url();
        format!(
            "apiVersion: serin/v1\nname: {name}\n{rest}upstreams: {{ v1: {url} }}\nexposeUpstream: true\n"
        )
    };
    for (name, rest) in [
        ("short", "host: fraud.example.com\npath: /\n"),
        ("long", "hosts: [fraud.example.com, b.example.com]\npath: /long\n"),
        ("elsewhere", "host: fraud.example.com\nlistener: edge\npath: /only-here\n"),
    ] {
        std::fs::write(folder.path().join(format!("{name}.yaml")), text(name, rest)).unwrap();
    }
    (stage(folder, settings).await, other)
}

#[tokio::test]
async fn hosts_are_what_the_documents_say() {
    let model = toy("v1").await;
    let (mut stage, other) = two_listeners(&model).await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    for (host, path, expected) in [
        ("fraud.example.com", "/", 200),
        ("fraud.example.com:8080", "/", 200),
        ("fraud.example.com.", "/", 200),
        ("fraud.example.com.:8080", "/", 200),
        ("Fraud.Example.com", "/", 404),
        ("nobody.example.com", "/", 404),
        ("b.example.com", "/long", 200),
        ("b.example.com", "/", 404),
    ] {
        assert_eq!(stage.ask(path, &[("host", host)]).await.0, expected, "{host}{path}");
    }
    // What a client says of its scope does not count.
    let forged = [("host", "nobody.example.com"), ("x-serin-scope", "default/fraud.example.com")];
    assert_eq!(stage.ask("/", &forged).await.0, 404);
    let default = std::mem::replace(&mut stage.port, other);
    assert_eq!(stage.ask("/only-here", &[("host", "fraud.example.com")]).await.0, 200);
    assert_eq!(stage.ask("/", &[("host", "fraud.example.com")]).await.0, 404, "the other listener's");
    stage.port = default;

    // A host comes, and goes.
    std::fs::remove_file(stage.path("long.yaml")).unwrap();
    std::fs::rename(stage.path("short.yaml"), stage.path("new.yaml")).unwrap();
    let text = std::fs::read_to_string(stage.path("new.yaml")).unwrap();
    stage.replace("new.yaml", &text.replace("host: fraud.example.com", "hosts: [c.example.com]"));
    eventually("the new host is served", || {
        let view = stage.app.view.load();
        view.gateways
            .get("short")
            .is_some_and(|g| g.gateway.as_ref().is_some_and(|g| g.hosts == ["c.example.com"]))
    })
    .await;
    stage.taken().await;
    assert_eq!(stage.ask("/", &[("host", "c.example.com")]).await.0, 200);
    assert_eq!(stage.ask("/", &[("host", "fraud.example.com")]).await.0, 404);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn another_layout_after_a_restart_reaches_the_same_envoy() {
    let model = toy("v1").await;
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("apiVersion: serin/v1\nname: g\nhost: 127.0.0.1\nupstreams: {{ v1: {} }}\n", model.url());
    std::fs::write(folder.path().join("g.yaml"), text).unwrap();
    let mut plain = settings(folder.path(), super::stage::free_port(), None);
    plain.xds.set_port(super::stage::free_port());
    let mut stage = stage(folder, plain.clone()).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    for routing in [Routing::Scoped, Routing::Plain] {
        let load = stage.load("/", Some(200.0), serin::launch::Until::Stopped);
        stage.app.stop().await;
        let settings = Settings { routing, ..plain.clone() };
        stage.app = App::start(settings, Options::default()).await.unwrap();
        stage.app.ready().await;
        stage.taken().await;
        let scopes = stage.app.view.load().fleet.everyone.set(serin::resource::Kind::ScopedRoute).len();
        assert_eq!(scopes, usize::from(routing == Routing::Scoped));
        super::stage::let_pass(std::time::Duration::from_secs(2)).await;
        let report = load.stop().await;
        assert_all_well(&report);
        assert_eq!(stage.ask("/", &[]).await.0, 200);
    }
    stage.end([envoy]).await;
}
