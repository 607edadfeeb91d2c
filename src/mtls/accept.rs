//! Accepts connections, and shakes hands with those who bring certificates.

use super::connection::Connection;
use super::credentials::Credentials;
use super::names;
use crate::latest::Latest;
use crate::model::AltName;
use crate::xds::Client;
use futures_util::{Stream, stream};
use rustls::{AlertDescription, CertificateError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// For a whole handshake; an honest one takes two round trips.
const PATIENCE: Duration = Duration::from_secs(5);
/// Handshakes at once; more wait in the queue of the operating system. A bound on memory, far above what is in
/// flight when a whole fleet comes back.
const HANDSHAKES: usize = 1024;
/// After the system gave no connection, mostly since there are no file descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// What decides who comes in.
#[derive(Clone, Debug)]
pub struct Door {
    /// For the next connection.
    pub credentials: Arc<Latest<Credentials>>,
    /// Set: the only names that may connect.
    pub allow: Option<Arc<[AltName]>>,
    /// Where connections are counted that end in the handshake.
    pub failures: Arc<AtomicU64>,
    /// What is spoken behind it, for the log: "xDS" or "HTTP".
    pub what: &'static str,
}

/// Why somebody stays outside.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no handshake within {PATIENCE:?}")]
    Slow,
    #[error("{0}")]
    Broken(io::Error),
    #[error("{0}")]
    Tls(String),
    #[error("its certificate is for {0:?}, which `xds.tls.allow.san` does not have")]
    Stranger(String),
}

/// Connections in plain text.
pub fn plain(listener: TcpListener) -> impl Stream<Item = io::Result<Connection<TcpStream>>> {
    stream::unfold(listener, async |listener| {
        let (bytes, address) = accept(&listener).await;
        Some((Ok(Connection { bytes, client: Client { address, names: None } }), listener))
    })
}

/// Connections over TLS, in the order in which handshakes succeeded; where the credentials ask for it, clients have shown
/// a certificate.
pub fn secure(
    listener: TcpListener,
    door: Door,
) -> impl Stream<Item = io::Result<Connection<TlsStream<TcpStream>>>> {
    // A task for each handshake: they use all cores, and nobody waits for a slow one.
    let handshakes = JoinSet::new();
    stream::unfold((listener, door, handshakes), async |(listener, door, mut handshakes)| {
        loop {
            tokio::select! {
                Some(ended) = handshakes.join_next() => if let Ok(Some(connection)) = ended {
                    return Some((Ok(connection), (listener, door, handshakes)));
                },
                (tcp, address) = accept(&listener), if handshakes.len() < HANDSHAKES => {
                    handshakes.spawn(door.clone().open(tcp, address));
                }
            }
        }
    })
}

impl Door {
    async fn open(self, tcp: TcpStream, address: SocketAddr) -> Option<Connection<TlsStream<TcpStream>>> {
        match self.shake(tcp, address).await {
            Ok(connection) => Some(connection),
            Err(refused) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tell(self.what, address, &refused);
                None
            }
        }
    }

    async fn shake(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
    ) -> Result<Connection<TlsStream<TcpStream>>, Refused> {
        let handshake = TlsAcceptor::from(self.credentials.load().config()).accept(tcp);
        let bytes = tokio::time::timeout(PATIENCE, handshake).await.map_err(|_| Refused::Slow)?;
        let bytes = bytes.map_err(|e| match e.get_ref().and_then(|e| e.downcast_ref()) {
            Some(e) => Refused::Tls(reason(e)),
            None => Refused::Broken(e),
        })?;
        let names = match &self.allow {
            None => None,
            Some(allow) => {
                let shown = bytes.get_ref().1.peer_certificates().unwrap_or_default().first();
                let names = shown.map(|c| names::allowed(c, allow)).unwrap_or_default();
                if names.is_empty() {
                    return Err(Refused::Stranger(shown.map(names::shown).unwrap_or_default()));
                }
                Some(names.into())
            }
        };
        Ok(Connection { bytes, client: Client { address, names } })
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                // A change of weights is one small packet, which must not wait for another. It fails when the
                // client is gone already.
                let _ = tcp.set_nodelay(true);
                return (tcp, address);
            }
            Err(e) => {
                tracing::warn!("cannot take a connection: {e}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Those who spoke TLS, or meant to speak with us, are worth a line; whoever only knocks is not.
fn tell(what: &str, address: SocketAddr, refused: &Refused) {
    match refused {
        Refused::Slow | Refused::Broken(_) => {
            tracing::debug!(%address, "no TLS handshake for {what}: {refused}");
        }
        Refused::Tls(_) | Refused::Stranger(_) => {
            tracing::warn!(%address, "a client of {what} is refused: {refused}");
        }
    }
}

/// What went wrong, in words that say which side should do what.
fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::NoCertificatesPresented => {
            "it shows no certificate; `serin bootstrap --tls-cert` names one".into()
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate was not signed by an authority in `xds.tls.clientCaFile`".into()
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; an Envoy is told to by `serin bootstrap --tls-ca`".into()
        }
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            "it does not know the authority that signed our certificate".into()
        }
        other => other.to_string(),
    }
}
