//! The HTTP port: plain, or with TLS; handlers know who is at the other end.
//!
//! Every connection takes a file descriptor, which is what gateway files are read with as well. So there is an end to
//! their number, and nobody keeps one by saying nothing or by taking nothing.

use super::patient::Patient;
use crate::admin::{self, Peer, Sources};
use crate::latest::Latest;
use crate::mtls::{self, Connection, Credentials, Door};
use axum::Router;
use axum::extract::ConnectInfo;
use futures_util::{Stream, StreamExt};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Service;

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// At once; more wait in the queue of the operating system.
    connections: usize,
    /// From the opening, or the last answer, to the end of the next request's head.
    head: Duration,
    /// How long a peer may take nothing of what it asked for. Streams say something every few seconds.
    stall: Duration,
}

const LIMITS: Limits =
    Limits { connections: 512, head: Duration::from_secs(10), stall: Duration::from_secs(30) };

/// Serves until the stop, and what is under way then.
pub(super) async fn serve(
    listener: TcpListener,
    credentials: Option<Arc<Latest<Credentials>>>,
    sources: Sources,
    stopped: watch::Receiver<bool>,
) {
    let router = admin::router(sources);
    let Some(credentials) = credentials else {
        return serve_on(mtls::plain(listener), router, LIMITS, stopped).await;
    };
    let door = Door { credentials, allow: None, failures: Arc::default(), what: "HTTP" };
    serve_on(mtls::secure(listener, door), router, LIMITS, stopped).await;
}

async fn serve_on<S, T>(connections: S, router: Router, limits: Limits, stopped: watch::Receiver<bool>)
where
    S: Stream<Item = io::Result<Connection<T>>>,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut open, mut stop) = (JoinSet::new(), stopped.clone());
    {
        // At the end of this block the port is given back, before the last answers are.
        let mut connections = pin!(connections);
        loop {
            tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                Some(_) = open.join_next() => {}
                Some(connection) = connections.next(), if open.len() < limits.connections => match connection {
                    Ok(connection) => {
                        open.spawn(converse(connection, router.clone(), limits, stopped.clone()));
                    }
                    Err(e) => tracing::warn!("cannot take a connection for HTTP: {e}"),
                },
            }
        }
    }
    while open.join_next().await.is_some() {}
}

/// One connection, to its end; after the stop that is the end of the request under way.
async fn converse<T>(
    connection: Connection<T>,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = Peer(connection.client().address);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let bytes = TokioIo::new(Patient::new(connection, limits.stall));
    let mut builder = Builder::new();
    let serving =
        builder.timer(TokioTimer::new()).header_read_timeout(limits.head).serve_connection(bytes, service);
    let mut serving = pin!(serving);
    // Who went away, or was sent away, is worth no line.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stopped.wait_for(|s| *s) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;
    use std::convert::Infallible;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A served port, and what stops it.
    async fn port(router: Router, limits: Limits) -> (SocketAddr, watch::Sender<bool>, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_on(mtls::plain(listener), router, limits, stopped));
        (address, stop, tasks)
    }

    async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
        tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("not in {LONG:?}: {what}"))
    }

    async fn stop(stop: watch::Sender<bool>, mut tasks: JoinSet<()>) {
        stop.send(true).unwrap();
        soon("the end", tasks.join_next()).await.unwrap().unwrap();
    }

    fn hello() -> Router {
        Router::new().route("/", get(who))
    }

    async fn who(ConnectInfo(Peer(peer)): ConnectInfo<Peer>) -> String {
        peer.to_string()
    }

    async fn ask(connection: &mut TcpStream) -> String {
        connection.write_all(GET).await.unwrap();
        let mut bytes = [0; 1000];
        let length = connection.read(&mut bytes).await.unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_says_nothing_keeps_no_connection() {
        let limits = Limits { connections: 3, head: SHORT, stall: LONG };
        let (address, stopping, tasks) = port(hello(), limits).await;
        let connect = async || TcpStream::connect(address).await.unwrap();
        let (mut silent, mut half, mut idle) = (connect().await, connect().await, connect().await);
        half.write_all(&GET[..20]).await.unwrap();
        let answer = soon("an answer", ask(&mut idle)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with(&idle.local_addr().unwrap().to_string()), "{answer}");
        // All places are taken, and become free.
        let mut next = connect().await;
        assert!(soon("a place", ask(&mut next)).await.starts_with("HTTP/1.1 200 OK"));
        for (what, connection) in [("silent", &mut silent), ("half", &mut half), ("idle", &mut idle)] {
            let mut rest = Vec::new();
            soon(what, connection.read_to_end(&mut rest)).await.unwrap();
        }
        stop(stopping, tasks).await;
    }

    #[tokio::test]
    async fn there_is_an_end_of_connections() {
        let limits = Limits { connections: 1, head: LONG, stall: LONG };
        let (address, stopping, tasks) = port(hello(), limits).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(GET).await.unwrap();
        for _ in 0..50 {
            ask(&mut first).await;
        }
        let waits = second.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert_eq!(soon("an answer", second.read_u8()).await.unwrap(), b'H');
        stop(stopping, tasks).await;
    }

    #[tokio::test]
    async fn who_takes_nothing_is_closed() {
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let endless = move || {
            let alive = alive.clone();
            let chunks = stream::repeat_with(move || {
                let _ = &alive;
                Ok::<_, Infallible>(Bytes::from(vec![0; 65_536]))
            });
            std::future::ready(Body::from_stream(chunks))
        };
        let limits = Limits { connections: 1, head: LONG, stall: SHORT };
        let (address, stopping, tasks) = port(Router::new().route("/", get(endless)), limits).await;
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(GET).await.unwrap();
        assert_eq!(soon("the answer begins", connection.read_u8()).await.unwrap(), b'H');
        // The server waits for what is under way, and an endless answer ends by being given up only.
        stop(stopping, tasks).await;
        assert_eq!(soon("the answer is given up", ended.recv()).await, None);
        drop(connection);
    }
}
