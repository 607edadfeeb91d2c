//! What operators may say in which phase: each verb in each phase, over HTTP, to the real binary.

use super::rollout::serve;
use super::stage::free_port;
use crate::real::DEADLINE;
use reqwest::StatusCode;
use reqwest::header::IF_MATCH;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const VERBS: [&str; 7] = ["promote", "abort", "pause", "resume", "retry", "set-weight", "undo"];

/// A phase, and what becomes of it by each of [`VERBS`]: a phase, `=` for an order that has nothing to do and says so,
/// or `!` for one that is refused.
const TABLE: [(&str, [&str; 7]); 8] = [
    ("Stable", ["!", "=", "!", "!", "!", "!", "!"]),
    ("Waiting", ["!", "RolledBack", "Paused", "!", "!", "Paused", "!"]),
    ("Progressing", ["Progressing", "RolledBack", "Paused", "!", "!", "Paused", "Paused"]),
    ("Holding", ["Progressing", "RolledBack", "Paused", "!", "!", "Paused", "Paused"]),
    ("Paused", ["Progressing", "RolledBack", "=", "Progressing", "!", "Paused", "Paused"]),
    ("Baking", ["Promoted", "RolledBack", "Paused", "!", "!", "Paused", "Paused"]),
    ("Promoted", ["=", "=", "!", "!", "!", "Paused", "RolledBack"]),
    ("RolledBack", ["!", "=", "!", "!", "Waiting", "!", "!"]),
];

/// How a gateway comes into a phase without an Envoy.
fn way(phase: &str) -> &'static [(&'static str, u32)] {
    match phase {
        "Progressing" | "Holding" => &[("set-weight", 20), ("resume", 0)],
        "Paused" => &[("set-weight", 20)],
        "Baking" => &[("set-weight", 100), ("promote", 0)],
        "Promoted" => &[("set-weight", 100), ("promote", 0), ("promote", 0)],
        "RolledBack" => &[("abort", 0)],
        _ => &[],
    }
}

struct Api {
    url: String,
    client: reqwest::Client,
}

impl Api {
    async fn act(&self, name: &str, verb: &str, body: Value, if_match: Option<&str>) -> (StatusCode, Value) {
        let url = format!("{}/api/v1/gateways/{name}/actions/{verb}", self.url);
        let mut request = self.client.post(url).json(&body);
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn order(&self, name: &str, verb: &str, weight: u32) -> (StatusCode, Value) {
        let body = if verb == "set-weight" { json!({ "weight": weight }) } else { json!({}) };
        self.act(name, verb, body, None).await
    }

    async fn rollout(&self, name: &str) -> Value {
        let url = format!("{}/api/v1/gateways/{name}/rollout", self.url);
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn reaches(&self, name: &str, phase: &str) {
        let wait = async {
            while self.rollout(name).await["phase"] != phase {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, wait).await;
        assert!(outcome.is_ok(), "{name} is not {phase}: {}", self.rollout(name).await);
    }
}

fn gateway(folder: &Path, name: &str, canary: &str) {
    let text = format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\n\
         upstreams: {{ v1: 'http://127.0.0.1:9', v2: 'http://127.0.0.1:9' }}\n\
         rollout: {{ primary: v1, canary: {canary}, steps: [20, 50], pause: 10m, bake: 10m, deadline: 1h }}\n"
    );
    std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
}

#[tokio::test]
async fn each_verb_in_each_phase() {
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let name = |phase: &str, verb: &str| format!("{}-{verb}", phase.to_lowercase());
    for (phase, _) in TABLE {
        for verb in VERBS {
            gateway(&gateways, &name(phase, verb), if phase == "Stable" { "v1" } else { "v2" });
        }
    }
    gateway(&gateways, "two", "v2");
    let (port, xds, http) = (free_port(), free_port(), free_port());
    let settings = format!(
        "gateways: gateways\nstore: sqlite:serin.db\nxds: {{ address: 127.0.0.1:{xds} }}\n\
         http: {{ address: 127.0.0.1:{http} }}\nlisteners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let mut serin = serve(folder.path(), xds, http, &["--insecure-admin"]).await;
    let api = Api { url: format!("http://127.0.0.1:{http}"), client: reqwest::Client::new() };
    let prepare = async |phase: &str, verb: &str| {
        for (step, weight) in way(phase) {
            let (status, said) = api.order(&name(phase, verb), step, *weight).await;
            assert_eq!(status, StatusCode::OK, "{phase} {verb}: {step}: {said}");
        }
    };
    // Nobody reports, which is found out after some seconds, of all of them at once.
    for verb in VERBS {
        prepare("Holding", verb).await;
    }
    for (phase, outcomes) in TABLE {
        for (verb, outcome) in VERBS.into_iter().zip(outcomes) {
            if phase != "Holding" {
                prepare(phase, verb).await;
            }
            let name = name(phase, verb);
            api.reaches(&name, phase).await;
            let before = api.rollout(&name).await;
            let (status, said) = api.order(&name, verb, 10).await;
            let after = api.rollout(&name).await;
            match outcome {
                "!" => {
                    assert_eq!(status, StatusCode::CONFLICT, "{name}: {said}");
                    let detail = said["detail"].as_str().unwrap();
                    assert!(detail.contains(verb) && detail.contains(phase), "{name}: {detail}");
                    assert_eq!(after, before, "{name}");
                }
                "=" => {
                    assert_eq!((status, &said["changed"]), (StatusCode::OK, &false.into()), "{name}: {said}");
                    assert_eq!(after, before, "{name}");
                }
                next => {
                    assert_eq!((status, &said["changed"]), (StatusCode::OK, &true.into()), "{name}: {said}");
                    assert_eq!((&said["phase"], &after["phase"]), (&next.into(), &next.into()), "{name}");
                    assert_eq!(said["revision"], after["revision"], "{name}");
                }
            }
        }
    }

    // Two operators who saw the same: one of them is told that the other was faster.
    api.order("two", "set-weight", 20).await;
    let seen = api.rollout("two").await["revision"].as_u64().unwrap();
    let tag = format!("\"{seen}\"");
    let (one, other) = tokio::join!(
        api.act("two", "set-weight", json!({ "weight": 30 }), Some(&tag)),
        api.act("two", "abort", json!({ "ifRevision": seen }), None),
    );
    let good = [&one, &other].into_iter().filter(|(status, _)| *status == StatusCode::OK).count();
    let late = [&one, &other].into_iter().find(|(status, _)| *status != StatusCode::OK).unwrap();
    assert_eq!(good, 1, "{one:?} {other:?}");
    assert!([StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED].contains(&late.0), "{late:?}");
    assert_eq!(api.rollout("two").await["revision"], seen + 1, "one of them alone");
    serin.kill().await.unwrap();
}
