//! Switches reach a real Envoy as a runtime layer.

use super::stage::{envoy_on, free_port, let_pass, settings};
use crate::real::DEADLINE;
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::Envoy;
use serin::model::Switches;
use std::net::SocketAddr;
use std::time::Duration;

async fn shadow_key(envoy: &Envoy) -> Option<Value> {
    let (_, text) = envoy.admin("/runtime").await.unwrap();
    let runtime: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(runtime["layers"], serde_json::json!(["serin", "admin"]));
    runtime["entries"].get("serin.shadow.enabled").map(|entry| entry["final_value"].clone())
}

#[tokio::test]
async fn what_is_switched_off_is_0_and_what_is_on_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("g.yaml"),
        "apiVersion: serin/v1\nname: g\nupstreams: { v1: http://127.0.0.1:9 }\n",
    )
    .unwrap();
    let mut settings = settings(folder.path(), free_port(), None);
    settings.xds = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut envoy: Option<Envoy> = None;
    for (shadow, expected) in [(true, None), (false, Some("0")), (true, None)] {
        let options = Options { switches: Switches { shadow }, ..Options::default() };
        let app = App::start(settings.clone(), options).await.unwrap();
        app.ready().await;
        if envoy.is_none() {
            let mut started = envoy_on(app.xds, "edge").await;
            started.ready(DEADLINE).await.unwrap();
            envoy = Some(started);
        }
        let running = envoy.as_ref().unwrap();
        let wait = async {
            while shadow_key(running).await.as_ref().and_then(Value::as_str) != expected {
                let_pass(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never {expected:?}");
        app.stop().await;
    }
    envoy.unwrap().stop().await.unwrap();
}
