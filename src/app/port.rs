//! The HTTP port: plain, or with TLS; handlers know who is at the other end.

use crate::admin::{self, Peer, Sources};
use crate::latest::Latest;
use crate::mtls::{self, Connection, Credentials, Door};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::{Stream, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until the stop, and what is under way then.
pub(super) async fn serve(
    listener: TcpListener,
    credentials: Option<Arc<Latest<Credentials>>>,
    sources: Sources,
    stopped: watch::Receiver<bool>,
) {
    let router = admin::router(sources);
    let address = listener.local_addr();
    let Some(credentials) = credentials else {
        return serve_on(mtls::plain(listener), address, router, stopped).await;
    };
    let door = Door { credentials, allow: None, failures: Arc::default(), what: "HTTP" };
    serve_on(mtls::secure(listener, door), address, router, stopped).await;
}

async fn serve_on<S, T>(
    connections: S,
    address: io::Result<SocketAddr>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) where
    S: Stream<Item = io::Result<Connection<T>>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stop = async move {
        let _ = stopped.wait_for(|s| *s).await;
    };
    let incoming = Incoming { connections: Box::pin(connections), address };
    let service = router.into_make_service_with_connect_info::<Peer>();
    if let Err(e) = axum::serve(incoming, service).with_graceful_shutdown(stop).await {
        tracing::error!("HTTP is not served any more: {e}");
    }
}

struct Incoming<S> {
    connections: Pin<Box<S>>,
    address: io::Result<SocketAddr>,
}

impl<S, T> Listener for Incoming<S>
where
    S: Stream<Item = io::Result<Connection<T>>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Io = Connection<T>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<T>, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let address = connection.client().address;
                    return (connection, address);
                }
                Some(Err(e)) => tracing::warn!("cannot take a connection for HTTP: {e}"),
                // The port is ours until the end.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.as_ref().copied().map_err(|e| io::Error::new(e.kind(), e.to_string()))
    }
}

impl<S, T> Connected<IncomingStream<'_, Incoming<S>>> for Peer
where
    S: Stream<Item = io::Result<Connection<T>>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn connect_info(stream: IncomingStream<'_, Incoming<S>>) -> Self {
        Self(*stream.remote_addr())
    }
}
