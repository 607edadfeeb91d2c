//! The control plane dies under load: nobody notices, and when it is back Envoy is told nothing it knows.

use super::stage::{assert_all_well, canary, envoy_on, free_port, let_pass, toy};
use crate::real::{DEADLINE, eventually};
use serin::launch::{Load, LoadOptions, Until, VERSION_HEADER, VersionIn};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

fn serve(folder: &Path, xds: SocketAddr, http: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_serin"))
        .args(["serve", "--config"])
        .arg(folder.join("serin.yaml"))
        .args(["--xds", &xds.to_string(), "--http", &http.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn metric(http: SocketAddr, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("http://{http}/metrics")).await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn six_seconds_without_a_control_plane_fail_no_request() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    std::fs::write(gateways.join("fraud.yaml"), canary("fraud", "/", &v1, &v2, ("95", "5"))).unwrap();
    let [port, xds, http] = [free_port(), free_port(), free_port()];
    let settings = format!("listeners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n");
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    let (xds, http) = (SocketAddr::from(([127, 0, 0, 1], xds)), SocketAddr::from(([127, 0, 0, 1], http)));

    let mut serin = serve(folder.path(), xds, http);
    let mut envoy = envoy_on(xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = Load::start(LoadOptions {
        url: format!("http://127.0.0.1:{port}/"),
        rate: Some(400.0),
        until: Until::Stopped,
        version: VersionIn::Header(VERSION_HEADER.into()),
        connections: 8,
        ..LoadOptions::default()
    })
    .unwrap();

    serin.kill().await.unwrap();
    let_pass(Duration::from_secs(6)).await;
    let mut serin = serve(folder.path(), xds, http);
    let back = async {
        while metric(http, "serin_proxies ").await != Some(1.0) {
            let_pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.unwrap();
    // It is told nothing at all; the first thing that it is told is the next change, and only that.
    assert_eq!(metric(http, "serin_xds_responses_total ").await, Some(0.0));
    assert_eq!(metric(http, "serin_xds_sent_bytes_total ").await, Some(0.0));
    std::fs::write(gateways.join("fraud.yaml"), canary("fraud", "/", &v1, &v2, ("0", "100"))).unwrap();
    let before = v1.requests() + v2.requests();
    eventually("the change is live", || load.report().requests() > 0 && v2.requests() > before / 2).await;
    assert_eq!(metric(http, "serin_xds_responses_total ").await, Some(1.0));
    assert_all_well(&load.stop().await);
    envoy.stop().await.unwrap();
    serin.kill().await.unwrap();
}
