//! Releases by evidence: with a real Envoy, real requests and a store on disk.

use super::stage::{Stage, envoy_on, free_port, let_pass, settings, toy};
use crate::real::{DEADLINE, eventually, reopen};
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::{Envoy, Load, LoadOptions, Toy, ToyOptions, VERSION_HEADER, VersionIn};
use serin::model::StoreAt;
use serin::store::{Query, Store};
use serin::weight::Weight;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The release of the second version: everything is short, and only errors and hangs count.
pub(super) fn release(v1: &Toy, v2: &Toy, more: &str) -> String {
    let (v1, v2) = (v1.url(), v2.url());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], pause: 1s, bake: 1s, {more} }}\n"
    )
}

/// A control plane with a store on disk.
pub(super) async fn stage(text: &str) -> Stage {
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

pub(super) fn load(stage: &Stage, rate: f64) -> Load {
    stage.load("/predict", Some(rate), serin::launch::Until::Stopped)
}

pub(super) fn shown(stage: &Stage) -> Value {
    let view = stage.app.view.load();
    serde_json::to_value(view.gateways.get("fraud").map(|g| (**g).clone())).unwrap()
}

/// Waits for a phase, as long as a release may take.
pub(super) async fn reaches(stage: &Stage, phase: &str) -> Value {
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
pub(super) fn journal(store: &Path) -> Vec<(String, String)> {
    let entries = reopen(store).entries(&Query::default()).unwrap();
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

/// How often a play is repeated, for figures: `SERIN_RUNS`.
pub(super) fn runs(usual: usize) -> usize {
    std::env::var_os("SERIN_RUNS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(usual)
}

/// How often a control plane is killed: `SERIN_KILLS`.
fn kills(usual: usize) -> usize {
    std::env::var_os("SERIN_KILLS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(usual)
}

/// The time from a toy's first request to the end of something.
async fn from_the_first_request(toy: &Toy, end: impl Future<Output = ()>) -> Duration {
    let first = async {
        while toy.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    };
    tokio::join!(first, end).0.elapsed()
}

#[tokio::test]
async fn a_canary_that_always_fails_hurts_few() {
    let mut all = Vec::new();
    for _ in 0..runs(2) {
        let v1 = toy("v1").await;
        let broken = ToyOptions { version: "v2".into(), failures: Weight::ALL, ..ToyOptions::default() };
        let v2 = Toy::start(broken).await.unwrap();
        let stage = stage(&release(&v1, &v2, "steps: [5]")).await;
        let load = load(&stage, 50.0);
        let mut envoy = envoy_on(stage.app.xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        let off = async {
            reaches(&stage, "RolledBack").await;
            stage.serves_weight("fraud", "v2", 0.0).await;
        };
        let took = from_the_first_request(&v2, off).await;
        all.push((took, v2.requests()));
        load.stop().await;
        stage.end([envoy]).await;
    }
    all.sort();
    let hurt = all.iter().map(|(_, hurt)| *hurt).max().unwrap();
    println!("from the first failure until Envoy sends no more, and how many were hurt: {all:?}");
    // How long two flushes take is the machine's affair; how many requests is ours.
    assert!(hurt < 30, "{all:?}");
}

/// `serin serve` as a process of its own, which can be killed.
pub(super) async fn serve(folder: &Path, xds: u16, http: u16, flags: &[&str]) -> Child {
    serin::client::choose_provider();
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.args(["serve", "--config", "serin.yaml"]).args(flags).current_dir(folder).kill_on_drop(true);
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

pub(super) async fn api(http: u16) -> Value {
    let url = format!("http://127.0.0.1:{http}/api/v1/gateways/fraud");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Waits until the API says so.
pub(super) async fn says(http: u16, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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

pub(super) fn canary_requests(gateway: &Value) -> f64 {
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
    let mut serin = serve(folder.path(), xds, http, &[]).await;
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
    let mut again = serve(folder.path(), xds, http, &[]).await;
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
async fn an_outage_of_both_versions_holds_and_goes_on() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&release(&v1, &v2, "steps: [50]")).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let half = Weight::parse("50").unwrap();
    [&v1, &v2].into_iter().for_each(|toy| toy.set_failures(half));
    let load = load(&stage, 200.0);
    let held = reaches(&stage, "Holding").await;
    let message = held["rollout"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("on hold (outage)"), "{message}");
    // As much evidence as a bad canary would not survive.
    let_pass(Duration::from_secs(6)).await;
    let still = shown(&stage);
    assert_eq!((&still["phase"], &still["rollout"]["weight"]), (&"Holding".into(), &50.into()), "{still}");
    [&v1, &v2].into_iter().for_each(|toy| toy.set_failures(Weight::NONE));
    reaches(&stage, "Promoted").await;
    load.stop().await;
    stage.end([envoy]).await;
}

/// The requests and errors of both sides, as the engine has added them up.
fn added_up(store: &Path) -> [[f64; 2]; 2] {
    let restored = reopen(store).load().unwrap();
    let (_, state) = restored.states.into_iter().next().unwrap().1;
    let totals = &state["evidence"]["analysis"]["totals"];
    ["primary", "canary"]
        .map(|arm| ["requests", "events"].map(|count| totals[arm][count].as_f64().unwrap_or_default()))
}

/// Waits for a measurement of so many Envoys.
async fn measured_by(stage: &mut Stage, proxies: usize) {
    let wait =
        async { while !stage.app.measurements.recv().await.unwrap().iter().any(|m| m.proxies == proxies) {} };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

#[tokio::test]
async fn envoys_that_come_and_go_are_counted_to_the_request() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    // The canary stays within what is tolerated.
    let text = release(&v1, &v2, "steps: [{ weight: 50, pause: 1h }], deadline: 2h");
    let text = text.replace("{ name: error-rate }", "{ name: error-rate, max: 60%, maxIncrease: 100% }");
    let mut stage = stage(&text).await;
    [&v1, &v2].into_iter().for_each(|toy| toy.set_failures(Weight::parse("10").unwrap()));
    let ready = async |mut envoy: Envoy| {
        envoy.ready(DEADLINE).await.unwrap();
        envoy
    };
    let first = ready(envoy_on(stage.app.xds, "edge").await).await;
    stage.serves_weight("fraud", "v2", 50.0).await;
    // What began before the canary had its weight does not count.
    measured_by(&mut stage, 1).await;
    measured_by(&mut stage, 1).await;
    let requests = async |stage: &Stage| {
        stage.load("/predict", None, serin::launch::Until::Requests(300)).finished().await;
    };
    requests(&stage).await;
    first.stop().await.unwrap();
    let first = ready(envoy_on(stage.app.xds, "edge").await).await;
    while stage.app.measurements.try_recv().is_ok() {}
    // Nobody knows when the first flush of a stream began; it may be older than the release.
    measured_by(&mut stage, 1).await;
    requests(&stage).await;
    let second = ready(envoy_on(stage.app.xds, "edge").await).await;
    measured_by(&mut stage, 2).await;
    requests(&stage).await;
    second.stop().await.unwrap();
    requests(&stage).await;
    // What was counted last is in the measurement that is under way, or in the next.
    measured_by(&mut stage, 1).await;
    measured_by(&mut stage, 1).await;
    measured_by(&mut stage, 1).await;
    let store = stage.path("serin.db");
    let Stage { folder: _folder, app, .. } = stage;
    first.stop().await.unwrap();
    app.stop().await;
    let counts =
        |toy: &Toy| [toy.requests(), toy.requests() / 10].map(|n| f64::from(u32::try_from(n).unwrap()));
    assert_eq!(added_up(&store), [counts(&v1), counts(&v2)]);
}

/// The weights of both versions in the route configuration that Envoy has.
fn weights_at(dump: &Value) -> Option<Vec<u64>> {
    match dump {
        Value::Object(fields) => match fields.get("weighted_clusters") {
            Some(split) => {
                let clusters = split["clusters"].as_array()?;
                Some(clusters.iter().map(|c| c["weight"].as_u64().unwrap_or(0)).collect())
            }
            None => fields.values().find_map(weights_at),
        },
        Value::Array(items) => items.iter().find_map(weights_at),
        _ => None,
    }
}

/// Looks at the weights of an Envoy again and again: the canary's, in percent, each time it is another.
pub(super) async fn watch_weights(envoy: &Envoy, until: impl Future<Output = ()>) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    let look = async {
        loop {
            let (_, dump) = envoy.admin("/config_dump?resource=dynamic_route_configs").await.unwrap();
            let dump = serde_json::from_str(&dump).unwrap();
            // One side alone stands without a split.
            if let Some(weights) = weights_at(&dump) {
                let sum: u64 = weights.iter().sum();
                assert!(sum == 10_000 && weights.len() == 2, "{weights:?}");
                let canary = u32::try_from(weights[0] / 100).unwrap();
                if all.last() != Some(&canary) {
                    all.push(canary);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = until => {}
        () = look => {}
    }
    all
}

#[tokio::test]
async fn kills_at_any_instant_lose_no_decision() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let steps = [20, 30, 40, 50, 60, 70, 100];
    let kills = kills(3);
    // The release is to be under way all the time: a kill takes about three seconds, of which one is measured.
    let pause = 1 + kills / 8;
    let text = release(&v1, &v2, &format!("steps: {steps:?}, deadline: 2h"));
    let text = text.replace("pause: 1s", &format!("pause: {pause}s"));
    std::fs::write(gateways.join("fraud.yaml"), text).unwrap();
    let (port, xds, http) = (free_port(), free_port(), free_port());
    let settings = format!(
        "gateways: gateways\nstore: sqlite:serin.db\nxds: {{ address: 127.0.0.1:{xds} }}\n\
         http: {{ address: 127.0.0.1:{http} }}\nlisteners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let mut serin = serve(folder.path(), xds, http, &[]).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = Load::start(LoadOptions {
        url: format!("http://127.0.0.1:{port}/predict"),
        rate: Some(200.0),
        version: VersionIn::Header(VERSION_HEADER.into()),
        ..LoadOptions::default()
    })
    .unwrap();
    says(http, "at work", |g| g["phase"] == "Progressing" && canary_requests(g) > 0.0).await;
    let began = api(http).await["rollout"]["began"].clone();
    let mut same = 0;
    let all = async {
        for kill in 0..kills {
            // Neither the flush interval nor the time of a commit divides it.
            let_pass(Duration::from_millis(u64::try_from(kill * 617 + 411).unwrap() % 2500)).await;
            let seen = api(http).await;
            serin.kill().await.unwrap();
            serin = serve(folder.path(), xds, http, &[]).await;
            let found = api(http).await;
            let at = |g: &Value, key: &str| g["rollout"][key].as_f64().unwrap();
            assert_eq!(found["rollout"]["began"], began, "the same release");
            assert!(at(&found, "revision") >= at(&seen, "revision"), "{seen} {found}");
            assert!(canary_requests(&found) >= canary_requests(&seen), "{seen} {found}");
            if found["rollout"]["revision"] == seen["rollout"]["revision"] {
                assert_eq!(found["rollout"]["weight"], seen["rollout"]["weight"]);
                same += 1;
            }
        }
        let known = canary_requests(&api(http).await);
        says(http, "going on", |g| g["phase"] == "Promoted" || canary_requests(g) > known).await;
    };
    let weights = watch_weights(&envoy, all).await;
    let phase = api(http).await["phase"].clone();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    envoy.stop().await.unwrap();
    serin.kill().await.unwrap();
    println!(
        "{kills} kills, {same} without a decision meanwhile; the canary's weights at Envoy: {weights:?}; {phase}"
    );
    let is_part = !weights.is_empty() && steps.windows(weights.len()).any(|part| part == weights);
    assert!(is_part, "never back, and no step is left out: {weights:?}");
    // The journal: each decision once, and each goes on from the one before.
    let entries = reopen(&folder.path().join("serin.db")).entries(&Query::default()).unwrap();
    let decisions: Vec<_> = entries.iter().filter(|e| e.entry.revision.is_some()).collect();
    let revisions: Vec<u64> = decisions.iter().filter_map(|e| e.entry.revision).collect();
    assert!(revisions.windows(2).all(|r| r[1] == r[0] + 1), "{revisions:?}");
    let moves: Vec<_> = decisions.iter().filter(|e| e.entry.after.is_some()).collect();
    assert!(moves.windows(2).all(|m| m[0].entry.after == m[1].entry.before || m[1].entry.before.is_none()));
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
