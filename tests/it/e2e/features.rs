//! What gateway files can say about requests, each said to a real Envoy.

use super::stage::{Stage, toy};
use crate::real::{DEADLINE, eventually};
use serde_json::Value;
use serin::launch::Until;
use std::time::Duration;

/// Path, request headers, the wanted status and version.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn requests_go_where_the_file_says() {
    let (v1, v2, gold) = (toy("v1").await, toy("v2").await, toy("gold").await);
    let (v1_url, v2_url, gold_url) = (v1.url(), v2.url(), gold.url());
    let upstreams = format!("upstreams: {{ v1: {v1_url}, v2: {v2_url}, gold: {gold_url} }}\n");
    let keys = format!(
        "apiVersion: serin/v1\nname: keys\npath: /keys\n{upstreams}traffic: {{ v1: 100 }}\ndirectAccess: true\nexposeUpstream: true\nmatch:
  - {{ headers: {{ x-card: gold }}, upstream: gold }}
  - {{ headers: {{ x-tester: {{ prefix: qa- }} }}, upstream: v2 }}
  - {{ headers: {{ x-id: {{ regex: '[0-9]+' }} }}, upstream: v2 }}
  - {{ query: {{ model: v2 }}, upstream: v2 }}
  - {{ cookies: {{ beta: '1' }}, upstream: v2 }}
"
    );
    let host = |name: &str, host: &str, version: &str| {
        format!("apiVersion: serin/v1\nname: {name}\nhost: '{host}'\nupstreams: {{ a: {version} }}\n")
    };
    let longer =
        format!("apiVersion: serin/v1\nname: longer\npath: /keys/deep\nupstreams: {{ a: {gold_url} }}\n");
    let stage = Stage::new(&[
        ("keys.yaml", &keys),
        ("longer.yaml", &longer),
        ("exact.yaml", &host("exact", "a.example.com", &v1_url)),
        ("suffix.yaml", &host("suffix", "*.example.com", &v2_url)),
    ])
    .await;
    let envoy = stage.envoy().await;
    let cases: &[Case<'_>] = &[
        ("/keys", &[], 200, "v1"),
        ("/keys/x", &[], 200, "v1"),
        ("/keysmith", &[], 404, ""),
        ("/keys/deep", &[], 200, "gold"),
        ("/keys/deep/x?y=1", &[], 200, "gold"),
        ("/keys", &[("x-card", "gold")], 200, "gold"),
        ("/keys", &[("x-card", "golden")], 200, "v1"),
        ("/keys", &[("x-tester", "qa-7")], 200, "v2"),
        ("/keys", &[("x-id", "77")], 200, "v2"),
        ("/keys", &[("x-id", "77a")], 200, "v1"),
        ("/keys?model=v2", &[], 200, "v2"),
        ("/keys?model=v20", &[], 200, "v1"),
        ("/keys", &[("cookie", "a=b; beta=1")], 200, "v2"),
        ("/keys", &[("cookie", "xbeta=1")], 200, "v1"),
        ("/keys", &[("x-serin-upstream", "gold"), ("x-tester", "qa-7")], 200, "gold"),
        ("/keys", &[("x-serin-upstream", "none")], 404, ""),
        ("/", &[("host", "a.example.com")], 200, "v1"),
        ("/", &[("host", "A.Example.com:8080")], 200, "v1"),
        ("/", &[("host", "b.example.com")], 200, "v2"),
        ("/", &[("host", "c.b.example.com")], 200, "v2"),
        ("/", &[("host", "example.com")], 404, ""),
        ("/keys/../keys", &[], 200, "v1"),
    ];
    for (path, headers, status, version) in cases {
        assert_eq!(stage.ask(path, headers).await, (*status, (*version).to_owned()), "{path} {headers:?}");
    }
    let (_, headers, _) = stage.fetch("/keys", &[("x-card", "gold")]).await;
    assert_eq!(headers.get("x-serin-upstream").unwrap(), "gold");
    let (_, headers, _) = stage.fetch("/keys", &[]).await;
    assert_eq!(headers.get("x-serin-upstream").unwrap(), "v1");
    let (_, headers, _) = stage.fetch("/keys/deep", &[]).await;
    assert!(headers.get("x-serin-upstream").is_none());
    stage.end([envoy]).await;
}

#[tokio::test]
async fn the_upstream_sees_the_rewritten_path() {
    let v1 = toy("v1").await;
    let url = v1.url();
    let gateway = |name: &str, path: &str, rewrite: &str, host: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\nhost: {host}\npath: {path}\nrewrite: {rewrite}\nupstreams: {{ v1: {url} }}\n"
        )
    };
    let stage = Stage::new(&[
        ("a.yaml", &gateway("a", "/a", "/echo", "a.test")),
        ("root.yaml", &gateway("root", "/b", "/", "b.test")),
        ("from.yaml", &gateway("from", "/", "/echo", "c.test")),
    ])
    .await;
    let envoy = stage.envoy().await;
    // `/echo` answers with what it saw; other paths with a prediction.
    for (host, path, seen) in [
        ("a.test", "/a", "/echo"),
        ("a.test", "/a?x=1", "/echo?x=1"),
        ("b.test", "/b/echo", "/echo"),
        ("c.test", "/", "/echo"),
    ] {
        let (status, _, body) = stage.fetch(path, &[("host", host)]).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body["path"].as_str()), (200, Some(seen)), "{host}{path}: {body}");
    }
    for (host, path) in [("b.test", "/b"), ("b.test", "/b/x"), ("c.test", "/x")] {
        assert_eq!(stage.ask(path, &[("host", host)]).await.0, 200, "{host}{path}");
    }
    stage.end([envoy]).await;
}

#[tokio::test]
async fn timeouts_are_the_gateways_own_and_streams_have_none() {
    let (slow, stream) = (toy("slow").await, toy("stream").await);
    slow.set_latency(Duration::from_secs(20));
    stream.set_latency(Duration::from_millis(400));
    let gateway = |name: &str, timeout: &str, rest: &str, url: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: /{name}\ntimeout: {timeout}\n{rest}upstreams: {{ a: {url} }}\n"
        )
    };
    let stage = Stage::new(&[
        ("short.yaml", &gateway("short", "300ms", "", &slow.url())),
        ("stream.yaml", &gateway("stream", "0s", "", &stream.url())),
        ("cut.yaml", &gateway("cut", "1s", "rewrite: /stream\n", &stream.url())),
    ])
    .await;
    let envoy = stage.envoy().await;
    assert_eq!(stage.ask("/short", &[]).await.0, 504);
    let read = async |path: &str| {
        let mut answer = reqwest::Client::new().get(stage.url(path)).timeout(DEADLINE).send().await.unwrap();
        let mut events = 0;
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => events += String::from_utf8_lossy(&piece).matches("data:").count(),
                Ok(None) => break,
                Err(_) => return (events, false),
            }
        }
        (events, true)
    };
    assert_eq!(read("/stream").await, (5, true), "a stream of two seconds is whole");
    assert!(!read("/cut").await.1, "with a timeout of one second it is cut");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_well_gets_no_traffic() {
    let (a, b) = (toy("a").await, toy("b").await);
    let gateway = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1:\n    endpoints: ['{}', '{}']\n    healthCheck: {{ path: /health, interval: 1s, timeout: 1s }}\n",
        a.address(),
        b.address()
    );
    let stage = Stage::new(&[("fraud.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    // Envoy gathers changes of health for up to a second before its workers hear of them.
    let answered_by = async |expected: &[&str]| {
        let wait = async {
            loop {
                let report = stage.load("/", None, Until::Requests(200)).finished().await;
                assert_eq!(report.all.by_status.keys().copied().collect::<Vec<_>>(), [200]);
                if report.by_version.keys().map(String::as_str).eq(expected.iter().copied()) {
                    return;
                }
            }
        };
        assert!(
            tokio::time::timeout(DEADLINE, wait).await.is_ok(),
            "answered by {expected:?} and nobody else"
        );
    };
    let healthy = async |count: &str| {
        let wait = async {
            while !envoy
                .admin("/stats?filter=membership_healthy")
                .await
                .unwrap()
                .1
                .contains(&format!("fraud/v1.membership_healthy: {count}"))
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap();
    };
    // A cluster is ready with its first healthy endpoint; the second may follow.
    healthy("2").await;
    answered_by(&["a", "b"]).await;
    b.set_healthy(false);
    healthy("1").await;
    answered_by(&["a"]).await;
    b.set_healthy(true);
    answered_by(&["a", "b"]).await;
    stage.end([envoy]).await;
}

#[tokio::test]
async fn more_than_max_concurrent_is_refused_at_once() {
    let v1 = toy("v1").await;
    v1.set_latency(Duration::from_secs(1));
    let gateway = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1: {{ url: {}, maxConcurrent: 2 }}\n",
        v1.url()
    );
    let stage = Stage::new(&[("fraud.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    let report = stage.load("/", None, Until::Requests(8)).finished().await;
    let count = |status| report.all.by_status.get(&status).copied().unwrap_or(0);
    assert_eq!(count(200) + count(503), 8, "{:?}", report.all.by_status);
    assert!(count(200) >= 2 && count(503) >= 4, "{:?}", report.all.by_status);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn names_are_resolved_and_a_restart_of_a_model_is_followed() {
    let v1 = toy("v1").await;
    let gateway = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: 'http://localhost:{}' }}\n",
        v1.address().port()
    );
    let stage = Stage::new(&[("fraud.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    assert_eq!(stage.ask("/", &[]).await, (200, "v1".into()));
    eventually("it was asked", || v1.requests() == 1).await;
    stage.end([envoy]).await;
}
