//! Copies of requests go to a shadow, and no client notices it.

use super::stage::{Stage, assert_all_well, toy};
use crate::real::eventually;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Uri};
use serde_json::Value;
use serin::app::Options;
use serin::clock;
use serin::launch::{Toy, Until};
use serin::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The most that a shadow holds in one Envoy: under way, and waiting for a connection.
const HELD: u64 = 32 + 32;

/// What a shadow was asked.
#[derive(Clone, Debug)]
struct Copied {
    path: String,
    headers: HeaderMap,
    body: usize,
}

/// A server that tells what it is asked.
async fn recorder() -> (SocketAddr, UnboundedReceiver<Copied>, JoinSet<()>) {
    async fn keep(
        State(copies): State<UnboundedSender<Copied>>,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> &'static str {
        copies.send(Copied { path: uri.to_string(), headers, body: body.len() }).unwrap();
        "an answer that nobody gets"
    }
    let (sender, copies) = unbounded_channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(keep).with_state(sender);
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, copies, server)
}

/// Who answered, by the id of the request.
async fn ask(stage: &Stage, path: &str, count: usize) -> BTreeMap<String, String> {
    let client = reqwest::Client::new();
    let one = |i: usize| {
        let request = client
            .post(stage.url(path))
            .header("x-user-id", format!("user-{i}"))
            .header("authorization", "Bearer secret")
            .header("cookie", "session=secret")
            .header("x-api-key", "secret")
            .header("x-shadow", "1")
            .body("x".repeat(10_000));
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["headers"]["authorization"], "Bearer secret", "the model gets what was sent");
            assert_eq!(answer["headers"]["x-shadow"], Value::Null, "no client can call its request a copy");
            let id = answer["headers"]["x-request-id"].as_str().unwrap().to_owned();
            (id, answer["version"].as_str().unwrap().to_owned())
        }
    };
    stream::iter(0..count).map(one).buffer_unordered(16).collect().await
}

/// A share that chance gives with five standard deviations at most; else once in a million.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn assert_share(what: &str, part: usize, whole: usize, share: f64) {
    let (part, whole) = (part as f64, whole as f64);
    let spread = 5.0 * (whole * share * (1.0 - share)).sqrt();
    assert!((part - whole * share).abs() <= spread, "{what}: {part} of {whole}, not {share}");
}

#[tokio::test]
async fn a_sample_is_copied_whoever_answers_and_without_credentials() {
    const REQUESTS: usize = 2000;
    let toys = [toy("v1").await, toy("v2").await];
    let (address, mut copies, _server) = recorder().await;
    let gateway = |name: &str, affinity: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: /{name}\nrewrite: /echo\n\
             upstreams: {{ v1: {}, v2: {}, next: 'http://{address}' }}\ntraffic: {{ v1: 90, v2: 10 }}\n\
             match: [{{ headers: {{ x-card: gold }}, upstream: v1 }}]\ndirectAccess: true\n\
             shadow: {{ upstream: next, percent: 20 }}\n{affinity}",
            toys[0].url(),
            toys[1].url(),
        )
    };
    let stage = Stage::new(&[
        ("a.yaml", &gateway("chance", "")),
        ("b.yaml", &gateway("header", "sessionAffinity: { header: x-user-id }\n")),
        ("c.yaml", &gateway("stranger", "sessionAffinity: { header: x-nobody-has-it }\n")),
        ("d.yaml", &gateway("cookie", "sessionAffinity: { cookie: serin }\n")),
    ])
    .await;
    let envoy = stage.envoy().await;
    for name in ["chance", "header", "stranger", "cookie"] {
        let answered = ask(&stage, &format!("/{name}"), REQUESTS).await;
        assert_eq!(answered.len(), REQUESTS, "each request has an id of its own");
        let mut seen = BTreeSet::new();
        eventually("all copies have come", || {
            while let Ok(copy) = copies.try_recv() {
                assert_is_a_copy(&copy);
                seen.insert(copy.headers["x-request-id"].to_str().unwrap().to_owned());
            }
            let table = stage.app.table.load();
            let live: f64 = table.gateway(name, clock::now()).values().map(|n| n.total.requests).sum();
            let idle = table.shadow(name, "next", clock::now()).is_some_and(|n| n.gauges.active < 0.5);
            whole(live) == REQUESTS && idle && stage.shadow(name, "next") == Some([seen.len() as u64, 0])
        })
        .await;
        assert!(seen.iter().all(|id| answered.contains_key(id)), "a copy has the id of its request");
        let [v1, v2] = ["v1", "v2"].map(|version| {
            let of: Vec<_> = answered.iter().filter(|(_, v)| *v == version).collect();
            (of.iter().filter(|(id, _)| seen.contains(*id)).count(), of.len())
        });
        println!("{name}: copied {v1:?} of v1, {v2:?} of v2");
        assert_share("answered by the canary", v2.1, REQUESTS, 0.1);
        assert_share("copied of v1", v1.0, v1.1, 0.2);
        assert_share("copied of v2", v2.0, v2.1, 0.2);
    }

    // What goes to one upstream by a rule is no sample of the split, and an upgraded connection has no end.
    for headers in [("x-card", "gold"), ("x-serin-upstream", "v2"), ("upgrade", "websocket")] {
        for _ in 0..60 {
            let upgrade = [headers, ("connection", "upgrade")];
            let headers = if headers.0 == "upgrade" { &upgrade[..] } else { &upgrade[..1] };
            assert!(stage.fetch("/chance", headers).await.0 < 500);
        }
    }
    // A copy is sent with its request; all that came in were answered, so theirs would come first.
    let more = ask(&stage, "/chance", 200).await;
    let mut ids = BTreeSet::new();
    eventually("copies of the others come", || {
        while let Ok(copy) = copies.try_recv() {
            ids.insert(copy.headers["x-request-id"].to_str().unwrap().to_owned());
        }
        !ids.is_empty()
    })
    .await;
    assert!(ids.iter().all(|id| more.contains_key(id)), "only requests of the split are copied");
    stage.end([envoy]).await;
}

fn assert_is_a_copy(copy: &Copied) {
    assert_eq!((copy.path.as_str(), copy.body), ("/echo", 10_000));
    let marks: Vec<_> = copy.headers.get_all("x-shadow").iter().collect();
    assert_eq!(marks, ["1"]);
    assert!(!copy.headers["host"].to_str().unwrap().contains("shadow"));
    for credential in ["authorization", "cookie", "x-api-key"] {
        assert!(!copy.headers.contains_key(credential), "{credential}");
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of a test")]
fn whole(number: f64) -> usize {
    number as usize
}

/// Accepts, reads, and hangs up without a word.
async fn hang_up(listener: TcpListener) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let _ = socket.read(&mut [0; 1024]).await;
    }
}

#[tokio::test]
async fn no_client_notices_a_shadow_that_fails_resets_is_gone_or_hangs() {
    let (live, failing, slow) = (toy("v1").await, toy("failing").await, toy("slow").await);
    failing.set_failures(Weight::ALL);
    slow.set_latency(Duration::from_mins(1));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let rude = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(hang_up(listener));
    let gateway = |name: &str, shadow: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams: {{ v1: {}, next: {shadow} }}\n\
             traffic: {{ v1: 100 }}\nshadow: {{ upstream: next, percent: 100 }}\n",
            live.url()
        )
    };
    let stage = Stage::new(&[
        ("a.yaml", &gateway("failing", &failing.url())),
        ("b.yaml", &gateway("resets", &rude)),
        ("c.yaml", &gateway("gone", "http://127.0.0.1:9")),
        ("d.yaml", &gateway("hangs", &slow.url())),
    ])
    .await;
    let envoy = stage.envoy().await;
    for name in ["failing", "resets", "gone", "hangs"] {
        assert_all_well(&stage.load(&format!("/{name}"), None, Until::Requests(300)).finished().await);
    }
    for name in ["failing", "resets", "gone"] {
        eventually("each copy is counted as an error of the shadow", || {
            stage.shadow(name, "next") == Some([300, 300])
        })
        .await;
    }
    eventually("what a shadow that hangs does not hold is an error at once", || {
        stage.shadow("hangs", "next").is_some_and(|[_, errors]| errors >= 300 - HELD)
    })
    .await;
    assert_eq!(stage.shadow("hangs", "next"), Some([300 - HELD, 300 - HELD]));
    assert_eq!(slow.requests(), HELD / 2, "the others wait for a connection");
    for name in ["failing", "resets", "gone", "hangs"] {
        let table = stage.app.table.load();
        let numbers = table.gateway(name, clock::now());
        let live: Vec<_> = numbers.iter().map(|(name, n)| (name.as_str(), n.total.errors)).collect();
        assert!(live.iter().all(|(_, errors)| *errors < 0.5), "{name}: {live:?} are not the shadow's");
        assert!(live.contains(&("v1", 0.0)));
    }
    stage.end([envoy]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadows_are_switched_off_for_all_gateways_at_once() {
    let (live, next): (Toy, Toy) = (toy("v1").await, toy("next").await);
    let gateway = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {}, next: {} }}\ntraffic: {{ v1: 100 }}\n\
         shadow: {{ upstream: next, percent: 50 }}\n",
        live.url(),
        next.url()
    );
    let options = Options { insecure_admin: true, ..Options::default() };
    let stage = Stage::with(&[("fraud.yaml", &gateway)], options).await;
    let envoy = stage.envoy().await;
    let server = format!("http://{}", stage.app.http);
    for (position, at_envoy) in [("off", Some("0")), ("on", None)] {
        crate::cli::serin(&["switch", "shadow", position, "--server", &server]).good();
        super::switches::sees(&envoy, at_envoy).await;
        assert_all_well(&stage.load("/", None, Until::Requests(400)).finished().await);
        if position == "off" {
            assert_eq!(next.requests(), 0);
        }
    }
    stage.end([envoy]).await;
    assert_share("copied", usize::try_from(next.requests()).unwrap(), 400, 0.5);
}

/// A server of the gRPC health protocol.
async fn grpc() -> (SocketAddr, JoinSet<()>) {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_service_status("model", ServingStatus::Serving).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    (address, server)
}

#[tokio::test]
async fn calls_and_streams_of_grpc_are_copied() {
    let ((live, _live), (next, _next)) = (grpc().await, grpc().await);
    let gateway = format!(
        "apiVersion: serin/v1\nname: triton\ntimeout: 5m\nupstreams:\n\
         \x20 v1: {{ endpoints: ['{live}'], protocol: grpc }}\n\x20 next: {{ endpoints: ['{next}'], protocol: grpc }}\n\
         traffic: {{ v1: 100 }}\nshadow: {{ upstream: next, percent: 100 }}\n"
    );
    let stage = Stage::new(&[("triton.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    let channel = tonic::transport::Endpoint::new(stage.url("")).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = || HealthCheckRequest { service: "model".into() };
    for _ in 0..20 {
        client.check(request()).await.unwrap();
    }
    eventually("each call has a copy that went well", || stage.shadow("triton", "next") == Some([20, 0]))
        .await;
    let mut watched = client.watch(request()).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());
    eventually("a stream has a copy under way", || {
        let shadow = stage.app.table.load().shadow("triton", "next", clock::now());
        shadow.is_some_and(|n| n.gauges.active > 0.5)
    })
    .await;
    drop(watched);
    stage.end([envoy]).await;
}
