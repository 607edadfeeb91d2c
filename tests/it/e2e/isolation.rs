//! One broken gateway harms no other, whoever finds that it is broken.

use super::stage::{Stage, canary, strict_envoy_on, toy, weight};
use crate::real::{DEADLINE, eventually};
use serde_json::Value;

/// Envoy's limit on the size of a compiled expression is lower than ours can know.
const ONLY_ENVOY_REFUSES: &str =
    "  - { headers: { x-a: { regex: \"([a-z]{1,40}){1,20}x\" } }, upstream: v1 }\n";

async fn fifty() -> (Stage, [serin::launch::Toy; 2]) {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let files: Vec<(String, String)> = (0..50)
        .map(|n| (format!("g{n}.yaml"), canary(&format!("g{n}"), &format!("/g{n}"), &v1, &v2, ("90", "10"))))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    (Stage::new(&files).await, [v1, v2])
}

fn diagnostic(gateway: Option<&Value>) -> Option<&Value> {
    gateway?.get("diagnostics")?.get(0)
}

#[tokio::test]
async fn a_broken_file_among_fifty_harms_no_other() {
    let (stage, [v1, v2]) = fifty().await;
    let envoy = stage.strict_envoy().await;
    let broken = canary("g7", "/g7", &v1, &v2, ("90", "20"));
    stage.replace("g7.yaml", &broken);
    stage.sees("the error", "g7", |g| g.is_some_and(|g| g["phase"] == "Invalid")).await;

    let api = format!("http://{}/api/v1/gateways/g7", stage.app.http);
    let shown: Value = reqwest::get(api).await.unwrap().json().await.unwrap();
    let complaint = diagnostic(Some(&shown)).unwrap();
    assert_eq!((complaint["file"].as_str(), complaint["line"].as_u64()), (Some("g7.yaml"), Some(7)));
    assert!(complaint["column"].as_u64() > Some(1) && complaint["message"].as_str().unwrap().contains("110"));
    assert_eq!(weight(Some(&shown), "v2"), Some(10.0), "the last good version serves");
    let metrics =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|l| l.starts_with("serin_gateway_error{")).unwrap();
    assert!(line.contains("gateway=\"g7\"") && line.contains("line=\"7\""), "{line}");

    for n in 0..50 {
        assert_eq!(stage.ask(&format!("/g{n}"), &[]).await.0, 200, "g{n}");
    }
    stage.replace("g8.yaml", &canary("g8", "/g8", &v1, &v2, ("0", "100")));
    stage.serves_weight("g8", "v2", 100.0).await;
    assert_eq!(stage.ask("/g8", &[]).await, (200, "v2".into()));

    stage.replace("g7.yaml", &canary("g7", "/g7", &v1, &v2, ("0", "100")));
    stage.serves_weight("g7", "v2", 100.0).await;
    stage.sees("no error", "g7", |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
    assert_eq!(stage.ask("/g7", &[]).await, (200, "v2".into()));
    stage.end([envoy]).await;
}

#[tokio::test]
async fn what_only_envoy_refuses_among_fifty_harms_no_other() {
    let (stage, [v1, v2]) = fifty().await;
    let envoy = stage.strict_envoy().await;
    stage.taken().await;
    // Three change at once, in one response; one of them is bad.
    let bad = canary("g7", "/g7", &v1, &v2, ("0", "100")) + "match:\n" + ONLY_ENVOY_REFUSES;
    for (name, text) in [
        ("g6", canary("g6", "/g6", &v1, &v2, ("0", "100"))),
        ("g7", bad),
        ("g8", canary("g8", "/g8", &v1, &v2, ("0", "100"))),
    ] {
        stage.replace(&format!("{name}.yaml"), &text);
    }
    stage.sees("the refusal", "g7", |g| diagnostic(g).is_some_and(|d| d["code"] == "E001")).await;
    stage.taken().await;
    for good in ["g6", "g8"] {
        stage.sees("the others are well", good, |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
        assert_eq!(stage.ask(&format!("/{good}"), &[]).await, (200, "v2".into()));
    }
    for n in 0..50 {
        assert_eq!(stage.ask(&format!("/g{n}"), &[]).await.0, 200, "g{n}");
    }
    // Later changes of others go on, and the repaired file is live without a restart.
    stage.replace("g9.yaml", &canary("g9", "/g9", &v1, &v2, ("0", "100")));
    stage.serves_weight("g9", "v2", 100.0).await;
    stage.replace("g7.yaml", &canary("g7", "/g7", &v1, &v2, ("0", "100")));
    stage.serves_weight("g7", "v2", 100.0).await;
    assert_eq!(stage.ask("/g7", &[]).await, (200, "v2".into()));
    stage.end([envoy]).await;
}

#[tokio::test]
async fn at_a_cold_start_a_gateway_that_envoy_refuses_is_found_among_fifty() {
    let (stage, [v1, v2]) = fifty().await;
    let bad = canary("bad", "/bad", &v1, &v2, ("50", "50")) + "match:\n" + ONLY_ENVOY_REFUSES;
    stage.replace("bad.yaml", &bad);
    stage.sees("the file is read", "bad", |g| g.is_some()).await;
    let mut envoy = strict_envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    stage.sees("the refusal", "bad", |g| diagnostic(g).is_some_and(|d| d["code"] == "E001")).await;
    eventually("all others serve", || {
        stage.app.view.load().gateways.iter().all(|(name, g)| &**name == "bad" || g.serving)
    })
    .await;
    stage.taken().await;
    for n in 0..50 {
        assert_eq!(stage.ask(&format!("/g{n}"), &[]).await.0, 200, "g{n}");
    }
    assert_eq!(stage.ask("/bad", &[]).await.0, 404);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn envoys_get_only_the_gateways_that_are_meant_for_them() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let only =
        |name: &str, proxies: &str| canary(name, &format!("/{name}"), &v1, &v2, ("50", "50")) + proxies;
    let stage = Stage::new(&[
        ("all.yaml", &only("all", "")),
        ("edge.yaml", &only("edge", "proxies: [edge]\n")),
        ("inner.yaml", &only("inner", "proxies: [inner]\n")),
    ])
    .await;
    let mut seen = Vec::new();
    for cluster in ["edge", "inner", "another"] {
        // One after the other: both would open the same port.
        let mut envoy = strict_envoy_on(stage.app.xds, cluster).await;
        envoy.ready(DEADLINE).await.unwrap();
        stage.taken().await;
        let mut statuses = Vec::new();
        for path in ["/all", "/edge", "/inner"] {
            statuses.push(stage.ask(path, &[]).await.0);
        }
        let (_, config) = envoy.admin("/clusters").await.unwrap();
        let knows = ["all/v1", "edge/v1", "inner/v1"].map(|c| config.contains(&format!("{c}::")));
        seen.push((cluster, statuses, knows));
        envoy.stop().await.unwrap();
        eventually("it has left the list", || stage.app.registry.proxies().is_empty()).await;
    }
    assert_eq!(
        seen,
        [
            ("edge", vec![200, 200, 404], [true, true, false]),
            ("inner", vec![200, 404, 200], [true, false, true]),
            ("another", vec![200, 404, 404], [true, false, false]),
        ]
    );
    stage.end([]).await;
}
