//! The gRPC service to which Envoys send the answers: `envoy.service.ext_proc.v3.ExternalProcessor`.
//!
//! A stream is one answer. It is never answered itself, and ends as soon as nothing more of it is needed; no Envoy
//! waits for it. What cannot be taken at once is dropped and counted: an Envoy would keep it, without a bound.

use super::answer::Answer;
use super::budget::{BYTES, Budget};
use super::collector::Collector;
use super::frames::{Broken, Frames};
use super::watch::{self, Watch};
use crate::clock::Stopwatch;
use crate::latest::Latest;
use crate::names::{GatewayName, UpstreamName};
use crate::translate::{ANSWERS, Leg};
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingRequest;
use futures_util::StreamExt;
use http::HeaderMap;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch as signal;
use tonic::Status;

/// The most streams at once.
pub const MAX_STREAMS: usize = 10_000;
/// What a message has beside the body: the name of a field, its length, and a few marks; or a few headers.
const AROUND: usize = 16 << 10;
/// How much longer than a request a stream may last: Envoy closes it a second after the request.
const MARGIN: Duration = Duration::from_secs(5);

/// What all streams of answers share.
#[derive(Clone, Debug)]
pub struct Receiver {
    answers: Sender<Answer>,
    watch: Arc<Latest<Watch>>,
    stopped: signal::Receiver<bool>,
    budget: Budget,
    open: Arc<()>,
}

impl Receiver {
    /// Sends answers of these gateways to `answers`. Streams end when `stopped` is true.
    pub(super) fn new(
        answers: Sender<Answer>,
        watch: Arc<Latest<Watch>>,
        stopped: signal::Receiver<bool>,
    ) -> Self {
        Self { answers, watch, stopped, budget: Budget::new(BYTES), open: Arc::default() }
    }

    /// The route of the service.
    pub fn routes(&self) -> axum::Router {
        let receiver = self.clone();
        let serve = move |request| {
            let receiver = receiver.clone();
            async move { receiver.serve(request).await.into_http::<Body>() }
        };
        let path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
        axum::Router::new().route(path, axum::routing::post(serve))
    }

    async fn serve(self, request: Request) -> Status {
        let clock = Stopwatch::start();
        let (parts, body) = request.into_parts();
        let Some((name, upstream, leg)) = whose(&parts.headers) else {
            return Status::invalid_argument("the headers do not say whose answer it is");
        };
        // One that is not compared any more, or not yet: its Envoy has another version.
        let Some(gateway) = self.watch.load().get(&name).cloned() else { return Status::ok("") };
        // One of them is the service's.
        if Arc::strong_count(&self.open) > MAX_STREAMS + 1 {
            gateway.lose_for_speed();
            return Status::ok("");
        }
        let mut stopped = self.stopped.clone();
        let collector = tokio::select! {
            biased;
            // It also ends when the control plane is dropped.
            _ = stopped.wait_for(|s| *s) => return Status::ok(""),
            collector = self.read(&gateway, body.into_data_stream()) => collector,
        };
        if let Some((id, content)) = collector.and_then(Collector::end) {
            let answer = Answer { gateway: name, upstream, leg, id, took: clock.elapsed(), content };
            if self.answers.try_send(answer).is_err() {
                gateway.lose_for_speed();
            }
        }
        Status::ok("")
    }

    /// Reads an answer, as much of it as is needed; `None`: it is lost.
    async fn read(&self, gateway: &watch::Gateway, mut pieces: BodyDataStream) -> Option<Collector> {
        let mut collector = Collector::new(gateway.longest, self.budget.hold());
        let mut frames = Frames::new(gateway.longest + AROUND);
        let end = tokio::time::sleep(gateway.timeout + MARGIN);
        tokio::pin!(end);
        loop {
            let piece = tokio::select! {
                piece = pieces.next() => piece,
                () = &mut end => return Some(collector),
            };
            // What breaks off was an answer that did.
            let Some(Ok(piece)) = piece else { return Some(collector) };
            if !collector.reserve(piece.len()) {
                gateway.lose_for_memory();
                return None;
            }
            frames.push(&piece);
            loop {
                match frames.next() {
                    Ok(None) => break,
                    Ok(Some(message)) => {
                        let message = ProcessingRequest::decode(&*message).ok()?;
                        if collector.take(message) {
                            return Some(collector);
                        }
                    }
                    Err(Broken::TooLong) => {
                        collector.too_long();
                        return Some(collector);
                    }
                    Err(Broken::Compressed) => return None,
                }
            }
        }
    }
}

/// Whose answer a stream is.
fn whose(headers: &HeaderMap) -> Option<(GatewayName, UpstreamName, Leg)> {
    let [gateway, upstream, leg] = ANSWERS.map(|name| headers.get(name).and_then(|v| v.to_str().ok()));
    let leg = [Leg::Live, Leg::Shadow].into_iter().find(|l| Some(l.as_str()) == leg)?;
    Some((GatewayName::new(gateway?).ok()?, UpstreamName::new(upstream?).ok()?, leg))
}
