//! TLS on both sides of Envoy, with certificates that come over the discovery protocol.

use super::stage::{Stage, envoy_on, free_port, settings, toy};
use crate::real::DEADLINE;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serin::app::{App, Options};
use serin::model::ListenerTls;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// A new certificate for `localhost`, written where the listener reads it; its serial tells it apart.
fn certificate(folder: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    for (name, text) in [("key.pem", signing_key.serialize_pem()), ("cert.pem", cert.pem())] {
        let beside = folder.join(format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, folder.join(name)).unwrap();
    }
    cert.pem()
}

/// Prints what a server agrees to speak, and the certificate that it shows.
const HANDSHAKE: &str = "
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(['h2', 'http/1.1'])
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5) as tcp:
    with context.wrap_socket(tcp, server_hostname='localhost') as tls:
        print(tls.selected_alpn_protocol())
        print(ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)))
";

/// Answers every request with 200, over TLS.
const SERVER: &str = "
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('content-length', '0')
        self.end_headers()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

fn python(program: &str, port: u16) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("python3");
    command.args(["-c", program, &port.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The certificate that a client sees, and what is spoken; `None` when there is no handshake.
async fn handshake(port: u16) -> Option<(String, String)> {
    let run = python(HANDSHAKE, port).output().await.unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let (alpn, certificate) = text.split_once('\n')?;
    Some((certificate.trim().to_owned(), alpn.to_owned()))
}

fn same_text(a: &str, b: &str) -> bool {
    a.split_whitespace().collect::<String>() == b.split_whitespace().collect::<String>()
}

#[tokio::test]
async fn a_listeners_certificate_is_followed_without_a_restart() {
    let v1 = toy("v1").await;
    let folder = tempfile::tempdir().unwrap();
    let gateways = folder.path().join("gateways");
    std::fs::create_dir(&gateways).unwrap();
    let gateway = format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {} }}\n", v1.url());
    std::fs::write(gateways.join("fraud.yaml"), gateway).unwrap();
    let first = certificate(folder.path());
    let port = free_port();
    let tls =
        ListenerTls { cert_file: folder.path().join("cert.pem"), key_file: folder.path().join("key.pem") };
    let app = App::start(settings(&gateways, port, Some(tls)), Options::default()).await.unwrap();
    app.ready().await;
    let mut envoy = envoy_on(app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();

    let shows = async |pem: String| {
        let wait = async {
            loop {
                if let Some((seen, alpn)) = handshake(port).await
                    && same_text(&seen, &pem)
                {
                    return alpn;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the new certificate is shown")
    };
    assert_eq!(shows(first).await, "h2");
    let second = certificate(folder.path());
    shows(second).await;
    envoy.stop().await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn an_upstreams_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["model.internal".into()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let mut server = python(SERVER, port)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let gateway = |name: &str, server_name: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams:\n  v1: {{ url: 'https://127.0.0.1:{port}', tls: {{ caFile: ca.pem, serverName: {server_name} }} }}\n"
        )
    };
    let (right, wrong) = (gateway("right", "model.internal"), gateway("wrong", "other.internal"));
    let stage = Stage::new(&[("right.yaml", &right), ("wrong.yaml", &wrong), ("ca.pem", &cert.pem())]).await;
    let envoy = stage.envoy().await;
    let answers = async {
        while stage.ask("/right", &[]).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, answers).await.expect("a server with the right certificate is reached");
    assert_eq!(stage.ask("/wrong", &[]).await.0, 503, "another name than in the certificate");
    stage.end([envoy]).await;
    server.kill().await.unwrap();
}
