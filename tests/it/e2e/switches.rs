//! Switches that are thrown by command reach a real Envoy as a runtime layer, and stay as they were left.

use super::stage::{envoy_on, free_port, let_pass, settings};
use crate::cli::serin;
use crate::real::DEADLINE;
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::Envoy;
use serin::model::StoreAt;
use std::net::SocketAddr;
use std::time::Duration;

async fn shadow_key(envoy: &Envoy) -> Option<Value> {
    let (_, text) = envoy.admin("/runtime").await.unwrap();
    let runtime: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(runtime["layers"], serde_json::json!(["bootstrap", "serin", "admin"]));
    runtime["entries"].get("serin.shadow.enabled").map(|entry| entry["final_value"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_0_at_envoy_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("g.yaml"),
        "apiVersion: serin/v1\nname: g\nupstreams: { v1: http://127.0.0.1:9 }\n",
    )
    .unwrap();
    let mut settings = settings(folder.path(), free_port(), None);
    settings.xds = SocketAddr::from(([127, 0, 0, 1], free_port()));
    settings.store = Some(StoreAt::Sqlite(folder.path().join("serin.db")));
    let start = async || {
        let options = Options { insecure_admin: true, ..Options::default() };
        let app = App::start(settings.clone(), options).await.unwrap();
        app.ready().await;
        let server = format!("http://{}", app.http);
        (app, server)
    };
    let (app, server) = start().await;
    let mut envoy = envoy_on(app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    sees(&envoy, None).await;

    let off = ["switch", "shadow", "off", "--reason", "the GPUs are on fire", "--server", &server];
    assert_eq!(serin(&off).good(), "shadow  off\n");
    assert_eq!(serin(&off).good(), "shadow  off\n", "again is not a mistake");
    sees(&envoy, Some("0")).await;
    let wrong = serin(&["switch", "lights", "off", "--server", &server]).fails(1);
    assert!(wrong.contains("there is no switch lights, but shadow"), "{}", wrong);

    app.stop().await;
    let (app, server) = start().await;
    assert_eq!(serin(&["switch", "--server", &server]).good(), "shadow  off\n");
    let events = serin(&["events", "-o", "json", "--server", &server]).good();
    let events: Vec<Value> = serde_json::from_str(&events).unwrap();
    let thrown: Vec<_> = events.iter().filter(|e| e["kind"] == "switched").collect();
    assert_eq!(thrown.len(), 1, "{events:?}");
    assert_eq!(thrown[0]["actor"], "operator");
    assert_eq!(thrown[0]["reason"], "the GPUs are on fire");
    // An Envoy that begins now begins with it.
    let mut another = envoy_on(app.xds, "edge").await;
    another.ready(DEADLINE).await.unwrap();
    sees(&another, Some("0")).await;
    another.stop().await.unwrap();
    serin(&["switch", "shadow", "on", "--server", &server]).good();
    sees(&envoy, None).await;
    app.stop().await;
    envoy.stop().await.unwrap();
}

/// Waits until this Envoy has the switch in this position; `None`: on.
pub(super) async fn sees(envoy: &Envoy, expected: Option<&str>) {
    let wait = async {
        while shadow_key(envoy).await.as_ref().and_then(Value::as_str) != expected {
            let_pass(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never {expected:?}");
}
