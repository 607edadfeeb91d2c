//! The gRPC service `serin.v1.State`: the facts of the HTTP API for programs.

use super::Sources;
use crate::control::{GatewayView, Note};
use crate::diag::{Diagnostic, Severity};
use crate::xds::Proxy;
use std::pin::Pin;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// The generated messages, client and server.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "made by tonic-prost-build"
)]
pub mod v1 {
    tonic::include_proto!("serin.v1");
    /// For reflection.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("serin_descriptor");
}

/// Serves `serin.v1.State`.
#[derive(Debug)]
pub struct State {
    sources: Sources,
    notes: broadcast::Sender<Note>,
    stopped: watch::Receiver<bool>,
}

impl State {
    /// Reads from `sources`, and follows `notes` until `stopped` is true.
    pub fn new(sources: Sources, notes: broadcast::Sender<Note>, stopped: watch::Receiver<bool>) -> Self {
        Self { sources, notes, stopped }
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

#[tonic::async_trait]
impl v1::state_server::State for State {
    type WatchEventsStream = Events;

    async fn list_gateways(
        &self,
        _: Request<v1::ListGatewaysRequest>,
    ) -> Result<Response<v1::ListGatewaysResponse>, Status> {
        let gateways = self.sources.view.load().gateways.values().map(|g| gateway(g)).collect();
        Ok(Response::new(v1::ListGatewaysResponse { gateways }))
    }

    async fn get_gateway(
        &self,
        request: Request<v1::GetGatewayRequest>,
    ) -> Result<Response<v1::Gateway>, Status> {
        let name = request.into_inner().name;
        let missing = || Status::not_found(format!("there is no gateway {name}"));
        self.sources
            .view
            .load()
            .gateways
            .get(name.as_str())
            .map(|g| Response::new(gateway(g)))
            .ok_or_else(missing)
    }

    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        let proxies = self.sources.registry.proxies().into_iter().map(proxy).collect();
        Ok(Response::new(v1::ListProxiesResponse { proxies }))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Events>, Status> {
        let only = request.into_inner().gateway;
        let events = BroadcastStream::new(self.notes.subscribe()).filter_map(move |note| {
            let event = match note {
                Ok(note) => event(note),
                Err(BroadcastStreamRecvError::Lagged(missed)) => v1::Event {
                    kind: "missed".into(),
                    message: format!("{missed} events came too fast for this reader"),
                    ..Default::default()
                },
            };
            let wanted = only.is_empty() || event.gateway == only || event.kind == "missed";
            wanted.then_some(Ok(event))
        });
        let mut stopped = self.stopped.clone();
        let stop = async move { _ = stopped.wait_for(|s| *s).await };
        Ok(Response::new(Box::pin(futures_util::StreamExt::take_until(events, Box::pin(stop)))))
    }
}

fn event(note: Note) -> v1::Event {
    v1::Event {
        sequence: note.sequence,
        time: note.time.to_string(),
        gateway: note.gateway.map(|g| g.to_string()).unwrap_or_default(),
        kind: note.kind.as_str().into(),
        message: note.message,
    }
}

fn gateway(view: &GatewayView) -> v1::Gateway {
    let served = view.gateway.clone();
    let mut message = v1::Gateway {
        name: view.name.to_string(),
        file: view.file.to_string(),
        phase: view.phase.as_str().into(),
        diagnostics: view.diagnostics.iter().map(diagnostic).collect(),
        ..Default::default()
    };
    if let Some(served) = served {
        message.description = served.description;
        message.listener = served.listener;
        message.hosts = served.hosts;
        message.path = served.path;
        message.proxies = served.proxies;
        message.labels = served.labels.into_iter().collect();
        message.upstreams = served
            .upstreams
            .into_iter()
            .map(|u| v1::Upstream {
                name: u.name,
                endpoints: u.endpoints,
                model: u.model.unwrap_or_default(),
                version: u.version.unwrap_or_default(),
                weight: u.weight.hundredths(),
            })
            .collect();
    }
    message
}

fn diagnostic(d: &Diagnostic) -> v1::Diagnostic {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    v1::Diagnostic {
        severity: if d.severity == Severity::Error { "error" } else { "warning" }.into(),
        code: d.code.as_str().into(),
        file: d.place.file.to_string(),
        line: number(d.place.line),
        column: number(d.place.column),
        message: d.message.clone(),
        help: d.help.clone().unwrap_or_default(),
    }
}

fn proxy(proxy: Proxy) -> v1::Proxy {
    let text = |v: Option<crate::resource::Version>| v.map(|v| v.to_string()).unwrap_or_default();
    v1::Proxy {
        id: proxy.node.id.clone(),
        cluster: proxy.node.cluster.clone(),
        version: proxy.node.version.clone(),
        address: proxy.address,
        subscriptions: proxy
            .kinds
            .into_iter()
            .map(|(kind, status)| v1::Subscription {
                r#type: kind.as_str().into(),
                offered: text(status.offered),
                acknowledged: text(status.acknowledged),
                refusal: status.refusal.map(|r| r.to_string()).unwrap_or_default(),
                bytes_sent: status.bytes_sent,
            })
            .collect(),
    }
}
