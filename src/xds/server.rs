//! The gRPC services of the discovery protocol: bytes in, state machine, bytes out.
//!
//! Requests are read by tonic's decoder; responses are written as ready-made frames. A stream is one future that
//! is polled when the client sends or has room to receive; it ends with its connection.

use super::delta::{Delta, Response};
use super::frame::Frame;
use super::registry::{Entry, scrub};
use super::sotw::Sotw;
use super::{Client, Malformed, Registry, Said, StreamStatus, Verdict};
use crate::clock;
use crate::latest::{Latest, Subscriber};
use crate::resource::Kind;
use crate::snapshot::{Fleet, Node, Snapshot};
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node as Sender;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, Streaming};

/// The largest request: a reconnecting Envoy lists the names and versions of all it holds.
const MAX_REQUEST: usize = 16 << 20;
/// The most streams at once: a bound on memory, ten times what one control plane should serve.
pub const MAX_STREAMS: usize = 50_000;

/// What all streams share.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// What to serve. Nothing is answered before it was published for the first time.
    pub fleet: Arc<Latest<Fleet>>,
    /// Where streams enter what they do.
    pub registry: Arc<Registry>,
    /// Where verdicts go.
    pub verdicts: mpsc::Sender<Said>,
    /// True: all streams end, so that Envoys go elsewhere.
    pub stopped: watch::Receiver<bool>,
}

impl Discovery {
    /// Routes for all services: aggregated and one per kind, both protocols.
    pub fn routes(&self) -> axum::Router {
        [
            ("envoy.service.discovery.v3.AggregatedDiscoveryService", "AggregatedResources", None),
            ("envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters", Some(Kind::Cluster)),
            ("envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints", Some(Kind::Endpoint)),
            ("envoy.service.listener.v3.ListenerDiscoveryService", "Listeners", Some(Kind::Listener)),
            ("envoy.service.route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", Some(Kind::ScopedRoute)),
            ("envoy.service.route.v3.RouteDiscoveryService", "Routes", Some(Kind::Route)),
            ("envoy.service.runtime.v3.RuntimeDiscoveryService", "Runtime", Some(Kind::Runtime)),
            ("envoy.service.secret.v3.SecretDiscoveryService", "Secrets", Some(Kind::Secret)),
        ]
        .into_iter()
        .fold(axum::Router::new(), |router, (service, method, only)| {
            let (delta, sotw) = (self.clone(), self.clone());
            router
                .route(
                    &format!("/{service}/Delta{method}"),
                    axum::routing::post(move |request| async move { delta.open::<Delta>(request, only) }),
                )
                .route(
                    &format!("/{service}/Stream{method}"),
                    axum::routing::post(move |request| async move { sotw.open::<Sotw>(request, only) }),
                )
        })
    }

    fn open<P: Protocol>(
        &self,
        request: axum::extract::Request,
        only: Option<Kind>,
    ) -> axum::response::Response {
        if self.registry.stream_count() >= MAX_STREAMS {
            return Status::resource_exhausted("too many streams").into_http();
        }
        let (mut parts, body) = request.into_parts();
        let Some(client) = parts.extensions.remove::<Client>() else {
            return Status::internal("a connection without a client").into_http();
        };
        let requests =
            Streaming::new_request(RequestDecoder::<P::Request>(PhantomData), body, None, Some(MAX_REQUEST));
        let stream = Stream {
            protocol: P::new(only),
            requests,
            fleet: self.fleet.subscribe(),
            stopped: self.stopped.clone(),
            shared: self.clone(),
            client,
            entry: None,
            again: None,
        };
        let frames = Box::pin(frames(stream));
        http::Response::builder()
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .body(axum::body::Body::new(FrameBody { frames: Some(frames), pieces: VecDeque::new() }))
            .unwrap_or_else(|_| Status::internal("response").into_http())
    }
}

/// Lets an Envoy be only who its certificate says.
pub fn check_identity(registry: &Registry, client: &Client, id: &str) -> Result<(), Status> {
    if client.may_be(id) {
        return Ok(());
    }
    registry.impostors.fetch_add(1, Ordering::Relaxed);
    let (id, names) = (cut(id), client.names.as_deref().unwrap_or_default());
    tracing::warn!(
        address = %client.address,
        "an Envoy is refused: it says that its node.id is {id:?}, and its certificate is for {names:?}; \
         give it one of these names as `serin bootstrap --id`, or a certificate for its id"
    );
    let message = format!("node.id {id:?} is not in the certificate, which is for {names:?}");
    Err(Status::permission_denied(message))
}

/// The two state machines, seen from the socket.
trait Protocol: Send + 'static {
    const NAME: &'static str;
    type Request: Message + Default + Send + 'static;
    fn new(only: Option<Kind>) -> Self;
    fn header(request: &mut Self::Request) -> Header;
    fn on_request(&mut self, request: Self::Request) -> Result<Option<Verdict>, Malformed>;
    fn next(&mut self, snapshot: &Snapshot) -> Option<Response>;
    fn confirmed(&mut self) -> Option<Verdict>;
    fn offer_again(&mut self, kind: Kind);
}

/// What both requests have in common.
struct Header {
    node: Option<Sender>,
    kind: Option<Kind>,
}

impl Protocol for Delta {
    const NAME: &'static str = "delta";
    type Request = DeltaDiscoveryRequest;
    fn new(only: Option<Kind>) -> Self {
        Self::new(only)
    }
    fn header(request: &mut Self::Request) -> Header {
        Header { node: request.node.take(), kind: Kind::of_type_url(&request.type_url) }
    }
    fn on_request(&mut self, request: Self::Request) -> Result<Option<Verdict>, Malformed> {
        self.on_request(request)
    }
    fn next(&mut self, snapshot: &Snapshot) -> Option<Response> {
        self.next(snapshot)
    }
    fn confirmed(&mut self) -> Option<Verdict> {
        self.confirmed()
    }
    fn offer_again(&mut self, kind: Kind) {
        self.offer_again(kind);
    }
}

impl Protocol for Sotw {
    const NAME: &'static str = "sotw";
    type Request = DiscoveryRequest;
    fn new(only: Option<Kind>) -> Self {
        Self::new(only)
    }
    fn header(request: &mut Self::Request) -> Header {
        Header { node: request.node.take(), kind: Kind::of_type_url(&request.type_url) }
    }
    fn on_request(&mut self, request: Self::Request) -> Result<Option<Verdict>, Malformed> {
        self.on_request(request)
    }
    fn next(&mut self, snapshot: &Snapshot) -> Option<Response> {
        self.next(snapshot)
    }
    fn confirmed(&mut self) -> Option<Verdict> {
        self.confirmed()
    }
    fn offer_again(&mut self, kind: Kind) {
        self.offer_again(kind);
    }
}

/// A listener that was refused is offered again after this time, and then after twice the time each, up to the second one: whether
/// its port is free is no matter of what it says, and Envoy does not try again by itself.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];

/// When refused listeners are offered again, and after how long that is.
type Again = (Pin<Box<Sleep>>, Duration);

struct Stream<P: Protocol> {
    protocol: P,
    requests: Streaming<P::Request>,
    fleet: Subscriber<Fleet>,
    stopped: watch::Receiver<bool>,
    shared: Discovery,
    client: Client,
    entry: Option<Entry>,
    /// `None`: no listener is refused.
    again: Option<Again>,
}

impl<P: Protocol> Stream<P> {
    /// The next frame for the client; `None` when it is done.
    async fn next(&mut self) -> Option<Result<Frame, Status>> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // It also ends when the control plane is dropped.
            _ = stopped.wait_for(|s| *s) => None,
            frame = self.next_frame() => frame,
        }
    }

    async fn next_frame(&mut self) -> Option<Result<Frame, Status>> {
        // "Never answer before all files are loaded": an empty first answer would take everything away.
        if !self.fleet.published().await {
            return None;
        }
        loop {
            if let Some(entry) = &self.entry {
                let fleet = self.fleet.load();
                let response =
                    snapshot(&fleet, &entry.status).and_then(|snapshot| self.protocol.next(snapshot));
                while let Some(verdict) = self.protocol.confirmed() {
                    self.note_verdict(verdict).await;
                }
                if let Some(response) = response {
                    return Some(Ok(self.note_response(response)));
                }
            }
            tokio::select! {
                biased;
                request = self.requests.message() => match request {
                    Ok(Some(request)) => if let Err(status) = self.take(request).await {
                        return Some(Err(status));
                    },
                    Ok(None) => return None,
                    // Too large, or no request at all; a client that is gone does not hear it.
                    Err(status) => return Some(Err(status)),
                },
                more = self.fleet.changed() => if !more {
                    return None;
                },
                () = due(&mut self.again) => {
                    // Until it is refused again, nothing is due.
                    if let Some((sleep, wait)) = &mut self.again {
                        *sleep = Box::pin(tokio::time::sleep(Duration::MAX));
                        *wait = (*wait * 2).min(AGAIN[1]);
                    }
                    self.protocol.offer_again(Kind::Listener);
                }
            }
        }
    }

    async fn take(&mut self, mut request: P::Request) -> Result<(), Status> {
        let Header { node, kind } = P::header(&mut request);
        let entry = match &mut self.entry {
            Some(entry) => entry,
            empty => {
                let node = node.unwrap_or_default();
                check_identity(&self.shared.registry, &self.client, &node.id)?;
                let (is_grpc, address) = (is_grpc(&node), self.client.address.to_string());
                let mut status = StreamStatus::new(node_name(node), address, P::NAME, clock::now());
                status.is_grpc = is_grpc;
                let entry = empty.insert(self.shared.registry.enter(status));
                if snapshot(&self.fleet.load(), &entry.status).is_none() {
                    let node = Arc::clone(&entry.status.node);
                    let said = Said { node, verdict: Verdict::Came, others: Vec::new() };
                    // A closed queue means that the control plane is stopping.
                    let _ = self.shared.verdicts.send(said).await;
                }
                entry
            }
        };
        if let Some(kind) = kind {
            entry.status.update(kind, |s| s.last_contact = clock::now());
        }
        let verdict =
            self.protocol.on_request(request).map_err(|e| Status::invalid_argument(e.to_string()))?;
        if let Some(verdict) = verdict {
            self.note_verdict(verdict).await;
        }
        Ok(())
    }

    fn note_response(&self, response: Response) -> Frame {
        let size = response.frame.len() as u64;
        if let Some(entry) = &self.entry {
            entry.status.update(response.kind, |s| {
                s.offered = Some(response.version);
                s.unanswered = s.unanswered.or_else(|| Some(clock::now()));
                s.bytes_sent += size;
            });
        }
        self.shared.registry.responses.fetch_add(1, Ordering::Relaxed);
        self.shared.registry.bytes.fetch_add(size, Ordering::Relaxed);
        response.frame
    }

    async fn note_verdict(&mut self, verdict: Verdict) {
        let Some(Entry { status, .. }) = &self.entry else { return };
        let registry = &self.shared.registry;
        match &verdict {
            Verdict::Accepted { kind: Kind::Listener, refusing: false, .. } => self.again = None,
            Verdict::Refused { kind: Kind::Listener, .. } => {
                let wait = self.again.take().map_or(AGAIN[0], |(_, wait)| wait);
                self.again = Some((Box::pin(tokio::time::sleep(wait)), wait));
            }
            _ => {}
        }
        match &verdict {
            Verdict::Came => {}
            Verdict::Accepted { kind, version, first, refusing, .. } => {
                status.update(*kind, |s| {
                    // Who came back with it needed no offer.
                    s.offered = s.offered.or(Some(*version));
                    s.acknowledged = Some(*version);
                    s.unanswered = s.unanswered.filter(|_| s.offered != s.acknowledged);
                    s.refusal = s.refusal.take().filter(|_| *refusing);
                });
                // Of one in quarantine each answer counts, though another may have given the same.
                if first.is_empty() && !self.fleet.load().quarantined.contains_key(&status.node) {
                    return;
                }
            }
            Verdict::Refused { kind, text, resources, .. } => {
                let text = scrub(text);
                let names: Vec<&str> = resources.iter().map(|r| &**r.name()).take(5).collect();
                let who = if status.is_grpc { "a gRPC client" } else { "Envoy" };
                tracing::warn!(node = status.node.id, %kind, ?names, "{who} refused a resource: {text}");
                status.update(*kind, |s| (s.refusal, s.unanswered) = (Some(text), None));
                registry.refusals.fetch_add(1, Ordering::Relaxed);
            }
        }
        // What Envoys are told is for Envoys to judge.
        if status.is_grpc {
            return;
        }
        let (verdict, others) = match verdict {
            Verdict::Refused { kind, resources, has, text } => {
                let text = scrub(&text).to_string();
                (Verdict::Refused { kind, resources, has, text }, registry.others(&status.node))
            }
            other @ (Verdict::Came | Verdict::Accepted { .. }) => (other, Vec::new()),
        };
        let said = Said { node: Arc::clone(&status.node), verdict, others };
        // A closed queue means that the control plane is stopping.
        let _ = self.shared.verdicts.send(said).await;
    }
}

/// Waits until refused listeners are to be offered again; if there are none, for ever.
async fn due(again: &mut Option<Again>) {
    match again {
        Some((sleep, _)) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

/// What a client is told.
fn snapshot<'a>(fleet: &'a Fleet, client: &StreamStatus) -> Option<&'a Snapshot> {
    let snapshot =
        if client.is_grpc { Some(&fleet.grpc) } else { fleet.snapshot_of(&client.node, client.older) };
    snapshot.map(|snapshot| &**snapshot)
}

/// Whether a client is an application that uses gRPC without a proxy: all implementations call themselves so.
fn is_grpc(node: &Sender) -> bool {
    node.user_agent_name.starts_with("gRPC")
}

/// Bounded, since a client chooses it and it is shown and kept.
fn cut(text: &str) -> String {
    text.chars().take(256).collect()
}

/// As it is called from here on.
fn node_name(node: Sender) -> Node {
    let version = match node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        Some(UserAgentVersionType::UserAgentVersion(text)) => text,
        None => String::new(),
    };
    Node { id: cut(&node.id), cluster: cut(&node.cluster), version: cut(&version) }
}

type Frames = Pin<Box<dyn tokio_stream::Stream<Item = Result<Frame, Status>> + Send>>;

/// A stream of frames from a state that is asked for one after the other.
fn frames<P: Protocol>(stream: Stream<P>) -> impl tokio_stream::Stream<Item = Result<Frame, Status>> + Send {
    // In a box, since it is moved for each frame.
    futures_util::stream::unfold(Some(Box::new(stream)), |state| async move {
        let mut stream = state?;
        match stream.next().await? {
            Ok(frame) => Some((Ok(frame), Some(stream))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

/// A gRPC response body: ready-made frames, then the trailer with the status.
struct FrameBody {
    frames: Option<Frames>,
    pieces: VecDeque<Bytes>,
}

impl http_body::Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(http_body::Frame::data(piece))));
            }
            let Some(frames) = self.frames.as_mut() else { return Poll::Ready(None) };
            let status = match frames.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    self.pieces = frame.into_pieces().into();
                    continue;
                }
                Poll::Ready(Some(Err(status))) => status,
                Poll::Ready(None) => Status::ok(""),
            };
            self.frames = None;
            let mut trailers = http::HeaderMap::new();
            let _ = status.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))));
        }
    }
}

struct RequestDecoder<T>(PhantomData<fn() -> T>);

impl<T: Message + Default + Send + 'static> Decoder for RequestDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(source)
            .map(Some)
            .map_err(|e| Status::invalid_argument(format!("not a discovery request: {e}")))
    }
}
