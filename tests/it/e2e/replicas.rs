//! Several control planes with one database: one leads, all serve, and nobody notices when that one is gone.

mod asked;
mod late;
mod orders;
mod roster;

use super::rollout::runs;
use super::stage::{envoy_on, free_port, let_pass, toy};
use crate::postgres::Server;
use crate::protocol::client::{ADS, connect, delta, node, soon, subscribe, write};
use crate::real::{DEADLINE, eventually};
use crate::store::Serve;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::{Envoy, Load, LoadOptions, Toy, VERSION_HEADER, VersionIn};
use serin::model::{Settings, StoreAt};
use serin::resource::Kind;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A way to a control plane or a database, which can be laid to another one, and on which nothing may get through, as behind
/// a switch that drops everything.
pub(super) struct Road {
    pub(super) address: SocketAddr,
    target: watch::Sender<SocketAddr>,
    free: watch::Sender<bool>,
    /// How many connections were opened.
    pub(super) opened: Arc<AtomicUsize>,
    _work: JoinSet<()>,
}

impl Road {
    pub(super) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mut targets) = watch::channel(target);
        let (free, is_free) = watch::channel(true);
        let opened = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&opened);
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut near, _)) = listener.accept() => {
                        count.fetch_add(1, Ordering::Relaxed);
                        let target = *targets.borrow();
                        let free = [is_free.clone(), is_free.clone()];
                        open.spawn(async move {
                            let Ok(mut far) = TcpStream::connect(target).await else { return };
                            let [(near_in, near_out), (far_in, far_out)] = [near.split(), far.split()];
                            let [there, back] = free;
                            // Either end may go away at any time.
                            let _ = tokio::try_join!(
                                carry(near_in, far_out, there),
                                carry(far_in, near_out, back)
                            );
                        });
                    }
                    Ok(()) = targets.changed() => open.abort_all(),
                    else => return,
                }
            }
        });
        Self { address, target: sender, free, opened, _work: work }
    }

    pub(super) fn lead(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// From now on nothing gets through, and nobody is told; or what waits goes on.
    pub(super) fn block(&self, is_blocked: bool) {
        self.free.send_replace(!is_blocked);
    }
}

/// Carries bytes one way, while the way is free.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut free: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut bytes).await?;
        // Who made the way is gone: so is the way.
        free.wait_for(|free| *free).await.map_err(std::io::Error::other)?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// Steps from 30 % on, so many percent each.
pub(super) fn steps_of(percent: f64) -> Vec<f64> {
    std::iter::successors(Some(30.0), |step| Some(step + percent)).take_while(|step| *step < 100.0).collect()
}

/// A release in these steps, each of which takes so many seconds at least.
pub(super) fn release_in(v1: &Toy, v2: &Toy, steps: &[f64], seconds: u32) -> String {
    let (v1, v2) = (v1.url(), v2.url());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 10s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate }}], pause: {seconds}s, bake: 1s, \
         steps: {steps:?} }}\n"
    )
}

/// A release in many steps, each of which is short.
pub(super) fn release(v1: &Toy, v2: &Toy) -> String {
    release_in(v1, v2, &steps_of(5.0), 1)
}

/// Control planes of one database, each a process with files of its own, and with a way of its own to the database.
pub(super) struct Replicas {
    pub(super) server: Server,
    pub(super) ways: Vec<Road>,
    folders: Vec<TempDir>,
    pub(super) running: Vec<Option<Serve>>,
    pub(super) port: u16,
    text: String,
    _seat: SemaphorePermit<'static>,
}

/// Of these, two at a time: they need more of a machine than other tests, decide by how long others are silent, and wait for
/// leases most of the time.
static SEAT: Semaphore = Semaphore::const_new(2);

impl Replicas {
    pub(super) async fn start(count: usize, text: &str) -> Self {
        let seat = SEAT.acquire().await.unwrap();
        let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
        let (port, text) = (free_port(), text.to_owned());
        let (ways, folders, running) = (Vec::new(), Vec::new(), Vec::new());
        let mut replicas = Self { server, ways, folders, running, port, text, _seat: seat };
        for _ in 0..count {
            replicas.add().await;
        }
        replicas
    }

    /// One more; says which.
    pub(super) async fn add(&mut self) -> usize {
        let way = Road::to((Ipv4Addr::LOCALHOST, self.server.port).into()).await;
        let [direct, by_way] = [self.server.port, way.address.port()].map(|port| format!(":{port}/"));
        let store = self.server.url("postgres").replace(&direct, &by_way);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("gateways")).unwrap();
        write(&folder.path().join("gateways"), "fraud.yaml", &self.text);
        let listener = format!("{{ default: {{ address: 127.0.0.1, port: {} }} }}", self.port);
        let settings = format!("gateways: gateways\nlisteners: {listener}\nstore: \"{store}\"\n");
        std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
        self.ways.push(way);
        self.folders.push(folder);
        self.running.push(None);
        let i = self.running.len() - 1;
        self.up(i).await;
        i
    }

    /// Ends one in good order.
    pub(super) async fn stop(&mut self, i: usize) {
        let mut serve = self.running[i].take().unwrap();
        kill_process(Pid::from_child(&serve.child), Signal::TERM).unwrap();
        eventually("it ends", || serve.child.try_wait().unwrap().is_some()).await;
    }

    pub(super) async fn up(&mut self, i: usize) {
        self.running[i] = Some(Serve::start(self.folders[i].path(), &["--insecure-admin"]).await);
    }

    /// Gives all of them this gateway file.
    pub(super) fn write(&self, name: &str, text: &str) {
        for folder in &self.folders {
            write(&folder.path().join("gateways"), name, text);
        }
    }

    pub(super) fn get(&self, i: usize) -> &Serve {
        self.running[i].as_ref().unwrap()
    }

    /// Where the Envoys of a replica connect.
    pub(super) fn xds(&self, i: usize) -> SocketAddr {
        let said = self.get(i).said();
        let address = said.split("xDS on ").nth(1).unwrap().split(',').next().unwrap();
        address.parse().unwrap_or_else(|e| panic!("{address}: {e}"))
    }

    /// Waits until one of these leads; says which.
    pub(super) async fn leader(&self, among: &[usize]) -> usize {
        let wait = async {
            loop {
                if let Some(leader) = self.leads(among).await {
                    return leader;
                }
                let_pass(Duration::from_millis(20)).await;
            }
        };
        soon("somebody leads", wait).await
    }

    /// Who of these leads now.
    pub(super) async fn leads(&self, among: &[usize]) -> Option<usize> {
        for i in among {
            if metric(&self.get(*i).url, "serin_leader").await == Some(1.0) {
                return Some(*i);
            }
        }
        None
    }

    /// Waits until so many decisions were kept.
    pub(super) async fn decides(&self, wanted: usize) {
        let wait = async {
            while self.decisions().len() < wanted {
                let_pass(Duration::from_millis(100)).await;
            }
        };
        let decided = tokio::time::timeout(DEADLINE * 2, wait).await;
        assert!(decided.is_ok(), "not {wanted} decisions: {:?}", self.decisions());
    }

    /// The decisions, in their order: kind, revision, and the weight of the canary after it where that changed.
    pub(super) fn decisions(&self) -> Vec<(String, u64, Option<f64>)> {
        let sql = "SELECT kind, revision, coalesce(after, '') FROM serin.journal \
                   WHERE gateway = 'fraud' AND revision IS NOT NULL ORDER BY sequence";
        let row = |line: &str| {
            let columns: Vec<&str> = line.splitn(3, '|').collect();
            let after: Option<Value> = serde_json::from_str(columns[2]).ok();
            (columns[0].to_owned(), columns[1].parse().unwrap(), after.and_then(|a| a["v2"].as_f64()))
        };
        self.server.ask(sql).lines().map(row).collect()
    }

    /// Waits until so many steps were taken.
    pub(super) async fn steps(&self, wanted: usize) {
        let wait = async {
            while self.decisions().iter().filter(|d| d.0 == "advanced").count() < wanted {
                let_pass(Duration::from_millis(100)).await;
            }
        };
        let steps = tokio::time::timeout(DEADLINE * 2, wait).await;
        assert!(steps.is_ok(), "not {wanted} steps: {:?}", self.decisions());
    }
}

pub(super) async fn metric(url: &str, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("{url}/metrics")).await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until a metric of a replica has this value.
pub(super) async fn shows(url: &str, name: &str, wanted: f64) {
    let wait = async {
        while metric(url, name).await != Some(wanted) {
            let_pass(Duration::from_millis(50)).await;
        }
    };
    soon(&format!("{name} {wanted} at {url}"), wait).await;
}

pub(super) async fn gateway(url: &str) -> Option<Value> {
    reqwest::get(format!("{url}/api/v1/gateways/fraud")).await.ok()?.json().await.ok()
}

pub(super) async fn envoys(roads: &[Road]) -> Vec<Envoy> {
    let mut envoys = Vec::new();
    for road in roads {
        let mut envoy = envoy_on(road.address, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        envoys.push(envoy);
    }
    envoys
}

pub(super) fn load(port: u16) -> Load {
    Load::start(LoadOptions {
        url: format!("http://127.0.0.1:{port}/predict"),
        rate: Some(300.0),
        version: VersionIn::Header(VERSION_HEADER.into()),
        connections: 24,
        ..LoadOptions::default()
    })
    .unwrap()
}

/// Looks at the weights that replicas show until it is told to stop: none is ever before the journal.
pub(super) async fn watched(replicas: &Replicas, among: &[usize]) -> usize {
    let mut looks = 0;
    for i in among {
        let Some(shown) = gateway(&replicas.get(*i).url).await else { continue };
        let weight = super::stage::weight(Some(&shown), "v2").unwrap_or_default();
        // Later than the look: what was shown was kept before.
        let kept = replicas.decisions().iter().filter_map(|d| d.2).fold(0.0, f64::max);
        assert!(weight <= kept, "{weight} % is served, and the journal is at {kept} %");
        looks += 1;
    }
    looks
}

/// Nothing is missing from the journal, and nothing was decided twice.
pub(super) fn assert_whole(decisions: &[(String, u64, Option<f64>)], steps: &[f64]) {
    let revisions: Vec<u64> = decisions.iter().map(|d| d.1).collect();
    let counted: Vec<u64> = (1..=revisions.len() as u64).collect();
    assert_eq!(revisions, counted, "{decisions:?}");
    let weights: Vec<f64> = decisions.iter().filter(|d| d.0 == "advanced").filter_map(|d| d.2).collect();
    let steps = [steps, &[100.0]].concat();
    assert_eq!(weights, steps[..weights.len()], "{decisions:?}");
}

/// How a leader ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Killed,
    Frozen,
}

/// Ends leaders in the middle of a release, as often as that lasts or is asked for.
async fn leaders_end(how: End, usual: usize) {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let mut replicas = Replicas::start(3, &release(&v1, &v2)).await;
    let mut leader = replicas.leader(&[0, 1, 2]).await;
    // Two Envoys report to the leader, and one is at another replica.
    let mut roads = Vec::new();
    for i in [leader, leader, (leader + 1) % 3] {
        roads.push(Road::to(replicas.xds(i)).await);
    }
    let envoys = envoys(&roads).await;
    let load = load(replicas.port);
    let (mut took, mut looks) = (Vec::new(), 0);
    for round in 0..runs(usual) {
        replicas.steps((round + 1).min(13)).await;
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        looks += watched(&replicas, &[0, 1, 2]).await;
        let pid = Pid::from_child(&replicas.get(leader).child);
        match how {
            End::Killed => replicas.running[leader].take().unwrap().kill(),
            End::Frozen => kill_process(pid, Signal::STOP).unwrap(),
        }
        let ended = Instant::now();
        roads.iter().for_each(|road| road.lead(replicas.xds(others[0])));
        let next = replicas.leader(&others).await;
        took.push(ended.elapsed());
        looks += watched(&replicas, &others).await;
        roads[..2].iter().for_each(|road| road.lead(replicas.xds(next)));
        match how {
            End::Killed => replicas.up(leader).await,
            End::Frozen => {
                // It wakes up in the middle of what it was doing, and others have decided since.
                replicas.steps((round + 2).min(14)).await;
                kill_process(pid, Signal::CONT).unwrap();
                shows(&replicas.get(leader).url, "serin_leader", 0.0).await;
            }
        }
        roads[2].lead(replicas.xds(leader));
        leader = replicas.leader(&[0, 1, 2]).await;
        looks += watched(&replicas, &[0, 1, 2]).await;
        assert_whole(&replicas.decisions(), &steps_of(5.0));
    }
    // All serve the same in the end.
    let same = async {
        loop {
            let mut weights = Vec::new();
            for i in 0..3 {
                let shown = gateway(&replicas.get(i).url).await;
                weights.push(super::stage::weight(shown.as_ref(), "v2"));
            }
            if weights[0].is_some() && weights.iter().all(|weight| *weight == weights[0]) {
                return;
            }
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("the same weight everywhere", same).await;
    let report = load.stop().await;
    println!("until another one led: {took:?}; {looks} looks, {} requests", report.requests());
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    assert_whole(&replicas.decisions(), &steps_of(5.0));
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_by_another() {
    leaders_end(End::Killed, 2).await;
}

#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_late() {
    leaders_end(End::Frozen, 1).await;
}

/// A control plane in this process.
async fn app(gateways: &Path, server: &Server, port: u16) -> App {
    app_of(gateways, server, port, &server.path("cache.db")).await
}

/// The same, which remembers in this file what was kept.
pub(super) async fn app_of(gateways: &Path, server: &Server, port: u16, cache: &Path) -> App {
    let url = format!("{}&cache={}", server.url("postgres"), cache.display());
    let store = serin::config::store_at(&url).unwrap();
    assert!(matches!(store, StoreAt::Postgres(_)));
    let settings = Settings { store: Some(store), ..super::stage::settings(gateways, port, None) };
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    soon("files are read", app.ready()).await;
    app
}

pub(super) const KINDS: [Kind; 5] =
    [Kind::Runtime, Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];

#[tokio::test]
async fn who_moves_to_another_replica_is_sent_nothing_that_it_has() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let port = free_port();
    let text = |more: &str| release(&v1, &v2).replace("timeout: 10s", &format!("timeout: {more}"));
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    folders.iter().for_each(|folder| write(folder.path(), "fraud.yaml", &text("2s")));
    let first = app(folders[0].path(), &server, port).await;
    eventually("it leads", || first.view.load().leads).await;
    eventually("the release is known", || {
        first.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some())
    })
    .await;
    let second = app(folders[1].path(), &server, port).await;
    eventually("it follows", || {
        second.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some())
    })
    .await;
    assert!(!second.view.load().leads);

    let stream_of = async |app: &App, mut held: BTreeMap<Kind, BTreeMap<String, String>>| {
        let ask = |kind: Kind, held: &mut BTreeMap<Kind, BTreeMap<String, String>>| {
            let names = match kind {
                Kind::Route => vec!["default"],
                Kind::Runtime => vec!["serin"],
                _ => vec!["*"],
            };
            let initial_resource_versions = held.remove(&kind).unwrap_or_default().into_iter().collect();
            DeltaDiscoveryRequest { initial_resource_versions, ..subscribe(kind, &names) }
        };
        let first = ask(KINDS[0], &mut held);
        let channel = connect(app).await;
        let stream =
            delta(&channel, ADS, DeltaDiscoveryRequest { node: Some(node("edge-1", "edge")), ..first }).await;
        for kind in &KINDS[1..] {
            stream.say(ask(*kind, &mut held)).await;
        }
        stream
    };
    let mut stream = stream_of(&first, BTreeMap::new()).await;
    let mut held: BTreeMap<Kind, BTreeMap<String, String>> = BTreeMap::new();
    while held.len() < KINDS.len() {
        let heard = stream.hear().await;
        stream.answer(&heard, None).await;
        let kind = KINDS.into_iter().find(|k| k.type_url() == heard.type_url).unwrap();
        held.entry(kind).or_default().extend(heard.resources.into_iter().map(|r| (r.name, r.version)));
    }
    let mut moved = stream_of(&second, held.clone()).await;
    // What it hears first is the next edit, and no more than that.
    folders.iter().for_each(|folder| write(folder.path(), "fraud.yaml", &text("3s")));
    let heard = moved.hear().await;
    assert_eq!(heard.type_url, Kind::Route.type_url());
    assert_eq!(heard.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["default"]);
    let told = |app: &App| app.view.load().fleet.snapshot("edge").set(Kind::Route).version();
    eventually("the same version everywhere", || told(&first) == told(&second)).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_keeps_is_served_everywhere_and_nothing_moves_without_the_database() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "fraud.yaml", &release(&v1, &v2));
    let port = free_port();
    let leader = app(folder.path(), &server, port).await;
    eventually("it leads", || leader.view.load().leads).await;
    let follower = app(folder.path(), &server, port).await;
    let weight = |app: &App| {
        let gateway = app.view.load().gateways.get("fraud").cloned();
        super::stage::weight(gateway.map(|g| serde_json::to_value(&*g).unwrap()).as_ref(), "v2")
    };
    let order = async |app: &App, percent: u32| {
        let url = format!("http://{}/api/v1/gateways/fraud/actions/set-weight", app.http);
        let client = serin::client::builder().build().unwrap();
        let body = serde_json::json!({ "weight": percent });
        let answer = client.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    eventually("the release is known", || {
        leader.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some())
    })
    .await;
    let mut late = Vec::new();
    for percent in 1..=runs(20) {
        let percent = u32::try_from(percent).unwrap() % 90 + 1;
        let (status, said) = order(&leader, percent).await;
        assert_eq!(status, 200, "{said}");
        let kept = Instant::now();
        let mut views = follower.view.subscribe();
        let wait = async {
            while weight(&follower) != Some(f64::from(percent)) {
                assert!(views.changed().await);
                views.load();
            }
        };
        soon("it is served everywhere", wait).await;
        late.push(kept.elapsed());
    }
    late.sort();
    println!("from the answer of the leader until the follower serves it: {late:?}");
    let (status, said) = order(&follower, 77).await;
    assert_eq!(status, 200, "{said}");
    let before = Some(77.0);
    eventually("the order is served everywhere", || weight(&follower) == before && weight(&leader) == before)
        .await;

    let page = async |app: &App| -> Value {
        reqwest::get(format!("http://{}/api/v1/replicas", app.http)).await.unwrap().json().await.unwrap()
    };
    let (leads, follows) = (page(&leader).await, page(&follower).await);
    assert_eq!((&leads["leads"], &follows["leads"]), (&true.into(), &false.into()), "{leads} {follows}");
    assert_eq!((&leads["leader"], &follows["leader"]), (&leads["name"], &leads["name"]), "{leads} {follows}");
    assert!(leads["name"].as_str().unwrap().starts_with(&leader.http.to_string()), "{leads}");
    let client = serin::client::builder().build().unwrap();
    let removal = client.delete(format!("http://{}/api/v1/gateways/fraud", follower.http));
    let removal = removal.header("if-match", "*").send().await.unwrap();
    assert_eq!(removal.status(), 409);
    let said = removal.text().await.unwrap();
    assert!(said.contains(leads["name"].as_str().unwrap()), "{said}");
    assert!(folder.path().join("fraud.yaml").exists(), "files are changed at the leader");
    let switch = async |app: &App| {
        let put = client.put(format!("http://{}/api/v1/switches/shadow", app.http));
        let answer = put.json(&serde_json::json!({ "on": false })).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = switch(&follower).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(switch(&leader).await, (status, said));
    eventually("all follow a switch", || !follower.view.load().switches.shadow).await;
    eventually("the journal has it", || {
        server.ask("SELECT count(*) FROM serin.journal WHERE kind = 'switched'") == "1"
    })
    .await;

    tokio::task::block_in_place(|| server.down());
    let available = async |app: &App, wanted: f64| {
        shows(&format!("http://{}", app.http), "serin_store_available", wanted).await;
    };
    for app in [&leader, &follower] {
        available(app, 0.0).await;
        assert_eq!(weight(app), before, "everything serves on");
    }
    eventually("nobody decides", || !leader.view.load().leads).await;
    assert_eq!(order(&leader, 88).await.0, 503);
    tokio::task::block_in_place(|| server.up());
    for app in [&leader, &follower] {
        available(app, 1.0).await;
    }
    eventually("one leads again", || leader.view.load().leads || follower.view.load().leads).await;
    let now = if leader.view.load().leads { &leader } else { &follower };
    let (status, said) = order(now, 99).await;
    assert_eq!(status, 200, "{said}");
    eventually("and all follow", || [&leader, &follower].iter().all(|app| weight(app) == Some(99.0))).await;

    // Who leaves in good order leaves the lease at once.
    let (gone, left) = if leader.view.load().leads { (leader, follower) } else { (follower, leader) };
    gone.stop().await;
    eventually("the other one leads", || left.view.load().leads).await;
    assert!(!left.view.load().switches.shadow, "as it was left");
    left.stop().await;
    assert_eq!(server.ask("SELECT holder IS NULL FROM serin.lease"), "t", "nobody has to wait for it");
}
