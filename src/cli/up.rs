//! `serin up`: the control plane and one Envoy of its own.

use super::envoy::EnvoyArgs;
use super::output::Output;
use super::place::Places;
use super::serve::StopSignals;
use super::settings::{PortArgs, SettingsArgs, StoreArgs};
use super::{Outcome, environment, wrong};
use crate::app::{App, Options};
use crate::launch::{Bootstrap, Envoy, EnvoyBinary, EnvoyOptions};
use crate::model::{Endpoint, Settings, StoreAt};
use crate::names::ListenerName;
use crate::resource::Version;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For Envoy to get its first configuration. A listener waits for its routes, so nothing is served before.
const READY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct UpArgs {
    /// The directory of gateway files [default: that of the settings, if there are any]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    ports: PortArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// The port of the listener `default`
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    envoy: EnvoyArgs,
}

pub(super) async fn run(args: UpArgs, out: &Output) -> Outcome {
    let mut settings = match args.directory {
        Some(directory) => {
            let settings = args.settings.settings_of(&directory, out)?;
            Settings { gateways: directory, ..settings }
        }
        None if args.settings.has_file() => args.settings.settings(out)?,
        None => {
            return Err(wrong(
                "which gateways? Name a directory of gateway files, as in `serin up gateways`, or settings that do, with `-c serin.yaml`",
            ));
        }
    };
    if !settings.gateways.is_dir() {
        return Err(wrong(format!("{} is not a directory", settings.gateways.display())));
    }
    args.store.over(&mut settings)?;
    if settings.store.is_none() {
        settings.store = state_of(&settings.gateways).map(StoreAt::Sqlite);
    }
    args.ports.over(&mut settings);
    if args.ports.xds.is_none() {
        // Only our own Envoy connects, so any port will do.
        settings.xds = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.xds_tls = None;
    } else if settings.xds_tls.is_some() {
        return Err(wrong(
            "the Envoy of `serin up` has no certificate for the `xds.tls` of your settings; leave out `--xds`, or use `serin serve`",
        ));
    }
    if let Some(port) = args.port {
        let default = ListenerName::new("default")?;
        match settings.listeners.get_mut(&default) {
            Some(listener) => listener.port = port,
            None => {
                return Err(wrong("--port is of the listener `default`, which your settings do not have"));
            }
        }
    }
    let binary = args.envoy.find().envoy().await?;
    let mut signals = StopSignals::listen()?;
    let mut running = start(settings.clone(), &binary).await?;
    for (name, listener) in &settings.listeners {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        let host =
            if listener.address.is_unspecified() { "127.0.0.1".into() } else { listener.address.to_string() };
        tracing::info!("listener {name}: {scheme}://{host}:{}", listener.port);
    }
    tracing::info!("API: http://{}/api/v1/gateways", running.app.http);
    let outcome = tokio::select! {
        signal = signals.next() => {
            tracing::info!("{signal}: stopping");
            Ok(())
        }
        () = running.app.failed() => Err(anyhow::anyhow!("a part of the control plane ended; see the log")),
        status = running.envoy.exited() => Err(anyhow::anyhow!(
            "Envoy ended by itself ({}){}",
            status.map_or_else(|e| e.to_string(), |s| s.to_string()),
            running.envoy.complaints(),
        )),
    };
    running.stop().await?;
    Ok(outcome?)
}

/// A store of its own for each directory, in the user's folder for such things, so that a rollout goes on next time;
/// `None` when there is no such folder. Not in the directory: what is watched should hold what people write.
fn state_of(directory: &Path) -> Option<PathBuf> {
    let state = Places::of_environment().of_user()?;
    let name = Version::of(directory.canonicalize().ok()?.as_os_str().as_encoded_bytes());
    Some(state.join(format!("up-{name}.db")))
}

/// A control plane with its Envoy.
pub(super) struct Running {
    pub(super) app: App,
    pub(super) envoy: Envoy,
}

/// Starts both, and waits until files were read and Envoy runs.
pub(super) async fn start(settings: Settings, binary: &EnvoyBinary) -> anyhow::Result<Running> {
    // This is for trying things out on one's own machine.
    let options = Options {
        environment: environment(),
        insecure_admin: settings.tokens_file.is_none(),
        ..Options::default()
    };
    let app = App::start(settings, options).await?;
    app.ready().await;
    let control_plane = Endpoint { host: app.xds.ip().to_string(), port: app.xds.port() };
    let bootstrap =
        Bootstrap { id: "up".into(), cluster: "up".into(), control_plane, ..Bootstrap::default() };
    let mut envoy = Envoy::start(binary, &bootstrap.to_string(), &EnvoyOptions::default()).await?;
    envoy.ready(READY).await?;
    Ok(Running { app, envoy })
}

impl Running {
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let ended = self.envoy.stop().await;
        self.app.stop().await;
        ended?;
        Ok(())
    }
}
