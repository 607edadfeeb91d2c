//! The whole control plane: makes the rooms, starts every task, awaits every end.

mod comparisons;
mod doors;
mod error;
mod evidence;
mod feed;
mod opening;
mod patient;
mod peers;
mod port;
mod predictions;
mod reopen;
mod replicas;
mod session;
mod trusted;

pub use error::Error;

use crate::admin::{self, Editor, Sources, grpc};
use crate::client;
use crate::clock;
use crate::compare::Reports;
use crate::control::run::{Outputs, run};
use crate::control::{Event, Handed, Notice, Proposal, Questions, Unlisted, View, World};
use crate::issuer;
use crate::latest::Latest;
use crate::messages;
use crate::model::{Settings, StoreAt, Switches};
use crate::mtls::{self, Connection, Credentials, Door};
use crate::provider;
use crate::snapshot::Fleet;
use crate::source::{Environment, Scanner, Watched, Watching, watch};
use crate::store::measured::Duty;
use crate::store::{self, Restored};
use crate::telemetry::run::{Inputs, Outputs as Numbers};
use crate::telemetry::sink::{QUEUE, Sink};
use crate::telemetry::{self, Measurement, Table, Wanted};
use crate::xds::server::Discovery;
use crate::xds::{Registry, Said};
use doors::{Entrance, asked_at_the_door, entrance, protection};
use futures_util::Stream;
use opening::{Before, Opened, is_shared, open_store};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, mpsc, watch as signal};
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
    /// What Envoys measured.
    pub table: Arc<Latest<Table>>,
    /// How the answers of shadows compare with those that clients get.
    pub reports: Arc<Latest<Reports>>,
    /// Which gateways are to be measured for decisions, as rollouts want it. Nobody else's measurements are made.
    pub wanted: Arc<Latest<Wanted>>,
    /// A copy of the measurements of the gateways that are wanted. Who is too slow misses some.
    pub measurements: broadcast::Receiver<Vec<Measurement>>,
    stop: signal::Sender<bool>,
    tasks: JoinSet<()>,
    watching: Watching,
}

/// What is not in the settings because it is said at every start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Serve plain xDS to other machines.
    pub insecure_xds: bool,
    /// Let everyone on this machine steer rollouts and change gateway files.
    pub insecure_admin: bool,
    /// The variables to which gateway files may refer.
    pub environment: Environment,
    /// Where the key of all logins is kept, and made if it is not there; `None`: in the store.
    pub session_key: Option<PathBuf>,
}

impl App {
    /// Binds the ports and starts everything.
    pub async fn start(settings: Settings, options: Options) -> Result<Self, Error> {
        client::choose_provider();
        let settings = with_absolute_paths(settings);
        let credentials = protection(&settings, &options)?;
        let entrance = entrance(&settings, &options)?;
        let (xds, xds_address) = bind(settings.xds, "xDS", "--xds").await?;
        let (http, http_address) = bind(settings.http, "HTTP", "--http").await?;
        let Opened { store, work, answers, before, is_late } = open_store(&settings).await?;

        let ((events_in, events), (verdicts_in, verdicts)) = (mpsc::channel(1024), mpsc::channel(1024));
        let (outlets, Inlets { proposals, handed, notices }) = Outlets::new();
        let wanted = Latest::new(Wanted::new());
        let told = Arc::<messages::Counters>::default();
        let outputs = outputs(credentials.as_ref(), &entrance, outlets, &wanted, &store);
        let (parts, counted, evidence) = evidence::start(&settings, &outputs.duty, &events_in);
        let (elsewhere, exchange) = evidence.unzip();
        let registry = Arc::new(Registry::default());
        let (stop, stopped) = signal::channel(false);
        let table = Latest::new(Table::default());
        let (access, sessions) = asked_at_the_door(&outputs, options.insecure_admin);
        let comparing = comparisons::start(&outputs, elsewhere.clone(), stopped.clone());
        let (hub, hub_work) = admin::watch::start(&outputs.view, Arc::clone(&table));
        let (editor, edits) = Editor::new(settings.gateways.clone(), options.environment.clone());
        let name = replicas::name(http_address);
        let lines = peers::Lines::new(handed, &events_in, &outputs.view, &stopped);
        let sources = Sources {
            name: Arc::clone(&name),
            view: Arc::clone(&outputs.view),
            unlisted: Arc::clone(&outputs.unlisted),
            registry: Arc::clone(&registry),
            table: Arc::clone(&table),
            reports: Arc::clone(&comparing.reports),
            store: store.clone(),
            events: events_in.clone(),
            stopped: stopped.clone(),
            access,
            editor,
            told: Arc::clone(&told),
            members: Arc::clone(&lines.members),
            counted,
            hub,
        };
        let discovery = discovery(&outputs, &registry, verdicts_in, &stopped);
        let (reports_in, reports) = mpsc::channel(QUEUE);
        let [ended, failed] = [(); 2].map(|()| Arc::<Notify>::default());
        let sink = Sink::new(reports_in, Arc::clone(&ended), Arc::clone(&registry), stopped.clone());
        let (measurements_in, measured) = mpsc::channel(16);
        let (copies, measurements) = broadcast::channel(64);
        let measured_and_compared = sink.routes().merge(comparing.receiver.routes());
        let grpc = grpc_routes(&discovery, &sources, &outputs)?.merge(measured_and_compared);
        let watching = follow(&settings, options.environment, &before.restored, events_in.clone())?;
        let mut tasks = JoinSet::new();
        tasks.spawn_blocking(|| work.run());
        begin(&mut tasks, &stopped, sessions);
        let session_key =
            session::key(options.session_key.as_deref(), &store).await.map_err(Error::SessionKey)?;
        let inputs = replicas::inputs(&settings, &name, &store, &failed, &stopped);
        meet(&mut tasks, inputs, &outputs.view, &events_in, lines.run(&settings, &name));
        begin(&mut tasks, &stopped, is_late.then(|| reopen::run(store.clone(), events_in.clone())));
        begin(&mut tasks, &stopped, exchange);
        let feed = feed::Feed {
            elsewhere,
            failed,
            measured,
            copies,
            view: Arc::clone(&outputs.view),
            table: Arc::clone(&table),
            proposals,
            store,
            answers,
            events: events_in.clone(),
        };
        tasks.spawn(until(stopped.clone(), feed.run()));
        tasks.spawn(edits.run(stopped.clone()));
        let view = Arc::clone(&outputs.view);
        let found = Arc::clone(&comparing.reports);
        tasks.spawn(until(stopped.clone(), comparing.run(events_in.clone())));
        ask_and_tell(&mut tasks, &stopped, &outputs, &events_in, messages::run(notices, told));
        tasks.spawn(until(stopped.clone(), hub_work.run()));
        tasks.spawn(serve_xds(xds, door(&settings, &outputs, &registry), grpc, stopped.clone()));
        tasks.spawn(port::serve(http, outputs.http_credentials.clone(), sources, stopped.clone()));
        let world = world(settings, credentials, entrance, before).with_session_key(session_key);
        tasks.spawn(until(stopped.clone(), run(world, events, outputs)));
        tasks.spawn(until(stopped.clone(), forward(verdicts, events_in)));
        let numbers = Numbers { table: Arc::clone(&table), measurements: measurements_in };
        let measuring = Inputs { reports, ended, wanted: wanted.subscribe(), parts };
        tasks.spawn(until(stopped, telemetry::run::run(measuring, numbers)));
        Ok(Self {
            xds: xds_address,
            http: http_address,
            view,
            registry,
            table,
            reports: found,
            wanted,
            measurements,
            stop,
            tasks,
            watching,
        })
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

    /// Reads gateway files, and all that they and the settings refer to, again now.
    pub fn read_again(&self) {
        self.watching.read_again();
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

/// Where the loop says what is to be done elsewhere.
struct Outlets {
    proposals: mpsc::Sender<Proposal>,
    handed: mpsc::Sender<Handed>,
    notices: mpsc::Sender<Notice>,
}

/// Where that comes.
struct Inlets {
    proposals: mpsc::Receiver<Proposal>,
    handed: mpsc::Receiver<Handed>,
    notices: mpsc::Receiver<Notice>,
}

impl Outlets {
    fn new() -> (Self, Inlets) {
        // One at a time is under way.
        let (proposals_in, proposals) = mpsc::channel(1);
        let (handed_in, handed) = mpsc::channel(store::peers::MOST);
        let (notices_in, notices) = mpsc::channel(1024);
        let outlets = Self { proposals: proposals_in, handed: handed_in, notices: notices_in };
        (outlets, Inlets { proposals, handed, notices })
    }
}

/// Where the loop puts what others want to see.
fn outputs(
    credentials: Option<&Credentials>,
    entrance: &Entrance,
    outlets: Outlets,
    compared: &Arc<Latest<Wanted>>,
    store: &store::run::Handle,
) -> Outputs {
    let Outlets { proposals, handed, notices } = outlets;
    Outputs {
        fleet: Latest::new(Fleet::default()),
        view: Latest::new(View::default()),
        unlisted: Latest::new(Unlisted::default()),
        credentials: credentials.cloned().map(Latest::new),
        http_credentials: entrance.credentials.clone().map(Latest::new),
        tokens: entrance.tokens.clone().map(Latest::new),
        notes: broadcast::Sender::new(1024),
        proposals,
        handed,
        compared: Arc::clone(compared),
        duty: Latest::new(Duty::default()),
        store: store.clone(),
        questions: Latest::new(Questions::new()),
        notices,
    }
}

/// Who waits at the port of the protocol, when certificates matter there.
fn door(settings: &Settings, outputs: &Outputs, registry: &Registry) -> Option<Door> {
    Some(Door {
        credentials: outputs.credentials.clone()?,
        allow: settings.xds_tls.as_ref().and_then(|tls| tls.allow.clone()).map(Arc::from),
        failures: Arc::clone(&registry.handshake_failures),
        what: "xDS",
    })
}

/// Reads the files, and again when they change.
fn follow(
    settings: &Settings,
    environment: Environment,
    restored: &Restored,
    events: mpsc::Sender<Event>,
) -> Result<Watching, Error> {
    let watched =
        Watched { directory: settings.gateways.clone(), files: settings.files().cloned().collect() };
    let scanner = Scanner::new(watched).with_environment(environment).with_last_good(&restored.documents);
    watch(scanner, events).map_err(|e| Error::Source(settings.gateways.display().to_string(), e))
}

/// The world with everything that was kept before the start, and whom this machine trusts.
fn world(
    settings: Settings,
    credentials: Option<Credentials>,
    entrance: Entrance,
    Before { restored, is_recalled, failure }: Before,
) -> World {
    let switches = Switches::restored(&restored.switches);
    let why = failure.map(|why| why.to_string());
    let states = match &why {
        Some(why) if !is_recalled => Err(why.clone()),
        _ => Ok(restored.states),
    };
    let bounds = telemetry::bounds().chain([f64::MAX]).collect();
    let is_shared = is_shared(&settings);
    let world = World::new(settings).with_switches(switches).with_last_good(restored.documents);
    let world = world.with_http_credentials(entrance.credentials).with_tokens(entrance.tokens);
    let world = world.with_rollouts(states, bounds, clock::now());
    let world = if is_shared { world.with_others(clock::now()) } else { world };
    let world = match why.filter(|_| is_recalled) {
        Some(why) => world.with_recalled(&why, clock::now()),
        None => world,
    };
    let world = match trusted::authorities() {
        Some(trusted) => world.with_authorities(&trusted),
        None => world,
    };
    match credentials {
        Some(credentials) => world.with_credentials(credentials),
        None => world,
    }
}

/// What serves Envoys their configuration.
fn discovery(
    outputs: &Outputs,
    registry: &Arc<Registry>,
    verdicts: mpsc::Sender<Said>,
    stopped: &signal::Receiver<bool>,
) -> Discovery {
    let (fleet, registry) = (Arc::clone(&outputs.fleet), Arc::clone(registry));
    Discovery { fleet, registry, verdicts, stopped: stopped.clone() }
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

/// Serves the protocol, with certificates where they matter.
async fn serve_xds(
    listener: TcpListener,
    door: Option<Door>,
    routes: axum::Router,
    stopped: signal::Receiver<bool>,
) {
    match door {
        None => serve_grpc(mtls::plain(listener), routes, stopped).await,
        Some(door) => serve_grpc(mtls::secure(listener, door), routes, stopped).await,
    }
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

/// Begins what several control planes with one store do: who of them decides, and what they say to each other. Both end by
/// themselves, in good order.
fn meet(
    tasks: &mut JoinSet<()>,
    inputs: Option<store::replica::Inputs>,
    view: &Arc<Latest<View>>,
    events: &mpsc::Sender<Event>,
    lines: Option<impl Future<Output = ()> + Send + 'static>,
) {
    if let Some(inputs) = inputs {
        tasks.spawn(replicas::run(inputs, view.subscribe(), events.clone()));
    }
    if let Some(lines) = lines {
        tasks.spawn(lines);
    }
}

/// Begins work that not every control plane has.
fn begin(
    tasks: &mut JoinSet<()>,
    stopped: &signal::Receiver<bool>,
    work: Option<impl Future<Output = ()> + Send + 'static>,
) {
    if let Some(work) = work {
        tasks.spawn(until(stopped.clone(), work));
    }
}

/// Begins to ask issuers and those who know metrics, and to tell others.
fn ask_and_tell(
    tasks: &mut JoinSet<()>,
    stopped: &signal::Receiver<bool>,
    outputs: &Outputs,
    events: &mpsc::Sender<Event>,
    telling: impl Future<Output = ()> + Send + 'static,
) {
    let (view, questions) = (outputs.view.subscribe(), outputs.questions.subscribe());
    tasks.spawn(until(stopped.clone(), issuer::run(view, events.clone())));
    tasks.spawn(until(stopped.clone(), provider::run(questions, events.clone())));
    tasks.spawn(until(stopped.clone(), telling));
}

/// Work, cut short by the stop.
async fn until(mut stopped: signal::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
}

async fn forward(mut verdicts: mpsc::Receiver<Said>, events: mpsc::Sender<Event>) {
    while let Some(said) = verdicts.recv().await {
        if events.send(Event::Verdict(said)).await.is_err() {
            return;
        }
    }
}

/// The port, and what it came to be if any was asked for.
async fn bind(
    address: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.map_err(|source| Error::Listen { address, what, flag, source })?;
    let address = bound.local_addr().unwrap_or(address);
    Ok((bound, address))
}

/// Files as the source knows them: events of the operating system carry absolute paths.
fn with_absolute_paths(mut settings: Settings) -> Settings {
    let absolute = |path: &mut PathBuf| {
        if let Ok(full) = std::path::absolute(&*path) {
            *path = full;
        }
    };
    absolute(&mut settings.gateways);
    match &mut settings.store {
        Some(StoreAt::Sqlite(path)) => absolute(path),
        Some(StoreAt::Postgres(database)) => database.files_mut().for_each(absolute),
        Some(StoreAt::Memory) | None => {}
    }
    let listeners = settings.listeners.values_mut().filter_map(|l| l.tls.as_mut());
    for files in listeners.flat_map(|tls| &mut tls.certificates) {
        absolute(&mut files.cert_file);
        absolute(&mut files.key_file);
    }
    if let Some(tls) = &mut settings.xds_tls {
        [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file].into_iter().for_each(absolute);
    }
    if let Some(tls) = &mut settings.http_tls {
        [&mut tls.cert_file, &mut tls.key_file].into_iter().for_each(absolute);
    }
    settings.tokens_file.iter_mut().for_each(absolute);
    if let Some(prometheus) = &mut settings.prometheus {
        prometheus.headers_file.iter_mut().chain(&mut prometheus.ca_file).for_each(absolute);
    }
    settings
}
