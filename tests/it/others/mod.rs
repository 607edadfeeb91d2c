//! Others: a real Prometheus that is asked, and webhooks that are asked and told, on loopback.

mod asked;
mod told;

use crate::e2e::stage::free_port;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How a server behaves.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// It answers this.
    Says(u16, String),
    /// It takes requests and answers nothing.
    IsSlow,
}

/// A server that somebody else runs, with everything that it was sent.
pub(crate) struct Other {
    pub(crate) address: SocketAddr,
    pub(crate) manner: watch::Sender<Manner>,
    pub(crate) requests: mpsc::UnboundedReceiver<(HeaderMap, String)>,
    task: JoinSet<()>,
}

impl Other {
    /// Listens on a port; 0 is any.
    pub(crate) async fn start(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests_in, requests) = mpsc::unbounded_channel();
        let (manner, says) = watch::channel(manner);
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (sent, says) = (requests_in.clone(), says.borrow().clone());
            async move {
                let _ = sent.send((headers, String::from_utf8_lossy(&body).into_owned()));
                match says {
                    Manner::Says(status, body) => (StatusCode::from_u16(status).unwrap(), body),
                    Manner::IsSlow => std::future::pending().await,
                }
            }
        };
        let router = Router::new().fallback(answer);
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, manner, requests, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The next thing that it is sent.
    pub(crate) async fn next(&mut self) -> (HeaderMap, String) {
        let next = tokio::time::timeout(crate::real::DEADLINE, self.requests.recv()).await;
        next.expect("nobody sends anything").unwrap()
    }

    /// Goes down.
    pub(crate) async fn stop(mut self) -> u16 {
        self.task.abort_all();
        while self.task.join_next().await.is_some() {}
        self.address.port()
    }
}

/// A port where nobody is.
pub(crate) fn nowhere() -> u16 {
    free_port()
}
