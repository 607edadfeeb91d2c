//! TLS to the database, by the same rustls as everywhere else.

use crate::model::Database;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// Opens TLS, where the database is to have it.
#[derive(Clone)]
pub(super) struct Tls(Option<TlsConnector>, Option<ServerName<'static>>);

impl Tls {
    /// With the authorities as their file has them now.
    pub(super) fn new(at: &Database) -> io::Result<Self> {
        let Some(tls) = &at.tls else { return Ok(Self(None, None)) };
        let mut roots = RootCertStore::empty();
        if let Some(path) = &tls.root_file {
            let named = |why: String| io::Error::other(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|e| named(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| named(e.to_string()))?;
                roots.add(certificate).map_err(|e| named(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(named("it holds no certificate".into()));
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Some(TlsConnector::from(Arc::new(config))), None))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Self;
    type Error = io::Error;

    /// To the host of this name or address, which the certificate has to have.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other);
        Ok(Self(self.0.clone(), self.0.as_ref().map(|_| name).transpose()?))
    }
}

impl TlsConnect<Socket> for Tls {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let wanted = self.0.zip(self.1);
            let (connector, name) = wanted.ok_or_else(|| io::Error::other("TLS was not asked for"))?;
            Ok(Stream(Box::new(connector.connect(name, socket).await?)))
        })
    }
}

/// The encrypted connection.
pub(super) struct Stream(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Stream {
    /// The certificate was checked against the name, so nothing has to be bound to the password's proof.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
