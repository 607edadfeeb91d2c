//! SIGHUP is how a daemon is told to read its files again; it does not end.

use super::stage::free_port;
use crate::cli::command;
use crate::real::{DEADLINE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use tokio::process::Command;

#[tokio::test]
async fn hangup_reads_all_files_again_and_ends_nothing() {
    serin::client::choose_provider();
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    std::fs::write(
        gateways.join("a.yaml"),
        "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://127.0.0.1:9 }\n",
    )
    .unwrap();
    let http = format!("127.0.0.1:{}", free_port());
    let plain =
        command(folder.path(), &["serve", "--http", &http, "--xds", "127.0.0.1:0", "--insecure-admin"]);
    let log = folder.path().join("log");
    let mut serve = Command::from(plain);
    serve.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).kill_on_drop(true);
    let mut serve = serve.spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    let answers = async || {
        let page = reqwest::get(format!("http://{http}/api/v1/gateways/a")).await;
        page.is_ok_and(|answer| answer.status().is_success())
    };
    let ready = async {
        while !answers().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, ready).await.is_ok(), "{}", said());

    let pid = Pid::from_raw(i32::try_from(serve.id().unwrap()).unwrap()).unwrap();
    for times in 1..=2 {
        kill_process(pid, Signal::HUP).unwrap();
        eventually("it reads again", || said().matches("reading all files again").count() == times).await;
        assert!(answers().await, "{}", said());
    }
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::time::timeout(DEADLINE, serve.wait()).await.unwrap().unwrap();
    assert!(ended.success() && said().contains("terminated: stopping"), "{ended} {}", said());
}
