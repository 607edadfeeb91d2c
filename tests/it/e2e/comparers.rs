//! What each comparer makes of answers that a real Envoy sent, and of a shadow that takes its time.

use super::compare::{ask, gateway, mismatches, model, pair, report};
use super::stage::{Stage, assert_all_well, toy};
use crate::real::{DEADLINE, eventually};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serin::compare::{Kind, Reason, Report};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Until};
use serin::model::Endpoint;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often each wish is asked for.
const EACH: usize = 20;

/// Asks a gateway for each of these answers, and waits until all of them are counted.
async fn asked(
    compare: &str,
    live: fn(&str) -> Response,
    next: fn(&str) -> Response,
    wishes: &[&str],
) -> Arc<Report> {
    let ((live, _live), (next, _next)) = (model(live).await, model(next).await);
    let text = gateway("fraud", &live.to_string(), &next.to_string(), compare);
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let envoy = stage.envoy().await;
    let bodies = wishes.iter().flat_map(|wish| std::iter::repeat_n((*wish).to_owned(), EACH));
    let all = wishes.len() * EACH;
    assert_eq!(ask(&stage, "/fraud", bodies).await, [(200, all)].into());
    eventually("all are counted", || {
        report(&stage, "fraud").is_some_and(|report| {
            let pair = pair(&report);
            pair.compared + pair.not_compared.values().sum::<u64>() == all as u64
        })
    })
    .await;
    let report = report(&stage, "fraud").unwrap();
    assert!(report.not_paired.is_empty(), "{report:?}");
    stage.end([envoy]).await;
    report
}

/// So many of each kind, and so many pairs that match.
fn assert_counts(report: &Report, differ: &[Kind], matched: usize, not_compared: &[Reason]) {
    let (pair, each) = (pair(report), EACH as u64);
    let expected: BTreeMap<Kind, u64> = differ.iter().map(|kind| (*kind, each)).collect();
    let skipped: BTreeMap<Reason, u64> = not_compared.iter().map(|reason| (*reason, each)).collect();
    assert_eq!((mismatches(pair), &pair.not_compared), (expected, &skipped), "{report:?}");
    assert_eq!(
        (pair.matched, pair.compared),
        (matched as u64 * each, (matched + differ.len()) as u64 * each)
    );
}

/// A batch of two rows of scores.
fn scores(wish: &str) -> Response {
    let scores = match wish {
        "top1" => json!([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]]),
        "length" => json!([[0.1, 0.7, 0.2]]),
        "words" => json!([["low", "high", "low"], ["low", "low", "high"]]),
        // Other scores with the same first places.
        "others" => json!([[0.3, 0.4, 0.3], [-2, -3, 8]]),
        _ => json!([[0.1, 0.7, 0.2], [0.2, 0.3, 0.5]]),
    };
    Json(json!({ "outputs": [{ "data": scores }] })).into_response()
}

#[tokio::test]
async fn of_score_vectors_only_the_first_place_counts() {
    let wishes = ["same", "others", "top1", "length", "words"];
    let report =
        asked("{ path: '$.outputs[0].data', top1: true }", |_| scores("same"), scores, &wishes).await;
    assert_counts(&report, &[Kind::Top1, Kind::Length], 2, &[Reason::NotScores]);
    let wrong = pair(&report).mismatches.iter().find(|m| m.kind == Kind::Top1).unwrap();
    assert_eq!(&*wrong.examples[0].place, "$.outputs[0].data[1]", "the row in which it is");
}

/// What a model says in words.
fn words(wish: &str) -> Response {
    let said = match wish {
        "alike" => json!("The model sings like the canary."),
        "text" => json!("No."),
        "type" => json!(1),
        _ => json!("The model sings like a canary."),
    };
    Json(json!({ "text": said })).into_response()
}

#[tokio::test]
async fn texts_that_are_alike_enough_match() {
    let wishes = ["same", "alike", "text", "type"];
    let report = asked("{ path: $.text, similarity: 0.8 }", |_| words("same"), words, &wishes).await;
    assert_counts(&report, &[Kind::Text, Kind::Type], 2, &[]);
    // Without it, alike is not the same.
    let report = asked("{ path: $.text }", |_| words("same"), words, &["same", "alike"]).await;
    assert_counts(&report, &[Kind::Text], 1, &[]);
}

#[tokio::test]
async fn a_shadow_that_is_slow_is_compared_and_no_client_waits_for_it() {
    const REQUESTS: u64 = 60;
    let (live, slow) = (toy("v1").await, toy("v2").await);
    slow.set_latency(Duration::from_millis(300));
    let addresses = (live.address().to_string(), slow.address().to_string());
    let text = gateway("fraud", &addresses.0, &addresses.1, "{ path: $.prediction }");
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let envoy = stage.envoy().await;
    assert_all_well(&stage.load("/fraud", Some(40.0), Until::Requests(REQUESTS)).finished().await);
    eventually("all pairs are compared", || {
        report(&stage, "fraud").is_some_and(|report| pair(&report).compared == REQUESTS)
    })
    .await;
    let report = report(&stage, "fraud").unwrap();
    let pair = pair(&report);
    assert_eq!(
        (pair.matched, pair.not_compared.len(), report.not_paired.len()),
        (REQUESTS, 0, 0),
        "{report:?}"
    );
    let (live, shadow) = (pair.live.unwrap(), pair.shadow.unwrap());
    println!("client {live:?}, shadow {shadow:?}");
    // What the shadow slept is in its latencies and not in those of the client's answers.
    assert!(shadow.mean >= 0.3 && shadow.p50 >= 0.3 && live.p50 < shadow.p50, "{live:?} {shadow:?}");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn what_an_envoy_cannot_send_is_told_by_upstream_and_leg() {
    const REQUESTS: u64 = 100;
    let (live, next) = (toy("v1").await, toy("v2").await);
    let addresses = (live.address().to_string(), next.address().to_string());
    let text = gateway("fraud", &addresses.0, &addresses.1, "{ path: $.prediction }");
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let control_plane = Endpoint { host: stage.app.xds.ip().to_string(), port: stage.app.xds.port() };
    let bootstrap = Bootstrap { control_plane, ..Bootstrap::default() }.to_string();
    // Configuration comes as always, and nobody takes answers.
    let (before, compared) = bootstrap.split_once("  # The same once more").unwrap();
    let port = format!("port_value: {}", stage.app.xds.port());
    let text = format!("{before}  #{}", compared.replace(&port, "port_value: 9"));
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(crate::real::envoy().await, &text, &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    assert_all_well(&stage.load("/fraud", Some(50.0), Until::Requests(REQUESTS)).finished().await);
    let (table, now) = (&stage.app.table, serin::clock::now);
    eventually("all are told", || {
        let table = table.load();
        let live = table.gateway("fraud", now()).into_iter().find(|(name, _)| name.as_str() == "v1");
        let told = [live.map(|(_, numbers)| numbers), table.shadow("fraud", "next", now())];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
        told.iter().all(|numbers| numbers.as_ref().is_some_and(|n| n.total.unsent as u64 == REQUESTS))
    })
    .await;
    let page =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    for (upstream, leg) in [("v1", "live"), ("next", "shadow")] {
        let labels = format!("{{gateway=\"fraud\",upstream=\"{upstream}\",leg=\"{leg}\"}}");
        let wanted = format!("serin_compare_unsent_total{labels} {REQUESTS}");
        assert!(page.contains(&wanted), "{wanted}\n{page}");
    }
    stage.end([envoy]).await;
}
