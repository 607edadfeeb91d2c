//! Before a canary gets requests, and all of them at once: a shadow first, and blue and green.

use super::stage::{Stage, envoy_on, free_port, settings, toy};
use crate::real::{DEADLINE, eventually};
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::launch::{Toy, ToyOptions, Until};
use serin::model::Settings;
use serin::weight::Weight;
use tokio::time::Instant;

/// Both toys say their version, which is not a prediction.
const SHADOW: &str = "shadow: { upstream: v2, percent: 0, compare: { path: $.prediction } }\n";

/// A control plane that takes orders, with a release of the second version.
async fn stage(v1: &Toy, v2: &Toy, rollout: &str, shadow: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let (v1, v2) = (v1.url(), v2.url());
    let text = format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], pause: 1s, {rollout} }}\n{shadow}"
    );
    std::fs::write(folder.path().join("fraud.yaml"), text).unwrap();
    let port = free_port();
    let options = Options { insecure_admin: true, ..Options::default() };
    let settings: Settings = settings(folder.path(), port, None);
    let app = App::start(settings, options).await.unwrap();
    app.ready().await;
    Stage { folder, app, port }
}

impl Stage {
    async fn says(&self, verb: &str) -> Value {
        let url = format!("http://{}/api/v1/gateways/fraud/actions/{verb}", self.app.http);
        let answer = reqwest::Client::new().post(url).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    async fn reaches(&self, phase: &str) -> Value {
        self.sees(phase, "fraud", |g| g.is_some_and(|g| g["phase"] == phase)).await;
        serde_json::to_value(&*self.app.view.load().gateways["fraud"]).unwrap()
    }
}

#[tokio::test]
async fn a_canary_gets_copies_and_no_request_until_somebody_goes_past_its_shadow() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&v1, &v2, "steps: [100], bake: 1h, shadowFirst: { percent: 50 }", SHADOW).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let gateway = stage.reaches("Holding").await;
    assert_eq!(gateway["shadow"]["upstream"], "v2");
    stage.taken().await;
    for _ in 0..100 {
        assert_eq!(stage.ask("/predict", &[]).await, (200, "v1".to_owned()));
    }
    // Half of a hundred, by chance: fewer than 20 come once in a thousand million times.
    eventually("copies have come", || v2.requests() >= 20).await;
    let outcome = stage.says("promote").await;
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("the shadow had not shown enough"), "{message}");
    stage.serves_weight("fraud", "v2", 100.0).await;
    let before = v2.requests();
    for _ in 0..40 {
        assert_eq!(stage.ask("/predict", &[]).await, (200, "v2".to_owned()));
    }
    assert_eq!(v2.requests(), before + 40, "it is no shadow any more");
    stage.end([envoy]).await;
}

/// A release of a canary that says the opposite in this share of its predictions, until it is over or has a share.
async fn shadowed(astray: &str) -> (Value, u64, u64) {
    let v1 = toy("v1").await;
    let options =
        ToyOptions { version: "v2".into(), astray: Weight::parse(astray).unwrap(), ..ToyOptions::default() };
    let v2 = Toy::start(options).await.unwrap();
    let rollout = "steps: [100], bake: 1h, shadowFirst: { percent: 50, minMatch: 97% }";
    let stage = stage(&v1, &v2, rollout, SHADOW).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    stage.reaches("Holding").await;
    let load = stage.load("/predict", Some(400.0), Until::Stopped);
    let is_decided = |gateway: Option<&Value>| {
        gateway.is_some_and(|g| g["phase"] == "RolledBack" || g["rollout"]["weight"] == 100)
    };
    stage.sees("a decision", "fraud", is_decided).await;
    let gateway = serde_json::to_value(&*stage.app.view.load().gateways["fraud"]).unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let by = |version: &str| report.by_version.get(version).map_or(0, serin::launch::Answers::count);
    let met = (by("v1"), by("v2"));
    stage.end([envoy]).await;
    (gateway, met.0, met.1)
}

#[tokio::test]
async fn a_release_begins_when_predictions_agree_and_never_when_they_differ() {
    let (gateway, first, second) = shadowed("10").await;
    let message = gateway["rollout"]["message"].as_str().unwrap();
    println!("{message}; v1 answered {first}, v2 {second}");
    assert_eq!(gateway["phase"], "RolledBack");
    assert!(message.starts_with("the release of v2 does not begin: "), "{message}");
    assert!(
        message.contains(" predictions agreed (") && message.ends_with(", at least 97 % wanted"),
        "{message}"
    );
    assert!(first > 0 && second == 0, "no client met it");

    let (gateway, ..) = shadowed("0.5").await;
    let message = gateway["rollout"]["message"].as_str().unwrap();
    println!("{message}");
    assert_eq!(gateway["rollout"]["weight"], 100);
    assert!(message.starts_with("v2 goes from 0 % to 100 %: "), "{message}");
    assert!(message.ends_with(", at least 97 % wanted"), "{message}");
}

#[tokio::test]
async fn green_gets_all_traffic_in_one_step_and_blue_has_it_back_at_once() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&v1, &v2, "steps: [100], bake: 1s", "").await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = stage.load("/predict", Some(200.0), Until::Stopped);
    let gateway = stage.reaches("Promoted").await;
    let weights = gateway["rollout"]["weights"].as_array().unwrap().iter().map(|w| &w["weight"]);
    assert_eq!(weights.collect::<Vec<_>>(), [0, 100]);
    stage.serves_weight("fraud", "v2", 100.0).await;
    assert_eq!(stage.ask("/predict", &[]).await, (200, "v2".to_owned()));

    let asked = Instant::now();
    let outcome = stage.says("undo").await;
    assert_eq!((&outcome["phase"], &outcome["weight"]), (&json!("RolledBack"), &json!(0)));
    // It is served when the order is answered; an Envoy needs no more than to take it.
    stage.taken().await;
    println!("all traffic is back after {:?}", asked.elapsed());
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let before = v2.requests();
    for _ in 0..50 {
        assert_eq!(stage.ask("/predict", &[]).await, (200, "v1".to_owned()));
    }
    assert_eq!(v2.requests(), before, "nobody meets it any more");
    stage.end([envoy]).await;
}
