//! What others are told: by a server that is down, slow, in trouble, and back.

use super::{Manner, Other, nowhere};
use crate::real::eventually;
use serin::clock::Timestamp;
use serin::control::Notice;
use serin::messages::{self, Counters};
use serin::model::{Format, Notify, Occasion, Secret};
use serin::names::GatewayName;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

struct Teller {
    notices: mpsc::Sender<Notice>,
    counters: Arc<Counters>,
    task: JoinSet<()>,
}

impl Teller {
    fn start() -> Self {
        let (notices, incoming) = mpsc::channel(100);
        let counters = Arc::<Counters>::default();
        let mut task = JoinSet::new();
        task.spawn(messages::run(incoming, Arc::clone(&counters)));
        Self { notices, counters, task }
    }

    /// A message for all of these.
    fn tell(&self, message: &str, urls: &[&str], format: Format) {
        let to =
            urls.iter().map(|url| Notify { url: Secret::new(*url), format, on: Occasion::DEFAULT.into() });
        let notice = Notice {
            time: Timestamp(0),
            gateway: GatewayName::new("fraud").unwrap(),
            occasion: Occasion::Paused,
            actor: "engine".into(),
            reason: None,
            message: message.to_owned(),
            release: None,
            to: to.collect(),
        };
        self.notices.try_send(notice).unwrap();
    }

    /// Delivered, failed, given up.
    fn counts(&self) -> [u64; 3] {
        let Counters { delivered, failures, undelivered } = &*self.counters;
        [delivered, failures, undelivered].map(|counter| counter.load(Ordering::Relaxed))
    }

    async fn stop(self) {
        drop(self.notices);
        self.task.join_all().await;
    }
}

fn message(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_was_down_is_told_everything_in_order_when_he_is_back() {
    let teller = Teller::start();
    let port = nowhere();
    let url = format!("http://127.0.0.1:{port}/hook");
    teller.tell("first", &[&url], Format::Json);
    teller.tell("second", &[&url], Format::Json);
    eventually("an attempt fails", || teller.counts()[1] > 0).await;
    let mut other = Other::start(port, Manner::Says(200, "ok".to_owned())).await;
    let (headers, body) = other.next().await;
    assert_eq!(
        (headers["content-type"].as_bytes(), message(&body)),
        (&b"application/json"[..], "first".into())
    );
    assert_eq!(message(&other.next().await.1), "second");
    eventually("both are counted", || teller.counts()[0] == 2).await;
    assert_eq!(teller.counts()[2], 0);
    teller.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn trouble_is_tried_again_and_a_refusal_is_not() {
    let teller = Teller::start();
    let mut other = Other::start(0, Manner::Says(500, String::new())).await;
    teller.tell("first", &[&other.url()], Format::Json);
    assert_eq!(message(&other.next().await.1), "first");
    eventually("it fails", || teller.counts()[1] > 0).await;
    other.manner.send_replace(Manner::Says(200, String::new()));
    assert_eq!(message(&other.next().await.1), "first");
    eventually("it is delivered", || teller.counts()[0] == 1).await;
    other.manner.send_replace(Manner::Says(404, "no such hook".to_owned()));
    teller.tell("second", &[&other.url()], Format::Json);
    eventually("it is given up", || teller.counts()[2] == 1).await;
    teller.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn one_who_is_slow_holds_up_no_other() {
    let teller = Teller::start();
    let slow = Other::start(0, Manner::IsSlow).await;
    let mut quick = Other::start(0, Manner::Says(204, String::new())).await;
    for n in 0..3 {
        teller.tell(&n.to_string(), &[&slow.url(), &quick.url()], Format::Slack);
    }
    for n in 0..3 {
        let (_, body) = quick.next().await;
        assert!(body.contains(&format!("*fraud: paused*\\n{n}")), "{body}");
    }
    eventually("all are counted", || teller.counts() == [3, 0, 0]).await;
    eventually("the slow one is given up for now", || teller.counts()[1] > 0).await;
    teller.stop().await;
    slow.stop().await;
}
