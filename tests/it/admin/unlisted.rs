//! A directory of gateway files that cannot be listed is not one without files: probes, the API and its stream say so.

use super::{get, json, problem};
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::{gateway, soon};
use crate::real::eventually;
use crate::ui::watch::Events;
use reqwest::StatusCode;
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::model::Settings;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes a directory one that cannot be listed, or can be again. A link to itself fails for every user, root among them.
fn hide(directory: &Path, kept: &Path) {
    std::fs::rename(directory, kept).unwrap();
    symlink(directory, directory).unwrap();
}

fn show(directory: &Path, kept: &Path) {
    std::fs::remove_file(directory).unwrap();
    std::fs::rename(kept, directory).unwrap();
}

async fn begin(settings: &Settings) -> App {
    App::start(settings.clone(), Options::default()).await.unwrap()
}

fn directories(alarms: &Value) -> Vec<&str> {
    alarms["alarms"].as_array().unwrap().iter().map(|a| a["directory"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_directory_that_cannot_be_listed_is_not_one_without_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let (gateways, kept) = (folder.path().join("gateways"), folder.path().join("kept"));
    let team = gateways.join("team");
    std::fs::create_dir_all(&team).unwrap();
    std::fs::write(gateways.join("a.yaml"), gateway("a", 95)).unwrap();
    std::fs::write(team.join("b.yaml"), gateway("b", 95)).unwrap();
    let settings = settings(&gateways, free_port(), None);

    // At the first look: nobody is told that there is no gateway.
    hide(&gateways, &kept);
    let app = begin(&settings).await;
    let mut events = Events::open(&app, "").await;
    let (name, alarms) = events.next().await;
    assert_eq!((name.as_str(), directories(&alarms)), ("alarms", vec![""]));
    let sentence = alarms["alarms"][0]["message"].as_str().unwrap();
    assert!(sentence.starts_with("the directory of gateway files cannot be listed"), "{sentence}");
    assert_eq!(json(&app, "/api/v1/alarms").await, alarms);
    let ready = get(&app, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why: Value = ready.json().await.unwrap();
    assert!(why["detail"].as_str().unwrap().contains("cannot be listed"), "{why}");
    problem(get(&app, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    for page in ["/api/v1/gateways", "/api/v1/gateways/a", "/api/v1/gateways/a/file"] {
        problem(get(&app, page).await, StatusCode::SERVICE_UNAVAILABLE).await;
    }
    assert_eq!(app.view.generation(), 0, "nothing is published");
    let metric =
        |text: &str, number: usize| text.contains(&format!("serin_gateway_directories_unlisted {number}\n"));
    assert!(metric(&get(&app, "/metrics").await.text().await.unwrap(), 1));

    // It can be listed: everything is as ever, without a restart.
    show(&gateways, &kept);
    soon("files are read", app.ready()).await;
    assert_eq!(get(&app, "/readyz").await.status(), StatusCode::OK);
    let serving = || {
        let view = app.view.load();
        let mut names: Vec<String> =
            view.gateways.values().filter(|g| g.serving).map(|g| g.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(serving(), ["a", "b"]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (name, data) = events.next().await;
        seen.push(name.clone());
        match name.as_str() {
            "alarms" => assert_eq!(data, json!({ "alarms": [] })),
            _ => assert_eq!(data["gateways"].as_array().map(Vec::len), Some(2), "{name}: {data}"),
        }
    }
    seen.sort();
    assert_eq!(seen, ["alarms", "list"]);

    // Later: what was known stands, with the alarm as long as it lasts.
    for (hidden, path) in [(&team, "team"), (&gateways, "")] {
        hide(hidden, &kept);
        let (name, alarms) = events.next().await;
        assert_eq!((name.as_str(), directories(&alarms)), ("alarms", vec![path]));
        assert!(alarms["alarms"][0]["message"].as_str().unwrap().ends_with("stay as they were"), "{alarms}");
        assert_eq!(
            (serving(), get(&app, "/readyz").await.status()),
            (vec!["a".into(), "b".into()], StatusCode::OK)
        );
        show(hidden, &kept);
        assert_eq!(events.next().await, ("alarms".to_owned(), json!({ "alarms": [] })));
    }
    assert!(metric(&get(&app, "/metrics").await.text().await.unwrap(), 0));
    assert_eq!(serving(), ["a", "b"]);

    // Files that go while they can be seen are gone as ever.
    std::fs::remove_dir_all(&team).unwrap();
    std::fs::remove_file(gateways.join("a.yaml")).unwrap();
    eventually("all are gone", || app.view.load().all_vanished).await;
    assert_eq!(json(&app, "/api/v1/alarms").await["alarms"][0]["kind"], "vanished");
    app.stop().await;
}
