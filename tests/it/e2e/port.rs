//! The port of a listener belongs to somebody else for a while.

use super::stage::{Stage, bootstrap, free_port, start_envoy, toy};
use crate::protocol::client::soon;
use crate::real::DEADLINE;
use serin::app::Options;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

async fn alarms(stage: &Stage) -> String {
    reqwest::get(format!("http://{}/api/v1/alarms", stage.app.http)).await.unwrap().text().await.unwrap()
}

async fn alarmed(stage: &Stage, wanted: bool) {
    let wait = async {
        while alarms(stage).await.contains("refuses a listener") != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("an alarm, or none any more", wait).await;
}

async fn play(is_sotw: bool) {
    let v1 = toy("v1").await;
    let port = free_port();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let text = format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {} }}\n", v1.url());
    let stage = Stage::on(port, &[("fraud.yaml", &text)], Options::default()).await;
    let mut text = bootstrap(stage.app.xds, "edge");
    if is_sotw {
        text = text.replace("DELTA_GRPC", "GRPC");
    }
    let mut envoy = start_envoy(&text).await;
    alarmed(&stage, true).await;
    assert!(alarms(&stage).await.contains("edge-1"), "{}", alarms(&stage).await);
    drop(taken);
    let served = async {
        while reqwest::get(stage.url("/")).await.map(|answer| answer.status().as_u16()).ok() != Some(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("it serves", served).await;
    alarmed(&stage, false).await;
    envoy.ready(DEADLINE).await.unwrap();
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_port_that_was_taken_is_tried_until_it_is_free() {
    play(false).await;
}

#[tokio::test]
async fn a_port_that_was_taken_is_tried_until_it_is_free_in_whole_states() {
    play(true).await;
}
