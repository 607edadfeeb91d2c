//! TLS on both sides of Envoy, with certificates that come over the discovery protocol.

use super::pki::{Authority, Identity, Server, ask, connect, shown};
use super::stage::{Stage, assert_all_well, envoy_on, free_port, settings, toy};
use crate::real::{DEADLINE, eventually};
use rustls::pki_types::CertificateDer;
use serin::app::{App, Options};
use serin::diag::Severity;
use serin::launch::{Envoy, Toy, Until};
use serin::model::{CertificateFiles, Listener, ListenerTls, Settings};
use serin::names::ListenerName;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::task::JoinSet;

/// The files `<name>.pem` and `<name>.key` of a folder.
fn files(folder: &Path, name: &str) -> CertificateFiles {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    CertificateFiles { cert_file: file("pem"), key_file: file("key") }
}

fn with(certificates: Vec<CertificateFiles>) -> ListenerTls {
    ListenerTls { certificates }
}

/// A gateway file of its own folder below this one.
async fn model(folder: &Path) -> (Toy, std::path::PathBuf) {
    let v1 = toy("v1").await;
    let gateways = folder.join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let gateway = format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {} }}\n", v1.url());
    std::fs::write(gateways.join("fraud.yaml"), gateway).unwrap();
    (v1, gateways)
}

async fn started(settings: Settings) -> (App, Envoy) {
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    let mut envoy = envoy_on(app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    (app, envoy)
}

/// Waits until a port shows a certificate to who asks for a name; says how long it took.
async fn shows(port: u16, name: Option<&str>, wanted: &CertificateDer<'_>) -> Duration {
    let start = tokio::time::Instant::now();
    let wait = async {
        while shown(port, name).await.as_ref() != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{name:?} is not shown its own"));
    start.elapsed()
}

#[tokio::test]
async fn a_host_is_shown_its_own_certificate_and_a_broken_one_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, gateways) = model(folder.path()).await;
    let authority = Authority::new();
    let [a, b, c] =
        [&["a.test", "b.test"][..], &["*.c.test"], &["d.test"]].map(|names| authority.server(names));
    for (identity, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        identity.write(folder.path(), name);
    }
    // Nobody has a key for the third yet.
    std::fs::remove_file(folder.path().join("c.key")).unwrap();
    let port = free_port();
    let tls = with(["a", "b", "c"].map(|name| files(folder.path(), name)).into());
    let (app, envoy) = started(settings(&gateways, port, Some(tls))).await;
    for (name, own) in [
        (Some("a.test"), &a),
        (Some("b.test"), &a),
        (Some("x.c.test"), &b),
        (Some("c.test"), &a),
        (Some("x.y.c.test"), &a),
        (Some("d.test"), &a),
        (Some("unknown.test"), &a),
        (None, &a),
    ] {
        shows(port, name, &own.der()).await;
    }
    c.write(folder.path(), "c");
    shows(port, Some("d.test"), &c.der()).await;
    // Each protocol that a client may want; the one without a word about it speaks HTTP/1.1.
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&[], None),
    ] {
        let tls = connect(port, Some("x.c.test"), offered, None).await.unwrap();
        let spoken = tls.get_ref().1.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
        assert_eq!(spoken.as_deref(), chosen, "{offered:?}");
        if chosen != Some("h2") {
            assert_eq!(ask(&mut BufReader::new(tls), "x.c.test").await.unwrap(), 200);
        }
    }
    envoy.stop().await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn each_listener_has_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (v1, gateways) = model(folder.path()).await;
    let second =
        format!("apiVersion: serin/v1\nname: second\nlistener: second\nupstreams: {{ v1: {} }}\n", v1.url());
    std::fs::write(gateways.join("second.yaml"), second).unwrap();
    let authority = Authority::new();
    let (a, b) = (authority.server(&["a.test"]), authority.server(&["a.test"]));
    a.write(folder.path(), "a");
    b.write(folder.path(), "b");
    let ports = [free_port(), free_port()];
    let mut settings = settings(&gateways, ports[0], Some(with(vec![files(folder.path(), "a")])));
    let listener = Listener {
        address: Ipv4Addr::LOCALHOST.into(),
        port: ports[1],
        tls: Some(with(vec![files(folder.path(), "b")])),
    };
    settings.listeners.insert(ListenerName::new("second").unwrap(), listener);
    let (app, envoy) = started(settings).await;
    shows(ports[0], Some("a.test"), &a.der()).await;
    shows(ports[1], Some("a.test"), &b.der()).await;
    envoy.stop().await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn a_listeners_certificate_is_renewed_under_load_and_kept_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, gateways) = model(folder.path()).await;
    let authority = Authority::new();
    let first = authority.server(&["a.test"]);
    first.write(folder.path(), "a");
    let port = free_port();
    let (app, envoy) = started(settings(&gateways, port, Some(with(vec![files(folder.path(), "a")])))).await;
    shows(port, Some("a.test"), &first.der()).await;

    // 400 requests a second over 8 connections that are never opened anew.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let tls = connect(port, Some("a.test"), &["http/1.1"], None).await.unwrap();
        let stopped = stopped.clone();
        load.spawn(async move {
            let (mut tls, mut count) = (BufReader::new(tls), 0_u32);
            let mut due = tokio::time::interval(Duration::from_millis(20));
            while !*stopped.borrow() {
                due.tick().await;
                assert_eq!(ask(&mut tls, "a.test").await.unwrap(), 200);
                count += 1;
            }
            count
        });
    }
    for round in 0..5 {
        let next = authority.server(&["a.test"]);
        next.write(folder.path(), "a");
        println!(
            "round {round}: a new handshake sees it after {:?}",
            shows(port, Some("a.test"), &next.der()).await
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.send_replace(true);
    let counts = load.join_all().await;
    println!("{} requests over 8 kept connections, none failed", counts.iter().sum::<u32>());
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    envoy.stop().await.unwrap();
    app.stop().await;
}

/// A gateway whose upstream is a server behind TLS, with more of `tls` when wanted.
fn behind_tls(name: &str, port: u16, server_name: &str, more: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams:\n  v1: {{ url: 'https://127.0.0.1:{port}', tls: {{ caFile: ca.pem, serverName: {server_name}{more} }} }}\n"
    )
}

async fn answers(stage: &Stage, path: &str, status: u16) {
    let wait = async {
        while stage.ask(path, &[]).await.0 != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("{path} is never answered {status}"));
}

#[tokio::test]
async fn an_upstreams_certificate_is_checked() {
    let authority = Authority::new();
    let server = Server::start(&authority.server(&["model.internal"]), &[]).await;
    let stage = Stage::new(&[
        ("right.yaml", &behind_tls("right", server.port, "model.internal", "")),
        ("wrong.yaml", &behind_tls("wrong", server.port, "other.internal", "")),
        ("ca.pem", &authority.pem),
    ])
    .await;
    let envoy = stage.envoy().await;
    answers(&stage, "/right", 200).await;
    assert_eq!(stage.ask("/wrong", &[]).await.0, 503, "another name than in the certificate");
    stage.end([envoy]).await;
}

/// A server that asks for certificates, and a gateway that shows one.
async fn mutual(clients: &Authority, who: &Identity) -> (Server, Identity, Stage) {
    let authority = Authority::new();
    let identity = authority.server(&["model.internal"]);
    let server = Server::start(&identity, &[clients]).await;
    let shows = ", certFile: client.pem, keyFile: client.key";
    let stage = Stage::new(&[
        ("known.yaml", &behind_tls("known", server.port, "model.internal", shows)),
        ("unknown.yaml", &behind_tls("unknown", server.port, "model.internal", "")),
        ("ca.pem", &authority.pem),
        ("client.pem", &who.certificate),
        ("client.key", &who.key),
    ])
    .await;
    (server, identity, stage)
}

#[tokio::test]
async fn a_server_that_asks_who_is_calling_is_shown_a_certificate() {
    let clients = Authority::new();
    let who = clients.client("edge");
    let (server, _, stage) = mutual(&clients, &who).await;
    let elsewhere =
        behind_tls("else", server.port, "model.internal", ", certFile: client.pem, keyFile: client.key");
    stage.replace("else.yaml", &elsewhere.replace("path:", "proxies: [other]\npath:"));
    stage.sees("the gateway of other Envoys", "else", |g| g.is_some_and(|g| g["serving"] == true)).await;
    let envoy = stage.envoy().await;
    answers(&stage, "/known", 200).await;
    assert_eq!(server.seen.borrow().client.as_ref(), Some(&who.der()));
    assert_eq!(stage.ask("/unknown", &[]).await.0, 503, "without a certificate");
    assert_eq!(server.requests(), 1);
    // Only Envoys that serve the gateway get the key, and it shows nowhere.
    let fleet = stage.app.view.load().fleet.clone();
    let secrets = |cluster: &str| -> Vec<String> {
        let set = fleet.snapshot(cluster).set(serin::resource::Kind::Secret);
        set.resources().map(|r| r.name().to_string()).filter(|n| n.starts_with("client/")).collect()
    };
    assert_eq!((secrets("edge"), secrets("other").len()), (vec!["client/known/v1".to_owned()], 2));
    let dump = envoy.admin("/config_dump?include_eds").await.unwrap().1;
    let shown = reqwest::get(format!("http://{}/api/v1/config/known", stage.app.http)).await.unwrap();
    for text in [dump, shown.text().await.unwrap(), format!("{:?}", stage.app)] {
        assert!(!text.contains("PRIVATE KEY") && !text.contains(who.key.lines().nth(1).unwrap()));
    }
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_client_certificate_is_renewed_under_load_and_nobody_notices() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.client("edge");
    let (server, identity, stage) = mutual(&old, &first).await;
    let envoy = stage.envoy().await;
    answers(&stage, "/known", 200).await;
    server.trust(&identity, &[&old, &new]);
    let load = stage.load("/known", Some(400.0), Until::Stopped);
    let pushes = || {
        let view = stage.app.view.load();
        [serin::resource::Kind::Route, serin::resource::Kind::Cluster]
            .map(|k| view.fleet.everyone.set(k).version())
    };
    let before = pushes();
    for round in 0..5 {
        let (authority, name) = if round % 2 == 0 { (&new, "new") } else { (&old, "old") };
        let next = authority.client("edge");
        next.write(stage.folder.path(), "client");
        let start = tokio::time::Instant::now();
        eventually("the server is shown the new one", || {
            server.seen.borrow().client.as_ref() == Some(&next.der())
        })
        .await;
        println!(
            "round {round}: the server sees the certificate of the {name} authority after {:?}",
            start.elapsed()
        );
    }
    assert_eq!(pushes(), before, "neither a route nor a cluster is another one");
    // What was revoked is refused, and Envoy does not use it any more.
    server.trust(&identity, &[&new]);
    let refused = server.seen.borrow().refused;
    let tls = connect(server.port, Some("model.internal"), &[], Some(&first)).await;
    assert!(tls.is_err());
    eventually("the old one is refused", || server.seen.borrow().refused > refused).await;
    let requests = server.requests();
    eventually("requests over new connections", || server.requests() > requests + 400).await;
    assert_eq!(server.seen.borrow().refused, refused + 1, "Envoy never shows what is refused");
    let report = load.stop().await;
    println!("{} requests, {} failed", report.requests(), report.failed());
    assert_all_well(&report);
    stage.end([envoy]).await;
}

/// The alarms about certificates, as sentences.
async fn alarms(app: &App) -> Vec<String> {
    let url = format!("http://{}/api/v1/alarms", app.http);
    let answer: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let all = answer["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["kind"] == "certificate");
    all.map(|alarm| alarm["message"].as_str().unwrap().to_owned()).collect()
}

/// Waits until there are these alarms about certificates.
async fn alarmed(app: &App, wanted: &[&str]) {
    let wait = async {
        loop {
            let said = alarms(app).await;
            if said.len() == wanted.len() && said.iter().zip(wanted).all(|(said, part)| said.contains(part)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, wait).await;
    assert!(outcome.is_ok(), "not {wanted:?}: {:?}", alarms(app).await);
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_cannot_be_used_is_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let (model, gateways) = model(folder.path()).await;
    let authority = Authority::new();
    let identity = authority.server(&["a.test"]);
    identity.write(folder.path(), "a");
    let port = free_port();
    let tls = with(vec![files(folder.path(), "a")]);
    let app = App::start(settings(&gateways, port, Some(tls)), Options::default()).await.unwrap();
    app.ready().await;
    alarmed(&app, &[]).await;
    let metrics =
        async || reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
    let file = folder.path().join("a.pem");
    let line = format!("serin_certificate_not_after_timestamp_seconds{{file=\"{}\"}} ", file.display());
    // The first of January 4000.
    assert!(metrics().await.contains(&format!("{line}64060588800\n")), "{}", metrics().await);

    let ended = authority.issue(&["a.test"], rcgen::ExtendedKeyUsagePurpose::ServerAuth, 2024);
    ended.write(folder.path(), "a");
    alarmed(&app, &["a.pem has ended at 2024-01-01T00:00:00.000Z, "]).await;
    assert!(metrics().await.contains(&format!("{line}1704067200\n")));
    std::fs::write(folder.path().join("a.key"), "nothing").unwrap();
    alarmed(&app, &["a.pem has ended at ", "a.key holds no private key that can be read"]).await;
    identity.write(folder.path(), "a");
    alarmed(&app, &[]).await;

    // Those that gateways name, as long as they do.
    let client = authority.issue(&["us"], rcgen::ExtendedKeyUsagePurpose::ClientAuth, 2024);
    client.write(&gateways, "client");
    std::fs::write(gateways.join("ca.pem"), &authority.pem).unwrap();
    let with_tls = |more: &str| {
        let url = model.url().replace("http://", "https://");
        format!(
            "apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {{ url: \"{url}\", tls: {{ caFile: ca.pem, serverName: a.test{more} }} }} }}\n"
        )
    };
    let own = with_tls(", certFile: client.pem, keyFile: client.key");
    std::fs::write(gateways.join("fraud.yaml"), &own).unwrap();
    alarmed(&app, &["the certificate in client.pem has ended at 2024-01-01"]).await;
    let gateway = app.view.load().gateways["fraud"].clone();
    assert!(gateway.diagnostics.iter().all(|d| d.severity == Severity::Warning), "{:?}", gateway.diagnostics);
    std::fs::write(gateways.join("fraud.yaml"), with_tls("")).unwrap();
    alarmed(&app, &[]).await;
    app.stop().await;
}
