//! One Envoy and many gateways, in both layouts of routes: what a change of one gateway's weights costs on the wire
//! and in Envoy, and when the first request follows it. `cargo bench --bench layouts`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first trouble, and reads the clock"
)]

use serin::app::{App, Options};
use serin::cli::envoy::EnvoyArgs;
use serin::launch::{Bootstrap, Envoy, EnvoyBinary, EnvoyOptions, Toy, ToyOptions, VERSION_HEADER};
use serin::model::{Endpoint, Listener, Routing, Settings};
use serin::names::ListenerName;
use serin::resource::Kind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 40;
const WAIT: Duration = Duration::from_mins(2);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let named = std::env::var_os("SERIN_ENVOY").map(PathBuf::from);
    let envoy = EnvoyArgs { envoy: named }.find().envoy().await.expect("an Envoy");
    let toy = async |version: &str| {
        Toy::start(ToyOptions { version: version.into(), ..ToyOptions::default() }).await.expect("a toy")
    };
    let models = [toy("v1").await, toy("v2").await];
    println!(
        "| gateways | layout | Envoy ready | Envoy's memory | bytes per change | Envoy's CPU per change | rename to live: median (p90) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for count in [1_000, 10_000] {
        for routing in [Routing::Scoped, Routing::Plain] {
            measure(count, routing, &envoy, &models).await;
        }
    }
}

/// The file of gateway `n`: everything to one of the two versions, so that one request tells which.
fn text(n: usize, models: &[Toy; 2], second: bool) -> String {
    let (a, b) = if second { (0, 100) } else { (100, 0) };
    format!(
        "apiVersion: serin/v1\nname: g{n}\nhost: g{n}.example.com\nupstreams:\n  v1: {}\n  v2: {}\ntraffic: {{ v1: {a}, v2: {b} }}\n",
        models[0].url(),
        models[1].url()
    )
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn settings(folder: &Path, port: u16, routing: Routing) -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener { address: Ipv4Addr::LOCALHOST.into(), port, tls: None };
    let listeners = [(ListenerName::new("default").expect("a name"), listener)].into();
    Settings { gateways: folder.into(), xds: any, http: any, listeners, routing, ..Settings::default() }
}

async fn measure(count: usize, routing: Routing, binary: &EnvoyBinary, models: &[Toy; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |n: usize| folder.path().join(format!("g{n}.yaml"));
    for n in 0..count {
        std::fs::write(file(n), text(n, models, false)).expect("a file");
    }
    let port = free_port();
    let app = App::start(settings(folder.path(), port, routing), Options::default()).await;
    let app = app.expect("a control plane");
    app.ready().await;
    let control_plane = Endpoint { host: "127.0.0.1".into(), port: app.xds.port() };
    let bootstrap = Bootstrap { control_plane, ..Bootstrap::default() }.to_string();
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let start = Instant::now();
    let mut envoy = Envoy::start(binary, &bootstrap, &options).await.expect("Envoy");
    envoy.ready(WAIT).await.expect("Envoy is ready");
    let ready = start.elapsed();
    let n = count / 2;
    let client = reqwest::Client::new();
    let live = |version: &'static str| {
        let request =
            client.get(format!("http://127.0.0.1:{port}/")).header("host", format!("g{n}.example.com"));
        until_live(request, version)
    };
    live("v1").await;
    let edit = |second: bool| {
        let beside = file(n).with_extension("new");
        std::fs::write(&beside, text(n, models, second)).expect("a file");
        let start = Instant::now();
        std::fs::rename(&beside, file(n)).expect("a rename");
        start
    };

    // Without requests beside, which cost Envoy more than a change does.
    let sent = || app.registry.bytes.load(Ordering::Relaxed);
    let (bytes, cpu) = (sent(), cpu(envoy.pid()));
    for round in 0..ROUNDS {
        let before = app.view.load().fleet.everyone.set(Kind::Route).version();
        edit(round % 2 == 0);
        let taken = || {
            let version = app.view.load().fleet.everyone.set(Kind::Route).version();
            let proxies = app.registry.proxies();
            let status = proxies.first().and_then(|p| p.kinds.get(&Kind::Route));
            version != before && status.is_some_and(|s| s.acknowledged == Some(version))
        };
        while !taken() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let bytes = (sent() - bytes) / u64::from(ROUNDS);
    let cpu = self::cpu(envoy.pid()).saturating_sub(cpu) / ROUNDS;

    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let second = round % 2 == 0;
        let start = edit(second);
        times.push(live(if second { "v2" } else { "v1" }).await - start);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    times.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "| {count} | {} | {:.1} s | {} MiB | {bytes} | {:.1} ms | {:.1} ms ({:.1}) |",
        routing.as_str(),
        ready.as_secs_f64(),
        resident(envoy.pid()) >> 20,
        ms(cpu),
        ms(times[times.len() / 2]),
        ms(times[times.len() * 9 / 10]),
    );
    envoy.stop().await.expect("Envoy ends");
    app.stop().await;
}

/// Asks until the given version answers.
async fn until_live(request: reqwest::RequestBuilder, version: &str) -> Instant {
    let deadline = Instant::now() + WAIT;
    loop {
        let answer = request.try_clone().expect("no body").send().await;
        let now = Instant::now();
        if answer.is_ok_and(|a| a.headers().get(VERSION_HEADER).is_some_and(|v| v == version)) {
            return now;
        }
        assert!(now < deadline, "no answer by {version}");
    }
}

/// What a process has used of the processor; Linux counts in hundredths of a second.
fn cpu(pid: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = text.rsplit(") ").next().unwrap_or_default();
    let ticks = |at: usize| after_name.split(' ').nth(at).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Memory of a process, in bytes.
fn resident(pid: i32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|p| p.parse::<usize>().ok()).unwrap_or(0) * 4096
}
