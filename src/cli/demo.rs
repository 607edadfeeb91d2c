//! `serin demo`: a canary to watch. Two toy models, an Envoy, a control plane, and traffic that is counted.

use super::Outcome;
use super::envoy::EnvoyArgs;
use super::output::Output;
use super::serve::StopSignals;
use super::up::{Running, start};
use crate::launch::{Load, LoadOptions, Report, Toy, ToyOptions, Until, VERSION_HEADER, VersionIn};
use crate::model::{Listener, Settings};
use crate::names::ListenerName;
use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Requests for each measurement
    #[arg(long, default_value_t = 4000, value_name = "COUNT")]
    requests: u64,
    #[command(flatten)]
    envoy: EnvoyArgs,
}

pub(super) async fn run(args: DemoArgs, out: &Output) -> Outcome {
    let folder = tempfile::tempdir().context("cannot make a folder for the demo")?;
    let mut signals = StopSignals::listen()?;
    let scene = tokio::select! {
        scene = Scene::set(folder.path(), args.envoy, out) => scene?,
        // What was set already goes with it.
        signal = signals.next() => {
            out.note(signal);
            return Ok(());
        }
    };
    let outcome = tokio::select! {
        outcome = scene.play(args.requests, out) => outcome,
        signal = signals.next() => {
            out.note(&format!("{signal}: clearing up"));
            Ok(())
        }
    };
    scene.clear().await?;
    out.note("Everything is stopped, nothing is left behind.");
    Ok(outcome?)
}

struct Scene {
    models: [Toy; 2],
    running: Running,
    file: std::path::PathBuf,
    url: String,
}

impl Scene {
    async fn set(folder: &Path, envoy: EnvoyArgs, out: &Output) -> anyhow::Result<Self> {
        let binary = envoy.find().envoy().await?;
        out.note(&format!("Envoy {}: {}", binary.version, binary.path.display()));
        let toy = |version: &str| Toy::start(ToyOptions { version: version.into(), ..ToyOptions::default() });
        let models = [toy("v1").await?, toy("v2").await?];
        for (model, version) in models.iter().zip(["v1", "v2"]) {
            out.note(&format!("model fraud {version}: {}", model.url()));
        }
        let file = folder.join("fraud.yaml");
        std::fs::write(&file, gateway(&models))?;
        let port = free_port()?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port, tls: None };
        let settings = Settings {
            gateways: folder.to_path_buf(),
            xds: any,
            http: any,
            listeners: [(ListenerName::new("default")?, listener)].into(),
            ..Settings::default()
        };
        let running = start(settings, &binary).await?;
        let url = format!("http://127.0.0.1:{port}/predict");
        out.note(&format!("control plane: xDS on {}, HTTP on http://{}", running.app.xds, running.app.http));
        out.note(&format!("gateway fraud: {url}\n\n{}", gateway(&models)));
        Ok(Self { models, running, file, url })
    }

    async fn play(&self, requests: u64, out: &Output) -> anyhow::Result<()> {
        out.note(&format!("Sending {requests} requests through Envoy ..."));
        self.measure(requests, "95 / 5", out).await?;
        out.note("\nEditing fraud.yaml: traffic: { v1: 75, v2: 25 }");
        let text = std::fs::read_to_string(&self.file)?.replace("v1: 95, v2: 5 ", "v1: 75, v2: 25 ");
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &self.file)?;
        self.acknowledged().await;
        out.note(&format!("Envoy has it. Sending {requests} requests more ..."));
        self.measure(requests, "75 / 25", out).await?;
        Ok(())
    }

    /// Waits until Envoy has taken what the file says now.
    async fn acknowledged(&self) {
        let mut views = self.running.app.view.subscribe();
        let registry = &self.running.app.registry;
        let weight = |view: &crate::control::View| {
            let gateway = view.gateways.get("fraud").and_then(|g| g.gateway.as_ref());
            gateway.and_then(|g| g.upstreams.last()).map_or(0, |u| u.weight.hundredths())
        };
        while weight(&views.load()) != 2500 {
            if !views.changed().await {
                return;
            }
        }
        let route = |proxy: &crate::xds::Proxy| {
            let status = proxy.kinds.get(&crate::resource::Kind::Route);
            let told = views_version(&self.running.app.view.load());
            status.is_some_and(|s| s.acknowledged == Some(told))
        };
        while !registry.proxies().iter().any(route) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn measure(&self, requests: u64, wanted: &str, out: &Output) -> anyhow::Result<()> {
        let load = Load::start(LoadOptions {
            url: self.url.clone(),
            rate: None,
            until: Until::Requests(requests),
            version: VersionIn::Header(VERSION_HEADER.into()),
            ..LoadOptions::default()
        })?;
        let report = load.finished().await;
        out.line(&sentence(&report, wanted));
        Ok(())
    }

    async fn clear(self) -> anyhow::Result<()> {
        let stopped = self.running.stop().await;
        for model in self.models {
            model.stop().await;
        }
        stopped
    }
}

/// The version of the routes that Envoys are told.
fn views_version(view: &crate::control::View) -> crate::resource::Version {
    view.fleet.everyone.set(crate::resource::Kind::Route).version()
}

fn gateway(models: &[Toy; 2]) -> String {
    let [v1, v2] = models;
    format!(
        "apiVersion: serin/v1\nname: fraud\ndescription: Card fraud scoring\npath: /predict\nupstreams:\n  \
         v1: {}\n  v2: {}\ntraffic: {{ v1: 95, v2: 5 }}\n",
        v1.url(),
        v2.url()
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo are small")]
fn sentence(report: &Report, wanted: &str) -> String {
    let total = report.requests().max(1) as f64;
    let share = |version: &str| {
        let count = report.by_version.get(version).map_or(0, crate::launch::Answers::count);
        format!("{version} {:.1} % ({count})", count as f64 * 100.0 / total)
    };
    format!("wanted {wanted}: measured {}, {}; {} failed", share("v1"), share("v2"), report.failed())
}

/// A port that is free now. Somebody else may take it before Envoy does; then Envoy says so.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
