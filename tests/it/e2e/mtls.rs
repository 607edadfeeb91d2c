//! Mutual TLS on the port of the discovery protocol: who comes in, who does not, and certificates that are renewed.

use super::pki::{Authority, Identity, der, replace};
use super::stage::{Stage, canary, free_port, settings, toy};
use crate::cli::serin;
use crate::real::{DEADLINE, envoy, eventually};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serin::app::{App, Error, Options};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Mtls};
use serin::model::{AltName, Endpoint, MutualTls, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The files of both sides, and the two authorities.
struct Files {
    folder: TempDir,
    servers: Authority,
    clients: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            servers: Authority::new(),
            clients: Authority::new(),
        };
        files.write_identity("serin", &files.servers.server(&["serin.test"]));
        files.write("clients.pem", &files.clients.pem);
        files.write("servers.pem", &files.servers.pem);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        replace(self.folder.path(), name, text);
    }

    fn write_identity(&self, name: &str, identity: &Identity) {
        identity.write(self.folder.path(), name);
    }

    fn settings(&self, gateways: &Path, port: u16, allow: Option<&str>) -> Settings {
        let tls = MutualTls {
            cert_file: self.path("serin.pem"),
            key_file: self.path("serin.key"),
            client_ca_file: self.path("clients.pem"),
            allow: allow.map(|name| vec![AltName::Dns(name.into())]),
        };
        Settings { xds_tls: Some(tls), ..settings(gateways, port, None) }
    }

    async fn stage(&self, gateway: &str, allow: Option<&str>) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fraud.yaml"), gateway).unwrap();
        let port = free_port();
        let app = App::start(self.settings(folder.path(), port, allow), Options::default()).await.unwrap();
        app.ready().await;
        Stage { folder, app, port }
    }

    /// An Envoy that shows the certificate of a name and says that its id is another, or the same.
    async fn envoy(&self, xds: SocketAddr, name: &str, id: &str) -> Envoy {
        self.write_identity(name, &self.clients.client(name));
        let bootstrap = Bootstrap {
            id: id.into(),
            control_plane: Endpoint { host: xds.ip().to_string(), port: xds.port() },
            mtls: Some(Mtls {
                ca: self.path("servers.pem"),
                certificate: self.path(&format!("{name}.pem")),
                key: self.path(&format!("{name}.key")),
                server_names: vec!["serin.test".into()],
            }),
            ..Bootstrap::default()
        };
        let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
        Envoy::start(envoy().await, &bootstrap.to_string(), &options).await.unwrap()
    }

    /// Connects as somebody; the certificate of the server, when it lets them in.
    async fn knock(&self, xds: SocketAddr, who: Option<&Identity>) -> Option<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.servers.pem)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots);
        let mut config = match who {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![der(certificate)], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(xds).await.unwrap();
        let name = ServerName::try_from("serin.test").unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
        // In TLS 1.3 the client is done first: whether it is let in shows when the server speaks HTTP/2 with it.
        tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
        tls.read_u8().await.ok()?;
        Some(tls.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
    }
}

fn gateway(url: &str) -> String {
    format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {url} }}\n")
}

#[tokio::test]
async fn only_envoys_with_an_allowed_certificate_come_in() {
    let v1 = toy("v1").await;
    let files = Files::new();
    let stage = files.stage(&gateway(&v1.url()), Some("edge-1")).await;
    let (xds, registry) = (stage.app.xds, Arc::clone(&stage.app.registry));
    // Says nothing, all the time, and holds up nobody.
    let silent = TcpStream::connect(xds).await.unwrap();
    let mut envoy = files.envoy(xds, "edge-1", "edge-1").await;
    envoy.ready(DEADLINE).await.unwrap();
    assert_eq!(stage.ask("/", &[]).await, (200, "v1".to_owned()));
    let replica = files.envoy(xds, "edge-1", "edge-1/2").await;
    eventually("a second Envoy of the name", || registry.proxies().len() == 2).await;

    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let strangers = [
        ("no certificate", None),
        ("another authority", Some(Authority::new().client("edge-1"))),
        ("expired", Some(files.clients.issue(&["edge-1"], client, 2020))),
        ("for servers", Some(files.clients.issue(&["edge-1"], ExtendedKeyUsagePurpose::ServerAuth, 4000))),
        ("another name", Some(files.clients.client("edge-2"))),
    ];
    assert!(files.knock(xds, Some(&files.clients.client("edge-1"))).await.is_some());
    for (what, who) in &strangers {
        let before = registry.handshake_failures.load(Ordering::Relaxed);
        assert!(files.knock(xds, who.as_ref()).await.is_none(), "{what} comes in");
        eventually(what, || registry.handshake_failures.load(Ordering::Relaxed) > before).await;
    }
    let before = registry.handshake_failures.load(Ordering::Relaxed);
    let mut plain = TcpStream::connect(xds).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    eventually("plain text", || registry.handshake_failures.load(Ordering::Relaxed) > before).await;

    let impostor = files.envoy(xds, "edge-1", "edge-10").await;
    eventually("another node.id is refused", || registry.impostors.load(Ordering::Relaxed) > 0).await;
    assert!(registry.proxies().iter().all(|p| p.node.id != "edge-10"));
    let metrics = reqwest::get(format!("http://{}/metrics", stage.app.http)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for name in ["serin_xds_handshake_failures_total", "serin_xds_impostors_total"] {
        let value = metrics.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|v| v > 0.0), "{name} in {metrics}");
    }
    drop(silent);
    stage.end([envoy, replica, impostor]).await;
}

#[tokio::test]
async fn a_renewal_ends_no_stream() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let mut files = Files::new();
    let stage = files.stage(&canary("fraud", "/", &v1, &v2, ("95", "5")), None).await;
    let xds = stage.app.xds;
    let mut envoy = files.envoy(xds, "edge-1", "any").await;
    envoy.ready(DEADLINE).await.unwrap();
    let connection = || {
        let proxies = stage.app.registry.proxies();
        proxies.iter().map(|p| (p.since, p.address.clone())).collect::<Vec<_>>()
    };
    let first = connection();
    assert_eq!(first.len(), 1);

    let renewed = files.servers.server(&["serin.test"]);
    files.write_identity("serin", &renewed);
    let old = files.clients.client("probe");
    let sees = async |who: &Identity, wanted: Option<CertificateDer<'static>>| {
        while files.knock(xds, Some(who)).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let renewed = Some(der(&renewed.certificate));
    tokio::time::timeout(DEADLINE, sees(&old, renewed.clone())).await.expect("the new certificate is shown");

    let next = Authority::new();
    files.write("clients.pem", &next.pem);
    tokio::time::timeout(DEADLINE, sees(&old, None)).await.expect("the old authority is not taken any more");
    tokio::time::timeout(DEADLINE, sees(&next.client("probe"), renewed)).await.expect("the new authority is");
    assert_eq!((connection(), stage.app.registry.stream_count()), (first.clone(), 1));

    // The stream that was there before still carries what is new.
    stage.replace("fraud.yaml", &canary("fraud", "/", &v1, &v2, ("0", "100")));
    stage.serves_weight("fraud", "v2", 100.0).await;
    assert_eq!(connection(), first);
    files.clients = next;
    let another = files.envoy(xds, "edge-2", "edge-2").await;
    eventually("an Envoy of the new authority", || stage.app.registry.proxies().len() == 2).await;
    stage.end([envoy, another]).await;
}

#[tokio::test]
async fn it_does_not_begin_with_what_no_client_could_use() {
    let files = Files::new();
    let folder = tempfile::tempdir().unwrap();
    let settings = || files.settings(folder.path(), 1, None);
    let plain = App::start(settings(), Options { insecure_xds: true, ..Options::default() }).await;
    assert!(matches!(plain, Err(Error::PlainAndTls)), "{plain:?}");
    let any = Settings { xds: ([0, 0, 0, 0], 0).into(), ..settings() };
    App::start(any, Options::default()).await.unwrap().stop().await;

    files.write("serin.key", &files.servers.server(&["serin.test"]).key);
    let text = "xds: { tls: { certFile: serin.pem, keyFile: serin.key, clientCaFile: clients.pem } }\n";
    files.write("serin.yaml", text);
    let run = serin(&["serve", "--config", files.path("serin.yaml").to_str().unwrap()]);
    assert_eq!(run.code, 2, "{}", run.err);
    assert!(run.err.contains("serin.key, a file of `xds.tls`, does not go with"), "{}", run.err);
}
