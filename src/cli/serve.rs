//! `serin serve`: runs the control plane until a signal.

use super::output::Output;
use super::settings::{DirectoryArgs, PortArgs, SettingsArgs};
use super::{Outcome, environment};
use crate::app::{App, Options};
use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    directory: DirectoryArgs,
    #[command(flatten)]
    ports: PortArgs,
    /// Serve xDS to other machines in plain text; everyone on the network can read it
    #[arg(long)]
    insecure_xds: bool,
}

pub(super) async fn run(args: ServeArgs, out: &Output) -> Outcome {
    let mut settings = args.settings.settings(out)?;
    args.directory.over(&mut settings);
    args.ports.over(&mut settings);
    if !settings.gateways.is_dir() {
        out.note(&format!(
            "{} is no directory yet; its files will serve when it is",
            settings.gateways.display()
        ));
    }
    let mut app =
        App::start(settings, Options { insecure_xds: args.insecure_xds, environment: environment() }).await?;
    tracing::info!("xDS on {}, HTTP on http://{}", app.xds, app.http);
    let stopped = stop_signal();
    tokio::select! {
        signal = stopped => tracing::info!("{}: stopping", signal?),
        () = app.failed() => return Err(anyhow::anyhow!("a part of the control plane ended; see the log").into()),
    }
    app.stop().await;
    Ok(())
}

/// Waits for Ctrl-C, a polite kill, or the end of the terminal; says which.
pub(super) async fn stop_signal() -> anyhow::Result<&'static str> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated",
        _ = hangup.recv() => "hung up",
    })
}
