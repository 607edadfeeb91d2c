//! Gateway files, changed through the API.

use super::doors::{ANN, BOB, House};
use super::problem;
use crate::protocol::client::{gateway, shown, soon, write};
use crate::real::DEADLINE;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use serin::control::{GatewayView, Phase};
use serin::rollout;
use std::time::Duration;

const COMMENTED: &str = "# of the risk team\napiVersion: serin/v1\nname: a\npath: /a   # for all\n\nupstreams:   # two of them\n  v1: http://10.0.0.1:80\n  v2: http://10.0.0.2:80\ntraffic: { v1: 95, v2: 5 } # by hand\n";

impl House {
    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    async fn file(&self, name: &str) -> (HeaderValue, Value) {
        let answer = self.ann(Method::GET, &format!("gateways/{name}/file")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        (answer.headers()[ETAG].clone(), answer.json().await.unwrap())
    }

    async fn tag(&self, name: &str) -> HeaderValue {
        self.file(name).await.0
    }

    fn put(&self, name: &str, text: &str) -> RequestBuilder {
        let put = self.ann(Method::PUT, &format!("gateways/{name}"));
        put.header(CONTENT_TYPE, "application/yaml").body(text.to_owned())
    }

    fn patch(&self, name: &str, patch: &Value) -> RequestBuilder {
        let request = self.ann(Method::PATCH, &format!("gateways/{name}"));
        request.header(CONTENT_TYPE, "application/merge-patch+json").body(patch.to_string())
    }
}

async fn written(answer: Response, status: StatusCode) -> HeaderValue {
    let tag = answer.headers().get(ETAG).cloned();
    let (got, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(got, status, "{text}");
    tag.unwrap()
}

/// The codes of what is wrong with a text that was refused.
async fn codes(answer: Response) -> Vec<String> {
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let body: Value = answer.json().await.unwrap();
    let diagnostics = body["diagnostics"].as_array().unwrap();
    diagnostics.iter().map(|d| d["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_gateway_is_created_changed_and_removed() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let text = gateway("b", 50);
    let create = || house.put("b", &text).header(IF_NONE_MATCH, "*");
    let answer = create().send().await.unwrap();
    assert_eq!(answer.headers()[LOCATION], "/api/v1/gateways/b");
    let tag = written(answer, StatusCode::CREATED).await;
    assert_eq!(house.text("b.yaml"), text);
    let (read, file) = house.file("b").await;
    assert_eq!((&read, &file["file"], &file["yaml"]), (&tag, &json!("b.yaml"), &json!(text)));
    assert_eq!((&file["writable"], &file["reason"]), (&json!(true), &Value::Null));
    problem(create().send().await.unwrap(), StatusCode::PRECONDITION_FAILED).await;

    let next = text.replace("50", "40").replace("v2: 40", "v2: 60");
    let answer = house.put("b", &next).header(IF_MATCH, &tag).send().await.unwrap();
    let next_tag = written(answer, StatusCode::OK).await;
    shown(&house.app, "b", |g| weight_of(g, 1) == 6000).await;
    let late = house.put("b", &text).header(IF_MATCH, &tag).send().await.unwrap();
    problem(late, StatusCode::PRECONDITION_FAILED).await;

    let document =
        json!({ "apiVersion": "serin/v1", "name": "b", "path": "/c", "upstreams": { "v1": "http://b" } });
    let put = house.ann(Method::PUT, "gateways/b").header(IF_MATCH, next_tag).json(&document);
    let tag = written(put.send().await.unwrap(), StatusCode::OK).await;
    assert!(house.text("b.yaml").contains("\nupstreams:\n  v1: http://b\n"));
    let delete = house.ann(Method::DELETE, "gateways/b").header(IF_MATCH, tag);
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(!house.folder.path().join("b.yaml").exists());

    let by_ann = |verb: &str| (json!("ann"), json!(format!("b.yaml was {verb} through the API")));
    let expected = ["created", "changed", "changed", "removed"].map(by_ann);
    let told = async || {
        let events = house.ann(Method::GET, "gateways/b/events?kind=edited").send().await.unwrap();
        let events: Value = events.json().await.unwrap();
        let events = events["events"].as_array().unwrap();
        events.iter().map(|e| (e["actor"].clone(), e["message"].clone())).collect::<Vec<_>>()
    };
    let all = async {
        while told().await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, all).await.is_ok(), "{:?}", told().await);
    written(create().send().await.unwrap(), StatusCode::CREATED).await;
    house.app.stop().await;
}

fn weight_of(view: &GatewayView, upstream: usize) -> u32 {
    view.gateway.as_ref().map_or(0, |g| g.upstreams[upstream].weight.hundredths())
}

#[tokio::test]
async fn a_patch_and_new_weights_leave_every_other_byte_alone() {
    let house = House::new(&[("a", COMMENTED.to_owned())]).await;
    let weights = house.ann(Method::GET, "gateways/a/traffic").send().await.unwrap();
    let tag = weights.headers()[ETAG].clone();
    let weights: Value = weights.json().await.unwrap();
    assert_eq!(weights, json!({ "v1": 95, "v2": 5 }));
    let set = |weights: Value, tag: &HeaderValue| {
        house.ann(Method::PUT, "gateways/a/traffic").header(IF_MATCH, tag).json(&weights).send()
    };
    let tag = written(set(json!({ "v1": 90, "v2": "10%" }), &tag).await.unwrap(), StatusCode::OK).await;
    let reweighted = COMMENTED.replace("v1: 95, v2: 5 ", "v1: 90, v2: 10 ");
    assert_eq!(house.text("a.yaml"), reweighted);
    for wrong in [json!({ "v1": 90 , "v2": 11 }), json!({ "v9": 10 }), json!({ "v1": "x" })] {
        problem(set(wrong, &tag).await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY).await;
    }

    let patch = house.patch(
        "a",
        &json!({ "path": "/b", "description": "cards", "upstreams": { "v1": "http://10.0.0.3:80" } }),
    );
    let tag = written(patch.header(IF_MATCH, &tag).send().await.unwrap(), StatusCode::OK).await;
    let patched = reweighted.replace("path: /a   # for all", "path: /b").replace(
        "upstreams:   # two of them\n  v1: http://10.0.0.1:80",
        "upstreams:\n  v1: http://10.0.0.3:80",
    ) + "description: cards\n";
    assert_eq!(house.text("a.yaml"), patched);
    let nothing = house.patch("a", &json!({ "path": "/b" })).header(IF_MATCH, &tag).send().await.unwrap();
    assert_eq!(written(nothing, StatusCode::OK).await, tag);

    // A split becomes a release, whose weights are Serin's.
    let rollout = json!({ "primary": "v1", "canary": "v2", "steps": [5, 100] });
    let patch = house.patch("a", &json!({ "traffic": null, "rollout": rollout })).header(IF_MATCH, &tag);
    let tag = written(patch.send().await.unwrap(), StatusCode::OK).await;
    shown(&house.app, "a", |g| g.rollout.is_some()).await;
    problem(set(json!({ "v1": 50, "v2": 50 }), &tag).await.unwrap(), StatusCode::CONFLICT).await;
    let weights = house.ann(Method::GET, "gateways/a/traffic").send().await.unwrap();
    let weights: Value = weights.json().await.unwrap();
    assert_eq!(weights.as_object().unwrap().keys().collect::<Vec<_>>(), ["v1", "v2"]);
    house.app.stop().await;
}

#[tokio::test]
async fn what_would_not_serve_is_not_written() {
    let house = House::new(&[("a", gateway("a", 95)), ("b", gateway("b", 95))]).await;
    let (tag, before) = (house.tag("a").await, house.text("a.yaml"));
    let put = |text: &str| house.put("a", text).header(IF_MATCH, &tag).send();
    assert!(codes(put("name: a\n  x: [\n").await.unwrap()).await.iter().any(|code| code.starts_with('F')));
    let wrong = codes(put("apiVersion: serin/v1\nname: a\npath: nowhere\nport: 1\n").await.unwrap()).await;
    assert!(wrong.len() >= 3 && wrong.contains(&"G008".to_owned()), "{wrong:?}");
    assert_eq!(codes(put(&gateway("c", 95)).await.unwrap()).await, ["W001"]);
    let taken = before.replace("path: /a", "path: /b");
    assert_eq!(codes(put(&taken).await.unwrap()).await, ["C002"]);
    let missing = format!("{before}authentication: {{ accessKey: {{ keysFile: secrets/none }} }}\n");
    assert_eq!(codes(put(&missing).await.unwrap()).await, ["A002"]);
    let created = house.put("c", &gateway("c", 95).replace("/c", "/b")).header(IF_NONE_MATCH, "*");
    assert_eq!(codes(created.send().await.unwrap()).await, ["C002"]);
    let invalid = house.patch("a", &json!({ "path": "nowhere" })).header(IF_MATCH, &tag);
    assert_eq!(codes(invalid.send().await.unwrap()).await, ["G008"]);
    let too_large = "#".repeat((1 << 20) + 1);
    problem(put(&too_large).await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    let nameless = house.put("No_Name", &gateway("c", 1)).header(IF_NONE_MATCH, "*").send().await.unwrap();
    problem(nameless, StatusCode::UNPROCESSABLE_ENTITY).await;
    let unknown = house.put("none", &gateway("none", 1)).header(IF_MATCH, &tag).send().await.unwrap();
    problem(unknown, StatusCode::PRECONDITION_FAILED).await;

    // What is asked first says the same.
    let validate = async |text: &str| -> Value {
        let ask = house.ann(Method::POST, "validate").header(CONTENT_TYPE, "application/yaml");
        ask.body(text.to_owned()).send().await.unwrap().json().await.unwrap()
    };
    let said = validate(&taken).await;
    assert_eq!((&said["valid"], &said["diagnostics"][0]["code"]), (&json!(false), &json!("C002")));
    assert_eq!(said["diagnostics"][0]["file"], "a.yaml");
    assert_eq!(validate(&before).await, json!({ "valid": true, "diagnostics": [] }));
    assert_eq!(validate("x").await["valid"], false);
    assert_eq!(house.text("a.yaml"), before);
    assert_eq!(std::fs::read_dir(house.folder.path()).unwrap().count(), 3, "nothing is left beside");
    house.app.stop().await;
}

/// What is said of a file tells what is in it, and a server of one's choice could be sent all of it.
#[tokio::test]
async fn a_text_leads_where_its_author_may_go() {
    let keys =
        |file: &str| format!("{}authentication: {{ accessKey: {{ keysFile: {file} }} }}\n", gateway("a", 95));
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("keys");
    std::fs::write(&elsewhere, "no key\n").unwrap();
    let there = elsewhere.to_str().unwrap();
    let house = House::new(&[("a", keys("known"))]).await;
    write(house.folder.path(), "known", "no key\n");
    write(house.folder.path(), "new", "no key\n");
    let validate = async |token: &str, text: &str| -> Vec<(String, String)> {
        let ask = house.ask(Method::POST, "validate").bearer_auth(token);
        let ask = ask.header(CONTENT_TYPE, "application/yaml").body(text.to_owned());
        let said: Value = ask.send().await.unwrap().json().await.unwrap();
        let all = said["diagnostics"].as_array().unwrap().iter();
        all.map(|d| ["code", "severity"].map(|key| d[key].as_str().unwrap().to_owned()).into()).collect()
    };
    let told = |code: &str, severity: &str| (code.to_owned(), severity.to_owned());
    let wrong = validate(ANN, &keys("known")).await;
    assert!(wrong.iter().any(|(code, _)| code == "A007"), "{wrong:?}");
    assert_eq!(validate(BOB, &keys("known")).await, wrong, "what the gateway refers to is no news");
    assert_eq!(validate(ANN, &keys("new")).await, wrong);
    let not_looked_at = [told("W002", "warning")];
    let refused = [told("W003", "error")];
    for file in
        ["new", "nowhere", there, "/nowhere", "../nowhere", "{ env: PATH }", "{ env: NO_SUCH_VARIABLE }"]
    {
        assert_eq!(validate(BOB, &keys(file)).await, not_looked_at, "{file}");
        if file != "new" && file != "nowhere" {
            assert_eq!(validate(ANN, &keys(file)).await, refused, "{file}");
        }
    }
    let (tag, before) = (house.tag("a").await, house.text("a.yaml"));
    let put = house.put("a", &keys(there)).header(IF_MATCH, &tag).send().await.unwrap();
    assert_eq!(codes(put).await, ["W003"]);
    let created = keys("{ env: PATH }").replace("name: a", "name: b").replace("/a", "/b");
    let created = house.put("b", &created).header(IF_NONE_MATCH, "*").send().await.unwrap();
    assert_eq!(codes(created).await, ["W003"]);
    assert_eq!(house.text("a.yaml"), before);

    // Who writes the file by hand may lead anywhere, and edits keep that.
    std::fs::write(&elsewhere, "ann:sha256:0\n").unwrap();
    write(house.folder.path(), "a.yaml", &keys(there));
    let said = validate(ANN, &keys(there)).await;
    assert!(said.iter().all(|(code, _)| code != "W003"), "{said:?}");
    assert_eq!(validate(BOB, &keys(there)).await, said);
    house.app.stop().await;
}

#[tokio::test]
async fn an_edit_by_hand_meanwhile_wins() {
    let house = House::new(&[("a", COMMENTED.to_owned())]).await;
    let tag = house.tag("a").await;
    let by_hand = COMMENTED.replace("/a ", "/hand ");
    write(house.folder.path(), "a.yaml", &by_hand);
    for change in [
        house.put("a", COMMENTED),
        house.patch("a", &json!({ "path": "/b" })),
        house.ann(Method::PUT, "gateways/a/traffic").json(&json!({ "v1": 1, "v2": 99 })),
        house.ann(Method::DELETE, "gateways/a"),
    ] {
        problem(change.header(IF_MATCH, &tag).send().await.unwrap(), StatusCode::PRECONDITION_FAILED).await;
    }
    assert_eq!(house.text("a.yaml"), by_hand);
    // Of many who know the same version, one succeeds.
    let tag = house.tag("a").await;
    let changes = (0..8).map(|i| {
        let patch = house.patch("a", &json!({ "path": format!("/p{i}") })).header(IF_MATCH, &tag);
        async { patch.send().await.unwrap().status() }
    });
    let statuses = futures_util::future::join_all(changes).await;
    assert_eq!(statuses.iter().filter(|s| **s == StatusCode::OK).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == StatusCode::PRECONDITION_FAILED).count(), 7);
    house.app.stop().await;
}

#[tokio::test]
async fn a_broken_file_can_be_repaired_but_not_patched() {
    let two = format!("{COMMENTED}---\n{COMMENTED}");
    let house =
        House::new(&[("a", two.clone()), ("b", gateway("b", 1).replace("10.0.0.1", "u:p@10.0.0.1"))]).await;
    shown(&house.app, "a", |g| g.phase == Phase::Invalid).await;
    let (tag, file) = house.file("a").await;
    assert_eq!(file["yaml"], two);
    let patch = house.patch("a", &json!({ "path": "/b" })).header(IF_MATCH, &tag).send().await.unwrap();
    problem(patch, StatusCode::CONFLICT).await;
    let weights = house.ann(Method::PUT, "gateways/a/traffic").json(&json!({ "v1": 1, "v2": 99 }));
    problem(weights.header(IF_MATCH, &tag).send().await.unwrap(), StatusCode::CONFLICT).await;
    // A wrong file may hold anything.
    let bob = house.ask(Method::GET, "gateways/b/file").bearer_auth("serin_bob").send().await.unwrap();
    problem(bob, StatusCode::FORBIDDEN).await;
    for (token, has_lines) in [(ANN, true), ("serin_bob", false)] {
        let all = house.ask(Method::GET, "gateways").bearer_auth(token).send().await.unwrap();
        let one = house.ask(Method::GET, "gateways/b").bearer_auth(token).send().await.unwrap();
        let stream = house.ask(Method::GET, "watch?gateway=b").bearer_auth(token).send().await.unwrap();
        let stream = soon("the gateway", told_of(stream)).await;
        for said in [all.text().await.unwrap(), one.text().await.unwrap(), stream] {
            assert!(said.contains("\"code\":\"U003\""), "{said}");
            assert_eq!(said.contains("u:p@"), has_lines, "{said}");
        }
    }
    let repaired = house.put("a", COMMENTED).header(IF_MATCH, &tag).send().await.unwrap();
    written(repaired, StatusCode::OK).await;
    shown(&house.app, "a", |g| g.phase == Phase::Of(rollout::Phase::Stable)).await;
    house.app.stop().await;
}

/// A stream up to the end of its first event `gateway`.
async fn told_of(mut stream: Response) -> String {
    let mut told = String::new();
    loop {
        if let Some((_, rest)) = told.split_once("event: gateway\n")
            && let Some((view, _)) = rest.split_once("\n\n")
        {
            return view.to_owned();
        }
        told.push_str(str::from_utf8(&stream.chunk().await.unwrap().expect("the stream goes on")).unwrap());
    }
}

/// What is loaded may be an older text than the file has now: the text that is shown counts.
#[tokio::test]
async fn a_viewer_reads_what_is_right_now() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let bob = || house.ask(Method::GET, "gateways/a/file").bearer_auth(BOB).send();
    // Whatever Serin has noticed of it by then.
    write(house.folder.path(), "a.yaml", "apiVersion: serin/v1\nname: a\npassword: tiger\n");
    problem(bob().await.unwrap(), StatusCode::FORBIDDEN).await;
    write(house.folder.path(), "a.yaml", &gateway("a", 40));
    assert_eq!(bob().await.unwrap().status(), StatusCode::OK);
    house.app.stop().await;
}

#[tokio::test]
async fn links_modes_and_foreign_mounts_are_respected() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let house = House::new(&[("a", COMMENTED.to_owned())]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target.yaml");
    std::fs::write(&target, gateway("l", 95)).unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, house.folder.path().join("l.yaml")).unwrap();
    shown(&house.app, "l", |g| g.serving).await;
    let tag = house.tag("l").await;
    let change = house.ann(Method::PUT, "gateways/l/traffic").json(&json!({ "v1": 60, "v2": 40 }));
    let tag = written(change.header(IF_MATCH, &tag).send().await.unwrap(), StatusCode::OK).await;
    assert!(std::fs::read_to_string(&target).unwrap().contains("v1: 60"));
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(house.folder.path().join("l.yaml").is_symlink());
    let delete = house.ann(Method::DELETE, "gateways/l").header(IF_MATCH, tag).send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    assert!(target.exists(), "only the link is removed");

    // As Kubernetes mounts a ConfigMap.
    let tag = house.tag("a").await;
    std::fs::create_dir(house.folder.path().join("..1")).unwrap();
    symlink("..1", house.folder.path().join("..data")).unwrap();
    let (_, file) = house.file("a").await;
    assert_eq!(file["writable"], false);
    assert!(file["reason"].as_str().unwrap().contains("ConfigMap"), "{file}");
    let session = house.ann(Method::GET, "session").send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(session["editing"], json!({ "allowed": false, "reason": file["reason"] }));
    for change in [
        house.put("a", &gateway("a", 1)).header(IF_MATCH, &tag),
        house.put("n", &gateway("n", 1)).header(IF_NONE_MATCH, "*"),
        house.patch("a", &json!({ "path": "/b" })).header(IF_MATCH, &tag),
        house.ann(Method::DELETE, "gateways/a").header(IF_MATCH, &tag),
    ] {
        problem(change.send().await.unwrap(), StatusCode::CONFLICT).await;
    }
    assert_eq!(house.text("a.yaml"), COMMENTED);
    house.app.stop().await;
}

#[tokio::test]
async fn a_change_of_somebody_who_hangs_up_is_whole_and_in_the_journal_or_is_not() {
    let names: Vec<String> = (0..24).map(|i| format!("g{i}")).collect();
    let mut files: Vec<(&str, String)> = names.iter().map(|n| (n.as_str(), gateway(n, 95))).collect();
    files.push(("last", gateway("last", 95)));
    let house = House::new(&files).await;
    for (i, name) in (1..).zip(&names) {
        let patch =
            house.patch(name, &json!({ "description": "cards" })).header(IF_MATCH, house.tag(name).await);
        // Each hangs up at another moment of the change.
        let _ = patch.timeout(Duration::from_millis(i)).send().await;
    }
    // Its turn comes after all of theirs.
    let patch = house.patch("last", &json!({ "description": "cards" }));
    let patch = patch.header(IF_MATCH, house.tag("last").await).send().await.unwrap();
    written(patch, StatusCode::OK).await;
    let changed: Vec<String> =
        names.iter().filter(|n| house.text(&format!("{n}.yaml")).contains("cards")).cloned().collect();
    let told = async || {
        let events = house.ann(Method::GET, "events?kind=edited&limit=100").send().await.unwrap();
        let events: Value = events.json().await.unwrap();
        let events = events["events"].as_array().unwrap().iter();
        let events = events.map(|e| e["gateway"].as_str().unwrap().to_owned());
        events.filter(|name| name != "last").collect::<Vec<_>>()
    };
    let all = async {
        while told().await != changed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, all).await.is_ok(), "{:?} of {changed:?}", told().await);
    house.app.stop().await;
}

#[tokio::test]
async fn a_change_is_judged_beside_the_one_before_it() {
    let house = House::new(&[("a", gateway("a", 95)), ("b", gateway("b", 95))]).await;
    let (a, b) = (house.tag("a").await, house.tag("b").await);
    let tagged = async |name: &str| {
        let answer = house.ann(Method::GET, &format!("gateways/{name}")).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["fileTag"].as_str().map(str::to_owned)
    };
    assert_eq!(tagged("a").await.unwrap(), a.to_str().unwrap());
    let take = |name: &str, tag: &HeaderValue| {
        house.patch(name, &json!({ "path": "/x" })).header(IF_MATCH, tag).send()
    };
    // Both at once want the same place.
    let (first, second) = tokio::join!(take("a", &a), take("b", &b));
    let (first, second) = (first.unwrap(), second.unwrap());
    let (taken, refused, winner) =
        if first.status() == StatusCode::OK { (first, second, "a") } else { (second, first, "b") };
    let tag = written(taken, StatusCode::OK).await;
    assert_eq!(codes(refused).await, ["C002"]);
    assert_eq!(tagged(winner).await.unwrap(), tag.to_str().unwrap());
    // Nothing that serves is different, and yet it is another version.
    let text = format!("{}# by the risk team\n", house.text(&format!("{winner}.yaml")));
    let commented = house.put(winner, &text).header(IF_MATCH, &tag).send().await.unwrap();
    let tag = written(commented, StatusCode::OK).await;
    assert_eq!(tagged(winner).await.unwrap(), tag.to_str().unwrap());
    let removed = house.ann(Method::DELETE, &format!("gateways/{winner}")).header(IF_MATCH, tag);
    assert_eq!(removed.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(tagged(winner).await, None, "it serves on, without a file");
    house.app.stop().await;
}

#[tokio::test]
async fn a_file_that_another_gateway_has_stays_its_own() {
    let house = House::new(&[("taken", gateway("a", 95))]).await;
    let created = house.put("taken", &gateway("taken", 95)).header(IF_NONE_MATCH, "*").send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CONFLICT);
    let detail = created.json::<Value>().await.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("taken.yaml") && detail.contains("another name"), "{detail}");
    assert_eq!(house.text("taken.yaml"), gateway("a", 95));
    house.app.stop().await;
}

#[tokio::test]
async fn what_became_a_pipe_is_not_waited_for() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let tag = house.tag("a").await;
    let path = house.folder.path().join("a.yaml");
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let read = house.ann(Method::GET, "gateways/a/file").send().await.unwrap();
    problem(read, StatusCode::CONFLICT).await;
    let change = house.put("a", &gateway("a", 50)).header(IF_MATCH, tag).send().await.unwrap();
    problem(change, StatusCode::CONFLICT).await;
    house.app.stop().await;
}
