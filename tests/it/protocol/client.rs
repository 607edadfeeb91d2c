//! Clients of every discovery service: one generic stream, the path says which.

use crate::real::DEADLINE;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc;
use prost::Message;
use serin::app::{App, Options};
use serin::control::GatewayView;
use serin::model::Settings;
use serin::resource::Kind;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(DEADLINE, future).await;
    outcome.unwrap_or_else(|_| panic!("not in {DEADLINE:?}: {what}"))
}

/// A control plane on free ports.
pub(crate) async fn start(folder: &Path) -> App {
    let app = start_unready(folder).await;
    soon("files are read", app.ready()).await;
    app
}

pub(crate) async fn start_unready(folder: &Path) -> App {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = Settings { gateways: folder.to_path_buf(), xds: any, http: any, ..Settings::default() };
    App::start(settings, Options::default()).await.unwrap()
}

/// Replaces a file as careful programs do.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!(".{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, folder.join(name)).unwrap();
}

pub(crate) fn gateway(name: &str, weight: u32) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\ntraffic: {{ v1: {weight}, v2: {} }}\n\
         upstreams: {{ v1: http://10.0.0.1:80, v2: http://10.0.0.2:80 }}\n",
        100 - weight
    )
}

/// Waits until people are shown a gateway of which something is true.
pub(crate) async fn shown(app: &App, name: &str, condition: impl Fn(&GatewayView) -> bool) {
    let mut views = app.view.subscribe();
    let wait = async {
        while !views.load().gateways.get(name).is_some_and(|g| condition(g)) {
            assert!(views.changed().await, "the control plane has ended");
        }
    };
    soon("it is shown", wait).await;
}

pub(crate) async fn connect(app: &App) -> Channel {
    Endpoint::from_shared(format!("http://{}", app.xds)).unwrap().connect().await.unwrap()
}

/// A stream that never gives up more than HTTP/2's smallest window to what it does not read.
pub(crate) async fn connect_narrow(app: &App) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", app.xds)).unwrap();
    endpoint.initial_stream_window_size(1024).initial_connection_window_size(65_535).connect().await.unwrap()
}

pub(crate) const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService/{}AggregatedResources";

/// The single-type services.
pub(crate) const SINGLE: [(Kind, &str); 7] = [
    (Kind::Cluster, "envoy.service.cluster.v3.ClusterDiscoveryService/{}Clusters"),
    (Kind::Endpoint, "envoy.service.endpoint.v3.EndpointDiscoveryService/{}Endpoints"),
    (Kind::Runtime, "envoy.service.runtime.v3.RuntimeDiscoveryService/{}Runtime"),
    (Kind::Secret, "envoy.service.secret.v3.SecretDiscoveryService/{}Secrets"),
    (Kind::Listener, "envoy.service.listener.v3.ListenerDiscoveryService/{}Listeners"),
    (Kind::ScopedRoute, "envoy.service.route.v3.ScopedRoutesDiscoveryService/{}ScopedRoutes"),
    (Kind::Route, "envoy.service.route.v3.RouteDiscoveryService/{}Routes"),
];

/// One open stream.
pub(crate) struct Stream<Req, Res> {
    send: mpsc::Sender<Req>,
    receive: Streaming<Res>,
}

pub(crate) type DeltaStream = Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
pub(crate) type SotwStream = Stream<DiscoveryRequest, DiscoveryResponse>;

impl<Req, Res> Stream<Req, Res>
where
    Req: Message + Default + Send + 'static,
    Res: Message + Default + Send + 'static,
{
    /// Opens a stream; its first request is sent at once, since a server may answer with headers only then.
    async fn open(channel: &Channel, service: &str, kind: &str, first: Req) -> Self {
        let (send, requests) = mpsc::channel(16);
        send.send(first).await.unwrap();
        let path = format!("/{}", service.replace("{}", kind)).try_into().unwrap();
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Req, Res>::default();
        let request = tonic::Request::new(ReceiverStream::new(requests));
        let receive = soon("headers", grpc.streaming(request, path, codec)).await.unwrap().into_inner();
        Self { send, receive }
    }

    pub(crate) async fn say(&self, request: Req) {
        self.send.send(request).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Res {
        soon("a response", self.receive.message()).await.unwrap().expect("the stream has ended")
    }

    /// Waits for the end and says what it was.
    pub(crate) async fn end(mut self) -> Status {
        loop {
            match soon("the end of the stream", self.receive.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

pub(crate) fn node(id: &str, cluster: &str) -> Node {
    Node { id: id.into(), cluster: cluster.into(), ..Default::default() }
}

pub(crate) fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(node("test", "test")),
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn ask(kind: Kind, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(node("test", "test")),
        type_url: kind.type_url().into(),
        resource_names: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) async fn delta(channel: &Channel, service: &str, first: DeltaDiscoveryRequest) -> DeltaStream {
    Stream::open(channel, service, "Delta", first).await
}

pub(crate) async fn sotw(channel: &Channel, service: &str, first: DiscoveryRequest) -> SotwStream {
    Stream::open(channel, service, "Stream", first).await
}

impl DeltaStream {
    pub(crate) async fn answer(&self, heard: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let status = |text: &str| rpc::Status { code: 13, message: text.into(), ..Default::default() };
        self.say(DeltaDiscoveryRequest {
            type_url: heard.type_url.clone(),
            response_nonce: heard.nonce.clone(),
            error_detail: refusal.map(status),
            ..Default::default()
        })
        .await;
    }

    /// Hears a response about a kind and takes it; returns names and versions.
    pub(crate) async fn hear_and_take(&mut self, kind: Kind) -> BTreeMap<String, String> {
        let heard = self.hear().await;
        assert_eq!(heard.type_url, kind.type_url());
        self.answer(&heard, None).await;
        heard.resources.into_iter().map(|r| (r.name, r.version)).collect()
    }
}

impl SotwStream {
    pub(crate) async fn take(&self, heard: &DiscoveryResponse, names: &[&str], kind: Kind) {
        let (version_info, response_nonce) = (heard.version_info.clone(), heard.nonce.clone());
        self.say(DiscoveryRequest { version_info, response_nonce, ..ask(kind, names) }).await;
    }
}

/// Runs a control plane to its end.
pub(crate) async fn stop(app: App) {
    soon("a stop", app.stop()).await;
}

/// A folder with gateways.
pub(crate) fn folder(gateways: &[(&str, String)]) -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    gateways.iter().for_each(|(name, text)| write(folder.path(), &format!("{name}.yaml"), text));
    Arc::new(folder)
}
