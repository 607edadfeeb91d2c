//! Envoys at any replica: what they measured decides, each request once, whoever leads.

use super::replicas::{Replicas, Road, envoys, gateway, metric};
use super::stage::{let_pass, toy};
use crate::real::DEADLINE;
use serde_json::Value;
use serin::launch::{Envoy, Load, LoadOptions, Toy, Until, VERSION_HEADER, VersionIn};
use serin::weight::Weight;
use tokio::time::Instant;

/// A release that stays at a half: it counts, and decides nothing.
fn halves(v1: &Toy, v2: &Toy) -> String {
    let (v1, v2) = (v1.url(), v2.url());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 10s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate, dryRun: true }}], \
         steps: [{{ weight: 50, pause: manual }}] }}\n"
    )
}

/// Requests and errors.
type Count = [u64; 2];

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of a test")]
fn whole(value: &Value) -> u64 {
    value.as_f64().unwrap_or_default() as u64
}

/// A release on three replicas, with an Envoy at each of these.
struct Play {
    replicas: Replicas,
    leader: usize,
    roads: Vec<Road>,
    envoys: Vec<Envoy>,
    toys: [Toy; 2],
}

impl Play {
    /// Where in the order after the leader the Envoys are: 0 is the leader itself.
    async fn new(text: fn(&Toy, &Toy) -> String, places: &[usize]) -> Self {
        serin::client::choose_provider();
        let toys = [toy("v1").await, toy("v2").await];
        let replicas = Replicas::start(3, &text(&toys[0], &toys[1])).await;
        let leader = replicas.leader(&[0, 1, 2]).await;
        let mut roads = Vec::new();
        for place in places {
            roads.push(Road::to(replicas.xds((leader + place) % 3)).await);
        }
        let envoys = envoys(&roads).await;
        Self { replicas, leader, roads, envoys, toys }
    }

    fn load(&self, until: Until) -> Load {
        Load::start(LoadOptions {
            url: format!("http://127.0.0.1:{}/predict", self.replicas.port),
            rate: Some(300.0),
            until,
            version: VersionIn::Header(VERSION_HEADER.into()),
            connections: 24,
            ..LoadOptions::default()
        })
        .unwrap()
    }

    /// What is kept of the release.
    fn state(&self) -> Value {
        let kept = self.replicas.server.ask("SELECT state FROM serin.rollout WHERE gateway = 'fraud'");
        serde_json::from_str(&kept).unwrap_or_default()
    }

    /// What is kept as evidence, of both versions.
    fn counted(&self) -> [Count; 2] {
        let totals = &self.state()["evidence"]["analysis"]["totals"];
        ["primary", "canary"].map(|arm| ["requests", "events"].map(|what| whole(&totals[arm][what])))
    }

    /// What the toys did, of which every tenth request fails.
    fn done(&self) -> [Count; 2] {
        [&self.toys[0], &self.toys[1]].map(|toy| [toy.requests(), toy.requests() / 10])
    }

    /// How many requests the Envoys of a replica had, of both versions.
    async fn seen(&self, place: usize) -> [u64; 2] {
        let url = format!("{}/api/v1/gateways/fraud/metrics", self.replicas.get(place).url);
        let page: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        ["v1", "v2"].map(|name| whole(&page["upstreams"][name]["requests"]))
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            let so_far = (self.counted(), self.done(), &self.state()["sentence"]);
            assert!(begun.elapsed() < DEADLINE * 3, "not {what}: {so_far:?}");
            let_pass(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Waits until so many more measurements of both versions are kept.
    async fn reports(&self, count: usize) {
        let to = || self.state()["evidence"]["to"].clone();
        let (mut last, mut changes) = (to(), 0);
        self.until("reported", async || {
            let now = to();
            changes += usize::from(now != last);
            last = now;
            changes >= count
        })
        .await;
    }

    /// Waits until the canary has its half, and Envoys have told of both versions since.
    async fn begins(&self) {
        self.until("half of the traffic", async || self.state()["weight"] == 50).await;
        for toy in &self.toys {
            toy.set_failures(Weight::parse("10").unwrap());
        }
        // Those that began before the canary had its share are not counted.
        self.until("an interval of this weight", async || {
            let state = self.state();
            let [from, origin] =
                ["from", "origin"].map(|what| state["evidence"][what].as_str().map(str::to_owned));
            from > origin
        })
        .await;
        self.reports(5).await;
    }

    async fn end(self) {
        for envoy in self.envoys {
            envoy.stop().await.unwrap();
        }
    }
}

fn sum(parts: &[[u64; 2]]) -> [u64; 2] {
    [0, 1].map(|i| parts.iter().map(|part| part[i]).sum())
}

#[tokio::test]
async fn requests_at_all_replicas_are_counted_once() {
    let play = Play::new(halves, &[0, 1, 2]).await;
    play.begins().await;
    assert_eq!(play.counted(), [[0; 2]; 2], "there was no load");
    let report = play.load(Until::Requests(3000)).finished().await;
    assert_eq!(report.requests(), 3000);
    play.until("all counted", async || play.counted() == play.done()).await;
    let mut seen = Vec::new();
    for place in 0..3 {
        seen.push(play.seen(place).await);
    }
    assert!(seen.iter().all(|seen| seen[0] > 0 && seen[1] > 0), "each had some: {seen:?}");
    assert_eq!(sum(&seen), play.done().map(|count| count[0]));
    let url = |place: usize| play.replicas.get((play.leader + place) % 3).url.clone();
    let written = async |place| metric(&url(place), "serin_measurements_written_total").await.unwrap();
    assert!(written(1).await > 0.0 && written(2).await > 0.0, "those who follow have written");
    println!("{seen:?}, {:?}", play.counted());
    play.reports(3).await;
    assert_eq!(play.counted(), play.done(), "and not twice");
    play.until("what is counted gone", async || {
        play.replicas.server.ask("SELECT count(*) < 20 FROM serin.measured") == "t"
    })
    .await;
    play.end().await;
}

#[tokio::test]
async fn a_leader_that_is_killed_takes_only_what_its_own_envoys_did_since_it_wrote_last() {
    let mut play = Play::new(halves, &[0, 1, 2]).await;
    play.begins().await;
    assert_eq!(play.load(Until::Requests(1000)).finished().await.failed(), 0);
    play.until("all counted", async || play.counted() == play.done()).await;
    // All of that is kept, and of what comes now anything from nothing to all.
    let (own, kept) = (play.seen(play.leader).await, play.counted());
    let load = play.load(Until::Stopped);
    play.until("counted", async || play.counted()[1][0] > kept[1][0] + 300).await;
    play.replicas.running[play.leader].take().unwrap().kill();
    let others = [1, 2].map(|place| (play.leader + place) % 3);
    play.roads[0].lead(play.replicas.xds(others[0]));
    let next = play.replicas.leader(&others).await;
    let before = play.counted()[1][0];
    play.until("counted by the next leader", async || play.counted()[1][0] > before + 500).await;
    let report = load.end().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    // All that the others' Envoys did, and what the first leader had kept of its own; nothing twice.
    let mut seen = [[0; 2]; 3];
    play.until("all counted", async || {
        let now = [play.seen(others[0]).await, play.seen(others[1]).await, own];
        let is_still = now == seen;
        seen = now;
        let counted = play.counted().map(|count| count[0]);
        is_still && (0..2).all(|arm| counted[arm] >= sum(&seen)[arm])
    })
    .await;
    play.reports(3).await;
    let (counted, done) = (play.counted(), play.done());
    println!("next is {next}; {seen:?} seen, {counted:?} counted of {done:?}");
    for arm in 0..2 {
        assert!(
            counted[arm][0] <= done[arm][0] && counted[arm][1] <= done[arm][1],
            "{counted:?} of {done:?}"
        );
    }
    play.end().await;
}

#[tokio::test]
async fn nothing_is_lost_with_a_leader_that_has_no_envoys() {
    let mut play = Play::new(halves, &[1, 2]).await;
    play.begins().await;
    let load = play.load(Until::Stopped);
    play.until("counted", async || play.counted()[1][0] > 300).await;
    // It is killed when it has read rows and counted them, and that is not kept.
    let server = &play.replicas.server;
    let mut holder = server.ask_beside("LOCK TABLE serin.rollout IN EXCLUSIVE MODE; SELECT pg_sleep(60)");
    let held = "pg_locks WHERE granted AND relation = 'serin.rollout'::regclass AND mode = 'ExclusiveLock'";
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'serin.rollout'::regclass";
    play.until("about to keep what it counted", async || server.ask(waiting) != "0").await;
    play.replicas.running[play.leader].take().unwrap().kill();
    let end = format!("SELECT count(pg_terminate_backend(pid)) FROM {held}");
    assert_eq!(play.replicas.server.ask(&end), "1");
    assert!(!holder.wait().unwrap().success());
    let others = [1, 2].map(|place| (play.leader + place) % 3);
    play.replicas.leader(&others).await;
    let before = play.counted()[1][0];
    play.until("counted by the next leader", async || play.counted()[1][0] > before + 300).await;
    load.end().await;
    play.until("all counted", async || play.counted() == play.done()).await;
    println!("{:?} counted of {:?}", play.counted(), play.done());
    play.reports(3).await;
    assert_eq!(play.counted(), play.done(), "and not twice");
    play.end().await;
}

#[tokio::test]
async fn a_release_moves_and_is_rolled_back_by_envoys_of_others() {
    let text = |v1: &Toy, v2: &Toy| {
        let whole = halves(v1, v2).replace(", dryRun: true", "");
        whole.replace("steps: [", "pause: 1s, steps: [20, ")
    };
    let play = Play::new(text, &[1, 2]).await;
    let load = play.load(Until::Stopped);
    play.until("at the second step", async || play.state()["weight"] == 50).await;
    let advanced = play.replicas.decisions();
    assert!(advanced.iter().filter(|d| d.0 == "advanced").count() == 2, "{advanced:?}");
    assert_eq!(play.seen(play.leader).await, [0, 0], "the leader has no Envoys");
    play.toys[1].set_failures(Weight::ALL);
    play.until("rolled back", async || play.state()["phase"] == "RolledBack").await;
    for place in 0..3 {
        let url = play.replicas.get(place).url.clone();
        let is_off =
            async || super::stage::weight(gateway(&url).await.as_ref(), "v2").is_none_or(|w| w <= 0.0);
        play.until("off everywhere", is_off).await;
    }
    load.end().await;
    play.end().await;
}

#[tokio::test]
async fn many_releases_are_written_down_together() {
    let play = Play::new(halves, &[1]).await;
    let more: Vec<String> = (1..50).map(|n| format!("g{n}")).collect();
    for name in &more {
        let text = halves(&play.toys[0], &play.toys[1]).replace("name: fraud\n", &format!("name: {name}\n"));
        let text = text.replace("path: /predict", &format!("path: /{name}"));
        play.replicas.write(&format!("{name}.yaml"), &text);
    }
    let count = |sql: &str| play.replicas.server.ask(sql).parse::<u64>().unwrap();
    let counted = "SELECT count(*) FROM serin.rollout WHERE state::json #>> '{evidence,analysis,at}' > '0'";
    play.until("all counted", async || count(counted) == 50).await;
    let follower = play.replicas.get((play.leader + 1) % 3).url.clone();
    let written = async || metric(&follower, "serin_measurements_written_total").await.unwrap();
    let load = play.load(Until::Stopped);
    let server = &play.replicas.server;
    server.ask("ALTER SYSTEM SET log_statement = 'all'");
    server.ask("SELECT pg_reload_conf()");
    let (begun, before) = (Instant::now(), written().await);
    play.until("some hundreds of rows", async || written().await - before >= 500.0).await;
    let (rows, took) = (written().await - before, begun.elapsed());
    let log = std::fs::read_to_string(server.path("log")).unwrap();
    // The values of each statement stand in the line after it.
    let lines: Vec<&str> = log.lines().collect();
    let writes = lines.windows(2).filter(|near| near[0].contains("WITH old AS (DELETE FROM serin.measured"));
    let sizes: Vec<usize> =
        writes.filter(|near| near[0].contains("INSERT")).map(|near| near[1].len()).collect();
    let (statements, bytes) = (sizes.len(), sizes.iter().sum::<usize>());
    println!("{rows} rows in {statements} statements with {bytes} bytes of values, in {took:?}");
    assert!(statements > 0 && rows >= 10.0 * f64::from(u32::try_from(statements).unwrap()), "all at once");
    load.end().await;
    let url = play.replicas.get(play.leader).url.clone();
    for way in ["written", "dropped"] {
        let name = format!("serin_measurements_{way}_total");
        assert_eq!(metric(&url, &name).await, Some(0.0), "{name}");
    }
    play.end().await;
}

#[tokio::test]
async fn what_was_measured_while_the_database_was_away_counts_when_it_is_back() {
    let play = Play::new(halves, &[1]).await;
    play.begins().await;
    let follower = (play.leader + 1) % 3;
    let url = play.replicas.get(follower).url.clone();
    play.replicas.ways[follower].block(true);
    // Of the rows that were on their way nobody knows, so they are given up. There was no load.
    let given_up = async || metric(&url, "serin_measurements_dropped_total").await > Some(0.0);
    play.until("cut off", given_up).await;
    // Few, so that also on a slow machine all is over within the minute for which rows are held.
    let report = play.load(Until::Requests(200)).finished().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let done = play.done().map(|count| count[0]);
    play.until("all measured", async || play.seen(follower).await == done).await;
    assert_eq!(play.counted(), [[0; 2]; 2], "nobody else knows of it");
    play.replicas.ways[follower].block(false);
    play.until("all counted", async || play.counted() == play.done()).await;
    play.reports(3).await;
    assert_eq!(play.counted(), play.done(), "and not twice");
    play.end().await;
}
