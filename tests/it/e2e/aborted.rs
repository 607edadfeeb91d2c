//! An aborted canary gets no traffic again by edits of anything but itself.

use super::rollout::{load, reaches, shown, stage, watch_weights};
use super::stage::{envoy_on, toy};
use crate::real::{DEADLINE, eventually};
use serde_json::{Value, json};
use serin::launch::Toy;

fn release(primary: &[&Toy], canary: &[&Toy]) -> String {
    let addresses =
        |toys: &[&Toy]| json!(toys.iter().map(|toy| toy.address().to_string()).collect::<Vec<_>>());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\n\
         upstreams: {{ v1: {{ endpoints: {} }}, v2: {{ endpoints: {} }} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], steps: [{{ weight: 20, pause: 1h }}], pause: 1s, bake: 1s, deadline: 2h }}\n",
        addresses(primary),
        addresses(canary),
    )
}

fn requests(shown: &Value) -> f64 {
    super::rollout::canary_requests(shown)
}

#[tokio::test]
async fn scaling_changes_no_step_of_a_release_and_brings_no_aborted_canary_back() {
    let (v1, v2, v3) = (toy("v1").await, toy("v2").await, toy("v1").await);
    let name = "gateways/fraud.yaml";
    let stage = stage(&release(&[&v1], &[&v2])).await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(&stage, 150.0);
    let edits = async {
        reaches(&stage, "Progressing").await;
        stage.serves_weight("fraud", "v2", 20.0).await;
        eventually("evidence", || requests(&shown(&stage)) > 20.0).await;
        let before = shown(&stage);

        stage.replace(name, &release(&[&v1, &v3], &[&v2]));
        eventually("it is told", || {
            shown(&stage)["rollout"]["message"]
                .as_str()
                .is_some_and(|message| message.contains("the endpoints of v1 were edited"))
        })
        .await;
        eventually("the new server of the primary serves", || v3.requests() > 0).await;
        let after = shown(&stage);
        assert_eq!(after["rollout"]["began"], before["rollout"]["began"], "{after}");
        assert!(requests(&after) >= requests(&before), "the evidence stays: {before} {after}");

        // A canary that fails is taken off, and stays so while its primary is scaled back.
        v2.set_failures(serin::weight::Weight::ALL);
        reaches(&stage, "RolledBack").await;
        stage.serves_weight("fraud", "v2", 0.0).await;
        v2.set_failures(serin::weight::Weight::NONE);
        stage.replace(name, &release(&[&v1], &[&v2]));
        let at_v1 = v1.requests();
        eventually("the primary serves on", || v1.requests() > at_v1 + 200).await;
        assert_eq!(shown(&stage)["phase"], "RolledBack");
    };
    let weights = watch_weights(&envoy, edits).await;
    let given: Vec<u32> = weights.into_iter().filter(|weight| *weight > 0).collect();
    assert_eq!(given, [20], "at Envoy: one share, once");
    load.stop().await;
    stage.end([envoy]).await;
}
