//! A metric that only Prometheus knows decides about a release: with a real Prometheus, a real Envoy and real requests.

use super::rollout::{load, reaches, shown, stage};
use super::stage::{envoy_on, free_port, toy};
use crate::others::{Manner, Other};
use crate::prometheus::prometheus;
use crate::real::{DEADLINE, eventually};
use serde_json::Value;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A Prometheus that scrapes a target every 200 ms.
async fn scraping(target: &Other, folder: &std::path::Path, port: u16) -> Child {
    let config = format!(
        "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
         scrape_configs: [{{ job_name: models, static_configs: [{{ targets: ['{}'] }}] }}]\n",
        target.address
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    Command::new(prometheus().await)
        .current_dir(folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What the models say of themselves: how long a first token takes.
fn takes(canary: f64) -> Manner {
    let text = format!(
        "# TYPE ttft gauge\nttft{{version=\"1.4\"}} 1\nttft{{version=\"2.0\"}} {canary}\n# TYPE drift gauge\ndrift 7\n"
    );
    Manner::Says(200, text)
}

fn metric<'a>(gateway: &'a Value, name: &str) -> &'a Value {
    let metrics = gateway["rollout"]["metrics"].as_array().unwrap();
    metrics.iter().find(|m| m["name"] == name).unwrap()
}

#[tokio::test]
async fn a_canary_that_only_prometheus_knows_as_bad_is_taken_off() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let exporter = Other::start(0, takes(1.1)).await;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut server = scraping(&exporter, folder.path(), port).await;
    let asks = |query: &str| {
        format!("prometheus: {{ url: 'http://127.0.0.1:{port}', query: '{query}' }}, interval: 5s")
    };
    let text = format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\nupstreams:\n  \
         v1: {{ url: '{}', version: '1.4' }}\n  v2: {{ url: '{}', version: '2.0' }}\n\
         rollout:\n  primary: v1\n  canary: v2\n  steps: [{{ weight: 50, pause: 1h }}]\n  deadline: 2h\n  metrics:\n  \
         - {{ name: error-rate }}\n  - {{ name: ttft, {}, maxIncrease: 20% }}\n  \
         - {{ name: drift, {}, max: 1, dryRun: true }}\n",
        v1.url(),
        v2.url(),
        asks("max(ttft{version=\"{{version}}\"})"),
        asks("max(drift) or max(ttft{version=\"{{version}}\"})"),
    );
    let stage = stage(&text).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(&stage, 100.0);
    eventually("Prometheus is heard", || {
        let gateway = shown(&stage);
        gateway["phase"] == "Progressing" && metric(&gateway, "ttft")["value"] == 1.1
    })
    .await;
    let gateway = shown(&stage);
    assert_eq!(metric(&gateway, "ttft")["primary"], 1.0, "{gateway}");
    // What is only shown is beyond its limit all the time.
    assert_eq!(metric(&gateway, "drift")["value"], 7.0, "{gateway}");
    // The same errors, the same latency at Envoy; slower in a way that only the models know.
    exporter.manner.send_replace(takes(1.5));
    let gateway = reaches(&stage, "RolledBack").await;
    let message = gateway["rollout"]["message"].as_str().unwrap();
    assert!(message.contains("ttft") && message.contains("worse with 99."), "{message}");
    stage.serves_weight("fraud", "v2", 0.0).await;
    assert_eq!(load.stop().await.failed(), 0);
    stage.end([envoy]).await;
    server.kill().await.unwrap();
    exporter.stop().await;
}
