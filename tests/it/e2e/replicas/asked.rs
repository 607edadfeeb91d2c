//! Whoever is asked, it is the same: who gave an order, what there is not, and where files are changed.

use super::orders::journaled;
use crate::e2e::stage::{free_port, settings, toy};
use crate::postgres::Server;
use crate::protocol::client::{gateway, soon, write};
use crate::real::eventually;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use serin::access::{Role, line};
use serin::app::{App, Options};
use serin::launch::Toy;
use serin::model::Settings;
use serin::store::Seat;
use std::path::Path;
use tempfile::TempDir;

const ANN: &str = "serin_ann";
const BOB: &str = "serin_bob";

/// Two control planes with tokens, of which the first leads, and each of which has its own files.
struct Two {
    server: Server,
    folders: [TempDir; 2],
    apps: [App; 2],
    _toys: [Toy; 2],
}

impl Two {
    async fn start() -> Self {
        serin::client::choose_provider();
        let toys = [toy("v1").await, toy("v2").await];
        let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let people = [("ann", Role::Operator, ANN), ("bob", Role::Viewer, BOB)];
        let people = people.map(|(name, role, token)| line(name, role, token).unwrap()).join("\n");
        for folder in &folders {
            write(folder.path(), "tokens", &people);
            write(folder.path(), "fraud.yaml", &super::release(&toys[0], &toys[1]));
            write(folder.path(), "plain.yaml", &gateway("plain", 95));
        }
        let port = free_port();
        let leader = app(folders[0].path(), &server, port, "cache-0").await;
        eventually("it leads", || leader.view.load().leads).await;
        let follower = app(folders[1].path(), &server, port, "cache-1").await;
        let is_known = || matches!(follower.view.load().seat, Some((Seat::Follows { leader: Some(_) }, _)));
        eventually("the leader is known", is_known).await;
        for app in [&leader, &follower] {
            let is_known = || app.view.load().gateways.get("fraud").is_some_and(|g| g.rollout.is_some());
            eventually("the release is known", is_known).await;
        }
        Self { server, folders, apps: [leader, follower], _toys: toys }
    }

    /// A question to one of the two.
    fn ask(&self, of: usize, method: Method, page: &str) -> RequestBuilder {
        let client = serin::client::builder().build().unwrap();
        client.request(method, format!("http://{}/api/v1/{page}", self.apps[of].http))
    }

    /// What is in the files of one of the two.
    fn files(&self, of: usize) -> Vec<(String, String)> {
        let all = std::fs::read_dir(self.folders[of].path()).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> = all
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        files.sort();
        files
    }

    async fn end(self) {
        for app in self.apps {
            app.stop().await;
        }
    }
}

async fn app(folder: &Path, server: &Server, port: u16, cache: &str) -> App {
    let url = format!("{}&cache={}", server.url("postgres"), server.path(cache).display());
    let store = Some(serin::config::store_at(&url).unwrap());
    let tokens_file = Some(folder.join("tokens"));
    let settings = Settings { store, tokens_file, ..settings(folder, port, None) };
    let app = App::start(settings, Options::default()).await.unwrap();
    soon("files are read", app.ready()).await;
    app
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_bears_its_givers_name_and_is_refused_as_at_the_leader() {
    let two = Two::start().await;
    let set = |of| {
        two.ask(of, Method::POST, "gateways/fraud/actions/set-weight")
            .json(&json!({ "weight": 20, "reason": "r" }))
    };
    assert_eq!(answer(set(1).bearer_auth(ANN)).await.0, 200);
    assert_eq!(journaled(&two.server, "reason = 'r' AND actor = 'ann'"), 1);
    // Who may not is told so by the one that was asked.
    assert_eq!(answer(set(1).bearer_auth(BOB)).await.0, 403);
    assert_eq!(answer(set(1)).await.0, 401);
    assert_eq!(journaled(&two.server, "reason = 'r'"), 1);
    let put = two.ask(1, Method::PUT, "switches/shadow").json(&json!({ "on": false, "reason": "s" }));
    assert_eq!(answer(put.bearer_auth(ANN)).await.0, 200);
    eventually("the switch is kept", || journaled(&two.server, "kind = 'switched'") == 1).await;
    assert_eq!(journaled(&two.server, "reason = 's' AND actor = 'ann'"), 1);
    for (page, status, why) in [
        ("gateways/nobody/actions/pause", 404, "there is no gateway nobody"),
        ("gateways/fraud/actions/dance", 404, "there is no action dance"),
        ("gateways/plain/actions/pause", 409, "gateway plain has no `rollout`"),
        ("gateways/fraud/actions/retry", 409, ""),
    ] {
        let asked =
            async |of| answer(two.ask(of, Method::POST, page).bearer_auth(ANN).json(&json!({}))).await;
        let (here, there) = (asked(0).await, asked(1).await);
        assert_eq!(here, there, "{page}");
        assert!(here.0 == status && here.1["detail"].as_str().unwrap().contains(why), "{page}: {here:?}");
    }
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_changed_at_the_leader_and_elsewhere_it_is_named() {
    let two = Two::start().await;
    let name = answer(two.ask(0, Method::GET, "replicas").bearer_auth(ANN)).await.1["name"].clone();
    let text = gateway("plain", 80);
    let changes = |of| {
        let ask = |method, page| two.ask(of, method, page).bearer_auth(ANN);
        let of_type = |request: RequestBuilder, kind| request.header("content-type", kind);
        [
            of_type(ask(Method::PUT, "gateways/plain"), "application/yaml")
                .header("if-match", "*")
                .body(text.clone()),
            of_type(ask(Method::PATCH, "gateways/plain"), "application/merge-patch+json")
                .header("if-match", "*")
                .body(r#"{"timeout":"3s"}"#),
            ask(Method::PUT, "gateways/plain/traffic")
                .header("if-match", "*")
                .json(&json!({ "v1": 70, "v2": 30 })),
            of_type(ask(Method::PUT, "gateways/new"), "application/yaml")
                .header("if-none-match", "*")
                .body(gateway("new", 50)),
            ask(Method::DELETE, "gateways/new").header("if-match", "*"),
        ]
    };
    let before = [two.files(0), two.files(1)];
    let (status, file) = answer(two.ask(1, Method::GET, "gateways/plain/file").bearer_auth(ANN)).await;
    let reason = format!("the serin at {} leads the rollouts; change files there", name.as_str().unwrap());
    assert_eq!((status, &file["writable"], &file["reason"]), (200, &json!(false), &json!(reason)));
    let session = answer(two.ask(1, Method::GET, "session").bearer_auth(ANN)).await.1;
    assert_eq!(session["editing"], json!({ "allowed": false, "reason": reason }));
    // The last one is about a gateway that is nowhere.
    for change in changes(1).into_iter().take(4) {
        let (status, said) = answer(change).await;
        assert_eq!((status, &said["detail"]), (409, &json!(reason)));
    }
    assert_eq!([two.files(0), two.files(1)], before, "nothing was written anywhere");
    for (change, wanted) in changes(0).into_iter().zip([200, 200, 200, 201, 204]) {
        let (status, said) = answer(change).await;
        assert_eq!(status, wanted, "{said}");
    }
    assert_ne!(two.files(0), before[0]);
    assert_eq!(two.files(1), before[1], "each has its own files");
    let edited = "kind = 'edited' AND actor = 'ann'";
    eventually("the journal has each", || journaled(&two.server, edited) == 5).await;

    // Without the database nobody could say who changed what.
    let now = [two.files(0), two.files(1)];
    tokio::task::block_in_place(|| two.server.down());
    let is_cut = |app: &App| matches!(app.view.load().seat, Some((Seat::Cut { .. }, _)));
    eventually("both are cut off", || two.apps.iter().all(is_cut)).await;
    for of in [0, 1] {
        for change in changes(of).into_iter().take(4) {
            let (status, said) = answer(change).await;
            let detail = said["detail"].as_str().unwrap();
            assert!(status == 503 && detail.starts_with("the journal cannot be written"), "{status} {said}");
        }
    }
    assert_eq!([two.files(0), two.files(1)], now);
    two.end().await;
}
