//! The disk of the store in the middle of a release: full, full at the start, and damaged. Requests go on, the canary's
//! weight does not rise, and when there is room again the release goes on from where it was.

use super::rollout::{api, canary_requests, release, says, watch_weights};
use super::stage::{envoy_on, free_port, toy, weight};
use crate::cli::command;
use crate::real::{DEADLINE, reopen};
use serde_json::{Value, json};
use serin::launch::{Load, LoadOptions, VERSION_HEADER, VersionIn};
use serin::store::{Query, Store};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// `serin serve` whose files can be kept from growing, as on a full disk.
struct Serve {
    child: Child,
    http: u16,
    log: PathBuf,
    _copying: JoinSet<()>,
}

impl Serve {
    /// With no room from the beginning, or with as much as there is.
    async fn start(folder: &Path, http: u16, has_room: bool) -> Self {
        serin::client::choose_provider();
        let plain = command(folder, &["serve", "--config", "serin.yaml", "--insecure-admin"]);
        let log = folder.join("log");
        // The signal that comes with a limit is not for us: a full disk sends none. What is said goes through a pipe,
        // which has no size.
        let limit = if has_room { "" } else { "ulimit -S -f 0; " };
        let script = format!("trap '' XFSZ; {limit}exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(plain.get_program()).args(plain.get_args()).current_dir(folder);
        shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = shell.spawn().unwrap();
        let (mut said, to) = (child.stderr.take().unwrap(), log.clone());
        let mut copying = JoinSet::new();
        copying.spawn(async move {
            let mut file = tokio::fs::File::create(to).await.unwrap();
            // It ends with the process.
            let _ = tokio::io::copy(&mut said, &mut file).await;
        });
        let url = format!("http://127.0.0.1:{http}/readyz");
        let ready = async {
            while !reqwest::get(&url).await.is_ok_and(|a| a.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, ready).await.is_ok(), "not ready");
        Self { child, http, log, _copying: copying }
    }

    /// From now on no file grows beyond so many bytes; `None`: there is room.
    fn limit(&self, most: Option<u64>) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        let new = rustix::process::Rlimit { current: most, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, new).unwrap();
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn store_is(&self, available: bool) {
        let url = format!("http://127.0.0.1:{}/metrics", self.http);
        let line = format!("\nserin_store_available {}\n", u8::from(available));
        let wait = async {
            while !reqwest::get(&url).await.unwrap().text().await.unwrap().contains(&line) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, wait).await;
        assert!(outcome.is_ok(), "store available: not {available}: {}", self.said());
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// A folder with settings and the release of the second version, its port, that of xDS and that of HTTP.
fn folder(text: &str) -> (tempfile::TempDir, [u16; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    std::fs::write(gateways.join("fraud.yaml"), text).unwrap();
    let [port, xds, http] = [free_port(), free_port(), free_port()];
    let settings = format!(
        "gateways: gateways\nstore: sqlite:serin.db\nxds: {{ address: 127.0.0.1:{xds} }}\n\
         http: {{ address: 127.0.0.1:{http} }}\nlisteners: {{ default: {{ address: 127.0.0.1, port: {port} }} }}\n"
    );
    std::fs::write(folder.path().join("serin.yaml"), settings).unwrap();
    (folder, [port, xds, http])
}

fn load(port: u16) -> Load {
    let url = format!("http://127.0.0.1:{port}/predict");
    let version = VersionIn::Header(VERSION_HEADER.into());
    Load::start(LoadOptions { url, rate: Some(200.0), version, connections: 8, ..LoadOptions::default() })
        .unwrap()
}

/// Waits until so many more requests were answered.
async fn more(load: &Load, requests: u64) {
    let before = load.report().requests();
    crate::real::eventually("requests go on", || load.report().requests() >= before + requests).await;
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_the_release_and_nothing_else() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let (folder, [port, xds, http]) = folder(&release(&v1, &v2, "steps: [20, 40, 60], deadline: 2h"));
    let serin = Serve::start(folder.path(), http, true).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(port);
    let weights = watch_weights(&envoy, async {
        says(http, "at work", |g| g["phase"] == "Progressing" && canary_requests(g) > 0.0).await;
        let size = std::fs::metadata(folder.path().join("serin.db-wal")).unwrap().len();
        serin.limit(Some(size));
        serin.store_is(false).await;
        let full = api(http).await;
        // Long enough for the steps that are left.
        more(&load, 2_000).await;
        let still = api(http).await;
        assert_eq!(still["rollout"]["weight"], full["rollout"]["weight"], "{still}");
        assert_eq!(still["rollout"]["revision"], full["rollout"]["revision"], "nothing is decided");
        serin.limit(None);
        serin.store_is(true).await;
        says(http, "at its end", |g| g["phase"] == "Promoted").await;
    })
    .await;
    let given: Vec<u32> = weights.iter().copied().filter(|weight| (1..100).contains(weight)).collect();
    assert_eq!(given, [20, 40, 60], "no step is left out, and none is taken back: {weights:?}");
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let said = serin.said();
    assert!(
        said.contains("rollouts do not move, since nothing can be kept: ") && said.contains("serin.db"),
        "{said}"
    );
    assert!(said.contains("the store works again, and rollouts move"), "{said}");
    envoy.stop().await.unwrap();
    serin.kill().await;
    let entries = reopen(&folder.path().join("serin.db")).entries(&Query::default()).unwrap();
    let revisions: Vec<u64> = entries.iter().filter_map(|e| e.entry.revision).collect();
    assert!(revisions.windows(2).all(|r| r[1] == r[0] + 1), "each decision once: {revisions:?}");
}

/// An order to the release; the status and the answer.
async fn order(http: u16, verb: &str, body: Value) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{http}/api/v1/gateways/fraud/actions/{verb}");
    let client = serin::client::builder().build().unwrap();
    let answer = client.post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_abort_on_a_full_disk_takes_traffic_off_at_once_and_is_kept_when_there_is_room() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let (folder, [port, xds, http]) =
        folder(&release(&v1, &v2, "steps: [{ weight: 50, pause: 1h }], deadline: 2h"));
    let serin = Serve::start(folder.path(), http, true).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(port);
    says(http, "at work", |g| g["phase"] == "Progressing" && canary_requests(g) > 0.0).await;
    let size = std::fs::metadata(folder.path().join("serin.db-wal")).unwrap().len();
    serin.limit(Some(size));

    let (status, lower) = order(http, "set-weight", json!({ "weight": 20 })).await;
    assert_eq!((status, &lower["kept"], &lower["weight"]), (202, &json!(false), &json!(20)), "{lower}");
    assert_eq!(order(http, "set-weight", json!({ "weight": 60 })).await.0, 503, "more has to be kept");
    let (status, aborted) = order(http, "abort", json!({ "reason": "it is wrong" })).await;
    assert_eq!((status, &aborted["kept"], &aborted["weight"]), (202, &json!(false), &json!(0)), "{aborted}");
    let message = aborted["message"].as_str().unwrap();
    assert!(message.contains("if this Serin is restarted before, v2 gets 50 % again"), "{message}");
    let takes_none = async {
        loop {
            let (_, dump) = envoy.admin("/config_dump?resource=dynamic_route_configs").await.unwrap();
            if dump.replace([' ', '\n'], "").contains("{\"name\":\"fraud/v2\",\"weight\":0}") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, takes_none).await.is_ok(), "Envoy has it");
    let before = v2.requests();
    more(&load, 400).await;
    assert!(v2.requests() <= before + 8, "but for what was under way");
    let shown = api(http).await;
    assert_eq!(weight(Some(&shown), "v2"), Some(0.0));
    assert_eq!(shown["rollout"]["unkept"]["reason"], "it is wrong");
    let url = format!("http://127.0.0.1:{http}/api/v1/alarms");
    let alarms = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(alarms.contains("`abort` of gateway fraud by "), "{alarms}");

    serin.limit(None);
    let kept = says(http, "kept", |g| g["phase"] == "RolledBack").await;
    assert!(kept["rollout"].get("unkept").is_none(), "{kept}");
    serin.store_is(true).await;
    serin.kill().await;
    let serin = Serve::start(folder.path(), http, true).await;
    assert_eq!(api(http).await["phase"], "RolledBack", "after a restart as well");
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    envoy.stop().await.unwrap();
    serin.kill().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_at_the_start_costs_the_canary_its_traffic_until_it_can() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let text = release(&v1, &v2, "steps: [{ weight: 20, pause: 1h }], deadline: 2h");
    let (folder, [port, xds, http]) = folder(&text);
    let serin = Serve::start(folder.path(), http, true).await;
    let mut envoy = envoy_on(([127, 0, 0, 1], xds).into(), "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(port);
    let seen = says(http, "at work", |g| canary_requests(g) >= 60.0).await;
    serin.kill().await;

    // No room, not even to open it.
    let serin = Serve::start(folder.path(), http, false).await;
    serin.store_is(false).await;
    let said = serin.said();
    assert!(
        said.contains("Serin serves without its store") && said.contains("serin.db cannot be used now"),
        "{said}"
    );
    let found = api(http).await;
    assert_eq!(weight(Some(&found), "v2"), Some(0.0), "{found}");
    // It is said where one looks.
    let url = format!("http://127.0.0.1:{http}");
    let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
    assert_eq!(answer.status(), 200, "traffic needs no store");
    assert_eq!(answer.text().await.unwrap(), "ready, but without its store: no rollout moves\n");
    let get = command(folder.path(), &["get", "--server", &url]).output().unwrap();
    let shown = String::from_utf8_lossy(&get.stdout);
    assert!(shown.starts_with("ALARM  what happens cannot be kept") && shown.contains("fraud"), "{shown}");
    let before = v2.requests();
    more(&load, 500).await;
    serin.limit(None);
    serin.store_is(true).await;
    let back = says(http, "going on", |g| g["rollout"]["weight"] == 20).await;
    assert_eq!(back["rollout"]["began"], seen["rollout"]["began"], "the same release");
    assert!(canary_requests(&back) >= canary_requests(&seen), "with all of its evidence: {back}");
    says(http, "at work", |g| canary_requests(g) > canary_requests(&back) + 20.0).await;
    assert!(v2.requests() > before);
    serin.kill().await;

    // A file that is damaged waits for a person, who puts back what there was.
    let database = folder.path().join("serin.db");
    let parts = ["", "-wal", "-shm"].map(|end| folder.path().join(format!("serin.db{end}")));
    let kept = parts.each_ref().map(|part| std::fs::read(part).unwrap_or_default());
    // The log beside it still has all of it, so that goes as well.
    parts.iter().for_each(|part| _ = std::fs::remove_file(part));
    std::fs::write(&database, "this is not a database".repeat(1_000)).unwrap();
    let serin = Serve::start(folder.path(), http, true).await;
    serin.store_is(false).await;
    let said = serin.said();
    assert!(said.contains("serin.db is damaged: ") && said.contains("put a backup in its place"), "{said}");
    assert_eq!(weight(Some(&api(http).await), "v2"), Some(0.0));
    more(&load, 500).await;
    serin.kill().await;
    for (part, bytes) in parts.iter().zip(&kept) {
        std::fs::write(part, bytes).unwrap();
    }
    let serin = Serve::start(folder.path(), http, true).await;
    let again = api(http).await;
    assert_eq!(again["rollout"]["began"], seen["rollout"]["began"], "{again}");
    assert_eq!(again["rollout"]["weight"], 20);
    assert!(canary_requests(&again) > canary_requests(&seen));
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    envoy.stop().await.unwrap();
    serin.kill().await;
}
