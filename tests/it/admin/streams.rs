//! Who reads a stream is let in as long as it lasts, and takes no more than a share of the seats.

use super::doors::{ANN, BOB, House};
use super::problem;
use crate::protocol::client::{gateway, soon, write};
use reqwest::header::{ACCEPT, COOKIE, ORIGIN, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serin::access::{Role, line};

const STREAMS: [&str; 4] = ["watch", "watch?gateway=a", "events", "gateways/a/events"];

impl House {
    /// An open stream.
    async fn stream(&self, path: &str, as_who: impl Fn(RequestBuilder) -> RequestBuilder) -> Response {
        let ask = as_who(self.ask(Method::GET, path).header(ACCEPT, "text/event-stream"));
        let answer = ask.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer
    }

    async fn streams(&self, as_who: impl Fn(RequestBuilder) -> RequestBuilder) -> Vec<Response> {
        let mut open = Vec::new();
        for path in STREAMS {
            open.push(self.stream(path, &as_who).await);
        }
        open
    }

    /// They hear what changes.
    async fn go_on(&self, streams: &mut [Response], weight: u32) {
        write(self.folder.path(), "a.yaml", &gateway("a", weight));
        let written = format!("\"v1\":{weight}");
        let shown = format!("\"weight\":{weight}");
        for stream in streams {
            let mut heard = String::new();
            let told = async {
                while !(heard.contains(&written) || heard.contains(&shown)) {
                    let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
                    heard.push_str(&String::from_utf8_lossy(&chunk));
                }
            };
            soon("the change is heard", told).await;
        }
    }
}

async fn end(streams: Vec<Response>) {
    for mut stream in streams {
        let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
        soon("the stream ends", end).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_what_its_reader_was_let_in_by() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let cookies = [house.login(ANN).await, house.login(BOB).await];
    let of = |cookie: &str| {
        let cookie = cookie.to_owned();
        move |ask: RequestBuilder| ask.header(COOKIE, &cookie)
    };
    let by = |token: &'static str| move |ask: RequestBuilder| ask.bearer_auth(token);
    let ann = house.streams(of(&cookies[0])).await;
    let mut bob = house.streams(of(&cookies[1])).await;
    let ann_too = house.streams(by(ANN)).await;

    // A logout ends those of its session, and no others.
    let out = house.ask(Method::DELETE, "session").header(COOKIE, &cookies[0]).header(ORIGIN, house.origin());
    assert_eq!(out.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    end(ann).await;
    let mut others = ann_too;
    others.append(&mut bob);
    house.go_on(&mut others, 60).await;

    // A line that changes ends those of its token: Bob may do more, and Ann is gone.
    let mut bob = others.split_off(STREAMS.len());
    let both = |ann: Role, bob: Role| {
        let line = |name, role, token| line(name, role, token).unwrap();
        format!("{}\n{}\n", line("ann", ann, ANN), line("bob", bob, BOB))
    };
    write(house.folder.path(), "tokens", &both(Role::Viewer, Role::Viewer));
    end(others).await;
    house.go_on(&mut bob, 70).await;
    write(house.folder.path(), "tokens", &both(Role::Viewer, Role::Operator));
    end(bob).await;
    let bob = house.streams(by(BOB)).await;
    write(house.folder.path(), "tokens", &line("ann", Role::Viewer, ANN).unwrap());
    end(bob).await;
    house.app.stop().await;
}

#[tokio::test]
async fn nobody_takes_the_seats_of_all_others() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let names: Vec<String> = (0..9).map(|i| format!("p{i}")).collect();
    let lines = names.iter().map(|name| line(name, Role::Viewer, &format!("serin_{name}")).unwrap());
    write(house.folder.path(), "tokens", &lines.collect::<Vec<_>>().join("\n"));
    let ask = |name: &str, path: &str| {
        house
            .ask(Method::GET, path)
            .bearer_auth(format!("serin_{name}"))
            .header(ACCEPT, "text/event-stream")
            .send()
    };
    soon("they are known", async {
        while ask("p8", "gateways").await.unwrap().status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut open = Vec::new();
    for name in &names[..8] {
        for i in 0..32 {
            let stream = ask(name, STREAMS[i % STREAMS.len()]).await.unwrap();
            assert_eq!(stream.status(), StatusCode::OK, "{name} {i}");
            open.push(stream);
        }
        for path in STREAMS {
            let refused = ask(name, path).await.unwrap();
            let wait: u64 = refused.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            problem(refused, StatusCode::TOO_MANY_REQUESTS).await;
        }
        if name == "p0" {
            // Pages of the journal are no streams, and others have seats.
            let page = house.ask(Method::GET, "events").bearer_auth("serin_p0").send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK);
        }
    }
    let refused = ask("p8", "watch").await.unwrap();
    assert!(refused.headers().contains_key(RETRY_AFTER));
    problem(refused, StatusCode::SERVICE_UNAVAILABLE).await;
    open.truncate(100);
    soon("a seat is free again", async {
        while ask("p8", "watch").await.unwrap().status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(open);
    house.app.stop().await;
}
