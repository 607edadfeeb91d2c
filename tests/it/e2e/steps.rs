//! A release through all of its steps, and edits of its file on the way: what Envoy serves, and what the journal says.

use super::rollout::{canary_requests, journal, load, reaches, release, shown, stage, watch_weights};
use super::stage::{Stage, envoy_on, toy, weight};
use crate::real::{DEADLINE, eventually, reopen};
use serde_json::Value;
use serin::launch::{Envoy, Toy};
use serin::names::UpstreamName;
use serin::store::{Entry, Query, Store};

async fn envoy_of(stage: &Stage) -> Envoy {
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    envoy
}

/// The decisions about rollouts in the journal, in order.
fn decisions(store: &std::path::Path) -> Vec<Entry> {
    let entries = reopen(store).entries(&Query::default()).unwrap();
    entries.into_iter().filter(|e| e.entry.revision.is_some()).collect()
}

/// The canary's weight after an entry that moved it.
fn moved_to(entry: &Entry) -> Option<u32> {
    let after = entry.entry.after.as_ref()?;
    after.get(&UpstreamName::new("v2").unwrap()).map(|w| w.hundredths() / 100)
}

#[tokio::test]
async fn a_good_canary_takes_every_usual_step_by_evidence() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&release(&v1, &v2, "steps: [5, 25, 50, 100]")).await;
    let envoy = envoy_of(&stage).await;
    let load = load(&stage, 500.0);
    let weights = watch_weights(&envoy, async { drop(reaches(&stage, "Promoted").await) }).await;
    assert!(
        [&[5, 25, 50][..], &[5, 25, 50, 100]].contains(&given(&weights).as_slice()),
        "at Envoy: {weights:?}"
    );
    stage.serves_weight("fraud", "v2", 100.0).await;
    assert_eq!(stage.ask("/predict", &[]).await, (200, "v2".to_owned()));
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let shown = shown(&stage);
    let store = stage.path("serin.db");
    let Stage { folder: _folder, app, .. } = stage;
    envoy.stop().await.unwrap();
    app.stop().await;

    let all = decisions(&store);
    let moves: Vec<u32> = all.iter().filter_map(moved_to).collect();
    assert_eq!(moves, [0, 5, 25, 50, 100], "{all:?}");
    // Each weight was left for the next by a sentence with numbers in it; the first was given for a healthy endpoint.
    let left: Vec<&Entry> =
        all.iter().filter(|e| ["advanced", "baking", "promoted"].contains(&e.entry.kind.as_str())).collect();
    let kinds: Vec<&str> = left.iter().map(|e| e.entry.kind.as_str()).collect();
    assert_eq!(kinds, ["advanced", "advanced", "advanced", "advanced", "baking", "promoted"]);
    for entry in &left[1..] {
        let message = &entry.entry.message;
        assert!(message.contains("not worse beyond the margin"), "{message}");
        assert!(message.contains("requests") && entry.entry.actor == "engine", "{entry:?}");
        println!("{}: {message}", entry.entry.kind.as_str());
    }
    let revisions: Vec<u64> = all.iter().filter_map(|e| e.entry.revision).collect();
    assert!(revisions.windows(2).all(|r| r[1] == r[0] + 1), "{revisions:?}");
    let shown: Vec<&Value> =
        shown["rollout"]["weights"].as_array().unwrap().iter().map(|w| &w["weight"]).collect();
    assert_eq!(shown, [0, 5, 25, 50, 100]);
}

/// The weights that the canary had, where it had any.
fn given(weights: &[u32]) -> Vec<u32> {
    weights.iter().copied().filter(|weight| *weight > 0).collect()
}

/// Stays at its weight until somebody edits it.
fn long(v1: &Toy, v2: &Toy, steps: &str) -> String {
    release(v1, v2, &format!("steps: {steps}, deadline: 2h"))
}

async fn evidence_grows(stage: &Stage) {
    let known = canary_requests(&shown(stage));
    eventually("the evidence grows", || canary_requests(&shown(stage)) > known + 20.0).await;
}

fn is_same_release(before: &Value, after: &Value) -> bool {
    let (before, after) = (&before["rollout"], &after["rollout"]);
    before["began"] == after["began"] && before["canary"] == after["canary"]
}

#[tokio::test]
async fn an_edit_on_the_way_changes_what_it_is_about() {
    let (v1, v2, v3) = (toy("v1").await, toy("v2").await, toy("v3").await);
    let text = long(&v1, &v2, "[{ weight: 20, pause: 1h }]");
    let stage = stage(&text).await;
    let name = "gateways/fraud.yaml";
    let envoy = envoy_of(&stage).await;
    let load = load(&stage, 150.0);
    let edits = async {
        reaches(&stage, "Progressing").await;
        stage.serves_weight("fraud", "v2", 20.0).await;
        evidence_grows(&stage).await;

        // What is only told about the gateway.
        let before = shown(&stage);
        stage.replace(name, &text.replace("name: fraud\n", "name: fraud\ndescription: Card fraud\n"));
        stage.sees("the description", "fraud", |g| g.unwrap()["description"] == "Card fraud").await;
        evidence_grows(&stage).await;
        let after = shown(&stage);
        assert!(is_same_release(&before, &after), "{before} {after}");
        assert_eq!(after["rollout"]["revision"], before["rollout"]["revision"], "nothing was decided");
        assert!(canary_requests(&after) > canary_requests(&before));

        // A broken edit: what was good goes on, with its evidence.
        stage.replace(name, &text.replace("primary: v1", "primary: v7"));
        stage.sees("it is broken", "fraud", |g| g.unwrap()["phase"] == "Invalid").await;
        evidence_grows(&stage).await;
        let broken = shown(&stage);
        assert!(is_same_release(&before, &broken), "{broken}");
        assert_eq!((&broken["serving"], &broken["rollout"]["weight"]), (&true.into(), &20.into()));

        // A later step: nothing moves by it.
        let more = long(&v1, &v2, "[{ weight: 20, pause: 1h }, { weight: 40, pause: 1h }]");
        stage.replace(name, &more);
        stage.sees("it is right again", "fraud", |g| g.unwrap()["phase"] == "Progressing").await;
        evidence_grows(&stage).await;
        let after = shown(&stage);
        assert!(is_same_release(&before, &after), "{after}");
        assert_eq!(after["rollout"]["weight"], 20);
        assert!(canary_requests(&after) > canary_requests(&broken), "{after}");

        // The step need not take so long any more: the next weight comes by evidence.
        stage.replace(name, &more.replacen("pause: 1h", "pause: 1s", 1));
        stage.serves_weight("fraud", "v2", 40.0).await;
        let after = shown(&stage);
        assert!(is_same_release(&before, &after), "{after}");

        // Another version behind the same name: a release of its own, from its first step.
        evidence_grows(&stage).await;
        stage.replace(name, &more.replace(&v2.url(), &v3.url()));
        eventually("another release", || !is_same_release(&before, &shown(&stage))).await;
        stage.serves_weight("fraud", "v2", 20.0).await;
        evidence_grows(&stage).await;
    };
    let weights = watch_weights(&envoy, edits).await;
    assert_eq!(given(&weights), [20, 40, 20], "at Envoy");
    let before = v2.requests();
    assert!(v3.requests() > 0);

    // Without `rollout` the file owns the weights, and has said that the primary has all.
    let (a, c) = (v1.url(), v3.url());
    let head = "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\n";
    stage.replace(name, &format!("{head}upstreams: {{ v1: {a} }}\n"));
    stage.sees("it is gone", "fraud", |g| g.unwrap()["rollout"].is_null()).await;
    stage.taken().await;
    assert_eq!(stage.ask("/predict", &[]).await, (200, "v1".to_owned()));
    let other = format!("{head}upstreams: {{ v1: {a}, v2: {c} }}\ntraffic: {{ v1: 70, v2: 30 }}\n");
    stage.replace(name, &other);
    stage.serves_weight("fraud", "v2", 30.0).await;
    // And back: it begins anew, since nothing is known of it.
    stage.replace(name, &long(&v1, &v3, "[{ weight: 10, pause: 1h }]"));
    stage.sees("it begins", "fraud", |g| g.unwrap()["rollout"]["weight"] == 10).await;
    assert_eq!(weight(Some(&shown(&stage)), "v2"), Some(10.0));

    assert_eq!(v2.requests(), before, "the version before has no traffic any more");
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let store = stage.path("serin.db");
    let Stage { folder: _folder, app, .. } = stage;
    envoy.stop().await.unwrap();
    app.stop().await;
    let moves: Vec<u32> = decisions(&store).iter().filter_map(moved_to).collect();
    assert_eq!(moves, [0, 20, 40, 0, 20, 0, 10]);
    let told = journal(&store);
    let by_evidence = told.iter().filter(|(kind, m)| kind == "advanced" && m.contains("40 %"));
    for (_, message) in by_evidence {
        assert!(message.contains("not worse beyond the margin"), "{message}");
    }
    assert_eq!(told.iter().filter(|(kind, _)| kind == "started").count(), 3, "{told:?}");
    assert_eq!(told.iter().filter(|(kind, _)| kind == "ended").count(), 1, "{told:?}");
}
