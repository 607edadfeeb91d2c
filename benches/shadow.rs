//! What clients wait for a shadow whose answers are compared: the same model behind a plain route, a route whose requests
//! are copied, and one where both answers are compared as well, in turns on one Envoy; while whoever compares is well,
//! frozen, overloaded and killed. `cargo bench --bench shadow`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first trouble, and reads the clock"
)]

use axum::Router;
use axum::response::IntoResponse;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use serin::cli::envoy::EnvoyArgs;
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Load, LoadOptions, Report, Until};
use serin::model::Endpoint;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Each asks every route once, in another order.
const ROUNDS: usize = 7;
/// Of one route in one round.
const REQUESTS: u64 = 400;
/// A second: moderate, so that what is measured is an answer and not a queue.
const RATE: f64 = 200.0;
const CONNECTIONS: usize = 4;
/// Of the load that overloads whoever compares: as fast as answers come, and the cores are not for it alone.
const OVERLOADING: usize = 2;
const WAIT: Duration = Duration::from_secs(30);

/// The routes that are measured; the first is what the others are held against.
const ROUTES: [&str; 3] = ["plain", "copied", "compared"];
/// The route whose answers overload whoever compares: 200 KB each, and all of them are compared.
const LARGE: &str = "large";

fn gateway(name: &str, live: SocketAddr, shadow: Option<(SocketAddr, &str)>) -> String {
    let head = format!("apiVersion: serin/v1\nname: {name}\npath: /{name}\n");
    match shadow {
        None => format!("{head}upstreams: {{ v1: 'http://{live}' }}\n"),
        Some((next, settings)) => format!(
            "{head}upstreams: {{ v1: 'http://{live}', next: 'http://{next}' }}\ntraffic: {{ v1: 100 }}\n\
             shadow: {{ upstream: next, {settings} }}\n"
        ),
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    serin::client::choose_provider();
    let small = format!("{{\"scores\":[{}1]}}", "0.25,".repeat(200));
    let large = format!("[{}1]", "0.25,".repeat(40_000));
    let mut models = JoinSet::new();
    let mut model = async |text: &str| model(&mut models, text.to_owned()).await;
    let (live, next) = (model(&small).await, model(&small).await);
    let (large_live, large_next) = (model(&large).await, model(&large).await);
    let files = [
        gateway("plain", live, None),
        gateway("copied", live, Some((next, "percent: 10"))),
        gateway("compared", live, Some((next, "percent: 10, compare: {}"))),
        gateway(LARGE, large_live, Some((large_next, "percent: 100, compare: { maxBytes: 1048576 }"))),
    ];
    let mut stage = Stage::start(&files).await;
    println!(
        "Milliseconds at the client, {ROUNDS} rounds of {REQUESTS} requests of {} bytes at {RATE} a second for each \
         route; median of the rounds (min - max)\n",
        small.len()
    );
    println!(
        "| whoever compares is | route | median | p99 | ratio of the median to plain, of the same round |"
    );
    println!("|---|---|---|---|---|");
    stage.measure("running").await;
    let compared = stage.pair("compared").await["compared"].as_u64();
    stage.signal(Signal::STOP);
    stage.measure("frozen").await;
    stage.signal(Signal::CONT);
    stage.ready().await;
    let load = stage.load(LARGE, OVERLOADING, None, Until::Stopped);
    stage.measure("overloaded").await;
    let large = load.stop().await;
    assert_well(LARGE, &large);
    stage.requests += large.requests();
    let of_large = stage.pair(LARGE).await;
    let taken = of_large["compared"].as_u64();
    stage.serin.kill().await.expect("Serin ends");
    stage.measure("killed").await;

    println!("\n| whoever compares is | Envoy, MiB | Serin, MiB |");
    println!("|---|---|---|");
    for (what, envoy, serin) in &stage.memory {
        let serin = serin.map_or_else(|| "-".to_owned(), |serin| serin.to_string());
        println!("| {what} | {envoy} | {serin} |");
    }
    println!(
        "\n{} requests, no error; while running {} of about {} copies were compared, and of {} answers of 200 KB {}; \
         not compared of these: {}",
        stage.requests,
        compared.unwrap_or(0),
        ROUNDS as u64 * REQUESTS / 10,
        large.requests(),
        taken.unwrap_or(0),
        of_large["notCompared"],
    );
    assert!(compared > Some(0) && taken > Some(0), "nothing was compared");
    stage.envoy.stop().await.expect("Envoy ends");
}

/// A model that always answers the same.
async fn model(servers: &mut JoinSet<()>, text: String) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let text = bytes::Bytes::from(text);
    let answer = async move || ([("content-type", "application/json")], text).into_response();
    let router = Router::new().fallback(answer);
    servers.spawn(async move { axum::serve(listener, router).await.expect("a server") });
    address
}

/// Serin as a process of its own, an Envoy on it, and what was seen.
struct Stage {
    serin: Child,
    envoy: Envoy,
    port: u16,
    http: SocketAddr,
    /// All that were answered, with 200.
    requests: u64,
    /// Of both at the end of each part; Serin's as long as it lives.
    memory: Vec<(String, u64, Option<u64>)>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn start(files: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let gateways = folder.path().join("gateways");
        std::fs::create_dir(&gateways).expect("a folder");
        for (number, text) in files.iter().enumerate() {
            std::fs::write(gateways.join(format!("{number}.yaml")), text).expect("a file");
        }
        let [port, xds, http] = [free_port(), free_port(), free_port()];
        let settings = format!("listeners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n");
        std::fs::write(folder.path().join("serin.yaml"), settings).expect("a file");
        let [xds, http] = [xds, http].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let serin = serve(folder.path(), xds, http);
        let named = std::env::var_os("SERIN_ENVOY").map(PathBuf::from);
        let binary = EnvoyArgs { envoy: named }.find().envoy().await.expect("an Envoy");
        let control_plane = Endpoint { host: "127.0.0.1".into(), port: xds.port() };
        let bootstrap = Bootstrap { control_plane, ..Bootstrap::default() }.to_string();
        let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
        let mut envoy = Envoy::start(&binary, &bootstrap, &options).await.expect("Envoy");
        envoy.ready(WAIT).await.expect("Envoy is ready");
        let mut stage = Self { serin, envoy, port, http, requests: 0, memory: Vec::new(), _folder: folder };
        stage.ready().await;
        // Connections are open then.
        for route in ROUTES {
            stage.ask(route).await;
        }
        stage.remember("just started");
        stage
    }

    /// Waits until Serin and the routes are there.
    async fn ready(&self) {
        let deadline = Instant::now() + WAIT;
        let urls = ROUTES.map(|route| format!("http://127.0.0.1:{}/{route}", self.port));
        for url in urls.into_iter().chain([format!("http://{}/readyz", self.http)]) {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(Instant::now() < deadline, "{url} does not answer");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn load(&self, route: &str, connections: usize, rate: Option<f64>, until: Until) -> Load {
        let url = format!("http://127.0.0.1:{}/{route}", self.port);
        Load::start(LoadOptions { url, rate, until, connections, ..LoadOptions::default() }).expect("a load")
    }

    async fn ask(&mut self, route: &str) -> Report {
        let report = self.load(route, CONNECTIONS, Some(RATE), Until::Requests(REQUESTS)).finished().await;
        assert_well(route, &report);
        self.requests += report.requests();
        report
    }

    /// All rounds, and a line of the table for each route.
    async fn measure(&mut self, what: &str) {
        // Milliseconds of each route in each round.
        let mut seen = [const { Vec::new() }; ROUTES.len()];
        for round in 0..ROUNDS {
            for turn in 0..ROUTES.len() {
                let index = (turn + round) % ROUTES.len();
                let report = self.ask(ROUTES[index]).await;
                let at = |part| report.all.latencies.quantile(part).expect("latencies").as_secs_f64() * 1e3;
                seen[index].push((at(0.5), at(0.99)));
            }
        }
        for (route, rounds) in ROUTES.iter().zip(&seen) {
            let ratios = rounds.iter().zip(&seen[0]).map(|(own, plain)| own.0 / plain.0).collect();
            let [medians, tails] =
                [|r: &(f64, f64)| r.0, |r: &(f64, f64)| r.1].map(|of| rounds.iter().map(of));
            let (medians, tails) = (spread(medians.collect()), spread(tails.collect()));
            println!("| {what} | {route} | {medians} | {tails} | {} |", spread(ratios));
        }
        self.remember(what);
    }

    fn remember(&mut self, what: &str) {
        let envoy = u32::try_from(self.envoy.pid()).expect("a process");
        self.memory.push((what.into(), memory(envoy), self.serin.id().map(memory)));
    }

    fn signal(&self, signal: Signal) {
        let pid = self.serin.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }

    /// What is told of the answers of a gateway's one upstream and its shadow.
    async fn pair(&self, gateway: &str) -> Value {
        let page = format!("http://{}/api/v1/gateways/{gateway}/shadow", self.http);
        let report: Value = reqwest::get(page).await.expect("an answer").json().await.expect("a report");
        report["pairs"][0].clone()
    }
}

/// Stops the benchmark unless every request was answered with 200.
fn assert_well(route: &str, report: &Report) {
    let expected = BTreeMap::from([(200, report.requests())]);
    assert_eq!(report.all.by_status, expected, "{route}: {:?}", report.failures);
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
        .expect("Serin")
}

/// The memory of a process that is in use, in MiB.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let (least, middle, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{middle:.2} ({least:.2} - {most:.2})")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
