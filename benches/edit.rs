//! From the rename of a gateway file to the first request that follows it, through a real Envoy; beside it, in the
//! same run, Envoy watching a file of its own with the same routes. `cargo bench --bench edit`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first trouble, and reads the clock"
)]

use serde_json::json;
use serin::app::{App, Options};
use serin::cli::envoy::EnvoyArgs;
use serin::control::{Event, World};
use serin::launch::{Bootstrap, Envoy, EnvoyBinary, EnvoyOptions, Toy, ToyOptions, VERSION_HEADER};
use serin::model::{Endpoint, Listener, Settings};
use serin::names::ListenerName;
use serin::resource::Kind;
use serin::snapshot::dump_bootstrap;
use serin::source::{Scanner, Watched, watch};
use serin::{cli, clock};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: usize = 40;
const WAIT: Duration = Duration::from_secs(30);

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
    println!("rename -> first request that follows, {ROUNDS} rounds each, milliseconds, median (p90)\n");
    println!(
        "| gateways | serin | watcher | translation | to Envoy's ACK | ACK to live | Envoy's own file | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for count in [1, 100, 1000] {
        let ours = serin(count, &envoy, &models).await;
        let theirs = own_file(count, &envoy, &models).await;
        println!(
            "| {count} | {} | {} | {} | {} | {} | {} | {:.2} |",
            ours.total,
            ours.watcher,
            ours.translation,
            ours.acknowledged,
            ours.live,
            theirs,
            ours.total.median / theirs.median
        );
    }
}

struct Spread {
    median: f64,
    p90: f64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        Self { median: at(50), p90: at(90) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ({:.1})", self.median, self.p90)
    }
}

struct Ours {
    total: Spread,
    watcher: Spread,
    translation: Spread,
    acknowledged: Spread,
    live: Spread,
}

/// The file of gateway `n`: everything to one of the two versions, so that one request tells which.
fn text(n: usize, models: &[Toy; 2], second: bool) -> String {
    let (a, b) = if second { (0, 100) } else { (100, 0) };
    format!(
        "apiVersion: serin/v1\nname: g{n}\npath: /g{n}\nupstreams:\n  v1: {}\n  v2: {}\ntraffic: {{ v1: {a}, v2: {b} }}\n",
        models[0].url(),
        models[1].url()
    )
}

fn fill(folder: &Path, count: usize, models: &[Toy; 2]) {
    for n in 0..count {
        std::fs::write(folder.join(format!("g{n}.yaml")), text(n, models, false)).expect("a file");
    }
}

fn replace(file: &Path, text: &str) -> Instant {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).expect("a file");
    let start = Instant::now();
    std::fs::rename(&beside, file).expect("a rename");
    start
}

fn settings(folder: &Path, port: u16) -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener { address: Ipv4Addr::LOCALHOST.into(), port, tls: None };
    let listeners = [(ListenerName::new("default").expect("a name"), listener)].into();
    Settings { gateways: folder.into(), xds: any, http: any, listeners, ..Settings::default() }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Asks until the given version answers.
async fn live(client: &reqwest::Client, url: &str, version: &str) -> Instant {
    let deadline = Instant::now() + WAIT;
    loop {
        let answer = client.get(url).send().await;
        let now = Instant::now();
        if answer.is_ok_and(|a| a.headers().get(VERSION_HEADER).is_some_and(|v| v == version)) {
            return now;
        }
        assert!(now < deadline, "{url} is never answered by {version}");
    }
}

async fn serin(count: usize, binary: &EnvoyBinary, models: &[Toy; 2]) -> Ours {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), count, models);
    let port = free_port();
    let app = App::start(settings(folder.path(), port), Options::default()).await.expect("a control plane");
    app.ready().await;
    let control_plane = Endpoint { host: "127.0.0.1".into(), port: app.xds.port() };
    let bootstrap = Bootstrap { control_plane, ..Bootstrap::default() }.to_string();
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(binary, &bootstrap, &options).await.expect("Envoy");
    envoy.ready(WAIT).await.expect("Envoy is ready");
    let client = reqwest::Client::new();
    let n = count / 2;
    let (url, file) = (format!("http://127.0.0.1:{port}/g{n}"), folder.path().join(format!("g{n}.yaml")));
    live(&client, &url, "v1").await;

    let (mut total, mut acknowledged, mut to_live) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let second = round % 2 == 0;
        let text = text(n, models, second);
        let start = replace(&file, &text);
        let taken = async {
            let mut views = app.view.subscribe();
            let weight = |view: &serin::control::View| {
                let gateway = view.gateways.get(format!("g{n}").as_str()).and_then(|g| g.gateway.clone());
                gateway.map_or(0, |g| g.upstreams[1].weight.hundredths())
            };
            while weight(&views.load()) != if second { 10_000 } else { 0 } {
                views.changed().await;
            }
            let version = views.load().fleet.everyone.set(Kind::Route).version();
            let has = || {
                app.registry
                    .proxies()
                    .iter()
                    .any(|p| p.kinds.get(&Kind::Route).is_some_and(|s| s.acknowledged == Some(version)))
            };
            while !has() {
                tokio::task::yield_now().await;
            }
            Instant::now()
        };
        let (acked, answered) = tokio::join!(taken, live(&client, &url, if second { "v2" } else { "v1" }));
        total.push(answered - start);
        acknowledged.push(acked.saturating_duration_since(start));
        to_live.push(answered.saturating_duration_since(acked));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    envoy.stop().await.expect("Envoy ends");
    app.stop().await;
    let watcher = watcher(count, models).await;
    let translation = translation(count, models);
    let medians = watcher.median + translation.median;
    let mut acknowledged = Spread::of(acknowledged);
    acknowledged.median = (acknowledged.median - medians).max(0.0);
    acknowledged.p90 = (acknowledged.p90 - medians).max(0.0);
    Ours { total: Spread::of(total), watcher, translation, acknowledged, live: Spread::of(to_live) }
}

/// From the rename to the event that the control loop gets.
async fn watcher(count: usize, models: &[Toy; 2]) -> Spread {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), count, models);
    let (out, mut events) = tokio::sync::mpsc::channel(16);
    let watched = Watched { directory: folder.path().into(), files: BTreeSet::new() };
    let _watching = watch(Scanner::new(watched), out).expect("a thread");
    events.recv().await.expect("all files");
    let file = folder.path().join("g0.yaml");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let start = replace(&file, &text(0, models, round % 2 == 0));
        events.recv().await.expect("an event");
        times.push(start.elapsed());
    }
    Spread::of(times)
}

/// One turn of the control loop: check, translate, encode, compare.
fn translation(count: usize, models: &[Toy; 2]) -> Spread {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), count, models);
    let watched = Watched { directory: folder.path().into(), files: BTreeSet::new() };
    let mut scanner = Scanner::new(watched);
    let mut world = World::new(settings(folder.path(), 1));
    world.apply(Event::Files(scanner.scan()), clock::now());
    let file = folder.path().join("g0.yaml");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        replace(&file, &text(0, models, round % 2 == 0));
        let changes = scanner.scan_files([file.as_path()]);
        let start = Instant::now();
        world.apply(Event::Files(changes), clock::now());
        std::hint::black_box(world.view());
        times.push(start.elapsed());
    }
    Spread::of(times)
}

/// Envoy watching its own file of routes.
async fn own_file(count: usize, binary: &EnvoyBinary, models: &[Toy; 2]) -> Spread {
    let folder = tempfile::tempdir().expect("a folder");
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).expect("a folder");
    fill(&gateways, count, models);
    let port = free_port();
    let n = count / 2;
    let mut world = World::new(settings(&gateways, port));
    let mut routes = |second: bool| {
        std::fs::write(gateways.join(format!("g{n}.yaml")), text(n, models, second)).expect("a file");
        let settings = settings(&gateways, port);
        world = World::new(settings.clone());
        let files = cli::read_directory(&gateways, &settings).expect("a directory that can be listed");
        world.apply(Event::Files(files), clock::now());
        let fleet = world.fleet();
        let mut all = dump_bootstrap(fleet.everyone.resources()).expect("YAML");
        let config =
            &mut all["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let mut route = config["route_config"].take();
        route["@type"] = json!("type.googleapis.com/envoy.config.route.v3.RouteConfiguration");
        config.as_object_mut().expect("a map").remove("route_config");
        config["rds"] = json!({
            "route_config_name": "default",
            "config_source": { "path_config_source": { "path": folder.path().join("routes.yaml") } },
        });
        all["node"] = json!({ "id": "file", "cluster": "file" });
        let file = json!({ "version_info": "1", "resources": [route] });
        (serde_yaml::to_string(&file).expect("YAML"), serde_yaml::to_string(&all).expect("YAML"))
    };
    let (first, bootstrap) = routes(false);
    let (second, _) = routes(true);
    std::fs::write(folder.path().join("routes.yaml"), &first).expect("a file");
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(binary, &bootstrap, &options).await.expect("Envoy");
    envoy.ready(WAIT).await.expect("Envoy is ready");
    let client = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{port}/g{n}");
    live(&client, &url, "v1").await;
    let mut times = Vec::new();
    for round in 0..ROUNDS.min(if count > 100 { 10 } else { ROUNDS }) {
        let (text, version) = if round % 2 == 0 { (&second, "v2") } else { (&first, "v1") };
        let start = replace(&folder.path().join("routes.yaml"), text);
        times.push(live(&client, &url, version).await - start);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    envoy.stop().await.expect("Envoy ends");
    Spread::of(times)
}
