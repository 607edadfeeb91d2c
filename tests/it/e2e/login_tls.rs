//! A login where everything is TLS, as outside of tests: the gateway, what Serin asks the provider, and what Envoy does.

use super::pki::Authority;
use super::provider::{Browser, Provider};
use super::stage::{envoy_on, free_port, let_pass, toy};
use crate::real::DEADLINE;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test]
async fn whom_the_machine_trusts_envoy_trusts_at_the_token_endpoint() {
    serin::client::choose_provider();
    let (model, authority, folder) = (toy("v1").await, Authority::new(), tempfile::tempdir().unwrap());
    let identity = authority.issue(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth, 4000);
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("ca.pem", &authority.pem);
    write("tls.crt", &identity.certificate);
    write("tls.key", &identity.key);
    let browser = Browser::trusting(&authority.pem);
    let provider =
        Provider::start_tls(free_port(), &path("tls.crt"), &path("tls.key"), browser.client()).await;

    let [port, xds, http] =
        [free_port(), free_port(), free_port()].map(|p| SocketAddr::from(([127, 0, 0, 1], p)));
    let port = port.port();
    write(
        "serin.yaml",
        &format!(
            "listeners: {{ edge: {{ address: 127.0.0.1, port: {port}, tls: {{ certFile: tls.crt, keyFile: tls.key }} }} }}\n"
        ),
    );
    std::fs::create_dir(path("gateways")).unwrap();
    write("gateways/client.secret", "any");
    write(
        "gateways/app.yaml",
        &format!(
            "apiVersion: serin/v1\nname: app\nlistener: edge\nhost: localhost\nrewrite: /echo\nupstreams: {{ v1: {} }}\nauthentication:\n  oauth2: {{ issuer: '{}', clientId: app, clientSecretFile: client.secret, claimHeaders: {{ x-user: sub }} }}\n",
            model.url(),
            provider.issuer
        ),
    );
    let mut serin = Command::new(env!("CARGO_BIN_EXE_serin"))
        .args(["serve", "--xds", &xds.to_string(), "--http", &http.to_string(), "--config"])
        .arg(path("serin.yaml"))
        .arg("--session-key")
        .arg(path("session.key"))
        .env("SSL_CERT_FILE", path("ca.pem"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut envoy = envoy_on(xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();

    let page = format!("https://localhost:{port}/");
    let sent_to_log_in = async {
        while browser.get(&page).send().await.map_or(0, |a| a.status().as_u16()) != 200 {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, sent_to_log_in).await.expect("people are sent to log in");
    assert_eq!(model.requests(), 0);
    let answer = browser.log_in(&page).await;
    assert_eq!((answer.status().as_u16(), answer.url().as_str()), (200, page.as_str()));
    let seen: Value = answer.json().await.unwrap();
    assert_eq!(seen["headers"]["x-user"], "alice", "{seen}");
    envoy.stop().await.unwrap();
    serin.kill().await.unwrap();
}
