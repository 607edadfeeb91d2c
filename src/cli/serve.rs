//! `serin serve`: runs the control plane until a signal.

use super::output::Output;
use super::place::Places;
use super::settings::{DirectoryArgs, PortArgs, SettingsArgs, StoreArgs};
use super::{Outcome, environment};
use crate::app::{App, Options};
use crate::model::StoreAt;
use anyhow::Context;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    directory: DirectoryArgs,
    #[command(flatten)]
    ports: PortArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Serve xDS to other machines in plain text; everyone on the network can read it
    #[arg(long)]
    insecure_xds: bool,
    /// Let everyone on this machine steer rollouts and change gateway files over HTTP, without a token
    #[arg(long)]
    insecure_admin: bool,
    /// The file with the key from which the logins of `oauth2` are signed; made if it is not there. Without one, the
    /// key is in the store
    #[arg(long, env = "SERIN_SESSION_KEY", value_name = "FILE")]
    session_key: Option<PathBuf>,
}

pub(super) async fn run(args: ServeArgs, out: &Output) -> Outcome {
    let mut settings = args.settings.settings(out)?;
    args.directory.over(&mut settings);
    args.ports.over(&mut settings);
    args.store.over(&mut settings)?;
    if settings.store.is_none() {
        let beside = args.settings.beside("serin.db");
        let store = Places::of_environment().store(beside.clone());
        if store != beside {
            tracing::info!("the store is {}", store.display());
        }
        settings.store = Some(StoreAt::Sqlite(store));
    }
    if !settings.gateways.is_dir() {
        out.note(&format!(
            "{} is no directory yet; its files will serve when it is",
            settings.gateways.display()
        ));
    }
    let options = Options {
        insecure_xds: args.insecure_xds,
        insecure_admin: args.insecure_admin,
        environment: environment(),
        session_key: args.session_key,
    };
    let StopSignals { mut interrupt, mut terminate, mut hangup } = StopSignals::listen()?;
    let mut app = App::start(settings, options).await?;
    tracing::info!("xDS on {}, HTTP on http://{}", app.xds, app.http);
    loop {
        tokio::select! {
            signal = StopSignals::stop(&mut interrupt, &mut terminate) => {
                tracing::info!("{signal}: stopping");
                break;
            }
            _ = hangup.recv() => {
                tracing::info!("hung up: reading all files again; settings are read at the start only");
                app.read_again();
            }
            () = app.failed() => return Err(anyhow::anyhow!("a part of the control plane ended; see the log").into()),
        }
    }
    app.stop().await;
    Ok(())
}

/// Ctrl-C, a polite kill, and the end of the terminal. From its beginning on none of them ends the process.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them; says which.
    pub(super) async fn next(&mut self) -> &'static str {
        let Self { interrupt, terminate, hangup } = self;
        tokio::select! {
            _ = interrupt.recv() => "interrupted",
            _ = terminate.recv() => "terminated",
            _ = hangup.recv() => "hung up",
        }
    }

    /// Waits for one that ends a daemon, which SIGHUP does not; says which.
    async fn stop(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
        tokio::select! {
            _ = interrupt.recv() => "interrupted",
            _ = terminate.recv() => "terminated",
        }
    }
}
