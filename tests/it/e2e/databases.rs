//! Databases as people have them: a pool of connections before it, a standby that is promoted, a role that may only read.

use super::replicas::{gateway, release};
use super::stage::{free_port, settings, toy, weight};
use crate::postgres::{Bouncer, Server};
use crate::protocol::client::{soon, write};
use crate::real::eventually;
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::launch::Toy;
use serin::model::Settings;
use tempfile::TempDir;

/// A Serin with the release of a canary and a store by this URL.
struct Replica {
    app: App,
    _folder: TempDir,
}

impl Replica {
    async fn start([v1, v2]: [&Toy; 2], url: &str) -> Self {
        serin::client::choose_provider();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("gateways")).unwrap();
        write(&folder.path().join("gateways"), "fraud.yaml", &release(v1, v2));
        let url = format!("{url}&cache={}", folder.path().join("cache.db").display());
        let store = Some(serin::config::store_at(&url).unwrap());
        let settings = Settings { store, ..settings(&folder.path().join("gateways"), free_port(), None) };
        let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
        soon("files are read", app.ready()).await;
        Self { app, _folder: folder }
    }

    fn url(&self) -> String {
        format!("http://{}", self.app.http)
    }

    async fn order(&self, verb: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/v1/gateways/fraud/actions/{verb}", self.url());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn serves(&self, wanted: f64) {
        let wait = async {
            while weight(gateway(&self.url()).await.as_ref(), "v2") != Some(wanted) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{wanted} %"), wait).await;
    }

    async fn leads(&self) {
        eventually("it leads", || self.app.view.load().leads).await;
        eventually("the release is known", || {
            self.app.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some())
        })
        .await;
    }

    async fn alarmed(&self, part: &str) {
        let url = format!("{}/api/v1/alarms", self.url());
        let wait = async {
            while !reqwest::get(&url).await.unwrap().text().await.unwrap().contains(part) {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        soon(part, wait).await;
    }
}

/// How Serin is told of a server by another port than its own.
fn by(server: &Server, ports: &[u16]) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    server.url("postgres").replace(&format!("127.0.0.1:{}", server.port), &hosts.join(","))
}

async fn server() -> Server {
    tokio::task::spawn_blocking(Server::start).await.unwrap()
}

async fn behind_a_pool(mode: &'static str) {
    let toys = (toy("v1").await, toy("v2").await);
    let models = [&toys.0, &toys.1];
    let server = server().await;
    let (bouncer, server) =
        tokio::task::spawn_blocking(move || (Bouncer::start(&server, mode), server)).await.unwrap();
    let url = by(&server, &[bouncer.port]);
    let leader = Replica::start(models, &url).await;
    leader.leads().await;
    let follower = Replica::start(models, &url).await;
    assert_eq!(leader.order("set-weight", json!({ "weight": 20 })).await.0, 200);
    follower.serves(20.0).await;
    let (status, outcome) = follower.order("set-weight", json!({ "weight": 30 })).await;
    assert_eq!((status, &outcome["kept"]), (200, &json!(true)), "{outcome}");
    leader.serves(30.0).await;
    // No safety setting is lost: a transaction in which nothing more is said is taken back.
    let frozen = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                  AND xact_start < clock_timestamp() - interval '3 seconds'";
    assert_eq!(server.ask(frozen), "0");
    leader.app.stop().await;
    follower.leads().await;
    assert_eq!(follower.order("abort", json!({})).await.0, 200);
    follower.serves(0.0).await;
    follower.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_sessions_works_as_it_comes() {
    behind_a_pool("session").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_transactions_works() {
    behind_a_pool("transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_takes_over() {
    let toys = (toy("v1").await, toy("v2").await);
    let models = [&toys.0, &toys.1];
    let primary = server().await;
    let (standby, primary) = tokio::task::spawn_blocking(move || (primary.standby(), primary)).await.unwrap();
    // The standby is asked first, and passed over.
    let serin = Replica::start(models, &by(&primary, &[standby.port, primary.port])).await;
    serin.leads().await;
    assert_eq!(serin.order("set-weight", json!({ "weight": 40 })).await.0, 200);
    let select = "SELECT count(*) FROM serin.rollout WHERE revision >= 2";
    eventually("the standby has it", || tokio::task::block_in_place(|| standby.ask(select)) == "1").await;

    // One that knows the standby alone says what is wrong with it.
    let lost = Replica::start(models, &by(&primary, &[standby.port])).await;
    lost.alarmed("it is a standby, or may only be read").await;
    lost.alarmed("\"leader\"").await;

    tokio::task::block_in_place(|| primary.down());
    serin.alarmed("what happens cannot be kept").await;
    let (status, outcome) = serin.order("set-weight", json!({ "weight": 30 })).await;
    assert_eq!((status, &outcome["kept"]), (202, &json!(false)), "{outcome}");
    serin.serves(30.0).await;
    tokio::task::block_in_place(|| standby.promote());
    eventually("one of them leads", || serin.app.view.load().leads || lost.app.view.load().leads).await;
    let select = "SELECT max(revision) FROM serin.journal WHERE gateway = 'fraud'";
    eventually("it is kept there", || tokio::task::block_in_place(|| standby.ask(select)) == "3").await;
    serin.serves(30.0).await;
    lost.serves(30.0).await;
    assert_eq!(serin.order("abort", json!({})).await.0, 200);
    lost.serves(0.0).await;
    serin.app.stop().await;
    lost.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_read_is_an_alarm() {
    let toys = (toy("v1").await, toy("v2").await);
    let models = [&toys.0, &toys.1];
    let server = server().await;
    let first = Replica::start(models, &server.url("postgres")).await;
    first.leads().await;
    first.app.stop().await;
    tokio::task::block_in_place(|| {
        server.ask("CREATE ROLE reader LOGIN PASSWORD 'open-sesame'");
        server.ask(
            "GRANT USAGE ON SCHEMA serin TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA serin TO reader",
        );
    });
    let reader = Replica::start(models, &server.url("postgres").replace("serin@", "reader@")).await;
    reader.alarmed("no Serin is known to lead the rollouts").await;
    reader.alarmed("permission denied").await;
    assert!(!reader.app.view.load().leads);
    reader.app.stop().await;
}
