//! People and pipelines steer a release: by the real binary and by HTTP, with the exit codes and revisions they rely on.

use super::stage::{Stage, envoy_on, free_port, settings, toy};
use crate::cli::{Run, command};
use crate::real::DEADLINE;
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::launch::{Load, Toy, ToyOptions, Until};
use serin::weight::Weight;
use std::path::Path;

/// A control plane that takes orders, with a release of the second version.
async fn stage(v1: &Toy, v2: &Toy, rollout: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let (v1, v2) = (v1.url(), v2.url());
    let text = format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 2s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], pause: 1s, bake: 1s, {rollout} }}\n"
    );
    std::fs::write(folder.path().join("fraud.yaml"), text).unwrap();
    let port = free_port();
    let options = Options { insecure_admin: true, ..Options::default() };
    let app = App::start(settings(folder.path(), port, None), options).await.unwrap();
    app.ready().await;
    let stage = Stage { folder, app, port };
    stage.sees("the release is known", "fraud", |g| g.is_some_and(|g| g["rollout"].is_object())).await;
    stage
}

impl Stage {
    fn api(&self, page: &str) -> String {
        format!("http://{}/api/v1/gateways/fraud/{page}", self.app.http)
    }

    /// Runs the binary on this server.
    async fn serin(&self, words: &str) -> Run {
        let words: Vec<&str> = words.split(' ').collect();
        let server = format!("http://{}", self.app.http);
        let mut run = tokio::process::Command::from(command(Path::new("."), &words));
        let run = run.args(["--server", &server]).kill_on_drop(true).output();
        let run = tokio::time::timeout(DEADLINE * 3, run).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
    }

    fn traffic(&self) -> Load {
        self.load("/predict", Some(200.0), Until::Stopped)
    }

    fn revision(&self) -> u64 {
        self.app.view.load().gateways["fraud"].rollout.as_ref().unwrap().revision
    }
}

#[tokio::test]
async fn a_release_is_steered_to_its_end_and_back_by_commands() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = stage(&v1, &v2, "steps: [{ weight: 50, pause: manual }]").await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = stage.traffic();

    let paused = stage.serin("status fraud --wait --timeout 1m").await;
    assert_eq!(paused.code, 3, "{}{}", paused.out, paused.err);
    assert!(paused.out.starts_with("fraud: Paused, v1 50 %, v2 50 %: v2 stays at 50 %"), "{}", paused.out);
    stage
        .sees("evidence", "fraud", |g| g.unwrap()["rollout"]["requests"].as_f64().is_some_and(|r| r > 100.0))
        .await;
    let tree = stage.serin("get fraud").await.good();
    for part in [
        "v2 in place of v1: 50 %, step 1 of 2, Paused for",
        "until somebody says `promote`",
        "evidence: ",
        "errors   0.00 % vs 0.00 %; ",
        "requests; harm 0 %",
        "v1               50 %",
        "v2               50 %",
    ] {
        assert!(tree.contains(part), "{part}: {tree}");
    }
    assert_eq!(tree.matches("req/s").count(), 2, "numbers of both versions: {tree}");
    let whole: Value = serde_json::from_str(&stage.serin("get fraud -o json").await.good()).unwrap();
    assert_eq!(whole["rollout"]["steps"].as_array().unwrap().len(), 2);
    assert!(whole["rollout"]["evidence"].is_array() && whole["metrics"]["v2"].is_object(), "{whole}");

    let revision = stage.revision();
    let late = stage.serin(&format!("promote fraud --if-revision {}", revision + 5)).await.fails(1);
    assert!(late.contains(&format!("at revision {revision}, not at")), "{late}");
    let went =
        stage.serin(&format!("promote fraud --reason looks-well --if-revision {revision}")).await.good();
    assert!(went.starts_with("v2 goes from 50 % to 100 %: operator said so: looks-well"), "{went}");
    let promoted = stage.serin("status fraud --wait --timeout 1m").await;
    assert_eq!(promoted.code, 0, "{}{}", promoted.out, promoted.err);
    assert!(
        promoted.out.starts_with("fraud: Promoted, v1 0 %, v2 100 %: v2 is promoted"),
        "{}",
        promoted.out
    );
    let again = stage.serin("promote fraud").await;
    assert_eq!((again.code, again.out.contains("primary: v2")), (0, true), "{}", again.out);

    let undone = stage.serin("undo fraud --reason not-yet").await.good();
    assert!(undone.starts_with("all traffic goes to v1"), "{undone}");
    assert_eq!(stage.serin("status fraud --wait").await.code, 1);
    stage.serin("retry fraud").await.good();
    assert_eq!(stage.serin("status fraud --wait --timeout 1m").await.code, 3, "the manual step again");
    assert!(stage.serin("set-weight fraud 25").await.good().contains("to 25 % and stays there"));
    stage.serves_weight("fraud", "v2", 25.0).await;
    assert!(stage.serin("resume fraud").await.good().starts_with("v2 goes on at 25 %"));
    assert!(stage.serin("pause fraud").await.good().starts_with("v2 stays at 25 %"));
    assert!(stage.serin("abort fraud --reason enough").await.good().ends_with("enough\n"));
    stage.serves_weight("fraud", "v2", 0.0).await;
    let told = stage.serin("history fraud").await.good();
    for reason in ["looks-well", "not-yet", "enough"] {
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(load.stop().await.failed(), 0);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_pipeline_hears_that_its_canary_was_bad() {
    let v1 = toy("v1").await;
    let broken = ToyOptions { version: "v2".into(), failures: Weight::ALL, ..ToyOptions::default() };
    let v2 = Toy::start(broken).await.unwrap();
    let stage = stage(&v1, &v2, "steps: [20]").await;
    let mut envoy = envoy_on(stage.app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = stage.traffic();
    let run = stage.serin("status fraud --wait --timeout 1m").await;
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(
        run.out.starts_with("fraud: RolledBack, v1 100 %, v2 0 %: all traffic goes to v1"),
        "{}",
        run.out
    );
    assert!(run.out.contains("-> rolled back after"), "{}", run.out);
    let metrics =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    for sample in [
        "serin_rollout_phase{gateway=\"fraud\",phase=\"RolledBack\"} 1",
        "serin_rollout_weight{gateway=\"fraud\"} 0.0",
        "serin_rollout_steps{gateway=\"fraud\"} 2",
        "serin_rollout_decisions_total{kind=\"advanced\"} 1",
        "serin_rollout_decisions_total{kind=\"rolled-back\"} 1",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    load.stop().await;
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_pipeline_does_not_wait_for_ever() {
    let v1 = toy("v1").await;
    let stage = stage(&v1, &v1, "steps: [50]").await;
    let run = stage.serin("status fraud --wait --timeout 1s").await;
    assert_eq!(run.code, 2, "{}{}", run.out, run.err);
    assert!(run.out.starts_with("fraud: Waiting"), "{}", run.out);
    stage.end([]).await;
}

/// Gives an order by HTTP: status, revision in the entity tag, body.
async fn post(stage: &Stage, verb: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String, Value) {
    let mut request = reqwest::Client::new().post(stage.api(&format!("actions/{verb}"))).json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let tag = answer.headers().get("etag").map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), tag, answer.json().await.unwrap())
}

#[tokio::test]
async fn orders_by_http_have_revisions_and_keys() {
    let v1 = toy("v1").await;
    let stage = stage(&v1, &v1, "steps: [20, 60]").await;
    let rollout = reqwest::get(stage.api("rollout")).await.unwrap();
    let first = rollout.headers()["etag"].to_str().unwrap().to_owned();
    let chosen = json!({ "weight": 10, "reason": "by hand" });
    let (status, second, body) = post(&stage, "set-weight", &[("if-match", &first)], &chosen).await;
    assert_eq!((status, &body["weight"], &body["phase"]), (200, &json!(10), &json!("Paused")), "{body}");
    assert!(body["message"].as_str().unwrap().ends_with("operator said so: by hand"), "{body}");
    assert_ne!(first, second);
    let (status, _, body) = post(&stage, "promote", &[("if-match", &first)], &json!({})).await;
    assert_eq!(status, 412, "{body}");

    let keyed = [("if-match", second.as_str()), ("idempotency-key", "\"deploy-7\"")];
    let once = post(&stage, "promote", &keyed, &json!({})).await;
    assert_eq!((once.0, &once.2["weight"]), (200, &json!(20)), "{}", once.2);
    assert_eq!(post(&stage, "promote", &keyed, &json!({})).await, once, "the same answer, and no other step");
    stage.sees("one step", "fraud", |g| super::stage::weight(g, "v2") == Some(20.0)).await;
    assert_eq!(format!("\"{}\"", stage.revision()), once.1);
    let (status, _, body) = post(&stage, "abort", &[("idempotency-key", "deploy-7")], &json!({})).await;
    assert_eq!((status, &body["status"]), (422, &json!(422)), "{body}");
    let (_, _, body) = post(&stage, "promote", &[("idempotency-key", "deploy-8")], &json!({})).await;
    assert_eq!(body["weight"], 60, "{body}");
    for (verb, phase) in
        [("pause", "Paused"), ("resume", "Progressing"), ("undo", "Paused"), ("abort", "RolledBack")]
    {
        let (status, _, body) = post(&stage, verb, &[], &json!({ "reason": "tried" })).await;
        assert_eq!((status, &body["phase"]), (200, &json!(phase)), "{verb}: {body}");
    }
    let (status, _, body) = post(&stage, "retry", &[], &json!({})).await;
    assert_eq!((status, &body["phase"]), (200, &json!("Waiting")), "{body}");
    stage.end([]).await;
}
