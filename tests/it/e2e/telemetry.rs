//! What Envoys measured comes back, right to the request.

use super::stage::{Stage, canary, free_port, let_pass, settings, toy};
use crate::protocol::client::{connect, folder, soon, start, stop};
use crate::real::{DEADLINE, envoy, eventually};
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::envoy::service::metrics::v3::metrics_service_client::MetricsServiceClient;
use envoy_types::pb::io::prometheus::client::{Counter, Metric, MetricFamily};
use serde_json::Value;
use serin::app::{App, Options};
use serin::clock;
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Load, LoadOptions, Toy, Until};
use serin::model::{Endpoint, Settings};
use serin::names::{GatewayName, UpstreamName};
use serin::telemetry::{FORM, Measurement, Numbers, Wanted};
use serin::weight::Weight;
use std::net::SocketAddr;
use std::time::Duration;

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn numbers(app: &App, name: &str) -> Option<Numbers> {
    app.table.load().gateway("fraud", clock::now()).remove(&upstream(name))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of a test")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// Completed, failed, 4xx.
fn total(app: &App, name: &str) -> [u64; 3] {
    let total = numbers(app, name).map(|n| n.total).unwrap_or_default();
    [total.requests, total.errors, total.client_errors].map(whole)
}

async fn counted(app: &App, name: &str, wanted: [u64; 3]) {
    let wait = async {
        let mut tables = app.table.subscribe();
        while total(app, name) != wanted {
            assert!(tables.changed().await);
            tables.load();
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, wait).await;
    assert!(outcome.is_ok(), "{name}: {:?} are counted, not {wanted:?}", total(app, name));
}

fn want(app: &App) {
    let arms = ["v1", "v2"].map(upstream).into();
    app.wanted.publish(Wanted::from([(GatewayName::new("fraud").unwrap(), arms)]));
}

/// All measurements up to so many requests, and the requests of both versions in them.
async fn measured(app: &mut App, requests: u64) -> (Vec<Measurement>, [u64; 2]) {
    let (mut all, mut sums, mut started) = (Vec::new(), [0, 0], [0, 0]);
    while sums[0] + sums[1] < requests {
        for measurement in soon("a measurement", app.measurements.recv()).await.unwrap() {
            for (n, name) in ["v1", "v2"].into_iter().enumerate() {
                let counts = &measurement.upstreams[&upstream(name)].counts;
                sums[n] += whole(counts.requests);
                started[n] += whole(counts.started.unwrap());
                assert!(counts.errors <= counts.requests);
                assert!(counts.latency.values().sum::<f64>() <= counts.requests);
            }
            all.push(measurement);
        }
    }
    assert_eq!(started, sums, "each request was begun once");
    (all, sums)
}

/// An Envoy with this id. Several share the port of the listener.
async fn envoy_of(xds: SocketAddr, id: &str, cluster: &str) -> Envoy {
    let bootstrap = Bootstrap {
        id: id.into(),
        cluster: cluster.into(),
        control_plane: Endpoint { host: xds.ip().to_string(), port: xds.port() },
        ..Bootstrap::default()
    };
    let options = EnvoyOptions { concurrency: Some(2), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(envoy().await, &bootstrap.to_string(), &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    envoy
}

async fn two_versions(split: (&str, &str)) -> (Toy, Toy, Stage) {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[("fraud.yaml", &canary("fraud", "/", &v1, &v2, split))]).await;
    (v1, v2, stage)
}

#[tokio::test]
async fn counts_are_right_to_the_request() {
    let (v1, v2, mut stage) = two_versions(("80", "20")).await;
    let envoy = envoy_of(stage.app.xds, "edge-1", "edge").await;
    want(&stage.app);
    v2.set_failures(Weight::parse("20").unwrap());
    let report = stage.load("/", None, Until::Requests(3000)).finished().await;
    assert_eq!(report.requests(), 3000);
    counted(&stage.app, "v1", [v1.requests(), 0, 0]).await;
    counted(&stage.app, "v2", [v2.requests(), v2.requests() / 5, 0]).await;
    let (measurements, sums) = measured(&mut stage.app, 3000).await;
    assert_eq!(sums, [v1.requests(), v2.requests()]);
    assert!(measurements.iter().all(|m| m.proxies == 1 && m.from < m.to));

    // The same, as people see it.
    let url = |page: &str| format!("http://{}{page}", stage.app.http);
    let page: Value =
        reqwest::get(url("/api/v1/gateways/fraud/metrics")).await.unwrap().json().await.unwrap();
    let (first, second) = (&page["upstreams"]["v1"], &page["upstreams"]["v2"]);
    assert_eq!((&page["primary"], &first["requests"]), (&"v1".into(), &v1.requests().into()));
    assert_eq!((&second["errors"], &second["endpoints"]), (&(v2.requests() / 5).into(), &1.into()));
    let rate = second["lastMinute"]["errorRate"].as_f64().unwrap();
    assert!((rate - 0.2).abs() < 0.01, "{rate}");
    assert_eq!(second["difference"]["errorRate"], second["lastMinute"]["errorRate"]);
    assert!(first["lastMinute"]["p99"].as_f64().unwrap() >= first["lastMinute"]["p50"].as_f64().unwrap());
    let text = reqwest::get(url("/metrics")).await.unwrap().text().await.unwrap();
    let line =
        format!("serin_upstream_requests_total{{gateway=\"fraud\",upstream=\"v1\"}} {}\n", v1.requests());
    assert!(text.contains(&line), "{text}");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn an_envoy_that_starts_anew_and_a_second_one_are_counted_once() {
    let (v1, v2, mut stage) = two_versions(("50", "50")).await;
    let first = envoy_of(stage.app.xds, "edge-1", "edge").await;
    want(&stage.app);
    // The stream of statistics begins with the first flush: an Envoy that ends before has told nothing.
    eventually("Envoy reports", || numbers(&stage.app, "v1").is_some()).await;
    stage.load("/", None, Until::Requests(500)).finished().await;
    first.stop().await.unwrap();
    // The same name, and counters from zero; the last flush came when it ended.
    let first = envoy_of(stage.app.xds, "edge-1", "edge").await;
    stage.load("/", None, Until::Requests(500)).finished().await;
    counted(&stage.app, "v1", [v1.requests(), 0, 0]).await;
    counted(&stage.app, "v2", [v2.requests(), 0, 0]).await;
    // A second, and a third of the same name.
    let second = envoy_of(stage.app.xds, "edge-2", "edge").await;
    let third = envoy_of(stage.app.xds, "edge-2", "edge").await;
    stage.load("/", None, Until::Requests(1000)).finished().await;
    counted(&stage.app, "v1", [v1.requests(), 0, 0]).await;
    counted(&stage.app, "v2", [v2.requests(), 0, 0]).await;
    let (measurements, sums) = measured(&mut stage.app, 2000).await;
    assert_eq!(sums, [v1.requests(), v2.requests()]);
    assert!(measurements.iter().any(|m| m.proxies == 3), "all three report, also without requests");
    second.stop().await.unwrap();
    third.stop().await.unwrap();
    stage.load("/", None, Until::Requests(100)).finished().await;
    counted(&stage.app, "v1", [v1.requests(), 0, 0]).await;
    eventually("the endpoints are those of the Envoy that is left", || {
        numbers(&stage.app, "v1").is_some_and(|n| whole(n.gauges.healthy) == 1)
    })
    .await;
    stage.end([first]).await;
}

#[tokio::test]
async fn a_control_plane_that_was_away_lost_both_versions_alike() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let folder = tempfile::tempdir().unwrap();
    let text = canary("fraud", "/", &v1, &v2, ("50", "50"));
    std::fs::write(folder.path().join("fraud.yaml"), text).unwrap();
    let (port, xds) = (free_port(), SocketAddr::from(([127, 0, 0, 1], free_port())));
    let start = || async {
        let settings = Settings { xds, ..settings(folder.path(), port, None) };
        let app = App::start(settings, Options::default()).await.unwrap();
        app.ready().await;
        app
    };
    let requests = || async {
        let url = format!("http://127.0.0.1:{port}/");
        let until = Until::Requests(400);
        let load = Load::start(LoadOptions { url, until, rate: None, ..LoadOptions::default() }).unwrap();
        assert_eq!(load.finished().await.failed(), 0);
    };
    let app = start().await;
    let envoy = envoy_of(xds, "edge-1", "edge").await;
    requests().await;
    counted(&app, "v1", [v1.requests(), 0, 0]).await;
    soon("a stop", app.stop()).await;

    requests().await;
    // Longer than a flush, so that what was counted meanwhile is lost.
    let_pass(Duration::from_millis(2500)).await;
    let before = [v1.requests(), v2.requests()];
    let mut app = start().await;
    want(&app);
    eventually("Envoy reports again", || numbers(&app, "v2").is_some()).await;
    requests().await;
    let since = [v1.requests() - before[0], v2.requests() - before[1]];
    counted(&app, "v1", [since[0], 0, 0]).await;
    counted(&app, "v2", [since[1], 0, 0]).await;
    assert_eq!(measured(&mut app, 400).await.1, since);
    envoy.stop().await.unwrap();
    soon("a stop", app.stop()).await;
}

#[tokio::test]
async fn whatever_a_client_sees_as_a_failure_is_an_error() {
    // Nobody listens at v2; v1 is slower than the timeout of `/slow`.
    let v1 = toy("v1").await;
    let dead = free_port();
    let gateway = |name: &str, path: &str, more: &str, v2: u16| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: {path}\n{more}upstreams:\n  v1: {}\n  v2: http://127.0.0.1:{v2}\n\
             match:\n- {{ headers: {{ x-version: v2 }}, upstream: v2 }}\ntraffic: {{ v1: 100, v2: 0 }}\n",
            v1.url()
        )
    };
    let reset = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let resets = reset.local_addr().unwrap().port();
    let rude = std::thread::spawn(move || {
        // Takes three connections and closes each without an answer.
        for _ in 0..3 {
            drop(reset.accept());
        }
    });
    let mut stage = Stage::new(&[
        ("fraud.yaml", &gateway("fraud", "/", "timeout: 200ms\n", dead)),
        ("rude.yaml", &gateway("rude", "/rude", "", resets)),
    ])
    .await;
    let envoy = envoy_of(stage.app.xds, "edge-1", "edge").await;
    want(&stage.app);
    for _ in 0..5 {
        assert_eq!(stage.ask("/", &[("x-version", "v2")]).await.0, 503, "refused");
    }
    v1.set_latency(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(stage.ask("/", &[]).await.0, 504, "a timeout");
    }
    for _ in 0..3 {
        assert_eq!(stage.ask("/rude", &[("x-version", "v2")]).await.0, 503, "a reset");
    }
    rude.join().unwrap();
    counted(&stage.app, "v2", [5, 5, 0]).await;
    counted(&stage.app, "v1", [3, 3, 0]).await;
    let of_rude = || {
        let table = stage.app.table.load();
        let numbers = table.gateway("rude", clock::now()).remove(&upstream("v2"));
        numbers.map(|n| [n.total.requests, n.total.errors].map(whole))
    };
    eventually("resets are errors", || of_rude() == Some([3, 3])).await;
    assert_eq!(measured(&mut stage.app, 8).await.1, [3, 5]);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn an_idle_envoy_reports_its_endpoints_and_nothing_else() {
    let (v1, _v2, mut stage) = two_versions(("50", "50")).await;
    let envoy = envoy_of(stage.app.xds, "edge-1", "edge").await;
    want(&stage.app);
    let measurement = soon("a measurement", stage.app.measurements.recv()).await.unwrap().remove(0);
    for outcome in measurement.upstreams.values() {
        assert_eq!((whole(outcome.counts.requests), outcome.counts.started), (0, Some(0.0)));
    }
    let gauges = numbers(&stage.app, "v1").unwrap().gauges;
    assert_eq!([gauges.active, gauges.endpoints, gauges.healthy].map(whole), [0, 1, 1]);
    assert_eq!(v1.requests(), 0);
    let text =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    assert!(!text.contains("serin_upstream_requests_total{"), "only used upstreams are listed");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn calls_of_grpc_fail_by_their_status() {
    // The model is a Serin: it answers `Check`, does not know "nothing" (5) and has no method `None` (12).
    let folder = folder(&[]);
    let model = start(folder.path()).await;
    let text = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1: {{ url: 'http://{}', protocol: grpc }}\n  \
         v2: {{ url: 'http://127.0.0.1:{}', protocol: grpc }}\nmatch:\n\
         - {{ headers: {{ x-version: v2 }}, upstream: v2 }}\ntraffic: {{ v1: 100, v2: 0 }}\n",
        model.xds,
        free_port()
    );
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let envoy = envoy_of(stage.app.xds, "edge-1", "edge").await;
    let channel = tonic::transport::Endpoint::from_shared(stage.url("/")).unwrap().connect().await.unwrap();
    let ask = async |service: &str, version: &'static str| {
        let mut client = tonic_health::pb::health_client::HealthClient::new(channel.clone());
        let mut request =
            tonic::Request::new(tonic_health::pb::HealthCheckRequest { service: service.into() });
        request.metadata_mut().insert("x-version", version.parse().unwrap());
        client.check(request).await.map_or_else(|status| status.code(), |_| tonic::Code::Ok)
    };
    for (service, version, code) in [
        ("", "v1", tonic::Code::Ok),
        ("", "v1", tonic::Code::Ok),
        ("nothing", "v1", tonic::Code::NotFound),
        ("", "v2", tonic::Code::Unavailable),
    ] {
        assert_eq!(ask(service, version).await, code);
    }
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/None");
    let missing = grpc.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    assert_eq!(missing.code(), tonic::Code::Unimplemented);
    counted(&stage.app, "v1", [4, 1, 1]).await;
    counted(&stage.app, "v2", [1, 1, 0]).await;
    stage.end([envoy]).await;
    stop(model).await;
}

#[tokio::test]
async fn an_envoy_with_another_bootstrap_is_not_misunderstood() {
    let folder = folder(&[]);
    let app = start(folder.path()).await;
    let send = async |form: Option<&'static str>, requests: f64| {
        let counter = Some(Counter { value: Some(requests), ..Counter::default() });
        let family = MetricFamily {
            name: Some("cluster.fraud/v1.upstream_rq_completed".into()),
            metric: vec![Metric { counter, ..Metric::default() }],
            ..MetricFamily::default()
        };
        let message = StreamMetricsMessage { envoy_metrics: vec![family], ..StreamMetricsMessage::default() };
        let mut request = tonic::Request::new(tokio_stream::iter([message]));
        if let Some(form) = form {
            request.metadata_mut().insert(FORM.0, form.parse().unwrap());
        }
        // Whether there is an answer does not matter to Envoy, and Serin gives none.
        let _ = MetricsServiceClient::new(connect(&app).await).stream_metrics(request).await;
    };
    // Absolute numbers would count again and again.
    send(None, 1000.0).await;
    send(Some("0"), 1000.0).await;
    send(Some(FORM.1), 7.0).await;
    counted(&app, "v1", [7, 0, 0]).await;
    stop(app).await;
}
