//! The demo, as a new user runs it.

use crate::real::{DEADLINE, envoy, eventually};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

async fn demo(requests: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.args(["demo", "--requests", requests]).env("SERIN_ENVOY", &envoy().await.path).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_demo_measures_both_splits_and_ends_clean() {
    let run = tokio::time::timeout(DEADLINE, demo("2000").await.output()).await.unwrap().unwrap();
    let (said, news) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{news}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("wanted 95 / 5: measured v1 9"), "{said}");
    assert!(lines[1].starts_with("wanted 75 / 25: measured v1 7"), "{said}");
    assert!(lines.iter().all(|l| l.ends_with("0 failed")), "{said}");
    assert!(news.contains("nothing is left behind"), "{news}");
}

#[tokio::test]
async fn the_demo_leaves_no_process_when_it_is_interrupted() {
    let mut child = demo("100000000").await.spawn().unwrap();
    let mut news = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut envoy = None;
    while let Some(line) = news.next_line().await.unwrap() {
        if let Some((_, pid)) = line.split_once("Envoy started pid=") {
            envoy = pid.split_whitespace().next().map(|pid| pid.parse::<u32>().unwrap());
        }
        if line.starts_with("Sending") {
            break;
        }
    }
    let envoy = envoy.expect("the log names Envoy's process");
    let alive = |pid: u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(alive(envoy));
    let serin = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(serin, rustix::process::Signal::INT).unwrap();
    let status = tokio::time::timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "an interruption is a good end: {status}");
    eventually("Envoy is gone", || !alive(envoy)).await;
}
