//! Orders at replicas that do not lead: carried out by the one that does, once, whatever happens to it.

use super::{End, Replicas, app, release, shows};
use crate::e2e::rollout::runs;
use crate::e2e::stage::{envoy_on, free_port, let_pass, toy};
use crate::postgres::Server;
use crate::protocol::client::{soon, write};
use crate::real::{DEADLINE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use serin::app::App;
use serin::launch::{Toy, VERSION_HEADER};
use serin::store::Seat;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What is answered: the status, the entity tag, and the body.
pub(super) type Answer = (u16, Option<String>, Value);

/// Gives an order.
pub(super) async fn order(http: &str, verb: &str, body: Value, headers: &[(&'static str, &str)]) -> Answer {
    let client = serin::client::builder().build().unwrap();
    let mut request = client.post(format!("{http}/api/v1/gateways/fraud/actions/{verb}")).json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (answer.status().as_u16(), tag, answer.json().await.unwrap())
}

/// Two control planes in this process, of which the first leads, with the same release.
struct Two {
    server: Server,
    _folder: TempDir,
    leader: App,
    follower: App,
    port: u16,
    _toys: [Toy; 2],
}

impl Two {
    async fn start() -> Self {
        serin::client::choose_provider();
        let toys = [toy("v1").await, toy("v2").await];
        let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "fraud.yaml", &release(&toys[0], &toys[1]));
        let port = free_port();
        let leader = app(folder.path(), &server, port).await;
        eventually("it leads", || leader.view.load().leads).await;
        let follower = app(folder.path(), &server, port).await;
        for app in [&leader, &follower] {
            let is_known = || app.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some());
            eventually("the release is known", is_known).await;
        }
        let is_known = || matches!(follower.view.load().seat, Some((Seat::Follows { leader: Some(_) }, _)));
        eventually("the leader is known", is_known).await;
        Self { server, _folder: folder, leader, follower, port, _toys: toys }
    }
}

fn http(app: &App) -> String {
    format!("http://{}", app.http)
}

/// How many entries of a kind the journal has.
pub(super) fn journaled(server: &Server, condition: &str) -> u64 {
    server.ask(&format!("SELECT count(*) FROM serin.journal WHERE {condition}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_a_follower_is_answered_as_at_the_leader() {
    let two = Two::start().await;
    let (leader, follower) = (http(&two.leader), http(&two.follower));
    let mut envoy = envoy_on(two.follower.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();

    let body = json!({ "weight": 100, "reason": "by ann" });
    let key = [("idempotency-key", "k-1")];
    let first = order(&follower, "set-weight", body.clone(), &key).await;
    assert_eq!(
        (first.0, &first.2["weight"], &first.2["changed"]),
        (200, &json!(100), &json!(true)),
        "{first:?}"
    );
    assert_eq!(first.1, Some(format!("\"{}\"", first.2["revision"])));
    let served = async {
        loop {
            let url = format!("http://127.0.0.1:{}/predict", two.port);
            let client = serin::client::builder().build().unwrap();
            let answer = client.post(url).body("{}").send().await;
            if answer.is_ok_and(|a| a.headers().get(VERSION_HEADER).is_some_and(|v| v == "v2")) {
                return;
            }
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("an Envoy of the follower serves it", served).await;
    assert_eq!(journaled(&two.server, "actor = 'operator' AND reason = 'by ann'"), 1);

    // Each answer is that of the leader, to the same question.
    assert_eq!(order(&leader, "set-weight", body.clone(), &key).await, first, "given again with its key");
    assert_eq!(order(&follower, "set-weight", body.clone(), &key).await, first);
    assert_eq!(order(&follower, "abort", json!({}), &key).await.0, 422, "another order with that key");
    let old = [("if-match", "\"1\"")];
    for (verb, body, headers, status) in [
        ("set-weight", json!({ "weight": 5 }), &old[..], 412),
        ("set-weight", json!({ "weight": 5, "ifRevision": 1 }), &[], 409),
        ("retry", json!({}), &[], 409),
        ("undo", json!({ "toRevision": 77 }), &[], 422),
        ("pause", json!({}), &[], 200),
    ] {
        let there = order(&leader, verb, body.clone(), headers).await;
        assert_eq!(there.0, status, "{verb}: {there:?}");
        assert_eq!(order(&follower, verb, body, headers).await, there, "{verb}");
    }
    assert_eq!(journaled(&two.server, "reason = 'by ann'"), 1, "nothing twice");

    // The next leader knows the key.
    two.leader.stop().await;
    eventually("the other one leads", || two.follower.view.load().leads).await;
    assert_eq!(order(&follower, "set-weight", body, &key).await, first);
    assert_eq!(order(&follower, "pause", json!({}), &key).await.0, 422);
    assert_eq!(journaled(&two.server, "reason = 'by ann'"), 1);
    envoy.stop().await.unwrap();
    two.follower.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_opposite_orders_at_two_replicas_one_wins() {
    let two = Two::start().await;
    let (leader, follower) = (http(&two.leader), http(&two.follower));
    let revision = async || {
        let (_, _, body) = order(&leader, "pause", json!({}), &[]).await;
        body["revision"].as_u64().unwrap()
    };
    let (mut wins, rounds) = ([0, 0], runs(20));
    for round in 1..=rounds {
        let expected = revision().await;
        let at = json!({ "ifRevision": expected, "weight": u32::try_from(round).unwrap() % 40 + 1, "reason": "lower" });
        let other = json!({ "ifRevision": expected, "weight": u32::try_from(round).unwrap() % 40 + 50, "reason": "higher" });
        let (one, another) =
            tokio::join!(order(&leader, "set-weight", at, &[]), order(&follower, "set-weight", other, &[]));
        let statuses = [one.0, another.0];
        assert!(statuses == [200, 409] || statuses == [409, 200], "{one:?} {another:?}");
        wins[usize::from(another.0 == 200)] += 1;
        let decided = format!("gateway = 'fraud' AND revision > {expected}");
        assert_eq!(journaled(&two.server, &decided), 1, "round {round}");
    }
    println!("won at the leader and at the follower: {wins:?}");
    let expected = revision().await;
    let end = json!({ "ifRevision": expected });
    let full = json!({ "ifRevision": expected, "full": true });
    let (one, another) =
        tokio::join!(order(&follower, "promote", full, &[]), order(&leader, "abort", end, &[]));
    let mut statuses = [one.0, another.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {another:?}");
    two.leader.stop().await;
    two.follower.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_at_a_follower_is_thrown_once_and_everywhere() {
    let two = Two::start().await;
    let client = serin::client::builder().build().unwrap();
    for round in 0..runs(6) {
        let on = round % 2 == 1;
        let put = client.put(format!("{}/api/v1/switches/shadow", http(&two.follower)));
        let answer = put.json(&json!({ "on": on, "reason": "r" })).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "shadow": on }));
        // What people see is made after Envoys are served, so it may come a moment after the answer.
        for app in [&two.leader, &two.follower] {
            eventually("all follow", || app.view.load().switches.shadow == on).await;
        }
        let thrown = u64::try_from(round).unwrap() + 1;
        assert_eq!(journaled(&two.server, "kind = 'switched' AND reason = 'r'"), thrown, "once, and kept");
    }
    two.leader.stop().await;
    two.follower.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_takes_is_withdrawn_and_never_carried_out() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let replicas = Replicas::start(2, &release(&v1, &v2)).await;
    let leader = replicas.leader(&[0, 1]).await;
    let follower = 1 - leader;
    // Somebody holds the lease and takes no orders.
    let pids = [leader, follower].map(|i| Pid::from_child(&replicas.get(i).child));
    kill_process(pids[0], Signal::STOP).unwrap();
    let url = replicas.get(follower).url.clone();
    let strangers = "UPDATE serin.lease SET token = token + 1, beat = beat + 1, holder = 'a stranger'";
    let keep = async {
        loop {
            replicas.server.ask(strangers);
            let_pass(Duration::from_secs(1)).await;
        }
    };
    let client = serin::client::builder().build().unwrap();
    let switch = async {
        let put = client.put(format!("{url}/api/v1/switches/shadow")).json(&json!({ "on": false }));
        let answer = put.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let late = json!({ "weight": 33, "reason": "late" });
    let both = async { tokio::join!(order(&url, "set-weight", late, &[]), switch) };
    let ((status, _, said), switched) = tokio::select! {
        answers = both => answers,
        () = keep => unreachable!(),
    };
    assert_eq!(status, 503, "{said}");
    let said = said["detail"].as_str().unwrap();
    assert!(
        said.starts_with("nothing was changed: no control plane that leads has taken this order"),
        "{said}"
    );
    // Whoever leads may have thrown it.
    assert_eq!(switched.0, 503, "{switched:?}");
    let said = switched.1["detail"].as_str().unwrap();
    assert!(said.starts_with("it is not known whether this was switched"), "{said}");
    assert_eq!(replicas.server.ask("SELECT count(*) FROM serin.orders"), "0", "both are withdrawn");
    kill_process(pids[0], Signal::CONT).unwrap();
    let next = replicas.leader(&[0, 1]).await;
    let (status, ..) =
        order(&replicas.get(next).url, "set-weight", json!({ "weight": 34, "reason": "next" }), &[]).await;
    assert_eq!(status, 200);
    assert_eq!(journaled(&replicas.server, "reason = 'late'"), 0);
}

/// The leader ends when it has decided about an order and its decision is not kept: the next one carries it out.
async fn ends_as_it_decides(how: End) {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let mut replicas = Replicas::start(2, &release(&v1, &v2)).await;
    // On a machine that is slow the ten seconds of an order may be over before another one leads. Then nothing was changed.
    for attempt in 1..=4 {
        let reason = format!("in hand {attempt}");
        let body = json!({ "weight": 40 + attempt, "reason": reason });
        let Some((status, _, said)) = with_order_in_hand(&mut replicas, body, how).await else { continue };
        let is_kept = format!("reason = '{reason}'");
        assert_eq!(journaled(&replicas.server, &is_kept), u64::from(status == 200), "{status} {said}");
        assert_eq!(replicas.server.ask("SELECT count(*) FROM serin.orders WHERE answer IS NULL"), "0");
        if status == 200 {
            return;
        }
        let detail = said["detail"].as_str().unwrap();
        assert!(status == 503 && detail.starts_with("nothing was changed: "), "{status} {said}");
    }
    panic!("no order was ever carried out by the next leader");
}

/// Gives an order at the one that follows, and ends the one that leads in the middle of keeping what it decided; what was
/// answered, when both are there again. `None`: the order was answered before anybody was ended.
async fn with_order_in_hand(replicas: &mut Replicas, body: Value, how: End) -> Option<Answer> {
    let leader = replicas.leader(&[0, 1]).await;
    let url = replicas.get(1 - leader).url.clone();
    let follows = async {
        while replicas.get(1 - leader).json("/api/v1/replicas").await["leader"].is_null() {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("it follows", follows).await;
    // Nobody writes the journal for a while.
    let mut holder =
        replicas.server.ask_beside("LOCK TABLE serin.journal IN EXCLUSIVE MODE; SELECT pg_sleep(60)");
    let held = "pg_locks WHERE granted AND relation = 'serin.journal'::regclass AND mode = 'ExclusiveLock'";
    let is_held = format!("SELECT count(*) FROM {held}");
    eventually("the journal is held", || replicas.server.ask(&is_held) == "1").await;
    let pid = Pid::from_child(&replicas.get(leader).child);
    let mut answer = pin!(order(&url, "set-weight", body, &[]));
    let is_in_hand = {
        let server = &replicas.server;
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let taken = "SELECT count(*) FROM serin.orders WHERE answer IS NULL";
        tokio::select! {
            _ = &mut answer => false,
            () = eventually("it waits", || server.ask(waiting) != "0" && server.ask(taken) == "1") => true,
        }
    };
    if is_in_hand {
        match how {
            End::Killed => replicas.running[leader].take().unwrap().kill(),
            End::Frozen => kill_process(pid, Signal::STOP).unwrap(),
        }
    }
    let end = format!("SELECT count(pg_terminate_backend(pid)) FROM {held}");
    assert_eq!(replicas.server.ask(&end), "1", "now the journal can be written again");
    tokio::task::block_in_place(|| assert!(!holder.wait().unwrap().success()));
    if !is_in_hand {
        return None;
    }
    let answer = answer.await;
    match how {
        End::Killed => replicas.up(leader).await,
        End::Frozen => {
            // It goes on with what it was about to keep.
            kill_process(pid, Signal::CONT).unwrap();
            shows(&replicas.get(leader).url, "serin_leader", 0.0).await;
        }
    }
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_leader_is_killed_as_it_decides_is_carried_out_by_the_next() {
    ends_as_it_decides(End::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_leader_is_frozen_as_it_decides_is_carried_out_by_the_next_alone() {
    ends_as_it_decides(End::Frozen).await;
}

/// Gives one order after the other, each by a name of its own, until it is told to stop. What was answered to each.
async fn orders(
    url: String,
    name: String,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    let mut count = 0;
    while !*stop.borrow_and_update() {
        count += 1;
        let reason = format!("{name} {count}");
        let body = json!({ "weight": count % 90 + 1, "reason": reason });
        answers.insert(reason, order(&url, "set-weight", body, &[]).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_once_though_its_leader_ends() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let mut replicas = Replicas::start(3, &release(&v1, &v2)).await;
    let mut leader = replicas.leader(&[0, 1, 2]).await;
    let mut sums: BTreeMap<(u16, &str, u64), usize> = BTreeMap::new();
    for round in 0..runs(4) {
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut asking = JoinSet::new();
        for i in others {
            let name = format!("round {round} at {i}:");
            asking.spawn(orders(replicas.get(i).url.clone(), name, stopped.clone()));
        }
        // In the middle of whatever it does then.
        let before = journaled(&replicas.server, "revision IS NOT NULL");
        eventually("orders are carried out", || {
            journaled(&replicas.server, "revision IS NOT NULL") > before + 5 + u64::try_from(round).unwrap()
        })
        .await;
        let how = if round % 2 == 0 { End::Killed } else { End::Frozen };
        let pid = Pid::from_child(&replicas.get(leader).child);
        match how {
            End::Killed => replicas.running[leader].take().unwrap().kill(),
            End::Frozen => kill_process(pid, Signal::STOP).unwrap(),
        }
        replicas.leader(&others).await;
        let before = journaled(&replicas.server, "revision IS NOT NULL");
        let more = || journaled(&replicas.server, "revision IS NOT NULL") > before + 3;
        eventually("the next one carries out orders", more).await;
        match how {
            End::Killed => replicas.up(leader).await,
            End::Frozen => kill_process(pid, Signal::CONT).unwrap(),
        }
        stop.send(true).unwrap();
        while let Some(answers) = soon("all are answered", asking.join_next()).await {
            for (reason, (status, _, body)) in answers.unwrap() {
                let times = journaled(&replicas.server, &format!("reason = '{reason}'"));
                let detail = body["detail"].as_str().unwrap_or_default();
                let said = match detail.split(':').next().unwrap() {
                    "" => "done",
                    "nothing was changed" => "not done",
                    "it is not known whether this was carried out" => "not known",
                    _ => panic!("{reason}: {body}"),
                };
                let is_true = match said {
                    "done" => status == 200 && times == 1,
                    "not done" => status == 503 && times == 0,
                    _ => status == 503 && times <= 1,
                };
                assert!(is_true, "{reason} is {times} times in the journal: {status} {body}");
                *sums.entry((status, said, times)).or_default() += 1;
            }
        }
        leader = replicas.leader(&[0, 1, 2]).await;
    }
    println!("status, what was said, and how often it is in the journal: {sums:?}");
    assert!(sums.keys().any(|key| key.1 == "done"));
}
