//! The demo, as a new user runs it.

use crate::real::{DEADLINE, envoy, eventually};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

async fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.arg("demo").env("SERIN_ENVOY", &envoy().await.path).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_demo_promotes_a_good_canary_takes_a_bad_one_off_and_ends_clean() {
    let run = tokio::time::timeout(DEADLINE * 6, demo().await.output()).await.unwrap().unwrap();
    let (said, news) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}{news}");
    let mut lines = said.lines();
    for wanted in [
        "v2 has a healthy endpoint and gets 10 %",
        "v2 goes from 10 % to 50 %: canary error rate",
        "v2 goes from 50 % to 100 %: canary error rate",
        "v2 is promoted: canary error rate",
        "none failed. Asked 200 times more: 200 answers of v2.",
        "v3 has a healthy endpoint and gets 10 %",
        "all traffic goes to v2; v3 had 10 %: canary error rate",
        "Asked 200 times more: 200 answers of v2.",
    ] {
        assert!(lines.any(|line| line.contains(wanted)), "not in its place: {wanted}\n{said}");
    }
    assert!(!said.contains(['\r', '\u{1b}']), "nothing lives where nobody looks: {said}");
    assert!(news.contains("nothing is left behind"), "{news}");
}

#[tokio::test]
async fn the_demo_of_a_shadow_stops_a_canary_that_differs_before_anybody_meets_it() {
    let run = demo().await.arg("shadow").output();
    let run = tokio::time::timeout(DEADLINE * 6, run).await.unwrap().unwrap();
    let (said, news) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}{news}");
    println!("{said}");
    let mut lines = said.lines();
    for wanted in [
        "v2 has a healthy endpoint and is shadowed before its first step",
        "the release of v2 does not begin: ",
        "Its release did not begin: v1 answered all of the ",
        "v3 has a healthy endpoint and is shadowed before its first step",
        "v3 goes from 0 % to 10 %: ",
        "v3 goes from 50 % to 100 %: canary error rate",
        "v3 is promoted: canary error rate",
        "none failed. Asked 200 times more: 200 answers of v3.",
    ] {
        assert!(lines.any(|line| line.contains(wanted)), "not in its place: {wanted}\n{said}");
    }
    assert!(news.contains("nothing is left behind"), "{news}");
}

#[tokio::test]
async fn the_demo_leaves_no_process_when_it_is_interrupted() {
    let mut child = demo().await.spawn().unwrap();
    let mut news = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut envoy = None;
    while let Some(line) = news.next_line().await.unwrap() {
        if let Some((_, pid)) = line.split_once(" is process ") {
            envoy = pid.split(',').next().map(|pid| pid.parse::<u32>().unwrap());
            break;
        }
    }
    let envoy = envoy.expect("the demo names Envoy's process");
    while !said.next_line().await.unwrap().expect("the demo goes on").contains("gets 10 %") {}
    let alive = |pid: u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(alive(envoy));
    let serin = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(serin, rustix::process::Signal::INT).unwrap();
    let status = tokio::time::timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "an interruption is a good end: {status}");
    eventually("Envoy is gone", || !alive(envoy)).await;
}
