//! An Envoy that does not answer: a roll-back has not reached it, and that is said.

use super::rollout::{reaches, release, serve, stage};
use super::stage::{bootstrap, envoy_on, free_port, start_envoy, toy};
use crate::cli::command;
use crate::protocol::client::soon;
use crate::real::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

#[tokio::test]
async fn an_envoy_that_a_roll_back_has_not_reached_is_named() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&release(&v1, &v2, "steps: [{ weight: 50, pause: 1h }], deadline: 2h")).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    let mut frozen = start_envoy(&bootstrap(stage.app.xds, "edge").replace("edge-1", "edge-2")).await;
    envoy.ready(DEADLINE).await.unwrap();
    frozen.ready(DEADLINE).await.unwrap();
    reaches(&stage, "Progressing").await;
    stage.serves_weight("fraud", "v2", 50.0).await;
    let url = format!("http://{}/api/v1", stage.app.http);
    let page = async || -> Value {
        reqwest::get(format!("{url}/gateways/fraud")).await.unwrap().json().await.unwrap()
    };
    let is_behind = async |wanted: Option<Value>| {
        let wait = async {
            while page().await.get("proxiesBehind") != wanted.as_ref() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("who is behind", wait).await;
    };
    let alarms = async || reqwest::get(format!("{url}/alarms")).await.unwrap().text().await.unwrap();
    is_behind(None).await;

    let pid = Pid::from_raw(frozen.pid()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    v2.set_failures(serin::weight::Weight::ALL);
    // The kernel gives some connections to the one that takes none.
    let client = reqwest::Client::builder().timeout(Duration::from_millis(300)).build().unwrap();
    let rolled_back = async {
        while page().await["phase"] != "RolledBack" {
            _ = client.get(stage.url("/predict")).send().await;
        }
    };
    soon("it is rolled back", rolled_back).await;
    is_behind(Some(json!(["edge-2"]))).await;
    let server = format!("http://{}", stage.app.http);
    let get = tokio::task::spawn_blocking(move || {
        command(std::path::Path::new("."), &["get", "fraud", "--server", &server]).output().unwrap()
    });
    let shown = String::from_utf8(get.await.unwrap().stdout).unwrap();
    assert!(shown.contains("RolledBack") && shown.contains("not yet so at Envoy edge-2\n"), "{shown}");
    let alarmed = async {
        while !alarms().await.contains("Envoy edge-2 (") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("an alarm", alarmed).await;
    assert!(alarms().await.contains("\"unanswered\""), "{}", alarms().await);

    kill_process(pid, Signal::CONT).unwrap();
    is_behind(None).await;
    assert!(!alarms().await.contains("\"unanswered\""), "{}", alarms().await);
    stage.end([envoy, frozen]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_goes_on_when_serin_is_restarted() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let text = |path: &str| {
        let (v1, v2) = (v1.url(), v2.url());
        format!(
            "apiVersion: serin/v1\nname: fraud\npath: {path}\nupstreams: {{ v1: {v1}, v2: {v2} }}\ntraffic: {{ v1: 90, v2: 10 }}\n"
        )
    };
    std::fs::write(gateways.join("fraud.yaml"), text("/first")).unwrap();
    let [xds, http] = [free_port(), free_port()];
    let settings = format!(
        "gateways: gateways\nxds: {{ address: 127.0.0.1:{xds} }}\nhttp: {{ address: 127.0.0.1:{http} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let mut serin = serve(folder.path(), xds, http, &[]).await;
    let url = format!("http://127.0.0.1:{http}");
    let mut watch = command(folder.path(), &["get", "-w", "--server", &url]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until = |part: &str| {
        tokio::task::block_in_place(|| lines.by_ref().map(Result::unwrap).find(|line| line.contains(part)))
    };
    assert!(until("/first").is_some());
    serin.kill().await.unwrap();
    let mut said = BufReader::new(watch.stderr.take().unwrap()).lines();
    let away = tokio::task::block_in_place(|| said.next().unwrap().unwrap());
    assert!(away.contains("asking again until there is an answer"), "{away}");
    std::fs::write(gateways.join("fraud.yaml"), text("/second")).unwrap();
    let mut serin = serve(folder.path(), xds, http, &[]).await;
    assert!(until("/second").is_some(), "it goes on");
    watch.kill().unwrap();
    watch.wait().unwrap();
    serin.kill().await.unwrap();
}
