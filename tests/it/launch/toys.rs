//! Toy model servers and the load on them.

use crate::real::DEADLINE;
use serin::launch::{Load, LoadOptions, Report, Toy, ToyOptions, Until, VERSION_HEADER, VersionIn};
use serin::weight::Weight;
use std::time::Duration;

async fn toy(version: &str) -> Toy {
    Toy::start(ToyOptions { version: version.into(), ..ToyOptions::default() }).await.unwrap()
}

/// As fast as answers come.
fn rush(url: String, requests: u64) -> LoadOptions {
    LoadOptions { url, rate: None, until: Until::Requests(requests), ..LoadOptions::default() }
}

async fn run(options: LoadOptions) -> Report {
    tokio::time::timeout(DEADLINE, Load::start(options).unwrap().finished()).await.unwrap()
}

async fn json(url: String) -> serde_json::Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_toy_answers_as_a_model_on_any_path_and_counts() {
    let toy = toy("v2").await;
    let expected = serde_json::json!({ "model": "fraud", "version": "v2", "prediction": [0.93] });
    assert_eq!(json(toy.url()).await, expected);
    let posted =
        reqwest::Client::new().post(format!("{}/v2/models/x/infer", toy.url())).body("{}").send().await;
    let posted = posted.unwrap();
    assert_eq!(posted.headers()[VERSION_HEADER], "v2");
    assert_eq!(posted.json::<serde_json::Value>().await.unwrap(), expected);
    assert_eq!(toy.requests(), 2);
}

#[tokio::test]
async fn a_toy_is_as_well_as_it_is_told() {
    let toy = toy("v1").await;
    let health = async || reqwest::get(format!("{}/health", toy.url())).await.unwrap().status().as_u16();
    assert_eq!(health().await, 200);
    toy.set_healthy(false);
    assert_eq!(health().await, 503);
    assert_eq!(toy.requests(), 0, "checks are not requests");
}

#[tokio::test]
async fn a_toy_echoes_the_request() {
    let toy = toy("v1").await;
    let request = reqwest::Client::new().put(format!("{}/echo?a=b", toy.url()));
    let answer = request.header("x-one", "1").header("x-one", "2").body("hello").send().await.unwrap();
    let echo: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        (&echo["method"], &echo["path"], &echo["body"]),
        (&"PUT".into(), &"/echo?a=b".into(), &"hello".into())
    );
    assert_eq!(echo["headers"]["x-one"], "1, 2");
}

#[tokio::test]
async fn a_toy_streams_events() {
    let toy = toy("v1").await;
    let answer = reqwest::get(format!("{}/stream", toy.url())).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.unwrap();
    assert_eq!(text.matches("data: ").count(), 5, "{text}");
    assert!(text.ends_with("data: a canary\n\n"), "{text}");
}

#[tokio::test]
async fn a_load_counts_answers_by_status_and_version() {
    let toy = toy("v2").await;
    toy.set_failures(Weight::parse("5").unwrap());
    for version in [VersionIn::Json("version".into()), VersionIn::Header(VERSION_HEADER.into())] {
        let report = run(LoadOptions { version, ..rush(toy.url(), 200) }).await;
        assert_eq!(report.all.by_status, [(200, 190), (500, 10)].into());
        assert_eq!((report.requests(), report.failed(), report.all.errors()), (200, 0, 10));
        assert_eq!(report.by_version["v2"], report.all);
        assert!(report.all.latencies.quantile(0.99).is_some());
    }
    assert_eq!(toy.requests(), 400);
}

#[tokio::test]
async fn a_load_posts_a_body_and_sends_headers() {
    let toy = toy("v1").await;
    let version = VersionIn::Json("body".into());
    let body = Some(serde_json::json!({ "x": 1 }));
    let report = run(LoadOptions { version, body, ..rush(format!("{}/echo", toy.url()), 1) }).await;
    assert_eq!(report.by_version[r#"{"x":1}"#].count(), 1);
}

#[tokio::test]
async fn a_steady_load_ends_after_its_time_with_the_requests_that_were_due() {
    let toy = toy("v1").await;
    let until = Until::Elapsed(Duration::from_millis(500));
    let report = run(LoadOptions { rate: Some(100.0), until, ..rush(toy.url(), 0) }).await;
    assert_eq!(report.requests(), 50);
    assert_eq!(toy.requests(), 50);
}

#[tokio::test]
async fn failures_are_counted_by_kind() {
    let gone = toy("v1").await;
    let url = gone.url();
    gone.stop().await;
    let report = run(rush(url, 5)).await;
    assert_eq!((report.failures, report.all.count()), ([("connect", 5)].into(), 0));

    let slow = toy("v1").await;
    slow.set_latency(DEADLINE * 2);
    let report = run(LoadOptions { timeout: Duration::from_millis(20), ..rush(slow.url(), 5) }).await;
    assert_eq!(report.failures, [("timeout", 5)].into());

    assert!(Load::start(rush("no url".into(), 1)).is_err());
}

#[tokio::test]
async fn an_endless_load_can_be_watched_and_stopped() {
    let toy = toy("v1").await;
    let mut load =
        Load::start(LoadOptions { rate: Some(1000.0), until: Until::Stopped, ..rush(toy.url(), 0) }).unwrap();
    let seen = tokio::time::timeout(DEADLINE, load.until(|r| r.requests() >= 20)).await.unwrap();
    assert!(seen.requests() >= 20);
    assert!(load.stop().await.requests() >= seen.requests());
}

#[tokio::test]
async fn a_stopped_toy_leaves_no_connection_open() {
    let toy = toy("v1").await;
    let client = reqwest::Client::new(); // keeps its connection
    client.get(toy.url()).send().await.unwrap().bytes().await.unwrap();
    let url = toy.url();
    tokio::time::timeout(DEADLINE, toy.stop()).await.unwrap();
    assert!(client.get(url).send().await.unwrap_err().is_connect());
}
