//! The database is away, for all or for one: traffic notices nothing, no rollout moves, and then it goes on from where it was.

use super::replicas::{
    KINDS, Replicas, Road, app_of, assert_whole, envoys, gateway, load, release, release_in, shows, steps_of,
};
use super::stage::{free_port, let_pass, toy, weight};
use crate::postgres::Server;
use crate::protocol::client::{soon, write};
use crate::real::eventually;
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::model::{Settings, Switch};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
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
    order_weight(&format!("http://{}", app.http), percent).await
}

async fn order_weight(url: &str, percent: u32) -> u16 {
    let url = format!("{url}/api/v1/gateways/fraud/actions/set-weight");
    let client = serin::client::builder().build().unwrap();
    let body = json!({ "weight": percent, "reason": format!("{percent} was ordered") });
    client.post(url).json(&body).send().await.unwrap().status().as_u16()
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
    let is_recalled = async |app: &App, wanted: f64| {
        shows(&format!("http://{}", app.http), "serin_store_recalled", wanted).await;
    };
    for app in &again {
        is_recalled(app, 1.0).await;
        assert_eq!((weight_at(app), app.view.load().switches.shadow), (Some(40.0), false));
        assert_eq!(told(app), before, "Envoys are sent nothing");
        assert!(!app.view.load().leads);
        assert_eq!(set_weight(app, 90).await, 503);
    }

    tokio::task::block_in_place(|| server.up());
    for app in &again {
        is_recalled(app, 0.0).await;
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

/// An order to a replica; the status and the answer.
async fn order(url: &str, verb: &str) -> (u16, Value) {
    let url = format!("{url}/api/v1/gateways/fraud/actions/{verb}");
    let client = serin::client::builder().build().unwrap();
    let answer = client.post(url).json(&json!({})).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The canary's weight as a replica serves it, by the API.
async fn served(replicas: &Replicas, i: usize, wanted: f64) {
    let wait = async {
        while weight(gateway(&replicas.get(i).url).await.as_ref(), "v2") != Some(wanted) {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon(&format!("{wanted} % at {i}"), wait).await;
}

async fn an_abort_without_the_database(how: Gone) {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let mut replicas = Replicas::start(3, &release(&v1, &v2)).await;
    let leader = replicas.leader(&[0, 1, 2]).await;
    let (follower, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let road = Road::to(replicas.xds(follower)).await;
    let envoys = envoys(&[road]).await;
    assert_eq!(order_weight(&replicas.get(leader).url, 40).await, 200);
    for i in 0..3 {
        served(&replicas, i, 40.0).await;
    }
    match how {
        Gone::Down => tokio::task::block_in_place(|| replicas.server.down()),
        Gone::Silent => replicas.ways.iter().for_each(|way| way.block(true)),
    }
    // Before anybody has noticed: at who leads, and at one that follows.
    for i in [leader, follower] {
        let ((status, outcome), ()) =
            tokio::join!(order(&replicas.get(i).url, "abort"), served(&replicas, i, 0.0));
        assert_eq!((status, &outcome["kept"]), (202, &json!(false)), "{outcome}");
        assert!(
            outcome["message"].as_str().unwrap().contains("whatever the Envoys of others do"),
            "{outcome}"
        );
    }
    served(&replicas, third, 40.0).await;
    eventually("its Envoy has it", || {
        let dump = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(envoys[0].admin("/config_dump?resource=dynamic_route_configs"))
        });
        dump.unwrap().1.replace([' ', '\n'], "").contains("{\"name\":\"fraud/v2\",\"weight\":0}")
    })
    .await;
    match how {
        Gone::Down => tokio::task::block_in_place(|| replicas.server.up()),
        Gone::Silent => replicas.ways.iter().for_each(|way| way.block(false)),
    }
    for i in 0..3 {
        let wait = async {
            loop {
                let shown = gateway(&replicas.get(i).url).await.unwrap();
                if shown["phase"] == "RolledBack" && shown["rollout"].get("unkept").is_none() {
                    return;
                }
                let_pass(Duration::from_millis(50)).await;
            }
        };
        soon("it is kept", wait).await;
    }
    let aborts = replicas.decisions().iter().filter(|d| d.0 == "rolled-back").count();
    assert_eq!(aborts, 1, "once, though two were given: {:?}", replicas.decisions());
    replicas.stop(follower).await;
    replicas.up(follower).await;
    served(&replicas, follower, 0.0).await;
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_acts_while_the_database_is_down() {
    an_abort_without_the_database(Gone::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_acts_while_the_database_says_nothing() {
    an_abort_without_the_database(Gone::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_once_for_a_database_that_says_nothing() {
    serin::client::choose_provider();
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let there = (Ipv4Addr::LOCALHOST, server.port).into();
    let ways = [Road::to(there).await, Road::to(there).await];
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "fraud.yaml", &crate::protocol::client::gateway("fraud", 95));
    let start = async |way: &Road, cache: &str| {
        let [direct, by_way] = [server.port, way.address.port()].map(|port| format!(":{port}/"));
        let url = server.url("postgres").replace(&direct, &by_way);
        let url = format!("{url}&cache={}", server.path(cache).display());
        let store = Some(serin::config::store_at(&url).unwrap());
        let settings = Settings { store, ..super::stage::settings(folder.path(), free_port(), None) };
        App::start(settings, Options::default()).await.unwrap()
    };
    let app = start(&ways[0], "known").await;
    eventually("it leads", || app.view.load().leads).await;
    app.stop().await;
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'serin'";
    eventually("all of it has ended", || server.ask(connections) == "0").await;
    ways.iter().for_each(|way| way.block(true));
    // With something that is remembered, and with nothing.
    for (way, cache) in ways.iter().zip(["known", "new"]) {
        let before = way.opened.load(Ordering::Relaxed);
        let app = start(way, cache).await;
        // Who leads is asked when Envoys are answered, and nothing is asked before that but what was kept.
        let mut is_ready = false;
        eventually("it asks again", || {
            let is_asked = way.opened.load(Ordering::Relaxed) > before + 1;
            is_ready = app.view.generation() > 0;
            is_asked
        })
        .await;
        assert!(is_ready, "{cache}: Envoys wait for another answer of the database");
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
        for name in ["serin_store_available", "serin_leader"] {
            shows(&replicas.get(i).url, name, 0.0).await;
        }
        let line = "everything serves on, and no rollout moves from here: ";
        eventually("a line says so", || replicas.get(i).said().contains(line)).await;
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
async fn a_leader_that_alone_is_cut_off_keeps_nothing_more_and_another_goes_on() {
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
    // It leads still, and decides; but what it decides is not kept, and so not served.
    let ordered = order_weight(&replicas.get(leader).url, 99);
    let next = async {
        replicas.leader(&others).await;
        cut.elapsed()
    };
    let (status, began) = tokio::join!(ordered, next);
    assert_eq!(status, 503);
    // It knows by itself, since nobody can tell it.
    shows(&replicas.get(leader).url, "serin_leader", 0.0).await;
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
    let steps_taken = replicas.decisions();
    let kept = steps_taken.iter().filter(|d| d.2.is_some() && d.2 == stale).count();
    assert_eq!(kept, 1, "it serves on what was kept last before: {stale:?} of {steps_taken:?}");
    assert_ne!(steps_taken.last().unwrap().2, stale, "and not what others decide");
    replicas.ways[leader].block(false);
    let newest = async {
        loop {
            let [mine, theirs] = [leader, others[0]].map(|i| replicas.get(i).url.clone());
            let [mine, theirs] = [gateway(&mine).await, gateway(&theirs).await];
            let mine = weight(mine.as_ref(), "v2");
            if mine != stale && mine == weight(theirs.as_ref(), "v2") {
                return;
            }
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("it follows", newest).await;
    assert_whole(&replicas.decisions(), &steps);
    let ordered = "SELECT count(*) FROM serin.journal WHERE reason = '99 was ordered'";
    assert_eq!(replicas.server.ask(ordered), "0", "nor is it kept when it arrives late");
    let said = "SELECT message FROM serin.journal WHERE kind = 'leader' ORDER BY sequence";
    let said = replicas.server.ask(said);
    let tokens: Vec<u64> =
        said.lines().filter_map(|line| line.rsplit_once("with token ")?.1.parse().ok()).collect();
    // On a machine that is slow one may stop for a moment, and go on with its own token.
    assert!(tokens.is_sorted() && tokens.first() < tokens.last(), "one after the other: {said}");
    let report = load.stop().await;
    println!("cut off: another one led after {began:?}");
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}
