//! Envoys at any replica: how predictions agreed there decides, each pair once, whoever leads.

use super::replicas::{Replicas, Road, envoys, metric};
use super::stage::{let_pass, toy};
use crate::real::{DEADLINE, envoy};
use serde_json::{Value, json};
use serin::launch::{
    Bootstrap, Envoy, EnvoyOptions, Load, LoadOptions, Report, Toy, ToyOptions, Until, VERSION_HEADER,
    VersionIn,
};
use serin::model::Endpoint;
use serin::weight::Weight;
use std::time::Duration;
use tokio::time::Instant;

/// A release whose canary gets all copies before its first step. Both toys say their version, which is no prediction.
fn text(v1: &Toy, v2: &Toy, least: &str) -> String {
    let (v1, v2) = (v1.url(), v2.url());
    format!(
        "apiVersion: serin/v1\nname: fraud\npath: /predict\ntimeout: 10s\nupstreams: {{ v1: {v1}, v2: {v2} }}\n\
         rollout: {{ primary: v1, canary: v2, metrics: [{{ name: error-rate, dryRun: true }}], deadline: 2h, \
         shadowFirst: {{ percent: 100, minMatch: {least} }}, steps: [{{ weight: 50, pause: manual }}] }}\n\
         shadow: {{ upstream: v2, percent: 0, compare: {{ path: $.prediction }} }}\n"
    )
}

/// So many requests are under way at most.
const CONNECTIONS: usize = 24;

/// Replicas whose release waits for its shadow, and Envoys at some of them.
struct Play {
    replicas: Replicas,
    leader: usize,
    roads: Vec<Road>,
    envoys: Vec<Envoy>,
    v2: Toy,
    _v1: Toy,
}

impl Play {
    /// Of the canary's predictions this share differs, and at least so many have to agree. `places`: where in the order
    /// after the leader the Envoys are; 0 is the leader itself.
    async fn new(count: usize, astray: &str, least: &str, places: &[usize]) -> Self {
        let mut play = Self::without_envoys(count, astray, least).await;
        for place in places {
            play.roads.push(Road::to(play.replicas.xds(play.at(*place))).await);
        }
        play.envoys = envoys(&play.roads).await;
        play.ready(&places.iter().map(|place| play.at(*place)).collect::<Vec<_>>()).await;
        play
    }

    async fn without_envoys(count: usize, astray: &str, least: &str) -> Self {
        serin::client::choose_provider();
        let astray = Weight::parse(astray).unwrap();
        let v1 = toy("v1").await;
        let options = ToyOptions { version: "v2".into(), astray, ..ToyOptions::default() };
        let v2 = Toy::start(options).await.unwrap();
        let replicas = Replicas::start(count, &text(&v1, &v2, least)).await;
        let all: Vec<usize> = (0..count).collect();
        let leader = replicas.leader(&all).await;
        Self { replicas, leader, roads: Vec::new(), envoys: Vec::new(), v2, _v1: v1 }
    }

    /// Waits until these replicas compare, and all Envoys copy.
    async fn ready(&self, replicas: &[usize]) {
        self.until("shadowed", async || self.state()["shadowed"].is_object()).await;
        for replica in replicas {
            let is_shadow = async || {
                super::replicas::gateway(&self.replicas.get(*replica).url)
                    .await
                    .is_some_and(|gateway| gateway["shadow"]["percent"] == 100)
            };
            self.until("compared", is_shadow).await;
        }
        self.until("copied by Envoys", async || {
            let mut copy = 0;
            for envoy in &self.envoys {
                let (_, config) = envoy.admin("/config_dump").await.unwrap();
                copy += usize::from(config.contains("\"numerator\": 10000"));
            }
            copy == self.envoys.len()
        })
        .await;
    }

    /// A replica by its place after the first leader.
    fn at(&self, place: usize) -> usize {
        (self.leader + place) % self.replicas.running.len()
    }

    fn load(&self, until: Until) -> Load {
        Load::start(LoadOptions {
            url: format!("http://127.0.0.1:{}/predict", self.replicas.port),
            rate: Some(150.0),
            until,
            version: VersionIn::Header(VERSION_HEADER.into()),
            connections: CONNECTIONS,
            ..LoadOptions::default()
        })
        .unwrap()
    }

    /// What is kept of the release.
    fn state(&self) -> Value {
        let kept = self.replicas.server.ask("SELECT state FROM serin.rollout WHERE gateway = 'fraud'");
        serde_json::from_str(&kept).unwrap_or_default()
    }

    /// What is kept of the shadow: pairs, and those that match.
    fn counted(&self) -> [u64; 2] {
        let seen = &self.state()["shadowed"];
        ["compared", "matched"].map(|what| seen[what].as_u64().unwrap_or_default())
    }

    /// What the canary answered, of which every tenth differs.
    fn done(&self) -> [u64; 2] {
        let copies = self.v2.requests();
        [copies, copies - copies / 10]
    }

    /// What the API of a replica says about its own Envoys.
    async fn report(&self, replica: usize) -> Option<Value> {
        let url = format!("{}/api/v1/gateways/fraud/shadow", self.replicas.get(replica).url);
        reqwest::get(url).await.ok()?.error_for_status().ok()?.json().await.ok()
    }

    async fn seen(&self, replica: usize) -> u64 {
        self.report(replica).await.unwrap()["pairs"][0]["compared"].as_u64().unwrap()
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            let so_far = (self.counted(), self.done(), &self.state()["sentence"]);
            assert!(begun.elapsed() < DEADLINE * 3, "not {what}: {so_far:?}");
            let_pass(Duration::from_millis(100)).await;
        }
    }

    /// All copies are counted, each once, and stay so; but for those of which replicas say that they are not.
    async fn counts_all(&self) {
        self.until("all counted", async || self.is_all_counted().await).await;
        let gone = async || self.replicas.server.ask("SELECT count(*) FROM serin.measured") == "0";
        self.until("all rows gone", gone).await;
        assert!(self.is_all_counted().await, "and not twice: {:?} of {:?}", self.counted(), self.done());
    }

    /// On a machine with too much to do an answer may come too late to be compared, and a row too late to be kept.
    async fn is_all_counted(&self) -> bool {
        let ([compared, matched], [copies, matching]) = (self.counted(), self.done());
        if [compared, matched] == [copies, matching] {
            return true;
        }
        let (mut seen, mut apart, mut dropped) = (0, 0, 0.0);
        for replica in (0..self.replicas.running.len()).filter(|i| self.replicas.running[*i].is_some()) {
            let report = self.report(replica).await.unwrap();
            seen += report["pairs"][0]["compared"].as_u64().unwrap();
            apart += not_compared(&report);
            let url = &self.replicas.get(replica).url;
            dropped += metric(url, "serin_measurements_dropped_total").await.unwrap();
        }
        // Of a row nobody says how many pairs were in it.
        let is_told = copies <= seen + apart && (compared == seen || dropped > 0.0);
        let is_once = compared <= seen && seen <= copies && matched <= matching && matched <= compared;
        is_told && is_once && compared - matched <= copies - matching
    }

    /// The way of a replica to the database is blocked, and another one leads; then it is free again.
    async fn loses_the_lead(&self, replica: usize, other: usize) {
        self.replicas.ways[replica].block(true);
        assert_eq!(self.replicas.leader(&[other]).await, other);
        self.replicas.ways[replica].block(false);
        self.until("following", async || {
            let url = format!("{}/api/v1/replicas", self.replicas.get(replica).url);
            let page: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
            page["leads"] == false && page["leader"].is_string()
        })
        .await;
    }

    async fn end(self) {
        for envoy in self.envoys {
            envoy.stop().await.unwrap();
        }
    }
}

/// Answers that were not compared, for whatever reason.
fn not_compared(report: &Value) -> u64 {
    let reasons = [&report["pairs"][0]["notCompared"], &report["notPaired"]];
    let counts = reasons.into_iter().filter_map(Value::as_object).flat_map(|all| all.values());
    counts.filter_map(Value::as_u64).sum()
}

/// What becomes of a release whose leader has no Envoys: its state, the journal, and what clients were answered.
async fn decided(astray: &str, least: &str) -> (Value, String, Report) {
    let play = Play::new(2, astray, least, &[1]).await;
    let load = play.load(Until::Stopped);
    play.until("decided", async || {
        let state = play.state();
        state["phase"] == "RolledBack" || state["weight"] == 50
    })
    .await;
    let state = play.state();
    let report = load.end().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let said = play.replicas.server.ask("SELECT message FROM serin.journal ORDER BY sequence");
    let [own, other] = [play.report(play.leader).await.unwrap(), play.report(play.at(1)).await.unwrap()];
    println!("{said}\nthe leader: {own}\nthe other one: {other}");
    let compared = |report: &Value| report["pairs"][0]["compared"].as_u64().unwrap();
    assert!(compared(&own) == 0 && compared(&other) > 0, "the leader's Envoys compared nothing");
    assert!(own["replica"].is_string() && own["replica"] != other["replica"], "each says whose it is");
    play.end().await;
    (state, said, report)
}

#[tokio::test]
async fn predictions_at_another_replica_keep_a_release_from_beginning() {
    let (state, _, report) = decided("10", "97%").await;
    let sentence = state["sentence"].as_str().unwrap();
    assert_eq!((&state["phase"], &state["weight"]), (&json!("RolledBack"), &json!(0)));
    assert!(sentence.starts_with("the release of v2 does not begin: "), "{sentence}");
    assert!(
        sentence.contains(" predictions agreed (") && sentence.ends_with(", at least 97 % wanted"),
        "{sentence}"
    );
    assert_eq!(report.by_version.get("v2").map_or(0, serin::launch::Answers::count), 0, "no client met it");
}

#[tokio::test]
async fn predictions_at_another_replica_let_a_release_begin() {
    let (state, said, _) = decided("0", "97%").await;
    assert_eq!(state["weight"], 50, "{state}");
    let begun = said.lines().find(|line| line.starts_with("v2 goes from 0 % to 50 %: ")).unwrap();
    assert!(
        begun.contains(" predictions agreed (100 %, ") && begun.ends_with(", at least 97 % wanted"),
        "{begun}"
    );
}

#[tokio::test]
async fn a_leader_that_is_killed_takes_no_pair_of_others_with_it_and_none_counts_twice() {
    // As many agree as are wanted, so that it is never known whether they do.
    let mut play = Play::new(3, "10", "90%", &[1, 2]).await;
    let load = play.load(Until::Stopped);
    play.until("counted", async || play.counted()[0] > 300).await;
    play.replicas.running[play.leader].take().unwrap().kill();
    let others = [1, 2].map(|place| play.at(place));
    let next = play.replicas.leader(&others).await;
    let before = play.counted()[0];
    play.until("counted by the next leader", async || play.counted()[0] > before + 300).await;
    let report = load.end().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    play.counts_all().await;
    let seen = [play.seen(others[0]).await, play.seen(others[1]).await];
    println!("next is {next}; {seen:?} seen, {:?} counted of {:?}", play.counted(), play.done());
    assert!(seen.iter().all(|pairs| *pairs > 0), "each had some: {seen:?}");
    play.end().await;
}

#[tokio::test]
async fn a_lead_that_comes_back_counts_no_pair_again() {
    let play = Play::new(2, "10", "90%", &[0, 1]).await;
    let (first, second) = (play.leader, play.at(1));
    let compares = async || {
        let report = play.load(Until::Requests(300)).finished().await;
        assert_eq!((report.requests(), report.failed()), (300, 0), "{:?}", report.failures);
        play.counts_all().await;
        println!("{:?} counted of {:?}", play.counted(), play.done());
    };
    compares().await;
    play.loses_the_lead(first, second).await;
    compares().await;
    play.loses_the_lead(second, first).await;
    compares().await;
    assert_eq!(play.done()[0], 900);
    let seen = [play.seen(first).await, play.seen(second).await];
    assert!(seen.iter().all(|pairs| *pairs > 0), "each had some: {seen:?}");
    play.end().await;
}

#[tokio::test]
async fn both_answers_of_a_request_go_to_one_replica_and_to_the_next_when_that_is_killed() {
    let mut play = Play::without_envoys(3, "10", "90%").await;
    let mut all: Vec<Endpoint> = (0..3)
        .map(|i| play.replicas.xds(i))
        .map(|at| Endpoint { host: at.ip().to_string(), port: at.port() })
        .collect();
    let bootstrap = Bootstrap { control_plane: all.remove(0), others: all, ..Bootstrap::default() };
    let order: Vec<usize> = bootstrap
        .control_planes()
        .iter()
        .map(|at| (0..3).find(|i| play.replicas.xds(*i).port() == at.port).unwrap())
        .collect();
    let options = EnvoyOptions { concurrency: Some(2), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(envoy().await, &bootstrap.to_string(), &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    play.envoys.push(envoy);
    play.ready(&[0, 1, 2]).await;
    let load = play.load(Until::Stopped);
    play.until("compared", async || play.seen(order[0]).await > 300).await;
    play.replicas.running[order[0]].take().unwrap().kill();
    play.until("compared by the next one", async || play.seen(order[1]).await > 300).await;
    // 100 pairs, of which the last one gets none: where they go to both, there is no such time.
    let counts = async || [play.seen(order[1]).await, play.seen(order[2]).await];
    let mut before = counts().await;
    let one_at_a_time = async || {
        let now = counts().await;
        if now[1] > before[1] {
            before = now;
        }
        now[0] >= before[0] + 100
    };
    play.until("compared by one at a time", one_at_a_time).await;
    let report = load.end().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let url = play.replicas.get(order[1]).url.clone();
    let waits = async || metric(&url, "serin_compare_waiting_answers").await;
    play.until("no half waiting", async || waits().await == Some(0.0)).await;
    let last = play.report(order[2]).await.unwrap();
    let report = play.report(order[1]).await.unwrap();
    println!("{report}; {last}; {:?} counted of {:?}", play.counted(), play.done());
    let alone = not_compared(&report) + not_compared(&last);
    // Of what was under way when it was left, and when it was tried again; and where a busy machine has made Envoy leave
    // the next one as well for a moment, on the way there and back.
    let is_left = play.seen(order[2]).await > 0 || not_compared(&last) > 0;
    let ways = if is_left { 3 } else { 1 };
    assert!(alone <= ways * 2 * u64::try_from(CONNECTIONS).unwrap(), "{report} {last}");
    assert!(play.counted()[0] <= play.done()[0], "nothing twice");
    play.end().await;
}
