//! The HTTP port, as people, probes and Prometheus see it.

mod described;
mod doors;
mod edits;
mod streams;
mod unlisted;

use crate::protocol::client::{folder, gateway, shown, soon, start, stop, write};
use reqwest::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use serin::app::{App, Options};
use serin::control::Phase;
use serin::model::{CertificateFiles, Listener, ListenerTls, Settings};
use serin::names::ListenerName;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

async fn get(app: &App, path: &str) -> Response {
    soon(path, Client::new().get(url(app, path)).send()).await.unwrap()
}

fn url(app: &App, path: &str) -> String {
    format!("http://{}{path}", app.http)
}

async fn json(app: &App, path: &str) -> Value {
    let response = get(app, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

async fn problem(response: Response, status: StatusCode) {
    let path = response.url().to_string();
    assert_eq!(response.status(), status, "{path}");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json", "{path}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16(), "{path}");
    assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{path}");
}

#[tokio::test]
async fn gateways_are_listed_and_shown() {
    let folder = folder(&[("b", gateway("b", 95)), ("a", gateway("a", 50))]);
    let app = start(folder.path()).await;
    let list = json(&app, "/api/v1/gateways").await;
    let names: Vec<_> =
        list["gateways"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    let one = json(&app, "/api/v1/gateways/b").await;
    assert_eq!(
        (&one["phase"], &one["serving"], &one["path"]),
        (&"Stable".into(), &true.into(), &"/b".into())
    );
    assert_eq!(one["upstreams"][0]["weight"], 95);

    write(folder.path(), "b.yaml", "apiVersion: serin/v1\nname: b\npath: nowhere\n");
    shown(&app, "b", |g| g.phase == Phase::Invalid).await;
    let one = json(&app, "/api/v1/gateways/b").await;
    assert_eq!((&one["serving"], &one["path"]), (&true.into(), &"/b".into()), "the last good version");
    let diagnostics = one["diagnostics"].as_array().unwrap();
    let path = diagnostics.iter().find(|d| d["line"] == 3).expect("the path is wrong");
    assert_eq!((&path["code"], &path["file"]), (&"G008".into(), &"b.yaml".into()));
    stop(app).await;
}

#[tokio::test]
async fn an_entity_tag_spares_readers_what_they_have() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    for path in ["/api/v1/gateways", "/api/v1/gateways/a"] {
        let tag = get(&app, path).await.headers()[ETAG].clone();
        let again =
            || async { Client::new().get(url(&app, path)).header(IF_NONE_MATCH, &tag).send().await.unwrap() };
        let unchanged = again().await;
        assert_eq!((unchanged.status(), &unchanged.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        let weight = if path.ends_with('a') { 40 } else { 60 };
        write(folder.path(), "a.yaml", &gateway("a", weight));
        let there = |g: &serin::control::GatewayView| {
            g.gateway.as_ref().is_some_and(|g| g.upstreams[0].weight.hundredths() == weight * 100)
        };
        shown(&app, "a", there).await;
        assert_eq!(again().await.status(), StatusCode::OK);
    }
    stop(app).await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_with_a_reason() {
    let folder = folder(&[("a", gateway("a", 95)), ("bad", "apiVersion: serin/v1\nname: bad\n".into())]);
    let app = start(folder.path()).await;
    for path in
        ["/api/v1/gateways/none", "/api/v1/config/none", "/api/v1/config/bad", "/api/v1/none", "/none"]
    {
        problem(get(&app, path).await, StatusCode::NOT_FOUND).await;
    }
    for path in ["/api/v1/gateways", "/api/v1/proxies", "/api/v1/validate", "/metrics", "/readyz"] {
        let response = Client::new().request(Method::DELETE, url(&app, path)).send().await.unwrap();
        problem(response, StatusCode::METHOD_NOT_ALLOWED).await;
    }
    stop(app).await;
}

#[tokio::test]
async fn probes_know_when_files_are_read() {
    use axum::body::Body;
    use serin::admin::{Sources, router};
    use serin::control::View;
    use serin::latest::Latest;
    use tower::ServiceExt;
    let view = Latest::new(View::default());
    let unlisted = Latest::new(serin::control::Unlisted::default());
    let (store, ..) = serin::store::run::start(Box::new(serin::store::Sqlite::in_memory().unwrap()), None);
    let table = Latest::new(serin::telemetry::Table::default());
    let (hub, _work) = serin::admin::watch::start(&view, table.clone());
    let router = router(Sources {
        name: "127.0.0.1:18001 on ada".into(),
        view: view.clone(),
        unlisted: unlisted.clone(),
        registry: std::sync::Arc::default(),
        table,
        store,
        events: tokio::sync::mpsc::channel(1).0,
        stopped: tokio::sync::watch::channel(false).1,
        access: serin::admin::Access { door: None, insecure_admin: false, tls: false },
        editor: serin::admin::Editor::new("gateways".into(), serin::source::Environment::default()).0,
        reports: Latest::new(serin::compare::Reports::default()),
        told: std::sync::Arc::default(),
        members: Latest::new(Vec::new()),
        hub,
    });
    let status = |path: &'static str| {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let router = router.clone();
        async move { router.oneshot(request).await.unwrap().status() }
    };
    assert_eq!(
        (status("/healthz").await, status("/readyz").await),
        (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE)
    );
    view.publish(View::default());
    assert_eq!((status("/healthz").await, status("/readyz").await), (StatusCode::OK, StatusCode::OK));
}

/// Reads `OpenMetrics`: the value of each sample. Fails on what a strict reader would refuse.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let (mut samples, mut family) = (BTreeMap::new(), "");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            assert!(matches!(words.next(), Some("HELP" | "TYPE" | "UNIT")), "{line}");
            family = words.next().unwrap();
            continue;
        }
        assert!(line.starts_with(family), "{line} is not of the family {family}");
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
    }
    samples
}

#[tokio::test]
async fn metrics_are_read_by_a_strict_reader() {
    let folder = folder(&[("a", gateway("a", 95)), ("bad", "apiVersion: serin/v1\nname: bad\n".into())]);
    let app = start(folder.path()).await;
    let response = get(&app, "/metrics").await;
    assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics-text"));
    let samples = samples(&response.text().await.unwrap());
    assert_eq!(samples["serin_gateways{phase=\"Stable\"}"].to_string(), "1");
    assert_eq!(samples["serin_gateways{phase=\"Invalid\"}"].to_string(), "1");
    assert_eq!(samples["serin_upstream_weight{gateway=\"a\",upstream=\"v1\"}"].to_string(), "0.95");
    assert!(samples.keys().any(|k| k.starts_with("serin_gateway_error{gateway=\"bad\",file=\"bad.yaml\"")));
    for name in [
        "serin_gateway_files_vanished",
        "serin_publications_total",
        "serin_proxies",
        "serin_xds_streams",
        "serin_xds_refusals_total",
        "serin_xds_responses_total",
        "serin_xds_sent_bytes_total",
    ] {
        assert!(samples.contains_key(name), "{name} is missing");
    }
    stop(app).await;
}

#[tokio::test]
async fn a_configuration_is_of_one_gateway_and_shows_no_secret() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = pair.signing_key.serialize_pem();
    let tls = |host: &str| {
        format!(
            "apiVersion: serin/v1\nname: {host}\npath: /{host}\nupstreams: {{ v1: {{ url: https://{host}, tls: {{ caFile: ca.pem }} }} }}\n"
        )
    };
    let folder = folder(&[("a", tls("a")), ("b", tls("b"))]);
    write(folder.path(), "ca.pem", &pair.cert.pem());
    write(folder.path(), "key.pem", &key);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (cert_file, key_file) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
    let listener = Listener {
        address: Ipv4Addr::LOCALHOST.into(),
        port: 8443,
        tls: Some(ListenerTls { certificates: vec![CertificateFiles { cert_file, key_file }] }),
    };
    let settings = Settings {
        gateways: folder.path().to_path_buf(),
        xds: any,
        http: any,
        listeners: [(ListenerName::new("default").unwrap(), listener)].into(),
        ..Settings::default()
    };
    let app = App::start(settings, Options::default()).await.unwrap();
    soon("files are read", app.ready()).await;
    shown(&app, "a", |g| g.serving).await;

    let config = json(&app, "/api/v1/config/a").await;
    let mut kinds: Vec<_> = config.as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["cluster", "route", "secret"]);
    let text = config.to_string();
    assert!(text.contains("a/v1") && !text.contains("b/v1"), "{text}");

    // The key as it stands in the file, and as JSON writes bytes.
    let lines: Vec<&str> = key.lines().filter(|l| !l.starts_with("-----")).collect();
    for path in ["/api/v1/gateways", "/api/v1/config/a", "/api/v1/config/b", "/api/v1/proxies", "/metrics"] {
        let text = get(&app, path).await.text().await.unwrap();
        assert!(lines.iter().all(|line| !text.contains(line)) && !text.contains("PRIVATE KEY"), "{path}");
    }
    let view = app.view.load();
    let secret = view.fleet.everyone.get(serin::resource::Kind::Secret, "tls/default").unwrap();
    let dumped = serin::snapshot::dump(secret).unwrap().to_string();
    assert!(dumped.contains("[redacted]") && !dumped.contains("private_key\":{\"inline_bytes"), "{dumped}");
    assert!(!format!("{view:?}").contains(lines[0]));
    stop(app).await;
}
