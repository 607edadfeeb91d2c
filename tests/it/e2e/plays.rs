//! How soon a bad canary is found in real time, and that a good one is not taken for one. `SERIN_RUNS=5` for figures.
//!
//! The models fail and dawdle by chance, with a tail as real ones have; chance has a seed, so that each run is another
//! one and the same each time. Envoy's dice are its own.

use super::rollout::{reaches, runs, shown, stage};
use super::stage::{Stage, envoy_on};
use crate::real::{DEADLINE, eventually};
use axum::Router;
use axum::extract::State;
use http::StatusCode;
use serin::launch::{Load, LoadOptions, Until, VERSION_HEADER};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;

/// How a model answers.
#[derive(Clone, Copy)]
struct Manner {
    /// The part of the requests that fail.
    errors: f64,
    /// The median latency in seconds. 99 % of requests take less than four times as long.
    median: f64,
    /// The slowest tenth takes so many times as long.
    tail: f64,
    /// Nothing is ever answered.
    hangs: bool,
}

const GOOD: Manner = Manner { errors: 0.0, median: 0.0, tail: 1.0, hangs: false };

/// The quotient of a lognormal's 99th percentile and its median, as the standard deviation of its logarithm: ln 4 / 2.326.
const SIGMA: f64 = 0.596;
/// The normal distribution's 90th percentile.
const TENTH: f64 = 1.2816;

impl Manner {
    /// The latency of a request in seconds, by a number with a normal distribution.
    fn latency(self, normal: f64) -> f64 {
        let usual = self.median * (SIGMA * normal).exp();
        if normal > TENTH { usual * self.tail } else { usual }
    }
}

/// A server that answers in its manner, and counts.
struct Model {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Mind {
    manner: Manner,
    version: &'static str,
    seed: u64,
    requests: Arc<AtomicU64>,
}

/// Numbers without a pattern, from 0 to 1: the output function of `SplitMix64`.
fn chance(seed: u64, number: u64) -> f64 {
    let mut x = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = u32::try_from((x ^ (x >> 31)) >> 32).unwrap();
    (f64::from(bits) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

async fn answer(State(mind): State<Mind>) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let number = 3 * mind.requests.fetch_add(1, Relaxed);
    let [fails, radius, angle] = [0, 1, 2].map(|n| chance(mind.seed, number + n));
    if mind.manner.hangs {
        std::future::pending::<()>().await;
    }
    // Box and Muller's way from two even numbers to a normal one.
    let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
    let latency = mind.manner.latency(normal);
    if latency > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(latency)).await;
    }
    let status = if fails < mind.manner.errors { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (status, [(VERSION_HEADER, mind.version)])
}

impl Model {
    async fn start(version: &'static str, manner: Manner, seed: usize) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let seed = u64::try_from(seed).unwrap() * 2 + u64::from(version == "v2");
        let mind = Mind { manner, version, seed: seed << 32, requests: Arc::clone(&requests) };
        let router = Router::new().fallback(answer).with_state(mind);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, requests, _server: server }
    }

    fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

/// A release of a canary with its manner in place of a primary with its own.
struct Play {
    primary: Manner,
    canary: Manner,
    /// The share that the canary begins with, in percent.
    step: u32,
    /// Requests a second.
    rate: f64,
    metrics: &'static str,
}

impl Play {
    /// Plays it once, as far as `end` goes; says how long that took from the canary's first request on, how many it had,
    /// and the engine's last sentence.
    async fn once<F: Future<Output = ()>>(
        &self,
        seed: usize,
        end: impl Fn(Arc<Stage>) -> F,
    ) -> (Duration, u64, String) {
        let v1 = Model::start("v1", self.primary, seed).await;
        let v2 = Model::start("v2", self.canary, seed).await;
        let text = format!(
            "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 60s\n\
             upstreams: {{ v1: 'http://{}', v2: 'http://{}' }}\n\
             rollout: {{ primary: v1, canary: v2, metrics: {}, steps: [{}], pause: 1s, bake: 1s }}\n",
            v1.address, v2.address, self.metrics, self.step
        );
        let stage = Arc::new(stage(&text).await);
        let load = Load::start(LoadOptions {
            url: stage.url("/predict"),
            rate: Some(self.rate),
            until: Until::Stopped,
            timeout: DEADLINE * 2,
            connections: 128,
            ..LoadOptions::default()
        });
        let load = load.unwrap();
        let mut envoy = envoy_on(stage.app.xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        let wait = async {
            while v2.requests() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::Instant::now()
        };
        let (first, ()) = tokio::join!(wait, end(Arc::clone(&stage)));
        let took = first.elapsed();
        let requests = v2.requests();
        let said = shown(&stage)["rollout"]["message"].as_str().unwrap_or_default().to_owned();
        load.stop().await;
        // Requests that hang would hold it up.
        envoy.stop().await.unwrap();
        Arc::into_inner(stage).unwrap().end([]).await;
        (took, requests, said)
    }

    /// Plays it until the canary is off at Envoy, several times.
    async fn until_it_is_off(&self, what: &str, blamed: &str) {
        let mut all = Vec::new();
        for seed in 0..runs(1) {
            let off = async |stage: Arc<Stage>| {
                reaches(&stage, "RolledBack").await;
                stage.serves_weight("fraud", "v2", 0.0).await;
            };
            let (took, requests, said) = self.once(seed, off).await;
            assert!(said.contains("worse with 99.") && said.contains(blamed), "{said}");
            println!("{what}: {took:.1?}, {requests} requests of the canary: {said}");
            all.push((took, requests));
        }
        all.sort();
        println!("{what}: median {:.1?} of {} runs", all[all.len() / 2].0, all.len());
    }
}

#[tokio::test]
async fn five_percent_of_errors_in_place_of_one_are_found() {
    let play = Play {
        primary: Manner { errors: 0.01, ..GOOD },
        canary: Manner { errors: 0.05, ..GOOD },
        step: 50,
        rate: 100.0,
        metrics: "[{ name: error-rate, max: 20% }]",
    };
    play.until_it_is_off("errors 1 to 5 %", "error rate").await;
}

#[tokio::test]
async fn a_longer_tail_is_found() {
    // Long beside what a busy machine adds to each request.
    let primary = Manner { median: 0.1, ..GOOD };
    let canary = Manner { tail: 1.5, ..primary };
    // Up to the 90th percentile they are the same; the 99th is half as much again.
    assert!((canary.latency(1.0) - primary.latency(1.0)).abs() < 1e-9);
    assert!((canary.latency(2.326) / primary.latency(2.326) - 1.5).abs() < 1e-9);
    let metrics = "[{ name: latency-p99, maxIncrease: 20% }]";
    let play = Play { primary, canary, step: 50, rate: 300.0, metrics };
    play.until_it_is_off("p99 half as much again", "p99").await;
}

#[tokio::test]
async fn a_canary_that_never_answers_is_found() {
    let canary = Manner { hangs: true, ..GOOD };
    let primary = Manner { median: 0.02, ..GOOD };
    // The timeout of the gateway is a minute; that answers are overdue is seen by those of the primary.
    let metrics = "[{ name: error-rate }, { name: latency-p99, maxIncrease: 20% }]";
    let play = Play { primary, canary, step: 5, rate: 50.0, metrics };
    play.until_it_is_off("hanging", "").await;
}

#[tokio::test]
async fn equal_versions_that_fail_now_and_then_are_promoted() {
    let manner = Manner { errors: 0.01, median: 0.01, ..GOOD };
    let metrics = "[{ name: error-rate }, { name: latency-p99, maxIncrease: 20% }]";
    let play = Play { primary: manner, canary: manner, step: 50, rate: 200.0, metrics };
    for seed in 0..runs(1) {
        let promoted = async |stage: Arc<Stage>| {
            eventually("evidence", || shown(&stage)["phase"] != "Waiting").await;
            reaches(&stage, "Promoted").await;
        };
        let (took, requests, said) = play.once(seed, promoted).await;
        assert!(said.contains("is promoted"), "{said}");
        println!("equal versions with 1 % errors: promoted in {took:.1?}, {requests} requests of the canary");
    }
}
