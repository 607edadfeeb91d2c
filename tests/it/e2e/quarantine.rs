//! An Envoy that refuses what others take: it gets everything but that.

use super::stage::{Stage, bootstrap, free_port, offered, settings, start_envoy, toy};
use crate::real::{DEADLINE, eventually};
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::Envoy;
use serin::model::{Routing, Settings};
use serin::resource::Kind;

/// Valid, and too large for an Envoy with the limit that Envoy has by itself.
const LARGE: &str = "match: [{ headers: { x-a: { regex: \"[a-z]{15}-[0-9]{10}\" } }, upstream: v2 }]\n";

/// A gateway on a host of its own, so that it fits both layouts.
fn gateway(name: &str, [v1, v2]: [&str; 2], weight: u32, more: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\nhost: {name}.test\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         traffic: {{ v1: {}, v2: {weight} }}\n{more}",
        100 - weight
    )
}

/// An Envoy on the port that others share, by `SO_REUSEPORT`.
async fn envoy(stage: &Stage, id: &str, is_strict: bool, is_sotw: bool) -> Envoy {
    let mut text = bootstrap(stage.app.xds, "edge").replace("edge-1", id);
    if is_strict {
        text = text.replace("error_level: 100000", "error_level: 20");
    }
    if is_sotw {
        text = text.replace("DELTA_GRPC", "GRPC");
    }
    let mut envoy = start_envoy(&text).await;
    envoy.ready(DEADLINE).await.unwrap();
    envoy
}

/// Whether each Envoy took all that it is offered.
async fn settled(stage: &Stage) {
    eventually("each Envoy has what it is told", || {
        let view = stage.app.view.load();
        let proxies = stage.app.registry.proxies();
        proxies.iter().all(|proxy| {
            let told = offered(&view, proxy);
            told.is_some() && proxy.kinds.get(&Kind::Route).is_some_and(|s| s.acknowledged == told)
        })
    })
    .await;
}

/// The routes of a gateway that an Envoy has, as a text.
async fn has(envoy: &Envoy, gateway: &str) -> String {
    let (_, dump) = envoy.admin("/config_dump?resource=dynamic_route_configs").await.unwrap();
    let dump: Value = serde_json::from_str(&dump).unwrap();
    let configs = dump["configs"].as_array().into_iter().flatten();
    let hosts =
        configs.flat_map(|c| c["route_config"]["virtual_hosts"].as_array().cloned().unwrap_or_default());
    let routes = hosts.flat_map(|h| h["routes"].as_array().cloned().unwrap_or_default());
    routes
        .filter(|r| r["name"].as_str().is_some_and(|n| n.starts_with(gateway)))
        .map(|r| r.to_string())
        .collect()
}

async fn json(stage: &Stage, path: &str) -> Value {
    reqwest::get(format!("http://{}{path}", stage.app.http)).await.unwrap().json().await.unwrap()
}

async fn play(routing: Routing, is_sotw: bool) {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let models = [&*v1.url(), &*v2.url()];
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, weight: u32, more: &str| {
        let path = folder.path().join(format!("{name}.yaml"));
        std::fs::write(path, gateway(name, models, weight, more)).unwrap();
    };
    for name in ["a", "b", "c"] {
        write(name, 50, "");
    }
    let port = free_port();
    let settings = Settings { routing, ..settings(folder.path(), port, None) };
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    let stage = Stage { folder: tempfile::tempdir().unwrap(), app, port };
    let (newer, strict) =
        (envoy(&stage, "newer", false, is_sotw).await, envoy(&stage, "strict", true, is_sotw).await);
    settled(&stage).await;

    write("b", 50, LARGE);
    stage.sees("it is said", "b", |g| g.is_some_and(|g| g["diagnostics"][0]["code"] == "E004")).await;
    settled(&stage).await;
    assert!(has(&newer, "b").await.contains("[a-z]{15}") && !has(&strict, "b").await.contains("[a-z]{15}"));
    assert!(has(&strict, "b").await.contains("b/v2"), "the version that it took");

    // Weights of others and of this one, and new gateways reach both.
    write("a", 0, "");
    write("b", 0, LARGE);
    write("d", 50, "");
    stage.serves("a", "v2", 0.0).await;
    stage.serves("b", "v2", 0.0).await;
    stage.sees("the new one", "d", |g| g.is_some()).await;
    settled(&stage).await;
    for name in ["a", "c", "d"] {
        assert_eq!(has(&newer, name).await, has(&strict, name).await, "{name}");
    }
    assert!(
        has(&strict, "a").await.contains("\"a/v2\",\"weight\":0")
            || !has(&strict, "a").await.contains("a/v2")
    );

    let alarms = json(&stage, "/api/v1/alarms").await["alarms"].to_string();
    assert!(
        alarms.contains("Envoy strict (1.40.0") && alarms.contains("refuses gateway b and serves"),
        "{alarms}"
    );
    assert!(!alarms.contains("newer"), "{alarms}");
    let proxies = json(&stage, "/api/v1/proxies").await;
    let strict_view = proxies["proxies"].as_array().unwrap().iter().find(|p| p["id"] == "strict").unwrap();
    assert_eq!(strict_view["refusedGateways"][0]["gateway"], "b");
    let metrics =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("serin_proxy_refused_gateways{proxy=\"strict\"} 1"), "{metrics}");

    // One that never took it answers 503 there, and serves all else.
    strict.stop().await.unwrap();
    let late = envoy(&stage, "late", true, is_sotw).await;
    newer.stop().await.unwrap();
    eventually("one Envoy", || stage.app.registry.proxies().len() == 1).await;
    settled(&stage).await;
    for (name, status) in [("a", 200), ("b", 503), ("c", 200), ("d", 200)] {
        assert_eq!(stage.ask("/", &[("host", &format!("{name}.test"))]).await.0, status, "{name}");
    }
    // What it takes ends that.
    write("b", 100, "");
    stage.serves("b", "v2", 100.0).await;
    settled(&stage).await;
    assert_eq!(stage.ask("/", &[("host", "b.test")]).await, (200, "v2".into()));
    assert_eq!(json(&stage, "/api/v1/alarms").await["alarms"], serde_json::json!([]));
    stage.end([late]).await;
}

#[tokio::test]
async fn an_envoy_that_refuses_one_gateway_is_told_all_else() {
    play(Routing::Plain, false).await;
}

#[tokio::test]
async fn an_envoy_that_refuses_one_gateway_is_told_all_else_in_whole_states() {
    play(Routing::Plain, true).await;
}

#[tokio::test]
async fn an_envoy_that_refuses_one_host_is_told_all_else() {
    play(Routing::Scoped, false).await;
}

#[tokio::test]
async fn an_envoy_that_refuses_one_host_is_told_all_else_in_whole_states() {
    play(Routing::Scoped, true).await;
}
