//! An Envoy that is run as a child does as it is told, and goes with its parent, however that ends.

use crate::real::{DEADLINE, envoy, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Error, LogTo};
use serin::model::Endpoint;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Set in the environment of a test program that is run to be killed.
const TO_BE_KILLED: &str = "SERIN_TEST_TO_BE_KILLED";

/// Nobody listens there: the port was free, and is not given out again soon.
fn lonely() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let control_plane = Endpoint { host: "127.0.0.1".into(), port };
    Bootstrap { control_plane, ..Bootstrap::default() }.to_string()
}

fn options() -> EnvoyOptions {
    EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() }
}

fn command_line(pid: &str) -> Option<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    Some(line.split('\0').map(str::to_owned).collect())
}

/// Whether a directory and all processes that know it (Envoy and its watcher) are gone.
fn nothing_is_left(home: &Path) -> bool {
    let knows =
        |pid: &str| command_line(pid).is_some_and(|l| l.iter().any(|a| Path::new(a).starts_with(home)));
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
    !home.exists() && !processes.filter(|p| p.starts_with(|c: char| c.is_ascii_digit())).any(|p| knows(&p))
}

#[tokio::test]
async fn envoy_waits_for_its_control_plane_and_stops_without_a_trace() {
    let mut envoy = Envoy::start(envoy().await, &lonely(), &options()).await.unwrap();
    envoy.up(DEADLINE).await.unwrap();
    let waiting = envoy.ready(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(&waiting, Error::NotYet { awaited: "ready", .. }), "{waiting}");

    let (status, node) = envoy.admin("/server_info").await.unwrap();
    assert!(status.is_success() && node.contains("edge-1"), "{node}");
    let home = envoy.home().to_owned();
    assert!(home.join("bootstrap.yaml").exists());

    assert!(envoy.stop().await.unwrap().success());
    eventually("Envoy, its watcher and its files are gone", || nothing_is_left(&home)).await;
}

#[tokio::test]
async fn envoy_is_ready_when_it_has_all_it_needs() {
    let mut envoy = Envoy::start(envoy().await, "node: { id: a, cluster: b }", &options()).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    envoy.stop().await.unwrap();
}

#[tokio::test]
async fn a_refused_bootstrap_ends_with_the_words_of_envoy() {
    let mut refused = Envoy::start(envoy().await, "nodes: {}", &options()).await.unwrap();
    let home = refused.home().to_owned();
    let error = refused.ready(DEADLINE).await.unwrap_err();
    assert!(matches!(&error, Error::Exited { status, .. } if !status.success()), "{error}");
    assert!(error.to_string().contains("nodes"), "{error}");
    drop(refused);
    eventually("its watcher and its files are gone", || nothing_is_left(&home)).await;
}

#[tokio::test]
async fn an_end_from_outside_is_reported() {
    let mut envoy = Envoy::start(envoy().await, &lonely(), &options()).await.unwrap();
    envoy.up(DEADLINE).await.unwrap();
    kill_process(Pid::from_raw(envoy.pid()).unwrap(), Signal::KILL).unwrap();
    let status = tokio::time::timeout(DEADLINE, envoy.exited()).await.unwrap().unwrap();
    assert!(!status.success());
    assert_eq!(envoy.stop().await.unwrap(), status, "to stop it then does no harm");
}

#[tokio::test]
async fn the_log_can_go_to_a_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("envoy.log");
    let options = EnvoyOptions { log: LogTo::File(file.clone()), log_level: "info".into(), ..options() };
    let mut envoy = Envoy::start(envoy().await, &lonely(), &options).await.unwrap();
    envoy.up(DEADLINE).await.unwrap();
    envoy.stop().await.unwrap();
    let log = std::fs::read_to_string(file).unwrap();
    assert!(
        log.lines().any(|l| l.starts_with("[info][") && l.contains("main dispatch loop exited")),
        "{log}"
    );
}

#[tokio::test]
async fn a_dropped_envoy_is_killed() {
    let mut envoy = Envoy::start(envoy().await, &lonely(), &options()).await.unwrap();
    envoy.up(DEADLINE).await.unwrap();
    let home = envoy.home().to_owned();
    drop(envoy);
    eventually("Envoy, its watcher and its files are gone", || nothing_is_left(&home)).await;
}

#[tokio::test]
async fn envoy_goes_with_a_parent_that_is_killed() {
    let mut parent = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "launch::child::a_parent_to_be_killed", "--nocapture"])
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let home: PathBuf = loop {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some((_, home)) = line.split_once("home: ") {
            break home.into();
        }
    };
    assert!(!nothing_is_left(&home));
    parent.kill().await.unwrap(); // SIGKILL: nothing of ours runs any more
    eventually("Envoy, its watcher and its files are gone", || nothing_is_left(&home)).await;
}

/// Not a test of its own: the program that [`envoy_goes_with_a_parent_that_is_killed`] runs.
#[tokio::test]
async fn a_parent_to_be_killed() {
    if std::env::var_os(TO_BE_KILLED).is_none() {
        return;
    }
    let mut envoy = Envoy::start(envoy().await, &lonely(), &options()).await.unwrap();
    envoy.up(DEADLINE).await.unwrap();
    println!("\nhome: {}", envoy.home().display());
    envoy.exited().await.unwrap();
}
