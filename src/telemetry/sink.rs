//! The gRPC service to which Envoys send their statistics: `envoy.service.metrics.v3.MetricsService`.
//!
//! A stream only reads: messages go, put together to flushes, to the one task that owns the numbers. When that task
//! is behind, the stream stops reading, and HTTP/2 makes the Envoy keep what it has; nothing is dropped.

use super::FORM;
use super::flush::{Assembly, Flush};
use super::wire;
use crate::clock::{self, Timestamp};
use crate::xds::{Client, Registry, server::check_identity};
use bytes::{Buf, Bytes};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Notify, mpsc, watch};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, Streaming};

/// The largest message: four times a full one of ours.
const MAX_MESSAGE: usize = 16 << 20;
/// The most streams at once: a bound on memory, ten times the Envoys that one control plane should serve.
const MAX_STREAMS: usize = 10_000;
/// Flushes that may wait.
pub const QUEUE: usize = 64;

/// A flush, and from whom it is.
#[derive(Debug)]
pub struct Report {
    /// Unique to the stream: two Envoys may say that they have the same name.
    pub stream: u64,
    /// Gone when the stream has ended.
    pub alive: Weak<()>,
    /// When it came.
    pub at: Timestamp,
    /// What it says.
    pub flush: Flush,
}

/// What all streams of statistics share.
#[derive(Clone, Debug)]
pub struct Sink {
    reports: mpsc::Sender<Report>,
    ended: Arc<Notify>,
    registry: Arc<Registry>,
    stopped: watch::Receiver<bool>,
    last_id: Arc<AtomicU64>,
    open: Arc<()>,
}

impl Sink {
    /// Sends what comes to `reports`, and tells `ended` when a stream is over. Streams end when `stopped` is true.
    pub fn new(
        reports: mpsc::Sender<Report>,
        ended: Arc<Notify>,
        registry: Arc<Registry>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { reports, ended, registry, stopped, last_id: Arc::default(), open: Arc::default() }
    }

    /// The route of the service.
    pub fn routes(&self) -> axum::Router {
        let sink = self.clone();
        let serve = move |request| {
            let sink = sink.clone();
            async move {
                sink.serve(request).await.unwrap_or_else(|status| status).into_http::<axum::body::Body>()
            }
        };
        let path = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";
        axum::Router::new().route(path, axum::routing::post(serve))
    }

    async fn serve(self, request: axum::extract::Request) -> Result<Status, Status> {
        // One of them is ours.
        if Arc::strong_count(&self.open) > MAX_STREAMS {
            return Err(Status::resource_exhausted("too many streams"));
        }
        let (mut parts, body) = request.into_parts();
        let client = parts
            .extensions
            .remove::<Client>()
            .ok_or_else(|| Status::internal("a connection without a client"))?;
        let is_ours = parts.headers.get(FORM.0).is_some_and(|form| form == FORM.1);
        let messages = Streaming::new_request(Raw, body, None, Some(MAX_MESSAGE));
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // It also ends when the control plane is dropped.
            _ = stopped.wait_for(|s| *s) => Ok(Status::ok("")),
            end = self.read(&client, is_ours, messages) => end,
        }
    }

    async fn read(
        &self,
        client: &Client,
        is_ours: bool,
        mut messages: Streaming<Bytes>,
    ) -> Result<Status, Status> {
        let presence = Presence { alive: Some(Arc::default()), ended: Arc::clone(&self.ended) };
        let stream = self.last_id.fetch_add(1, Ordering::Relaxed);
        let (mut assembly, mut node) = (Assembly::default(), None);
        while let Some(message) = messages.message().await? {
            let at = clock::now();
            if node.is_none() {
                let id = wire::node_id(&message).map_err(malformed)?.unwrap_or_default();
                check_identity(&self.registry, client, &id)?;
                if !is_ours {
                    tell(client, &id);
                }
                node = Some(id);
            }
            if !is_ours {
                continue;
            }
            let known = assembly.foreign_buckets;
            for flush in assembly.take(&message).map_err(malformed)? {
                let report = Report { stream, alive: presence.alive(), at, flush };
                // A closed queue means that the control plane is stopping.
                self.reports.send(report).await.map_err(|_| Status::unavailable("stopping"))?;
            }
            if assembly.foreign_buckets && !known {
                tell(client, node.as_deref().unwrap_or_default());
            }
        }
        Ok(Status::ok(""))
    }
}

fn malformed(error: wire::Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn tell(client: &Client, id: &str) {
    let id: String = id.chars().take(256).collect();
    tracing::warn!(
        address = %client.address,
        "the statistics of the Envoy {id:?} cannot be read and are not counted, as its bootstrap is another one's; \
         print it anew with `serin bootstrap`"
    );
}

/// Tells when a stream is over, however it ends.
struct Presence {
    alive: Option<Arc<()>>,
    ended: Arc<Notify>,
}

impl Presence {
    fn alive(&self) -> Weak<()> {
        self.alive.as_ref().map(Arc::downgrade).unwrap_or_default()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.alive = None;
        self.ended.notify_one();
    }
}

/// Messages as they come.
struct Raw;

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length)))
    }
}
