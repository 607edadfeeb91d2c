//! The stream of the pages, as a program reads it.

use super::url;
use crate::protocol::client::{folder, gateway, soon, start, stop, write};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use serin::app::App;

/// One open stream, and what of it was not read yet.
pub(crate) struct Events {
    answer: Response,
    waiting: String,
    /// Whether there was an alarm.
    alarmed: bool,
}

impl Events {
    pub(crate) async fn open(app: &App, query: &str) -> Self {
        let answer = soon("the stream", Client::new().get(url(app, &format!("/api/v1/watch{query}"))).send());
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, waiting: String::new(), alarmed: false }
    }

    /// The next event: its name and what it says. Beats and numbers come whenever they like, and mostly nothing is alarming.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        loop {
            let (name, data) = soon("an event", self.any()).await;
            let is_calm = name == "alarms" && !self.alarmed && data["alarms"] == json!([]);
            self.alarmed |= name == "alarms" && !is_calm;
            if !is_calm && !matches!(name.as_str(), "beat" | "numbers" | "points") {
                return (name, data);
            }
        }
    }

    async fn any(&mut self) -> (String, Value) {
        loop {
            if let Some(end) = self.waiting.find("\n\n") {
                let event: String = self.waiting.drain(..end + 2).collect();
                let line = |key: &str| event.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
                let data = serde_json::from_str(line("data:").unwrap()).unwrap();
                return (line("event:").unwrap_or("message").to_owned(), data);
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.waiting.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn the_list_is_told_once_and_then_what_changes() {
    let folder = folder(&[("a", gateway("a", 95)), ("b", gateway("b", 50))]);
    let app = start(folder.path()).await;
    let mut events = Events::open(&app, "").await;
    let (name, list) = events.next().await;
    assert_eq!(name, "list");
    let names: Vec<&str> =
        list["gateways"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    write(folder.path(), "b.yaml", &gateway("b", 60));
    let (name, change) = events.next().await;
    assert_eq!((name.as_str(), change["changed"].as_array().unwrap().len()), ("changes", 1));
    assert_eq!(change["changed"][0]["upstreams"][0]["weight"], 60);
    write(folder.path(), "c.yaml", &gateway("c", 60));
    assert_eq!(events.next().await.1["changed"][0]["name"], "c");
    // Who comes later is told everything.
    let (name, list) = Events::open(&app, "").await.next().await;
    assert_eq!((name.as_str(), list["gateways"].as_array().unwrap().len()), ("list", 3));
    stop(app).await;
}

#[tokio::test]
async fn a_gateway_is_told_with_its_journal_and_numbers() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let mut events = Events::open(&app, "?gateway=a").await;
    let mut seen = Vec::new();
    while !seen.iter().any(|(name, _)| name == "numbers") {
        seen.push(soon("numbers", events.any()).await);
    }
    let of = |wanted: &str| &seen.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert_eq!((&of("gateway")["name"], &of("numbers")["primary"]), (&"a".into(), &"v1".into()));
    assert!(of("beat")["now"].as_str().unwrap().ends_with('Z'));
    write(folder.path(), "a.yaml", &gateway("a", 40));
    let (mut viewed, mut written) = (false, false);
    while !(viewed && written) {
        let (name, data) = events.next().await;
        viewed |= name == "gateway" && data["upstreams"][0]["weight"] == 40;
        written |= name == "message" && data["after"]["v1"] == 40 && data["gateway"] == "a";
    }
    let mut events = Events::open(&app, "?gateway=none").await;
    assert_eq!(events.next().await.0, "gone");
    write(folder.path(), "none.yaml", &gateway("none", 40));
    while events.next().await.0 != "gateway" {}
    stop(app).await;
}

#[tokio::test]
async fn a_quiet_page_hears_beats_while_others_hear_more() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let mut quiet = Events::open(&app, "").await;
    assert_eq!(quiet.any().await.0, "beat");
    while quiet.any().await.0 != "list" {}
    // Its numbers are made each second, which wakes all pages, also where nothing is new to them.
    let _busy = Events::open(&app, "?gateway=a").await;
    let beat = async { while quiet.any().await.0 != "beat" {} };
    soon("a beat", beat).await;
    stop(app).await;
}

#[tokio::test]
async fn there_is_an_end_of_seats_and_a_wrong_wish_is_a_mistake() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let wrong = Client::new().get(url(&app, "/api/v1/watch?gatway=a")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Events::open(&app, "").await);
    }
    let full = || async { Client::new().get(url(&app, "/api/v1/watch")).send().await.unwrap().status() };
    assert_eq!(full().await, StatusCode::TOO_MANY_REQUESTS);
    open.pop();
    let freed = async {
        while full().await != StatusCode::OK {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("a seat is free again", freed).await;
    drop(open);
    stop(app).await;
}
