//! The whole control plane: makes the rooms, starts every task, awaits every end.

mod session;
mod trusted;

use crate::admin::{self, Sources, grpc};
use crate::client;
use crate::control::run::{Outputs, run};
use crate::control::{Event, View, World};
use crate::issuer;
use crate::latest::Latest;
use crate::model::{MutualTls, Settings};
use crate::mtls::{self, Connection, Credentials, Door, Unusable};
use crate::snapshot::Fleet;
use crate::source::{Environment, Scanner, Watched, Watching, watch};
use crate::xds::server::Discovery;
use crate::xds::{Registry, Verdict};
use futures_util::Stream;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch as signal};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server;

/// How long open requests may go on after a stop: discovery streams end at once, so only slow readers of the API
/// need it.
const STOP: Duration = Duration::from_secs(3);
/// Dead connections are found out within the sum of both.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Discovery streams on one connection: an Envoy has one, or one per kind; load generators have many.
const STREAMS_PER_CONNECTION: u32 = 1024;

/// Why the control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken, or the address is not ours.
    #[error(
        "cannot listen on {address} for {what}; is another serin running there? choose another with `{flag}`"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// "xDS" or "HTTP".
        what: &'static str,
        /// The option that changes it.
        flag: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Everyone on the network could read and feed the configuration.
    #[error(
        "{address} can be reached from other machines, and {what} is plain text; use a loopback address{hint}"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// "xDS" or "HTTP".
        what: &'static str,
        /// The way out, if there is one.
        hint: &'static str,
    },
    /// Plain text and certificates were both asked for.
    #[error("`xds.tls` asks for certificates and --insecure-xds for plain text; leave out one of the two")]
    PlainAndTls,
    /// No handshake would succeed.
    #[error("xDS cannot be served with TLS")]
    Credentials(#[source] Unusable),
    /// The directory cannot be watched.
    #[error("cannot start to read {0}")]
    Source(String, #[source] std::io::Error),
    /// The key of logins is not there and cannot be made, or is none.
    #[error("the key from which logins are signed cannot be used")]
    SessionKey(#[source] std::io::Error),
    /// The descriptors for reflection are broken: a bug.
    #[error("gRPC reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// A running control plane. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct App {
    /// Where xDS is served; the real port, also when 0 was asked for.
    pub xds: SocketAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// What people may see.
    pub view: Arc<Latest<View>>,
    /// Which Envoys are connected.
    pub registry: Arc<Registry>,
    stop: signal::Sender<bool>,
    tasks: JoinSet<()>,
    watching: Watching,
}

/// What is not in the settings because it is said at every start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Serve plain xDS to other machines.
    pub insecure_xds: bool,
    /// The variables to which gateway files may refer.
    pub environment: Environment,
    /// Where the key of all logins is kept, and made if it is not there; `None`: the logins of this run end with it.
    pub session_key: Option<PathBuf>,
}

impl App {
    /// Binds the ports and starts everything.
    pub async fn start(settings: Settings, options: Options) -> Result<Self, Error> {
        client::choose_provider();
        let settings = with_absolute_paths(settings);
        let credentials = protection(&settings, options.insecure_xds)?;
        let session_key = session::key(options.session_key.as_deref()).map_err(Error::SessionKey)?;
        refuse_exposed(settings.http, "HTTP", "")?;
        let xds = bind(settings.xds, "xDS", "--xds").await?;
        let http = bind(settings.http, "HTTP", "--http").await?;
        let (xds_address, http_address) =
            (xds.local_addr().unwrap_or(settings.xds), http.local_addr().unwrap_or(settings.http));

        let (events_in, events) = mpsc::channel(1024);
        let (verdicts_in, verdicts) = mpsc::channel(1024);
        let outputs = Outputs {
            fleet: Latest::new(Fleet::default()),
            view: Latest::new(View::default()),
            credentials: credentials.clone().map(Latest::new),
            notes: broadcast::Sender::new(1024),
        };
        let registry = Arc::new(Registry::default());
        let sources = Sources { view: Arc::clone(&outputs.view), registry: Arc::clone(&registry) };
        let (stop, stopped) = signal::channel(false);
        let discovery = Discovery {
            fleet: Arc::clone(&outputs.fleet),
            registry: Arc::clone(&registry),
            verdicts: verdicts_in,
            stopped: stopped.clone(),
        };
        let grpc = grpc_routes(&discovery, &sources, &outputs)?;
        let watched = Watched { directory: settings.gateways.clone(), files: certificate_files(&settings) };
        let scanner = Scanner::new(watched).with_environment(options.environment);
        let watching = watch(scanner, events_in.clone())
            .map_err(|e| Error::Source(settings.gateways.display().to_string(), e))?;

        let mut tasks = JoinSet::new();
        let view = Arc::clone(&outputs.view);
        tasks.spawn(until(stopped.clone(), issuer::run(view.subscribe(), events_in.clone())));
        match &outputs.credentials {
            None => tasks.spawn(serve_grpc(mtls::plain(xds), grpc, stopped.clone())),
            Some(credentials) => {
                let door = Door {
                    credentials: Arc::clone(credentials),
                    allow: settings.xds_tls.as_ref().and_then(|tls| tls.allow.clone()).map(Arc::from),
                    registry: Arc::clone(&registry),
                };
                tasks.spawn(serve_grpc(mtls::mutual(xds, door), grpc, stopped.clone()))
            }
        };
        let mut world = World::new(settings).with_session_key(session_key);
        if let Some(trusted) = trusted::authorities() {
            world = world.with_authorities(&trusted);
        }
        if let Some(credentials) = credentials {
            world = world.with_credentials(credentials);
        }
        tasks.spawn(until(stopped.clone(), run(world, events, outputs)));
        tasks.spawn(until(stopped.clone(), forward(verdicts, events_in)));
        tasks.spawn(serve_http(http, admin::router(sources), stopped));
        Ok(Self { xds: xds_address, http: http_address, view, registry, stop, tasks, watching })
    }

    /// Waits until all files were read and Envoys are answered.
    pub async fn ready(&self) {
        self.view.subscribe().published().await;
    }

    /// Waits until something ends that should not.
    pub async fn failed(&mut self) {
        // What ended has said why.
        let _ = self.tasks.join_next().await;
    }

    /// Ends all tasks, open requests within a few seconds.
    pub async fn stop(mut self) {
        drop(self.watching);
        // All receivers gone means that all tasks have ended.
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, all).await.is_err() {
            tracing::warn!("some requests were still open and are cut");
        }
    }
}

fn grpc_routes(discovery: &Discovery, sources: &Sources, outputs: &Outputs) -> Result<axum::Router, Error> {
    let state = grpc::State::new(sources.clone(), outputs.notes.clone(), discovery.stopped.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(grpc::v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(Error::Reflection)?;
    // Served as long as we run: whether files were read is `readyz`'s business, Envoys simply wait.
    let (_, health) = tonic_health::server::health_reporter();
    let own = Routes::new(grpc::v1::state_server::StateServer::new(state))
        .add_service(health)
        .add_service(reflection)
        .prepare()
        .into_axum_router();
    Ok(discovery.routes().merge(own))
}

async fn serve_grpc<T>(
    connections: impl Stream<Item = io::Result<Connection<T>>>,
    routes: axum::Router,
    mut stopped: signal::Receiver<bool>,
) where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stop = async move {
        let _ = stopped.wait_for(|s| *s).await;
    };
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(connections, stop);
    // Streams end with the same signal, so that connections can.
    if let Err(e) = served.await {
        tracing::error!("xDS is not served any more: {e}");
    }
}

async fn serve_http(listener: TcpListener, router: axum::Router, mut stopped: signal::Receiver<bool>) {
    let stop = async move {
        let _ = stopped.wait_for(|s| *s).await;
    };
    if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!("HTTP is not served any more: {e}");
    }
}

/// Work, cut short by the stop.
async fn until(mut stopped: signal::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
}

async fn forward(mut verdicts: mpsc::Receiver<Verdict>, events: mpsc::Sender<Event>) {
    while let Some(verdict) = verdicts.recv().await {
        if events.send(Event::Verdict(verdict)).await.is_err() {
            return;
        }
    }
}

/// What keeps strangers from the xDS port: certificates, or that nobody else can reach it.
fn protection(settings: &Settings, insecure_xds: bool) -> Result<Option<Credentials>, Error> {
    if let Some(files) = &settings.xds_tls {
        if insecure_xds {
            return Err(Error::PlainAndTls);
        }
        return credentials(files).map(Some).map_err(Error::Credentials);
    }
    if !insecure_xds || settings.xds.ip().is_loopback() {
        refuse_exposed(settings.xds, "xDS", ", give `xds.tls` certificates, or say --insecure-xds")?;
        return Ok(None);
    }
    tracing::warn!(address = %settings.xds, "xDS is served in plain text to other machines (--insecure-xds)");
    for (name, _) in settings.listeners.iter().filter(|(_, listener)| listener.tls.is_some()) {
        tracing::error!(
            "the private key of listener {name} travels over the network in plain text (--insecure-xds)"
        );
    }
    Ok(None)
}

fn credentials(files: &MutualTls) -> Result<Credentials, Unusable> {
    Credentials::load(files, |path| {
        std::fs::read(path).map(Arc::from).map_err(|e| format!("cannot be read: {e}"))
    })
}

fn refuse_exposed(address: SocketAddr, what: &'static str, hint: &'static str) -> Result<(), Error> {
    if address.ip().is_loopback() { Ok(()) } else { Err(Error::Exposed { address, what, hint }) }
}

async fn bind(address: SocketAddr, what: &'static str, flag: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, what, flag, source })
}

/// Files as the source knows them: events of the operating system carry absolute paths.
fn with_absolute_paths(mut settings: Settings) -> Settings {
    let absolute = |path: &mut PathBuf| {
        if let Ok(full) = std::path::absolute(&*path) {
            *path = full;
        }
    };
    absolute(&mut settings.gateways);
    for tls in settings.listeners.values_mut().filter_map(|l| l.tls.as_mut()) {
        absolute(&mut tls.cert_file);
        absolute(&mut tls.key_file);
    }
    if let Some(tls) = &mut settings.xds_tls {
        [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file].into_iter().for_each(absolute);
    }
    settings
}

fn certificate_files(settings: &Settings) -> BTreeSet<PathBuf> {
    let listeners = settings.listeners.values().filter_map(|l| l.tls.as_ref());
    let listeners = listeners.flat_map(|t| [t.cert_file.clone(), t.key_file.clone()]);
    listeners.chain(settings.xds_tls.iter().flat_map(|t| t.files().map(Clone::clone))).collect()
}
