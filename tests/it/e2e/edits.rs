//! Edits while traffic flows: nothing fails, whatever is edited and however.

use super::stage::{Stage, assert_all_well, canary, let_pass, toy, weight};
use crate::real::{DEADLINE, eventually};
use serin::control::{GRACE, LINGER};
use serin::launch::Until;
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn two_hundred_edits_under_load_fail_no_request() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[("fraud.yaml", &canary("fraud", "/fraud", &v1, &v2, ("95", "5")))]).await;
    let envoy = stage.envoy().await;
    let load = stage.load("/fraud", Some(500.0), Until::Stopped);
    for edit in 0..200_u32 {
        let percent = if edit == 199 { 42 } else { edit % 51 };
        let split = ((100 - percent).to_string(), percent.to_string());
        stage.replace("fraud.yaml", &canary("fraud", "/fraud", &v1, &v2, (&split.0, &split.1)));
        // Twenty others come in the first half and go in the second.
        let other = format!("other{}", edit / 5 % 20);
        let path = stage.path(&format!("{other}.yaml"));
        match (edit % 5, edit < 100) {
            (0, true) => {
                let text = canary(&other, &format!("/{other}"), &v2, &v1, ("50", "50"));
                stage.replace(&format!("{other}.yaml"), &text);
            }
            (0, false) => std::fs::remove_file(path).unwrap(),
            _ => {}
        }
        let_pass(Duration::from_millis(100)).await;
    }
    stage.serves_weight("fraud", "v2", 42.0).await;
    assert_eq!(stage.app.view.load().gateways.len(), 21, "what vanished serves on for a while");
    // The load goes on until they are really gone: after the grace, and their clusters a little later.
    let gone = async {
        while envoy.admin("/clusters").await.unwrap().1.contains("other") {
            let_pass(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(GRACE + LINGER + DEADLINE, gone).await.expect("they are gone from Envoy");
    assert_eq!(stage.app.view.load().gateways.len(), 1);
    let report = load.stop().await;
    assert!(report.requests() >= 8_000, "the load was {} requests", report.requests());
    assert_all_well(&report);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_new_upstream_gets_traffic_when_it_can_take_it() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let alone = format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {} }}\n", v1.url());
    let stage = Stage::new(&[("fraud.yaml", &alone)]).await;
    let envoy = stage.envoy().await;
    let load = stage.load("/", Some(400.0), Until::Stopped);
    for _ in 0..5 {
        stage.replace("fraud.yaml", &canary("fraud", "/", &v1, &v2, ("50", "50")));
        let before = v2.requests();
        eventually("v2 answers", || v2.requests() > before).await;
        stage.replace("fraud.yaml", &alone);
        stage.sees("v2 is gone", "fraud", |g| weight(g, "v1") == Some(100.0)).await;
        stage.taken().await;
    }
    assert_all_well(&load.stop().await);
    stage.end([envoy]).await;
}

/// Every way to change a file that people and tools have.
#[tokio::test]
async fn every_way_to_change_a_file_is_seen() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let text = |percent: u32| {
        let split = ((100 - percent).to_string(), percent.to_string());
        canary("fraud", "/", &v1, &v2, (&split.0, &split.1))
    };
    let stage = Stage::new(&[("fraud.yaml", &text(1))]).await;
    let envoy = stage.envoy().await;
    let file = stage.path("fraud.yaml");

    std::fs::write(&file, text(2)).unwrap();
    stage.serves_weight("fraud", "v2", 2.0).await;

    stage.replace("fraud.yaml", &text(3));
    stage.serves_weight("fraud", "v2", 3.0).await;

    // vim: the old one aside, a new one in its place, the old one away.
    let aside = stage.path("fraud.yaml~");
    std::fs::rename(&file, &aside).unwrap();
    std::fs::write(&file, text(4)).unwrap();
    std::fs::remove_file(&aside).unwrap();
    stage.serves_weight("fraud", "v2", 4.0).await;

    // The directory away and made again.
    let directory = stage.folder.path();
    std::fs::remove_dir_all(directory).unwrap();
    eventually("the alarm", || stage.app.view.load().all_vanished).await;
    assert_eq!(stage.ask("/", &[]).await.0, 200);
    std::fs::create_dir(directory).unwrap();
    std::fs::write(&file, text(5)).unwrap();
    stage.serves_weight("fraud", "v2", 5.0).await;
    std::fs::write(&file, text(6)).unwrap();
    stage.serves_weight("fraud", "v2", 6.0).await;

    // A link to a file elsewhere: no event tells, the full look does.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    std::fs::write(&target, text(7)).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&target, &file).unwrap();
    stage.serves_weight("fraud", "v2", 7.0).await;
    std::fs::write(&target, text(8)).unwrap();
    stage.serves_weight("fraud", "v2", 8.0).await;

    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_config_map_is_followed() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[]).await;
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, stage.path(name)).unwrap();
    let version = |name: &str, percent: &str, rest: &str| {
        std::fs::create_dir(stage.path(name)).unwrap();
        let text = canary("fraud", "/", &v1, &v2, (rest, percent));
        std::fs::write(stage.path(name).join("fraud.yaml"), text).unwrap();
    };
    version("..2026_1", "10", "90");
    link("..2026_1", "..data");
    link("..data/fraud.yaml", "fraud.yaml");
    let envoy = stage.envoy().await;
    stage.serves_weight("fraud", "v2", 10.0).await;
    version("..2026_2", "20", "80");
    link("..2026_2", "..data_tmp");
    std::fs::rename(stage.path("..data_tmp"), stage.path("..data")).unwrap();
    std::fs::remove_dir_all(stage.path("..2026_1")).unwrap();
    stage.serves_weight("fraud", "v2", 20.0).await;
    stage.end([envoy]).await;
}

#[tokio::test]
async fn when_all_files_are_gone_everything_serves_on() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[
        ("a.yaml", &canary("a", "/a", &v1, &v2, ("50", "50"))),
        ("b.yaml", &canary("b", "/b", &v1, &v2, ("50", "50"))),
    ])
    .await;
    let envoy = stage.envoy().await;
    let away = tempfile::tempdir_in(stage.folder.path().parent().unwrap()).unwrap();
    let names = ["a.yaml", "b.yaml"];
    let move_all = |from: &Path, to: &Path| {
        names.iter().for_each(|n| std::fs::rename(from.join(n), to.join(n)).unwrap());
    };
    move_all(stage.folder.path(), away.path());
    eventually("the alarm", || stage.app.view.load().all_vanished).await;
    for path in ["/a", "/b"] {
        assert_eq!(stage.ask(path, &[]).await.0, 200);
    }
    let metrics =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("serin_gateway_files_vanished 1"), "{metrics}");
    move_all(away.path(), stage.folder.path());
    eventually("no alarm", || !stage.app.view.load().all_vanished).await;
    assert_eq!(stage.ask("/a", &[]).await.0, 200);
    stage.end([envoy]).await;
}

/// A cluster changes and its endpoints do not, and the other way round: both are taken, under load.
#[tokio::test]
async fn settings_and_endpoints_of_an_upstream_change_apart() {
    let (a, b) = (toy("a").await, toy("b").await);
    let text = |endpoints: &str, rest: &str| {
        format!("apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1: {{ endpoints: [{endpoints}]{rest} }}\n")
    };
    let (first, both) = (format!("'{}'", a.address()), format!("'{}', '{}'", a.address(), b.address()));
    let stage = Stage::new(&[("fraud.yaml", &text(&first, ""))]).await;
    let envoy = stage.envoy().await;
    let mut load = stage.load("/", Some(300.0), Until::Stopped);
    load.until(|r| r.requests() > 50).await;

    stage.replace("fraud.yaml", &text(&first, ", maxConcurrent: 7"));
    let limit = async {
        while !envoy
            .admin("/clusters")
            .await
            .unwrap()
            .1
            .contains("fraud/v1::default_priority::max_requests::7")
        {
            let_pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, limit)
        .await
        .expect("the cluster is replaced though its endpoints did not change");

    stage.replace("fraud.yaml", &text(&both, ", maxConcurrent: 7"));
    eventually("the new endpoint answers", || b.requests() > 0).await;
    assert_all_well(&load.stop().await);
    stage.end([envoy]).await;
}
