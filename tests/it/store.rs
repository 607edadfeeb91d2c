//! What survives: the real binary is stopped, killed and started again, and its store is taken away or damaged.
#![cfg(test)]

use crate::cli::{Run, command, serin};
use crate::protocol::client::{gateway, soon, write};
use crate::real::eventually;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A control plane of its own process.
pub(crate) struct Serve {
    pub(crate) child: Child,
    log: PathBuf,
    pub(crate) url: String,
}

impl Serve {
    /// Starts it, and waits until it serves.
    pub(crate) async fn start(folder: &Path, flags: &[&str]) -> Self {
        let settings = folder.join("serin.yaml");
        if !settings.exists() {
            std::fs::write(&settings, "gateways: gateways\n").unwrap();
        }
        let ports = ["serve", "--config", "serin.yaml", "--xds", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        Self::run(folder, command(folder, &[&ports, flags].concat())).await
    }

    async fn run(folder: &Path, mut command: Command) -> Self {
        let log = folder.join("log");
        let errors = std::fs::File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        let mut serve = Self { child, log, url: String::new() };
        eventually("it says where it is", || {
            let said = serve.said();
            let url = said.split("HTTP on ").nth(1).and_then(|rest| rest.split_whitespace().next());
            serve.url = url.unwrap_or_default().to_owned();
            !serve.url.is_empty()
        })
        .await;
        while serve.get("/readyz").await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        serve
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) async fn get(&self, page: &str) -> Response {
        soon(page, client().get(format!("{}{page}", self.url)).send()).await.unwrap()
    }

    pub(crate) async fn json(&self, page: &str) -> Value {
        let response = self.get(page).await;
        assert_eq!(response.status(), StatusCode::OK, "{page}");
        response.json().await.unwrap()
    }

    /// The whole journal: sequences and sentences.
    pub(crate) async fn journal(&self) -> Vec<(u64, String)> {
        let page = self.json("/api/v1/events?limit=1000&after=0").await;
        page["events"].as_array().unwrap().iter().map(entry).collect()
    }

    /// Waits until a gateway is shown with something true.
    async fn shows(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let response = self.get(&format!("/api/v1/gateways/{name}")).await;
                let found: Value = response.json().await.unwrap();
                if condition(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(name, wait).await
    }

    /// Runs a command on it.
    fn serin(&self, arguments: &[&str]) -> Run {
        serin(&[arguments, &["--server", &self.url]].concat())
    }

    /// As a loss of power would, as far as a process can tell.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It has ended already where the test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With the provider of cryptography that reqwest wants, also for plain HTTP.
fn client() -> Client {
    serin::client::builder().build().unwrap()
}

fn entry(event: &Value) -> (u64, String) {
    (event["sequence"].as_u64().unwrap(), event["message"].as_str().unwrap().to_owned())
}

/// A folder with a gateway.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("gateways")).unwrap();
    write(&gateways(&folder), "a.yaml", &gateway("a", 95));
    folder
}

fn gateways(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("gateways")
}

/// A stream of events, which has begun.
async fn open(serve: &Serve, after: Option<u64>) -> Response {
    let mut request =
        client().get(format!("{}/api/v1/events", serve.url)).header("accept", "text/event-stream");
    if let Some(after) = after {
        request = request.header("last-event-id", after.to_string());
    }
    let response = soon("the stream", request.send()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

/// Reads a stream until this many events came.
async fn read(mut response: Response, most: usize) -> Vec<(u64, String)> {
    let work = async {
        let (mut text, mut found) = (String::new(), Vec::new());
        while found.len() < most {
            let chunk = response.chunk().await.unwrap().expect("the stream has ended");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let value = |key: &str| event.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
                if let Some(data) = value("data:") {
                    let entry = entry(&serde_json::from_str(data).unwrap());
                    assert_eq!(value("id:").unwrap(), entry.0.to_string());
                    found.push(entry);
                }
                text = rest.to_owned();
            }
        }
        found.truncate(most);
        found
    };
    soon("events", work).await
}

#[tokio::test]
async fn nothing_that_was_told_is_lost_by_a_kill() {
    let folder = folder();
    let mut told: Vec<(u64, String)> = Vec::new();
    for round in 0..4_u32 {
        let serve = Serve::start(folder.path(), &[]).await;
        let kept = serve.journal().await;
        assert_eq!(kept.get(..told.len()), Some(told.as_slice()), "what a reader saw is there, as it was");
        let after = kept.last().map_or(0, |e| e.0);
        let reader = read(open(&serve, Some(after)).await, 5);
        let writer = async {
            for i in 0..10 {
                write(&gateways(&folder), "a.yaml", &gateway("a", round * 10 + i));
                let weight = json!(round * 10 + i);
                serve.shows("a", |g| g["upstreams"][0]["weight"] == weight).await;
            }
        };
        let (new, ()) = tokio::join!(reader, writer);
        assert_eq!(new.len(), 5);
        serve.kill();
        told = [kept, new].concat();
    }
    assert!(told.is_sorted_by(|a, b| a.0 < b.0), "{told:?}");
    // And `sqlite3` or anyone else can read it without Serin.
    let file = rusqlite::Connection::open(folder.path().join("serin.db")).unwrap();
    let count: i64 = file.query_row("SELECT count(*) FROM journal", [], |r| r.get(0)).unwrap();
    assert!(usize::try_from(count).unwrap() >= told.len());
}

#[tokio::test]
async fn a_stream_goes_on_where_its_reader_left_it() {
    let folder = folder();
    let serve = Serve::start(folder.path(), &[]).await;
    let change = async |weight: u32| {
        write(&gateways(&folder), "a.yaml", &gateway("a", weight));
        serve.shows("a", |g| g["upstreams"][0]["weight"] == json!(weight)).await;
    };
    for weight in [10, 20, 30] {
        change(weight).await;
    }
    let first = read(open(&serve, Some(0)).await, 2).await;
    let second = read(open(&serve, Some(first[1].0)).await, 1).await;
    assert_eq!([&first[..], &second[..]].concat(), serve.journal().await);
    // From now on only, when one asks for nothing.
    let live = open(&serve, None).await;
    change(40).await;
    assert_eq!(read(live, 1).await[0].1, "gateway a: traffic was v1 30 %, v2 70 %, is v1 40 %, v2 60 %");
    // Another journal has other numbers.
    assert_eq!(read(open(&serve, Some(1_000_000)).await, 1).await[0], first[0]);
}

#[tokio::test]
async fn the_journal_is_read_by_command() {
    let folder = folder();
    let serve = Serve::start(folder.path(), &[]).await;
    write(&gateways(&folder), "a.yaml", &gateway("a", 80));
    serve.shows("a", |g| g["upstreams"][0]["weight"] == 80).await;
    write(&gateways(&folder), "b.yaml", &gateway("b", 50));
    serve.shows("b", |g| g["serving"] == true).await;
    write(&gateways(&folder), "a.yaml", "name: a\nb: c\n");
    serve.shows("a", |g| g["phase"] == "Invalid").await;

    let history = serve.serin(&["history", "a"]).good();
    assert!(history.starts_with("TIME"), "{history}");
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[1].contains("changed  file") && lines[1].contains("v1 80 %, v2 20 %"), "{history}");
    assert!(lines[2].contains("invalid  file"), "{history}");
    assert!(!history.contains("gateway b"), "{history}");
    let events: Value = serde_json::from_str(&serve.serin(&["events", "-o", "json"]).good()).unwrap();
    assert_eq!(events[0]["before"], json!({ "v1": 95, "v2": 5 }));
    assert_eq!(events[0]["after"], json!({ "v1": 80, "v2": 20 }));
    let loaded = serve.serin(&["events", "--kind", "loaded,removed"]).good();
    assert!(loaded.contains("gateway b serves from b.yaml") && loaded.lines().count() == 1, "{loaded}");
    let last = serve.serin(&["events", "--limit", "1"]).good();
    assert_eq!(last.lines().count(), 1, "{last}");
    assert!(serve.serin(&["history", "nobody"]).fails(1).contains("there is no gateway nobody"));
    assert_eq!(serve.json("/api/v1/gateways/a/revisions").await, json!({ "events": [] }));
    for wrong in ["limit=0", "limit=5000", "limit=x", "colour=red"] {
        assert_eq!(
            serve.get(&format!("/api/v1/events?{wrong}")).await.status(),
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }

    let mut follow = command(folder.path(), &["events", "a", "-f", "--server", &serve.url]);
    let log = folder.path().join("followed");
    let mut follow = follow.stdout(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let followed = || std::fs::read_to_string(&log).unwrap();
    eventually("the past is told", || followed().contains("invalid")).await;
    write(&gateways(&folder), "a.yaml", &gateway("a", 70));
    eventually("what happens is told", || followed().contains("v1 70 %")).await;
    serve.kill();
    let ended = follow.wait().unwrap();
    assert_eq!(ended.code(), Some(2), "a stream that ends is a failure of the world");
}

#[tokio::test]
async fn a_file_that_is_broken_at_a_restart_serves_its_last_good_version() {
    let folder = folder();
    let secured = format!("{}authentication: {{ basicAuth: {{ usersFile: users }} }}\n", gateway("b", 50));
    std::fs::write(gateways(&folder).join("users"), "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    write(&gateways(&folder), "b.yaml", &secured);
    write(&gateways(&folder), "gone.yaml", &gateway("gone", 50));
    let serve = Serve::start(folder.path(), &[]).await;
    for name in ["a", "b", "gone"] {
        serve.shows(name, |g| g["phase"] == "Stable").await;
    }
    // Notes are kept behind; what was answered after them is a sign that they are.
    serve.journal().await;
    serve.kill();

    for name in ["a.yaml", "b.yaml"] {
        std::fs::write(gateways(&folder).join(name), "apiVersion: serin/v1\n: broken").unwrap();
    }
    std::fs::remove_file(gateways(&folder).join("gone.yaml")).unwrap();
    let serve = Serve::start(folder.path(), &[]).await;
    for (name, authentication) in [("a", "none"), ("b", "basicAuth")] {
        let gateway = serve.shows(name, |_| true).await;
        assert_eq!((&gateway["phase"], &gateway["serving"]), (&json!("Invalid"), &json!(true)), "{gateway}");
        assert_eq!(gateway["authentication"], authentication, "{gateway}");
    }
    let gone = serve.shows("gone", |_| true).await;
    assert_eq!(gone["serving"], true, "one that went while nobody looked serves on for a while");
    serve.journal().await;
    serve.kill();
    // Once more: what is remembered is still the good one.
    write(&gateways(&folder), "gone.yaml", "apiVersion: serin/v1\nname: gone\n");
    let serve = Serve::start(folder.path(), &[]).await;
    assert_eq!(serve.shows("a", |_| true).await["serving"], true);
    assert_eq!(serve.shows("gone", |_| true).await["serving"], true);
    write(&gateways(&folder), "a.yaml", &gateway("a", 30));
    serve.shows("a", |g| g["phase"] == "Stable" && g["upstreams"][0]["weight"] == 30).await;
}

#[tokio::test]
async fn a_second_serin_on_one_store_is_refused() {
    let folder = folder();
    let serve = Serve::start(folder.path(), &[]).await;
    let flags = ["--xds", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let database = folder.path().join("serin.db");
    let store = format!("sqlite:{}", database.display());
    let second = serin(&[&["serve", "--gateways", "nowhere", "--store", &store], &flags[..]].concat());
    let said = second.fails(2);
    let holder = format!("in use by another serin (process {})", serve.child.id());
    assert!(said.contains(&holder) && said.contains("name another store with `--store`"), "{said}");
    serve.kill();
    // The lock went with its process.
    Serve::start(folder.path(), &[]).await.kill();
}

#[tokio::test]
async fn without_a_store_everything_serves() {
    let folder = folder();
    std::fs::write(folder.path().join("serin.db"), "this is not a database".repeat(100)).unwrap();
    let serve = Serve::start(folder.path(), &["--insecure-admin"]).await;
    let said = serve.said();
    assert!(
        said.contains("serin.db is damaged: it is not a database") && said.contains("move it away"),
        "{said}"
    );
    serve.shows("a", |g| g["serving"] == true).await;
    let journal = serve.get("/api/v1/events").await;
    assert_eq!(journal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(journal.json::<Value>().await.unwrap()["detail"].as_str().unwrap().contains("is damaged"));
    assert!(serve.serin(&["events"]).fails(2).contains("is damaged"));
    let metrics = serve.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("\nserin_store_available 0\n"), "{metrics}");
    write(&gateways(&folder), "a.yaml", &gateway("a", 20));
    serve.shows("a", |g| g["upstreams"][0]["weight"] == 20).await;
    serve.kill();
    assert_eq!(
        std::fs::read_to_string(folder.path().join("serin.db")).unwrap(),
        "this is not a database".repeat(100),
        "what cannot be read is not touched"
    );
}

#[tokio::test]
async fn a_disk_that_is_full_stops_no_traffic_and_recovers() {
    let folder = folder();
    std::fs::write(folder.path().join("serin.yaml"), "gateways: gateways\n").unwrap();
    let flags = ["serve", "-c", "serin.yaml", "--xds", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let plain = command(folder.path(), &flags);
    // The signal that comes with a limit is not for us: a full disk sends none.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    shell.current_dir(folder.path());
    let serve = Serve::run(folder.path(), shell).await;
    // No file of this process may grow beyond what the store has now.
    let size = std::fs::metadata(folder.path().join("serin.db-wal")).unwrap().len();
    let limit = |most: Option<u64>| {
        let pid = rustix::process::Pid::from_child(&serve.child);
        let new = rustix::process::Rlimit { current: most, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, new).unwrap();
    };
    limit(Some(size));
    let available = async |value: &str| {
        let wait = async {
            while !serve
                .get("/metrics")
                .await
                .text()
                .await
                .unwrap()
                .contains(&format!("serin_store_available {value}\n"))
            {}
        };
        soon("the metric", wait).await;
    };
    for weight in 1..=20 {
        write(&gateways(&folder), "a.yaml", &gateway("a", weight));
        serve.shows("a", |g| g["upstreams"][0]["weight"] == weight).await;
    }
    available("0").await;
    assert!(serve.said().contains("not kept: "), "{}", serve.said());
    limit(None);
    write(&gateways(&folder), "a.yaml", &gateway("a", 50));
    available("1").await;
    let journal = serve.journal().await;
    assert!(journal.last().unwrap().1.contains("v1 50 %"), "{journal:?}");
}

#[tokio::test]
async fn orders_are_taken_from_this_machine_when_it_was_said_so() {
    let folder = folder();
    let closed = Serve::start(folder.path(), &[]).await;
    let said = closed.serin(&["pause", "a", "--reason", "wait"]).fails(1);
    assert!(said.contains("takes no orders: name a `tokensFile` in serin.yaml"), "{said}");
    closed.kill();

    let serve = Serve::start(folder.path(), &["--insecure-admin"]).await;
    assert!(serve.said().contains("everyone on this machine may steer rollouts"));
    for verb in ["promote", "abort", "pause", "resume", "retry", "undo"] {
        let said = serve.serin(&[verb, "a", "--if-revision", "3"]).fails(1);
        assert!(said.contains("gateway a has no `rollout`: its file owns the weights"), "{verb}: {said}");
        assert!(serve.serin(&[verb, "nobody"]).fails(1).contains("there is no gateway nobody"), "{verb}");
    }
    assert!(serve.serin(&["set-weight", "a", "25"]).fails(1).contains("has no `rollout`"));

    let act = async |verb: &str, headers: &[(&str, &str)], body: &str| {
        let page = format!("{}/api/v1/gateways/a/actions/{verb}", serve.url);
        let mut request = client().post(page).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = soon("an answer", request.send()).await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let json = ("content-type", "application/json");
    assert_eq!(act("pause", &[json], "").await.0, 409);
    assert_eq!(act("pause", &[json, ("if-match", "\"7\"")], r#"{"reason":"x"}"#).await.0, 409);
    for (verb, headers, body, status, why) in [
        ("pause", &[][..], "{}", 415, "`Content-Type: application/json`"),
        ("pause", &[("content-type", "text/plain")], "{}", 415, "`Content-Type: application/json`"),
        ("pause", &[json, ("host", "evil.example")], "{}", 403, "a loopback address only"),
        ("pause", &[json, ("origin", "http://evil.example")], "{}", 403, "another site"),
        ("pause", &[json], "{", 400, "not an order"),
        ("pause", &[json], r#"{"weight": 5}"#, 400, "`weight` does not belong to `pause`"),
        ("pause", &[json, ("if-match", "7")], "{}", 400, "in quotes"),
        ("pause", &[json, ("if-match", "\"7\"")], r#"{"ifRevision": 8}"#, 400, "not the same revision"),
        ("ramp", &[json], "{}", 404, "there is no action ramp"),
    ] {
        let (found, said) = act(verb, headers, body).await;
        assert_eq!(found, status, "{verb} {headers:?} {body}: {said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(serve.get("/api/v1/gateways/a/actions/pause").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_pipeline_learns_how_a_gateway_stands() {
    let folder = folder();
    let serve = Serve::start(folder.path(), &[]).await;
    assert_eq!(serve.serin(&["status", "a"]).good(), "a: Stable, v1 95 %, v2 5 %\n");
    let url = serve.url.clone();
    assert!(serin(&["status", "nobody", "--server", &url]).fails(1).contains("there is no gateway nobody"));
    assert!(serin(&["status", "a", "--timeout", "5"]).fails(1).contains("write 5s"));
    assert!(serin(&["status", "a", "--timeout", "5s"]).fails(1).contains("--wait"));
    write(&gateways(&folder), "a.yaml", "apiVersion: serin/v1\nname: a\npath: nowhere\n");
    serve.shows("a", |g| g["phase"] == "Invalid").await;
    let run = serve.serin(&["status", "a", "--wait"]);
    assert_eq!(run.code, 1);
    assert!(run.out.starts_with("a: Invalid, v1 95 %, v2 5 %: "), "{}", run.out);
    serve.kill();
    let said = serin(&["status", "a", "--wait", "--timeout", "0s", "--server", &url]).fails(2);
    assert!(said.contains("no answer from"), "{said}");
}
