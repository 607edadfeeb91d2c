//! The answers of a shadow are compared with those that clients get, and no client notices it.

use super::stage::{Stage, assert_all_well, envoy_on, free_port, let_pass, toy};
use crate::real::{DEADLINE, eventually};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use serin::app::Options;
use serin::compare::{Kind, Matches, PairReport, Reason, Report, Verdict, budget};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Load, LoadOptions, Until, VERSION_HEADER, VersionIn};
use serin::model::Endpoint;
use serin::names::GatewayName;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Whoever wants the whole play says `SERIN_PAIRS=5000`.
fn pairs() -> usize {
    let said = std::env::vars_os().find(|(key, _)| key == "SERIN_PAIRS");
    said.map_or(600, |(_, n)| n.to_str().unwrap().parse().unwrap())
}

/// A model that answers what its request asks for.
pub(super) async fn model(answer: fn(&str) -> Response) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(async move |body: String| answer(&body));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, server)
}

pub(super) fn gateway(name: &str, live: &str, shadow: &str, compare: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\ntimeout: 2s\nupstreams: {{ v1: 'http://{live}', next: 'http://{shadow}' }}\n\
         traffic: {{ v1: 100 }}\nshadow: {{ upstream: next, percent: 100, compare: {compare} }}\n"
    )
}

/// Sends a request with each of these bodies; the statuses that came back.
pub(super) async fn ask(
    stage: &Stage,
    path: &str,
    bodies: impl IntoIterator<Item = String>,
) -> BTreeMap<u16, usize> {
    let client = reqwest::Client::new();
    let one = |body: String| {
        let request = client.post(stage.url(path)).body(body).timeout(DEADLINE);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            answer.bytes().await.unwrap();
            status
        }
    };
    let mut statuses = BTreeMap::new();
    let mut all = stream::iter(bodies).map(one).buffer_unordered(8);
    while let Some(status) = all.next().await {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

pub(super) fn report(stage: &Stage, name: &str) -> Option<Arc<Report>> {
    stage.app.reports.load().gateways.get(&GatewayName::new(name).unwrap()).cloned()
}

pub(super) fn pair(report: &Report) -> &PairReport {
    report.pairs.iter().find(|pair| pair.upstream.as_str() == "v1").unwrap()
}

pub(super) fn mismatches(pair: &PairReport) -> BTreeMap<Kind, u64> {
    pair.mismatches.iter().map(|m| (m.kind, m.count)).collect()
}

fn prediction() -> Value {
    json!({ "scores": [0.25, 0.75], "label": "fraud", "is": true, "id": 7 })
}

/// What a shadow with mistakes answers.
fn planted(wish: &str) -> Response {
    let mut prediction = prediction();
    match wish {
        "status" => return StatusCode::IM_A_TEAPOT.into_response(),
        "missing" => return axum::Json(json!({})).into_response(),
        "type" => prediction["label"] = json!(1),
        "length" => prediction["scores"] = json!([0.25]),
        "members" => drop(prediction.as_object_mut().unwrap().remove("label")),
        "number" => prediction["scores"][1] = json!(0.77),
        "text" => prediction["label"] = json!("honest"),
        "boolean" => prediction["is"] = json!(false),
        // Within the tolerance, and in another order.
        _ => {
            prediction = json!({ "id": 7.0, "is": true, "label": "fraud", "scores": [0.251, 0.749] });
        }
    }
    axum::Json(json!({ "prediction": prediction, "time": wish.len() })).into_response()
}

#[tokio::test]
async fn each_planted_difference_is_counted_by_its_kind() {
    let live = |_: &str| axum::Json(json!({ "prediction": prediction(), "time": 0 })).into_response();
    let ((live, _live), (next, _next)) = (model(live).await, model(planted).await);
    let text = gateway(
        "fraud",
        &live.to_string(),
        &next.to_string(),
        "{ path: $.prediction, tolerance: 0.01, minMatch: 95% }",
    );
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let envoy = stage.envoy().await;
    let count = pairs();
    let wishes: Vec<&str> = (0..count)
        .map(|i| match i % 10 {
            0 => Kind::ALL[i / 10 % 8].as_str(),
            _ => "same",
        })
        .collect();
    let asked = wishes.iter().map(|wish| (*wish).to_owned());
    assert_eq!(ask(&stage, "/fraud", asked).await, [(200, count)].into());
    let expected: BTreeMap<Kind, u64> = Kind::ALL
        .iter()
        .map(|kind| (*kind, wishes.iter().filter(|wish| **wish == kind.as_str()).count() as u64))
        .filter(|(_, count)| *count > 0)
        .collect();
    let differ: u64 = expected.values().sum();
    eventually("all pairs are compared", || {
        report(&stage, "fraud").is_some_and(|r| pair(&r).compared == count as u64)
    })
    .await;
    let report = report(&stage, "fraud").unwrap();
    let pair = pair(&report);
    println!("{pair:?}");
    assert_eq!((mismatches(pair), pair.matched), (expected, count as u64 - differ));
    assert!(pair.not_compared.is_empty() && report.not_paired.is_empty(), "{report:?}");
    assert!(pair.primary && pair.verdict == Verdict::Missed, "nine of ten are fewer than 95 %");
    let matches = Matches { compared: pair.compared, matched: pair.matched };
    assert_eq!(stage.app.reports.load().matches(&GatewayName::new("fraud").unwrap()), Some(matches));
    // Values are described, not shown.
    let text = serde_json::to_string(&*report).unwrap();
    for secret in ["honest", "0.77", "label"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains("$.prediction.*[1]") && text.contains("a number"), "{text}");
    // People and programs see the same.
    let page = format!("http://{}/api/v1/gateways/fraud/shadow", stage.app.http);
    let shown: Value = reqwest::get(page).await.unwrap().json().await.unwrap();
    assert_eq!(shown, serde_json::to_value(&*report).unwrap());
    let metrics =
        reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap().text().await.unwrap();
    for line in [
        format!("serin_compare_pairs_total{{gateway=\"fraud\",upstream=\"v1\"}} {count}"),
        format!("serin_compare_matches_total{{gateway=\"fraud\",upstream=\"v1\"}} {}", pair.matched),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }

    // Other rules are other counts, and values are shown to whoever asks for them.
    stage.replace("fraud.yaml", &text_with_examples(&live.to_string(), &next.to_string()));
    eventually("the counts begin anew", || {
        self::report(&stage, "fraud").is_some_and(|r| self::pair(&r).compared == 0)
    })
    .await;
    stage.taken().await;
    ask(&stage, "/fraud", ["text".to_owned(), "same".to_owned()]).await;
    eventually("both are compared", || {
        self::report(&stage, "fraud").is_some_and(|r| self::pair(&r).compared == 2)
    })
    .await;
    let report = self::report(&stage, "fraud").unwrap();
    let example = &self::pair(&report).mismatches[0].examples[0];
    assert_eq!(
        (&*example.place, &*example.live, &*example.shadow),
        ("$.prediction.label", "\"fraud\"", "\"honest\"")
    );
    stage.end([envoy]).await;
}

fn text_with_examples(live: &str, next: &str) -> String {
    gateway("fraud", live, next, "{ path: $.prediction, tolerance: 0.01, keepExamples: true }")
}

/// Answers that are not compared, by what the request asks for.
fn odd(wish: &str) -> Response {
    let headed = |name, value: &'static str, body: Body| ([(name, value)], body).into_response();
    match wish {
        "large" => "x".repeat(20_000).into_response(),
        "gzip" => headed("content-encoding", "gzip", Body::from("not really")),
        "events" => headed("content-type", "text/event-stream", Body::from("data: 1\n\ndata: 2\n\n")),
        "grpc" => headed("content-type", "application/grpc", Body::from(vec![0, 0, 0, 0, 1, 8])),
        "binary" => headed("content-type", "image/png", Body::from(vec![0xff, 0xfe])),
        "failed" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "refused" => (StatusCode::BAD_REQUEST, "it is ").into_response(),
        _ => "fraud".into_response(),
    }
}

/// The same, and what only a shadow may do to its clients.
fn odder(wish: &str) -> Response {
    match wish {
        "cut" => {
            let broken = || Err(std::io::Error::other("the model is gone"));
            let parts = stream::iter([Ok("fra"), broken()]);
            Body::from_stream(parts.then(async |part| {
                let_pass(Duration::from_millis(50)).await;
                part
            }))
            .into_response()
        }
        "refused" => (StatusCode::BAD_REQUEST, "wrong in other words").into_response(),
        "slow" => Body::from_stream(stream::once(async {
            let_pass(Duration::from_mins(1)).await;
            Ok::<_, Infallible>("late")
        }))
        .into_response(),
        other => odd(other),
    }
}

#[tokio::test]
async fn what_is_not_compared_is_counted_as_what_it_is() {
    const EACH: usize = 20;
    let ((live, _live), (next, _next)) = (model(odd).await, model(odder).await);
    let text = gateway("odd", &live.to_string(), &next.to_string(), "{ maxBytes: 4096 }");
    let stage = Stage::new(&[("odd.yaml", &text)]).await;
    let envoy = stage.envoy().await;
    let wishes = ["label", "large", "gzip", "events", "grpc", "binary", "failed", "refused", "cut", "slow"];
    let bodies = wishes.iter().flat_map(|wish| std::iter::repeat_n((*wish).to_owned(), EACH));
    let statuses = ask(&stage, "/odd", bodies).await;
    assert_eq!(statuses, [(200, 8 * EACH), (400, EACH), (500, EACH)].into());
    let each = EACH as u64;
    let expected: BTreeMap<Reason, u64> = [
        (Reason::TooLarge, each),
        (Reason::Compressed, each),
        (Reason::EventStream, each),
        (Reason::Grpc, each),
        (Reason::NotJson, each),
        (Reason::BothFailed, each),
        (Reason::Cut, 2 * each),
    ]
    .into();
    eventually("all are counted", || {
        report(&stage, "odd").is_some_and(|r| {
            let pair = pair(&r);
            pair.compared + pair.not_compared.values().sum::<u64>() == (wishes.len() * EACH) as u64
        })
    })
    .await;
    let report = report(&stage, "odd").unwrap();
    let pair = pair(&report);
    assert_eq!(pair.not_compared, expected, "{report:?}");
    assert_eq!((pair.compared, pair.matched), (2 * each, 2 * each), "{report:?}");
    assert!(report.not_paired.is_empty(), "{report:?}");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_shadow_that_gives_no_answer_is_counted_and_no_client_notices() {
    const REQUESTS: u64 = 100;
    let live = toy("v1").await;
    let slow = toy("slow").await;
    slow.set_latency(Duration::from_mins(1));
    let at = live.address().to_string();
    let (rude, _server) = rude().await;
    let stage = Stage::new(&[
        ("a.yaml", &gateway("resets", &at, &rude.to_string(), "{}")),
        ("b.yaml", &gateway("gone", &at, "127.0.0.1:9", "{}")),
        ("c.yaml", &gateway("hangs", &at, &slow.address().to_string(), "{}")),
    ])
    .await;
    let envoy = stage.envoy().await;
    for name in ["resets", "gone", "hangs"] {
        // A stream without an answer lasts a second longer than its request, and Envoy has 200 at a time.
        let load = stage.load(&format!("/{name}"), Some(40.0), Until::Requests(REQUESTS));
        assert_all_well(&load.finished().await);
    }
    for name in ["resets", "gone", "hangs"] {
        eventually("each is counted", || {
            report(&stage, name).is_some_and(|r| pair(&r).not_compared.values().sum::<u64>() == REQUESTS)
        })
        .await;
        let report = report(&stage, name).unwrap();
        let pair = pair(&report);
        println!("{name}: {:?}", pair.not_compared);
        let lost = [Reason::NoShadowAnswer, Reason::OnlyLive];
        assert!(pair.not_compared.keys().all(|reason| lost.contains(reason)), "{report:?}");
        assert_eq!(pair.compared, 0, "{report:?}");
    }
    stage.end([envoy]).await;
}

/// Accepts, reads, and hangs up without a word.
async fn rude() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 1024]).await;
        }
    });
    (address, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_for_all_shadows_stops_comparisons() {
    let live = |_: &str| "fraud".into_response();
    let ((live, _live), (next, _next)) = (model(live).await, model(live).await);
    let text = gateway("fraud", &live.to_string(), &next.to_string(), "{}");
    let options = Options { insecure_admin: true, ..Options::default() };
    let stage = Stage::with(&[("fraud.yaml", &text)], options).await;
    let envoy = stage.envoy().await;
    crate::cli::serin(&["switch", "shadow", "off", "--server", &format!("http://{}", stage.app.http)]).good();
    super::switches::sees(&envoy, Some("0")).await;
    assert_all_well(&stage.load("/fraud", None, Until::Requests(200)).finished().await);
    let streams = sent(&envoy).await;
    assert_eq!(streams, 0, "no answer was sent to be compared");
    stage.end([envoy]).await;
}

/// Streams that an Envoy opened to whoever compares.
async fn sent(envoy: &Envoy) -> u64 {
    let (_, text) = envoy.admin("/clusters").await.unwrap();
    let rows = text.lines().filter_map(|line| {
        line.strip_prefix("control_plane_compare::")?.split_once("::rq_total::")?.1.parse::<u64>().ok()
    });
    rows.sum()
}

/// The control plane as a process of its own, and an Envoy on it.
struct Apart {
    serin: Child,
    envoy: Envoy,
    port: u16,
    http: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Apart {
    async fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateways = folder.path().join("gateways");
        std::fs::create_dir(&gateways).unwrap();
        for (name, text) in files {
            std::fs::write(gateways.join(name), text).unwrap();
        }
        let [port, xds, http] = [free_port(), free_port(), free_port()];
        let settings = format!("listeners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n");
        std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
        let [xds, http] = [xds, http].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let serin = serve(folder.path(), xds, http);
        let mut envoy = envoy_on(xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        Self { serin, envoy, port, http, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.serin.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// At a rate, or as fast as they come.
    fn load(&self, path: &str, rate: Option<f64>, requests: u64) -> Load {
        Load::start(LoadOptions {
            url: format!("http://127.0.0.1:{}{path}", self.port),
            rate,
            until: Until::Requests(requests),
            version: VersionIn::Header(VERSION_HEADER.into()),
            connections: 8,
            ..LoadOptions::default()
        })
        .unwrap()
    }

    async fn pair(&self, gateway: &str) -> Value {
        let page = format!("http://{}/api/v1/gateways/{gateway}/shadow", self.http);
        let report: Value = reqwest::get(page).await.unwrap().json().await.unwrap();
        report["pairs"][0].clone()
    }

    async fn end(mut self) {
        self.envoy.stop().await.unwrap();
        self.serin.kill().await.unwrap();
    }
}

fn serve(folder: &Path, xds: SocketAddr, http: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_serin"))
        .args(["serve", "--config"])
        .arg(folder.join("serin.yaml"))
        .args(["--xds", &xds.to_string(), "--http", &http.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The memory of a process that is in use, in MiB.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn large(_: &str) -> Response {
    ([("content-type", "application/json")], format!("[{}1]", "0.25,".repeat(40_000))).into_response()
}

#[tokio::test]
async fn whoever_compares_may_be_frozen_overloaded_and_killed_and_memory_stays_bounded() {
    let ((live, _live), (next, _next)) = (model(large).await, model(large).await);
    let (at, to) = (live.to_string(), next.to_string());
    let plain =
        format!("apiVersion: serin/v1\nname: plain\npath: /plain\nupstreams: {{ v1: 'http://{at}' }}\n");
    let stage = Apart::start(&[
        ("plain.yaml", &plain),
        ("long.yaml", &gateway("long", &at, &to, "{ maxBytes: 1048576 }")),
        ("short.yaml", &gateway("short", &at, &to, "{ maxBytes: 4096 }")),
    ])
    .await;
    let requests = pairs() as u64;
    let envoy = u32::try_from(stage.envoy.pid()).unwrap();
    let serin = stage.serin.id().unwrap();
    let before = memory(serin);
    let show = |what: &str, report: &serin::launch::Report| {
        let p50 = report.all.latencies.quantile(0.5).unwrap_or_default();
        println!("{what}: p50 {p50:?}, Envoy {} MiB, Serin {} MiB", memory(envoy), memory(serin));
    };
    // As fast as they come: the whole answers are read, and kept, and compared as far as there is time.
    for path in ["/plain", "/long", "/short"] {
        let report = stage.load(path, None, requests).finished().await;
        assert_all_well(&report);
        show(path, &report);
    }
    let long = stage.pair("long").await;
    println!("{long}");
    assert!(long["compared"].as_u64().unwrap() > 0 && long["compared"] == long["matched"], "{long}");
    let held = (budget::BYTES >> 20) as u64;
    assert!(memory(serin) < before + 4 * held, "{} MiB of {before} MiB before", memory(serin));

    // What nobody takes an Envoy keeps for 0.2 s after its request: so much as comes in that time and no more, whatever the
    // machine. At this rate that is 16 MB, and 480 MB are sent.
    let read = memory(envoy);
    stage.signal(Signal::STOP);
    for path in ["/long", "/short"] {
        let report = stage.load(path, Some(200.0), 2 * requests).finished().await;
        assert_all_well(&report);
        show(&format!("frozen, {path}"), &report);
    }
    assert!(memory(envoy) < read + 150, "{} MiB of {read} MiB while they were read", memory(envoy));
    // As fast as they come no client waits for it either.
    for path in ["/long", "/short", "/plain"] {
        let report = stage.load(path, None, requests).finished().await;
        assert_all_well(&report);
        show(&format!("frozen, as fast as they come, {path}"), &report);
    }
    stage.signal(Signal::CONT);
    stage.signal(Signal::KILL);
    for path in ["/long", "/short", "/plain"] {
        let report = stage.load(path, None, requests).finished().await;
        assert_all_well(&report);
        println!("killed, {path}: p50 {:?}, Envoy {} MiB", report.all.latencies.quantile(0.5), memory(envoy));
    }
    stage.end().await;
}

#[tokio::test]
async fn an_envoy_with_an_older_bootstrap_serves_and_sends_nothing() {
    let live = |_: &str| "fraud".into_response();
    let ((live, _live), (next, _next)) = (model(live).await, model(live).await);
    let text = gateway("fraud", &live.to_string(), &next.to_string(), "{}");
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let bootstrap = Bootstrap {
        control_plane: Endpoint { host: stage.app.xds.ip().to_string(), port: stage.app.xds.port() },
        ..Bootstrap::default()
    };
    let text = bootstrap.to_string();
    let (older, _) = text.split_once("  # The same once more").unwrap();
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(crate::real::envoy().await, older, &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    assert_all_well(&stage.load("/fraud", None, Until::Requests(200)).finished().await);
    eventually("the copies go their way", || stage.shadow("fraud", "next") == Some([200, 0])).await;
    assert_eq!(report(&stage, "fraud").unwrap().matches(), Some(Matches::default()));
    stage.end([envoy]).await;
}
