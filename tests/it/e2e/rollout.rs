//! Releases by evidence: with a real Envoy, real requests and a store on disk.

use super::stage::{Stage, envoy_on, free_port, settings, toy};
use crate::real::{DEADLINE, eventually};
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::{Load, LoadOptions, Toy, ToyOptions, VERSION_HEADER, VersionIn};
use serin::model::StoreAt;
use serin::store::{Query, Sqlite, Store};
use serin::weight::Weight;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The release of the second version: everything is short, and only errors and hangs count.
fn release(v1: &Toy, v2: &Toy, more: &str) -> String {
    let (v1, v2) = (v1.url(), v2.url());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], pause: 1s, bake: 1s, {more} }}\n"
    )
}

/// A control plane with a store on disk.
async fn stage(text: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    std::fs::write(gateways.join("fraud.yaml"), text).unwrap();
    let port = free_port();
    let store = Some(StoreAt::Sqlite(folder.path().join("serin.db")));
    let settings = serin::model::Settings { store, ..settings(&gateways, port, None) };
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    Stage { folder, app, port }
}

fn load(stage: &Stage, rate: f64) -> Load {
    stage.load("/predict", Some(rate), serin::launch::Until::Stopped)
}

fn shown(stage: &Stage) -> Value {
    let view = stage.app.view.load();
    serde_json::to_value(view.gateways.get("fraud").map(|g| (**g).clone())).unwrap()
}

/// Waits for a phase, as long as a release may take.
async fn reaches(stage: &Stage, phase: &str) -> Value {
    let wait = async {
        let mut views = stage.app.view.subscribe();
        loop {
            let gateway = shown(stage);
            if gateway["phase"] == phase {
                return gateway;
            }
            assert!(views.changed().await);
            views.load();
        }
    };
    let outcome = tokio::time::timeout(DEADLINE * 3, wait).await;
    outcome.unwrap_or_else(|_| panic!("no {phase}: {}", shown(stage)["rollout"]))
}

/// What is in the journal, in order: kind and message.
fn journal(store: &Path) -> Vec<(String, String)> {
    let entries = Sqlite::open(store).unwrap().entries(&Query::default()).unwrap();
    entries.into_iter().map(|e| (e.entry.kind.to_string(), e.entry.message)).collect()
}

#[tokio::test]
async fn a_good_canary_gets_all_traffic_step_by_step() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&release(&v1, &v2, "steps: [50]")).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(&stage, 300.0);
    let gateway = reaches(&stage, "Promoted").await;
    let weights: Vec<_> =
        gateway["rollout"]["weights"].as_array().unwrap().iter().map(|w| &w["weight"]).collect();
    assert_eq!(weights, [0, 50, 100]);
    stage.serves_weight("fraud", "v2", 100.0).await;
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    assert_eq!(stage.ask("/predict", &[]).await, (200, "v2".to_owned()));
    let store = stage.path("serin.db");
    let Stage { folder: _folder, app, .. } = stage;
    envoy.stop().await.unwrap();
    app.stop().await;
    let told = journal(&store);
    let steps: Vec<&str> =
        told.iter().map(|(k, _)| k.as_str()).filter(|k| !matches!(*k, "holding" | "progressing")).collect();
    assert_eq!(steps, ["started", "advanced", "advanced", "baking", "promoted"]);
    let evidence = told.iter().filter(|(_, m)| m.contains("not worse beyond the margin"));
    assert_eq!(evidence.count(), 3, "each step has its evidence: {told:?}");
}

#[tokio::test]
async fn a_bad_canary_is_taken_off() {
    let v1 = toy("v1").await;
    let broken = ToyOptions { version: "v2".into(), failures: Weight::ALL, ..ToyOptions::default() };
    let v2 = Toy::start(broken).await.unwrap();
    let stage = stage(&release(&v1, &v2, "steps: [5]")).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(&stage, 50.0);
    stage.sees("the canary has traffic", "fraud", |g| super::stage::weight(g, "v2") == Some(5.0)).await;
    let gateway = reaches(&stage, "RolledBack").await;
    let message = gateway["rollout"]["message"].as_str().unwrap();
    assert!(message.contains("worse with 99."), "{message}");
    stage.serves_weight("fraud", "v2", 0.0).await;
    let before = v2.requests();
    for _ in 0..100 {
        assert_eq!(stage.ask("/predict", &[]).await, (200, "v1".to_owned()));
    }
    assert_eq!(v2.requests(), before, "nobody meets it any more");
    load.stop().await;
    stage.end([envoy]).await;
}

/// `serin serve` as a process of its own, which can be killed.
async fn serve(folder: &Path, xds: u16, http: u16) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.args(["serve", "--config", "serin.yaml"]).current_dir(folder).kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let url = format!("http://127.0.0.1:{http}/readyz");
    let ready = async {
        while !reqwest::get(&url).await.is_ok_and(|a| a.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ready).await.unwrap_or_else(|_| panic!("not ready on {xds}"));
    child
}

async fn api(http: u16) -> Value {
    let url = format!("http://127.0.0.1:{http}/api/v1/gateways/fraud");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Waits until the API says so.
async fn says(http: u16, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let gateway = api(http).await;
            if wanted(&gateway) {
                return gateway;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if let Ok(gateway) = tokio::time::timeout(DEADLINE * 2, wait).await {
        return gateway;
    }
    panic!("not {what}: {}", api(http).await)
}

fn canary_requests(gateway: &Value) -> f64 {
    let errors = gateway["rollout"]["evidence"].as_array().unwrap().iter().find(|e| e["test"] == "errors");
    errors.map_or(0.0, |e| e["canary"]["requests"].as_f64().unwrap())
}

#[tokio::test]
async fn a_kill_in_the_middle_keeps_weight_and_evidence() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    // It will not end by itself meanwhile.
    let text = release(&v1, &v2, "steps: [{ weight: 20, pause: 1h }], deadline: 2h");
    std::fs::write(gateways.join("fraud.yaml"), text).unwrap();
    let (port, xds, http) = (free_port(), free_port(), free_port());
    let settings = format!(
        "gateways: gateways\nstore: sqlite:serin.db\nxds: {{ address: 127.0.0.1:{xds} }}\n\
         http: {{ address: 127.0.0.1:{http} }}\nlisteners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let mut serin = serve(folder.path(), xds, http).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = Load::start(LoadOptions {
        url: format!("http://127.0.0.1:{port}/predict"),
        rate: Some(100.0),
        version: VersionIn::Header(VERSION_HEADER.into()),
        ..LoadOptions::default()
    })
    .unwrap();
    let seen = says(http, "at work", |g| g["phase"] == "Progressing" && canary_requests(g) >= 60.0).await;
    serin.kill().await.unwrap();
    let mut again = serve(folder.path(), xds, http).await;
    let found = api(http).await;
    assert_eq!(found["rollout"]["weight"], 20, "{found}");
    assert_eq!(found["rollout"]["began"], seen["rollout"]["began"], "the same release");
    assert!(canary_requests(&found) >= canary_requests(&seen), "what was shown was kept before: {found}");
    assert_eq!(super::stage::weight(Some(&found), "v2"), Some(20.0), "from the first fleet on");
    // Envoy comes back, and the evidence grows.
    let known = canary_requests(&found);
    says(http, "going on", |g| g["phase"] == "Progressing" && canary_requests(g) > known + 20.0).await;
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    envoy.stop().await.unwrap();
    again.kill().await.unwrap();
}

#[tokio::test]
async fn a_canary_that_is_nowhere_waits() {
    let v1 = toy("v1").await;
    let text = release(&v1, &v1, "steps: [50]").replacen(
        &format!("v2: {}", v1.url()),
        "v2: http://nowhere.invalid:1",
        1,
    );
    let stage = stage(&text).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(&stage, 50.0);
    eventually("Envoy reports", || {
        let table = stage.app.table.load();
        let numbers = table.gateway("fraud", serin::clock::now());
        numbers.iter().any(|(name, n)| name.as_str() == "v1" && n.total.requests > 100.0)
    })
    .await;
    assert_eq!(shown(&stage)["phase"], "Waiting");
    assert_eq!(load.stop().await.failed(), 0);
    stage.end([envoy]).await;
}
