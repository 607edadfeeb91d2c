//! `serin demo`: two releases to watch, a good one and a bad one. Toy models, an Envoy, a control plane, and traffic
//! that is counted. It succeeds only when both came out as they should. `serin demo shadow` is in `shadow`.

mod shadow;

use super::Outcome;
use super::client::ServerArgs;
use super::envoy::EnvoyArgs;
use super::output::Output;
use super::serve::StopSignals;
use super::story::{News, Story};
use super::up::{Running, start};
use crate::control::View;
use crate::launch::{Load, LoadOptions, Report, Toy, ToyOptions, Until, VERSION_HEADER, VersionIn};
use crate::model::{Listener, Settings};
use crate::names::ListenerName;
use crate::resource::Kind;
use crate::weight::Weight;
use anyhow::{Context, bail, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// The releases take about a minute together; on a machine that is busy otherwise, some more.
const LONGEST: Duration = Duration::from_mins(5);
/// How many requests show who answers after a release.
const ASKED: u64 = 200;
/// Of the requests of the bad version, this share fails.
const BAD: &str = "30";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// What is played
    #[arg(value_enum, default_value_t = Play::Releases, value_name = "PLAY")]
    play: Play,
    /// How many requests are sent in a second; fewer take longer, since evidence is made of requests
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=2000))]
    requests_per_second: u32,
    #[command(flatten)]
    envoy: EnvoyArgs,
}

/// The plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Play {
    /// A good canary, and a bad one
    Releases,
    /// A canary whose predictions differ, and one whose predictions agree: both are shadowed first
    Shadow,
}

pub(super) async fn run(args: DemoArgs, out: &Output) -> Outcome {
    let folder = tempfile::tempdir().context("cannot make a folder for the demo")?;
    let mut signals = StopSignals::listen()?;
    let scene = tokio::select! {
        scene = Scene::set(folder.path(), args, out) => scene?,
        // What was set already goes with it.
        signal = signals.next() => {
            out.note(signal);
            return Ok(());
        }
    };
    let outcome = tokio::select! {
        outcome = scene.play(out) => outcome,
        signal = signals.next() => {
            out.note(&format!("\n{signal}: clearing up"));
            Ok(())
        }
    };
    scene.clear().await?;
    out.note("Everything is stopped, nothing is left behind.");
    Ok(outcome?)
}

struct Scene {
    play: Play,
    models: [Toy; 3],
    running: Running,
    file: PathBuf,
    url: String,
    rate: u32,
}

impl Scene {
    async fn set(folder: &Path, args: DemoArgs, out: &Output) -> anyhow::Result<Self> {
        let binary = args.envoy.find().envoy().await?;
        let models = models(args.play).await?;
        let file = folder.join("fraud.yaml");
        let sides = [("v1", &models[0]), ("v2", &models[1])];
        let first = match args.play {
            Play::Releases => gateway(sides),
            Play::Shadow => shadow::gateway(sides),
        };
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
        let scene = Self {
            play: args.play,
            models,
            running,
            file,
            url: format!("http://127.0.0.1:{port}/predict"),
            rate: args.requests_per_second,
        };
        let (version, path, pid) = (&binary.version, binary.path.display(), scene.running.envoy.pid());
        out.note(&format!("Envoy {version} ({path}) is process {pid}, the model is at {}.", scene.url));
        let http = scene.running.app.http;
        out.note(&format!("In another terminal: serin get fraud --watch --server http://{http}\n\n{first}"));
        scene.write(&first)?;
        Ok(scene)
    }

    async fn play(&self, out: &Output) -> anyhow::Result<()> {
        let (news_in, news) = mpsc::unbounded_channel();
        let server = ServerArgs::of(format!("http://{}", self.running.app.http));
        // The journal of a gateway that is not there yet is none.
        self.sees(|view| view.gateways.contains_key("fraud")).await;
        let journal = server.follow("gateways/fraud/events", 0, |entry| Ok(news_in.send(entry)?));
        let story = Story::new(news, self.running.app.view.subscribe(), out);
        let acts = async {
            match self.play {
                Play::Releases => self.releases(story).await,
                Play::Shadow => self.shadow(story).await,
            }
        };
        tokio::select! {
            outcome = acts => outcome,
            end = journal => {
                end?;
                bail!("the journal has ended")
            }
            () = tokio::time::sleep(LONGEST) => bail!("the releases are not over after {} s", LONGEST.as_secs()),
        }
    }

    async fn releases(&self, mut story: Story<'_>) -> anyhow::Result<()> {
        let load = Load::start(self.load(Some(f64::from(self.rate)), Until::Stopped))?;
        story.say(&format!(
            "{} requests a second go through Envoy. Steps take 2 s at least in this demo; unless the file says so, 10 min.\n\n\
             A good canary: v2 is as good as v1.",
            self.rate
        ));
        let News { weights, last, took } = story.release("v2").await?;
        ensure!(last == "promoted", "a good canary was not promoted; it ended as {last}");
        ensure!(weights == [10.0, 50.0, 100.0], "the steps were {weights:?}");
        let report = load.report();
        let bad = report.failed() + report.all.errors();
        ensure!(bad == 0, "{bad} of {} requests failed", report.requests());
        story.say(&format!(
            "Promoted in {:.0} s; {} requests, none failed. {}\n",
            took.as_secs_f64(),
            report.requests(),
            self.answered_by("v2").await?
        ));
        story.say(&format!(
            "A bad canary: {BAD} % of the requests of v3 fail. fraud.yaml says now `primary: v2` and `canary: v3`."
        ));
        self.write(&gateway([("v2", &self.models[1]), ("v3", &self.models[2])]))?;
        let News { last, took, .. } = story.release("v3").await?;
        ensure!(last == "rolled-back", "a bad canary was not rolled back; it ended as {last}");
        let answered = self.answered_by("v2").await?;
        let report = load.stop().await;
        let (asked, failed) = report.by_version.get("v3").map_or((0, 0), |a| (a.count(), a.errors()));
        ensure!(asked > 0, "the bad canary had no request");
        let others = report.failed() + report.all.errors() - failed;
        ensure!(others == 0, "{others} requests failed that v3 did not have");
        story.say(&format!(
            "Taken off {:.1} s after it had got traffic; v3 had {asked} of {} requests, and {failed} failed. {answered}\n",
            took.as_secs_f64(),
            report.requests()
        ));
        Ok(())
    }

    /// Says that a version answers everything, if it does.
    async fn answered_by(&self, version: &str) -> anyhow::Result<String> {
        let has_all = |view: &View| {
            let served = view.gateways.get("fraud").and_then(|g| g.gateway.as_ref());
            served.is_some_and(|g| g.upstreams.iter().any(|u| u.name == version && u.weight == Weight::ALL))
        };
        self.sees(has_all).await;
        self.acknowledged().await;
        let report: Report = Load::start(self.load(None, Until::Requests(ASKED)))?.finished().await;
        let count = report
            .by_version
            .get(version)
            .map_or(0, |answers| answers.by_status.get(&200).copied().unwrap_or(0));
        ensure!(
            count == ASKED,
            "{version} answered {count} of {ASKED} requests: {:?}",
            report.by_version.keys()
        );
        Ok(format!("Asked {ASKED} times more: {count} answers of {version}."))
    }

    fn load(&self, rate: Option<f64>, until: Until) -> LoadOptions {
        let version = VersionIn::Header(VERSION_HEADER.into());
        LoadOptions { url: self.url.clone(), rate, until, version, connections: 8, ..LoadOptions::default() }
    }

    /// Replaces the gateway file in one step.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(&beside, &self.file)?)
    }

    /// Waits until people see something.
    async fn sees(&self, wanted: impl Fn(&View) -> bool) {
        let mut views = self.running.app.view.subscribe();
        while !wanted(&views.load()) {
            if !views.changed().await {
                return;
            }
        }
    }

    /// Waits until Envoy has taken the routes that it is told.
    async fn acknowledged(&self) {
        let app = &self.running.app;
        let has = |proxy: &crate::xds::Proxy| {
            let told = app.view.load().fleet.everyone.set(Kind::Route).version();
            proxy.kinds.get(&Kind::Route).is_some_and(|s| s.acknowledged == Some(told))
        };
        while !app.registry.proxies().iter().any(has) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn clear(self) -> anyhow::Result<()> {
        let stopped = self.running.stop().await;
        for model in self.models {
            model.stop().await;
        }
        stopped
    }
}

/// One that serves, and the canaries of both acts.
async fn models(play: Play) -> anyhow::Result<[Toy; 3]> {
    let (well, none) = (Weight::NONE, Weight::NONE);
    let [first, second] = match play {
        Play::Releases => [(well, none), (Weight::parse(BAD)?, none)],
        Play::Shadow => [(well, Weight::parse(shadow::ASTRAY)?), (well, none)],
    };
    let toy = |version: &str, (failures, astray)| {
        Toy::start(ToyOptions { version: version.into(), failures, astray, ..ToyOptions::default() })
    };
    Ok([toy("v1", (well, none)).await?, toy("v2", first).await?, toy("v3", second).await?])
}

/// A release of the second in place of the first.
fn gateway([(primary, p), (canary, c)]: [(&str, &Toy); 2]) -> String {
    format!(
        "apiVersion: serin/v1\nname: fraud\ndescription: Card fraud scoring\npath: /predict\ntimeout: 2s\nupstreams:\n  \
         {primary}: {}\n  {canary}: {}\nrollout:\n  primary: {primary}\n  canary: {canary}\n  steps: [10, 50, 100]\n  \
         pause: 2s      # short, to be watched; 10m unless a file says so\n  \
         bake: 2s       # likewise\n  metrics: [{{ name: error-rate, max: 5% }}]\n",
        p.url(),
        c.url()
    )
}

/// A port that is free now. Somebody else may take it before Envoy does; then Envoy says so.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
