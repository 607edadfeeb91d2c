//! The database is away, for all or for one: traffic notices nothing, no rollout moves, and then it goes on from where it was.

use super::replicas::{
    KINDS, Replicas, Road, app_of, assert_whole, envoys, gateway, load, metric, release, release_in, steps_of,
};
use super::stage::{free_port, let_pass, toy, weight};
use crate::postgres::Server;
use crate::protocol::client::{soon, write};
use crate::real::eventually;
use serde_json::{Value, json};
use serin::app::App;
use serin::model::Switch;
use std::time::Duration;

/// How long the database is away: `SERIN_AWAY_SECONDS`.
fn away() -> Duration {
    let said = std::env::var_os("SERIN_AWAY_SECONDS").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(said.unwrap_or(5))
}

fn weight_at(app: &App) -> Option<f64> {
    let gateway = app.view.load().gateways.get("fraud").cloned();
    weight(gateway.map(|g| serde_json::to_value(&*g).unwrap()).as_ref(), "v2")
}

async fn set_weight(app: &App, percent: u32) -> u16 {
    let url = format!("http://{}/api/v1/gateways/fraud/actions/set-weight", app.http);
    let client = serin::client::builder().build().unwrap();
    client.post(url).json(&json!({ "weight": percent })).send().await.unwrap().status().as_u16()
}

/// What Envoys are told: the version of each kind.
fn told(app: &App) -> Vec<String> {
    let fleet = app.view.load().fleet.clone();
    KINDS.into_iter().map(|kind| format!("{:?}", fleet.snapshot("edge").set(kind).version())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_database_serves_what_was_known_last() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let port = free_port();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let caches = [(); 2].map(|()| tempfile::tempdir().unwrap());
    folders.iter().for_each(|folder| write(folder.path(), "fraud.yaml", &release(&v1, &v2)));
    let start =
        async |i: usize| app_of(folders[i].path(), &server, port, &caches[i].path().join("cache.db")).await;
    let leader = start(0).await;
    eventually("it leads", || leader.view.load().leads).await;
    eventually("the release is known", || weight_at(&leader) == Some(0.0)).await;
    let follower = start(1).await;
    assert_eq!(set_weight(&leader, 40).await, 200);
    let client = serin::client::builder().build().unwrap();
    let put = client.put(format!("http://{}/api/v1/switches/{}", leader.http, Switch::Shadow.name()));
    assert_eq!(put.json(&json!({ "on": false })).send().await.unwrap().status(), 200);
    let all = [&leader, &follower];
    eventually("all serve it", || {
        all.iter().all(|app| weight_at(app) == Some(40.0) && !app.view.load().switches.shadow)
    })
    .await;
    let before = told(&leader);
    assert_eq!(told(&follower), before);

    tokio::task::block_in_place(|| server.down());
    leader.stop().await;
    follower.stop().await;
    // And one is edited badly in the meantime.
    write(folders[1].path(), "fraud.yaml", "apiVersion: serin/v1\nname: fraud\nupstreams: {}\n");
    let again = [start(0).await, start(1).await];
    let shows = async |app: &App, wanted: f64| {
        let url = format!("http://{}", app.http);
        let wait = async { while metric(&url, "serin_store_recalled").await != Some(wanted) {} };
        soon("the metric says so", wait).await;
    };
    for app in &again {
        shows(app, 1.0).await;
        assert_eq!((weight_at(app), app.view.load().switches.shadow), (Some(40.0), false));
        assert_eq!(told(app), before, "Envoys are sent nothing");
        assert!(!app.view.load().leads);
        assert_eq!(set_weight(app, 90).await, 503);
    }

    tokio::task::block_in_place(|| server.up());
    for app in &again {
        shows(app, 0.0).await;
    }
    eventually("one leads", || again.iter().any(|app| app.view.load().leads)).await;
    let now = again.iter().find(|app| app.view.load().leads).unwrap();
    assert_eq!(set_weight(now, 50).await, 200);
    eventually("all follow", || again.iter().all(|app| weight_at(app) == Some(50.0))).await;
    assert!(again.iter().all(|app| !app.view.load().switches.shadow));
    for app in again {
        app.stop().await;
    }
}

/// How the database goes away.
#[derive(Clone, Copy, Debug)]
enum Gone {
    /// It is shut down: connections are refused.
    Down,
    /// Nothing gets there any more, and nothing says so.
    Silent,
}

/// What is kept of the rollout, as the database says.
fn state(replicas: &Replicas) -> Value {
    let text = replicas.server.ask("SELECT state FROM serin.rollout WHERE gateway = 'fraud'");
    serde_json::from_str(&text).unwrap()
}

async fn gone_for_a_while(how: Gone) {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let steps = steps_of(5.0);
    let replicas = Replicas::start(3, &release_in(&v1, &v2, &steps, 3)).await;
    let leader = replicas.leader(&[0, 1, 2]).await;
    let mut roads = Vec::new();
    for i in [leader, leader, (leader + 1) % 3] {
        roads.push(Road::to(replicas.xds(i)).await);
    }
    let envoys = envoys(&roads).await;
    let load = load(replicas.port);
    replicas.steps(2).await;
    match how {
        Gone::Down => tokio::task::block_in_place(|| replicas.server.down()),
        Gone::Silent => replicas.ways.iter().for_each(|way| way.block(true)),
    }
    for i in 0..3 {
        let url = &replicas.get(i).url;
        let cut = async {
            while metric(url, "serin_store_available").await != Some(0.0)
                || metric(url, "serin_leader").await != Some(0.0)
            {
                let_pass(Duration::from_millis(50)).await;
            }
        };
        soon("it says that the database is away", cut).await;
    }
    // Also what was under way has ended by now.
    let mut served = Vec::new();
    for i in 0..3 {
        served.push(weight(gateway(&replicas.get(i).url).await.as_ref(), "v2"));
    }
    let until = tokio::time::Instant::now() + away();
    let mut looks = 0;
    while tokio::time::Instant::now() < until {
        for (i, served) in served.iter().enumerate() {
            let shown = gateway(&replicas.get(i).url).await;
            assert_eq!(weight(shown.as_ref(), "v2"), *served, "no rollout moves");
            looks += 1;
        }
        let_pass(Duration::from_millis(200)).await;
    }
    match how {
        Gone::Down => tokio::task::block_in_place(|| replicas.server.up()),
        Gone::Silent => {}
    }
    let (before, decided) = (state(&replicas), replicas.decisions());
    if let Gone::Silent = how {
        replicas.ways.iter().for_each(|way| way.block(false));
    }
    // The evidence goes on: the next that is kept is later, and counts the stay at this weight on.
    let next = async {
        loop {
            let next = state(&replicas);
            if next["seen"] != before["seen"] || next["revision"] != before["revision"] {
                return next;
            }
            let_pass(Duration::from_millis(50)).await;
        }
    };
    let next = soon("it goes on", next).await;
    assert_eq!(next["began"], before["began"], "the same release");
    if next["weight"] == before["weight"] {
        assert_eq!(next["stage"]["began"], before["stage"]["began"], "the same stay");
        let watched = |state: &Value| state["stage"]["watched"].as_u64().unwrap();
        assert!(watched(&next) >= watched(&before), "{before} {next}");
    }
    replicas.leader(&[0, 1, 2]).await;
    let taken = decided.iter().filter(|d| d.0 == "advanced").count();
    replicas.steps(taken + 2).await;
    let after = replicas.decisions();
    assert_eq!(after[..decided.len()], decided[..]);
    assert_whole(&after, &steps);
    let report = load.stop().await;
    println!("{how:?} for {:?}: {looks} looks, {} requests", away(), report.requests());
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_shut_down_for_a_while_stops_rollouts_and_no_traffic() {
    gone_for_a_while(Gone::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_for_a_while_stops_rollouts_and_no_traffic() {
    gone_for_a_while(Gone::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_alone_is_cut_off_stops_before_another_begins() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let steps = steps_of(2.5);
    let replicas = Replicas::start(3, &release_in(&v1, &v2, &steps, 1)).await;
    let leader = replicas.leader(&[0, 1, 2]).await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let mut roads = Vec::new();
    for i in [leader, others[0], others[1]] {
        roads.push(Road::to(replicas.xds(i)).await);
    }
    let envoys = envoys(&roads).await;
    let load = load(replicas.port);
    replicas.steps(2).await;
    let token = || replicas.server.ask("SELECT token FROM serin.lease").trim().parse::<u64>().unwrap();
    let before = token();
    replicas.ways[leader].block(true);
    let cut = tokio::time::Instant::now();
    let leads = async |i: usize| metric(&replicas.get(i).url, "serin_leader").await == Some(1.0);
    let mut stopped = None;
    let began = async {
        loop {
            if stopped.is_none() && !leads(leader).await {
                stopped = Some(cut.elapsed());
            }
            for i in others {
                if leads(i).await {
                    return cut.elapsed();
                }
            }
        }
    };
    let began = soon("another one leads", began).await;
    assert!(token() > before, "nothing is kept any more under the token of the one that is cut off");
    let decided = replicas.decisions().len();
    let more = async {
        while replicas.decisions().len() < decided + 2 {
            let_pass(Duration::from_millis(100)).await;
        }
    };
    soon("another one decides", more).await;
    let shown = gateway(&replicas.get(leader).url).await;
    let stale = weight(shown.as_ref(), "v2");
    replicas.ways[leader].block(false);
    let newest = async {
        loop {
            let [mine, theirs] = [leader, others[0]].map(|i| replicas.get(i).url.clone());
            let [mine, theirs] = [gateway(&mine).await, gateway(&theirs).await];
            let mine = weight(mine.as_ref(), "v2");
            if mine != stale && mine == weight(theirs.as_ref(), "v2") {
                return;
            }
        }
    };
    soon("it follows", newest).await;
    assert!(!leads(leader).await);
    assert_whole(&replicas.decisions(), &steps);
    let said = "SELECT message FROM serin.journal WHERE kind = 'leader' ORDER BY sequence";
    let said = replicas.server.ask(said);
    let tokens: Vec<u64> =
        said.lines().filter_map(|line| line.rsplit_once("with token ")?.1.parse().ok()).collect();
    assert!(tokens.len() > 1 && tokens.is_sorted_by(|one, next| one < next), "each leads once: {said}");
    let report = load.stop().await;
    println!("cut off: it stopped within {stopped:?}, another one led after {began:?}");
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}
