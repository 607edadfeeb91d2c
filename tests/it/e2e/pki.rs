//! Certificates for plays, and the two ends of TLS: clients that tell what they are shown, and a server that asks who
//! is calling.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme, version,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn issue(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose, last_year: i32) -> Identity {
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(all).unwrap();
        // By the same subject as its authority's it would seem to have signed itself.
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.extended_key_usages = vec![purpose];
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, 4000)
    }

    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, 4000)
    }
}

impl Identity {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        der(&self.certificate)
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Writes `<name>.key` and `<name>.pem`, each in one step.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        replace(folder, &format!("{name}.key"), &self.key);
        replace(folder, &format!("{name}.pem"), &self.certificate);
    }
}

pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Replaces a file in one step.
pub(crate) fn replace(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!("{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, folder.join(name)).unwrap();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Takes every certificate, since the play looks at it itself.
#[derive(Debug)]
struct Curious(Arc<CryptoProvider>);

impl ServerCertVerifier for Curious {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection to a port of this machine that asks for a name, or for none, and offers some protocols.
pub(crate) async fn connect(
    port: u16,
    name: Option<&str>,
    alpn: &[&str],
    who: Option<&Identity>,
) -> io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(Curious(provider())));
    let mut config = match who {
        None => config.with_no_client_auth(),
        Some(who) => config.with_client_auth_cert(vec![who.der()], who.private()).unwrap(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.enable_sni = name.is_some();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from(name.unwrap_or("localhost").to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The certificate that a port shows to who asks for a name; `None`: there is no handshake.
pub(crate) async fn shown(port: u16, name: Option<&str>) -> Option<CertificateDer<'static>> {
    let tls = connect(port, name, &["h2", "http/1.1"], None).await.ok()?;
    Some(tls.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
}

/// One request of HTTP/1.1 over a connection that is kept; the status.
pub(crate) async fn ask(tls: &mut BufReader<TlsStream<TcpStream>>, host: &str) -> io::Result<u16> {
    tls.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    tls.flush().await?;
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if tls.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        } else if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    tls.read_exact(&mut body).await?;
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What a server has seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// Handshakes that failed, mostly since the client's certificate was not good.
    pub(crate) refused: u64,
    /// The client's certificate of the newest connection.
    pub(crate) client: Option<CertificateDer<'static>>,
}

/// A model server behind TLS. It asks clients for certificates when it is told whose, answers 200, and closes each
/// connection politely after a few requests, so that there are always new ones.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: watch::Receiver<Seen>,
    config: watch::Sender<Arc<ServerConfig>>,
    _accepting: JoinSet<()>,
}

/// Requests on one connection.
const ON_ONE: u32 = 20;

impl Server {
    pub(crate) async fn start(identity: &Identity, clients: &[&Authority]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, configs) = watch::channel(server_config(identity, clients));
        let (tell, seen) = watch::channel(Seen::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, tell) = (TlsAcceptor::from(configs.borrow().clone()), tell.clone());
                connections.spawn(async move {
                    // Whoever goes away in the middle is no mistake of the server.
                    let _ = serve(tcp, acceptor, &tell).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, seen, config, _accepting: accepting }
    }

    /// From the next connection on it trusts these.
    pub(crate) fn trust(&self, identity: &Identity, clients: &[&Authority]) {
        self.config.send_replace(server_config(identity, clients));
    }

    pub(crate) fn requests(&self) -> u64 {
        self.seen.borrow().requests
    }
}

fn server_config(identity: &Identity, clients: &[&Authority]) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS12]);
    let config = config.unwrap();
    let config = if clients.is_empty() {
        config.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        clients.iter().for_each(|authority| roots.add(der(&authority.pem)).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        config.with_client_cert_verifier(verifier.build().unwrap())
    };
    let mut config = config.with_single_cert(vec![identity.der()], identity.private()).unwrap();
    // Each connection shows its certificate anew.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Arc::new(config)
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, tell: &watch::Sender<Seen>) -> io::Result<()> {
    let tls = match acceptor.accept(tcp).await {
        Ok(tls) => tls,
        Err(error) => {
            tell.send_modify(|seen| seen.refused += 1);
            return Err(error);
        }
    };
    let client = tls.get_ref().1.peer_certificates().and_then(|c| c.first()).map(|c| c.clone().into_owned());
    tell.send_modify(|seen| seen.client = client);
    let mut tls = BufReader::new(tls);
    for number in 1..=ON_ONE {
        loop {
            let mut line = String::new();
            if tls.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
        }
        tell.send_modify(|seen| seen.requests += 1);
        let close = if number == ON_ONE { "connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 200 OK\r\nx-model-version: v1\r\n{close}content-length: 2\r\n\r\nok");
        tls.write_all(head.as_bytes()).await?;
        tls.flush().await?;
    }
    tls.shutdown().await
}
