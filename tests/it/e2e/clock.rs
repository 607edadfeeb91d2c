//! Somebody sets the clock of Serin's machine by an hour: no phase of a release moves, and what is watched counts on.

use super::stage::{envoy_on, free_port, let_pass, toy};
use crate::cli::command;
use crate::protocol::client::soon;
use crate::real::DEADLINE;
use serde_json::{Value, json};
use serin::launch::{Load, LoadOptions, Until};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// What sets the clock of a process by the seconds in a file.
fn set_clock(folder: &Path) -> std::path::PathBuf {
    let (source, library) = (folder.join("set_clock.rs"), folder.join("set_clock.so"));
    std::fs::write(&source, include_str!("set_clock.rs")).unwrap();
    let mut rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args([
        "--edition",
        "2024",
        "--crate-type",
        "cdylib",
        "-C",
        "panic=abort",
        "-C",
        "opt-level=2",
        "-o",
    ]);
    let run = rustc.arg(&library).arg(&source).env("AHEAD", folder.join("ahead")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    library
}

fn release(name: &str, [v1, v2]: [&str; 2], more: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams: {{ v1: {v1}, v2: {{ url: \"{v2}\", healthCheck: /health }} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], deadline: 50m, bake: 30m, {more} }}\n"
    )
}

async fn shown(http: u16, name: &str) -> Value {
    let url = format!("http://127.0.0.1:{http}/api/v1/gateways/{name}");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

async fn says(http: u16, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let gateway = shown(http, name).await;
            if wanted(&gateway) {
                return gateway;
            }
            let_pass(Duration::from_millis(50)).await;
        }
    };
    if let Ok(gateway) = tokio::time::timeout(DEADLINE, wait).await {
        return gateway;
    }
    panic!("{name} is not {what}: {}", shown(http, name).await)
}

async fn order(http: u16, name: &str, verb: &str, body: Value) {
    let url = format!("http://127.0.0.1:{http}/api/v1/gateways/{name}/actions/{verb}");
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn watched(gateway: &Value) -> u64 {
    gateway["rollout"]["watchedSeconds"].as_u64().unwrap()
}

#[tokio::test]
async fn a_clock_that_is_set_moves_no_phase() {
    serin::client::choose_provider();
    let toys = (toy("v1").await, toy("v2").await);
    let (v1, v2) = (toys.0.url(), toys.1.url());
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().unwrap();
    let library = set_clock(folder.path());
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let files = [
        ("waiting", &*nobody, "steps: [50], pause: 30m"),
        ("progressing", &v2, "steps: [50], pause: 30m"),
        ("holding", &v2, "steps: [1], pause: 1s"),
        ("baking", &v2, "steps: [50], pause: 30m"),
        ("paused", &v2, "steps: [50], pause: 30m"),
    ];
    for (name, canary, more) in files {
        std::fs::write(gateways.join(format!("{name}.yaml")), release(name, [&v1, canary], more)).unwrap();
    }
    let [port, xds, http] = [free_port(), free_port(), free_port()];
    let settings = format!(
        "gateways: gateways\nstore: sqlite:serin.db\nxds: {{ address: 127.0.0.1:{xds} }}\n\
         http: {{ address: 127.0.0.1:{http} }}\nlisteners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let mut serin = command(folder.path(), &["serve", "--config", "serin.yaml", "--insecure-admin"]);
    serin.env("LD_PRELOAD", library).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut serin = tokio::process::Command::from(serin).kill_on_drop(true).spawn().unwrap();
    let url = format!("http://127.0.0.1:{http}");
    let ready = async {
        while !reqwest::get(format!("{url}/readyz")).await.is_ok_and(|a| a.status().is_success()) {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("it is ready", ready).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = |name: &str, rate| {
        let url = format!("http://127.0.0.1:{port}/{name}");
        let options = LoadOptions {
            url,
            rate: Some(rate),
            until: Until::Stopped,
            connections: 2,
            ..LoadOptions::default()
        };
        Load::start(options).unwrap()
    };
    let loads = [load("progressing", 40.0), load("holding", 5.0), load("baking", 40.0)];
    order(http, "baking", "set-weight", json!({ "weight": 100 })).await;
    order(http, "baking", "promote", json!({})).await;
    order(http, "paused", "set-weight", json!({ "weight": 20 })).await;
    let phases = [
        ("waiting", "Waiting"),
        ("progressing", "Progressing"),
        ("holding", "Holding"),
        ("baking", "Baking"),
        ("paused", "Paused"),
    ];
    let mut before = Vec::new();
    for (name, phase) in phases {
        before.push((name, says(http, name, phase, |g| g["phase"] == phase).await));
    }
    let alarms = async || reqwest::get(format!("{url}/api/v1/alarms")).await.unwrap().text().await.unwrap();
    assert!(!alarms().await.contains("\"clock\""));
    for (ahead, said) in [(3600, Some("ahead")), (-3600, Some("back")), (0, None)] {
        std::fs::write(folder.path().join("ahead.new"), ahead.to_string()).unwrap();
        std::fs::rename(folder.path().join("ahead.new"), folder.path().join("ahead")).unwrap();
        for name in ["progressing", "baking"] {
            // What is watched counts on, by the time that passes.
            let now = watched(&shown(http, name).await);
            let later = says(http, name, "watched on", |g| watched(g) >= now + 3).await;
            assert!(watched(&later) < now + 600, "{name} by {ahead}: {now} to {}", watched(&later));
        }
        for (name, before) in &before {
            let now = shown(http, name).await;
            for value in ["phase", "revision", "weight", "since"] {
                assert_eq!(now["rollout"][value], before["rollout"][value], "{name} by {ahead}: {now}");
            }
        }
        let alarms = alarms().await;
        assert_eq!(alarms.contains("\"clock\""), said.is_some(), "{alarms}");
        assert!(said.is_none_or(|said| alarms.contains(said)), "{alarms}");
    }
    for load in loads {
        let report = load.stop().await;
        assert_eq!(report.failed(), 0, "{:?}", report.failures);
    }
    envoy.stop().await.unwrap();
    serin.kill().await.unwrap();
}
