//! What every play needs: a folder of gateway files, the control plane, Envoys, and toy models.

use crate::real::{DEADLINE, envoy, eventually};
use serde_json::Value;
use serin::app::{App, Options};
use serin::clock;
use serin::control::View;
use serin::launch::{
    Bootstrap, Envoy, EnvoyOptions, Load, LoadOptions, Report, Toy, ToyOptions, Until, VERSION_HEADER,
    VersionIn,
};
use serin::model::{Endpoint, Listener, ListenerTls, Settings};
use serin::names::ListenerName;
use serin::resource::Kind;
use serin::xds::Proxy;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A control plane with its folder, and the port of its one listener.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) app: App,
    pub(crate) port: u16,
}

/// A port that is free now, that no other test of this run gets, and that the kernel gives to no connection: those are from
/// 32768 on.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Each run begins elsewhere.
        let number = std::process::id().wrapping_mul(997).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 12_000).unwrap();
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Settings on loopback: free ports, one listener.
pub(crate) fn settings(gateways: &Path, port: u16, tls: Option<ListenerTls>) -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener { address: Ipv4Addr::LOCALHOST.into(), port, tls };
    Settings {
        gateways: gateways.to_path_buf(),
        xds: any,
        http: any,
        listeners: [(ListenerName::new("default").unwrap(), listener)].into(),
        ..Settings::default()
    }
}

/// Where a control plane serves xDS.
pub(crate) fn at(xds: SocketAddr) -> Endpoint {
    Endpoint { host: xds.ip().to_string(), port: xds.port() }
}

/// The bootstrap of an Envoy of the given cluster on a control plane.
pub(crate) fn bootstrap(xds: SocketAddr, cluster: &str) -> String {
    let bootstrap = Bootstrap {
        id: format!("{cluster}-1"),
        cluster: cluster.into(),
        control_plane: at(xds),
        ..Bootstrap::default()
    };
    bootstrap.to_string()
}

/// Starts an Envoy with this bootstrap.
pub(crate) async fn start_envoy(bootstrap: &str) -> Envoy {
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    Envoy::start(envoy().await, bootstrap, &options).await.unwrap()
}

/// Starts an Envoy of the given cluster on a control plane.
pub(crate) async fn envoy_on(xds: SocketAddr, cluster: &str) -> Envoy {
    start_envoy(&bootstrap(xds, cluster)).await
}

/// Starts an Envoy with the limit of expressions that bootstraps of before had: it refuses some that are valid.
pub(crate) async fn strict_envoy_on(xds: SocketAddr, cluster: &str) -> Envoy {
    let bootstrap = bootstrap(xds, cluster);
    let strict = bootstrap.replace("error_level: 100000", "error_level: 100");
    assert_ne!(strict, bootstrap, "the bootstrap says its limit");
    start_envoy(&strict).await
}

/// A toy model of the given version.
pub(crate) async fn toy(version: &str) -> Toy {
    Toy::start(ToyOptions { version: version.into(), ..ToyOptions::default() }).await.unwrap()
}

impl Stage {
    /// With these files.
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, Options::default()).await
    }

    /// With these files, and what is said at the start.
    pub(crate) async fn with(files: &[(&str, &str)], options: Options) -> Self {
        Self::on(free_port(), files, options).await
    }

    /// With these files, and its listener on this port.
    pub(crate) async fn on(port: u16, files: &[(&str, &str)], options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let app = App::start(settings(folder.path(), port, None), options).await.unwrap();
        app.ready().await;
        Self { folder, app, port }
    }

    /// An Envoy that serves.
    pub(crate) async fn envoy(&self) -> Envoy {
        let mut envoy = envoy_on(self.app.xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        envoy
    }

    /// An Envoy that serves, and refuses some expressions that are valid.
    pub(crate) async fn strict_envoy(&self) -> Envoy {
        let mut envoy = strict_envoy_on(self.app.xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        envoy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Replaces a file in one step, as careful editors do.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let beside = self.path(&format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.path(name)).unwrap();
    }

    /// Waits until the connected Envoys have taken everything they are offered.
    pub(crate) async fn taken(&self) {
        eventually("Envoy takes what it is offered", || {
            let view = self.app.view.load();
            let proxies = self.app.registry.proxies();
            !proxies.is_empty()
                && proxies.iter().all(|p| {
                    let offered = offered(&view, p);
                    offered.is_some() && p.kinds.get(&Kind::Route).is_some_and(|s| s.acknowledged == offered)
                })
        })
        .await;
    }

    /// Waits until the API shows a gateway as wanted.
    pub(crate) async fn sees(&self, what: &str, name: &str, wanted: impl Fn(Option<&Value>) -> bool) {
        eventually(what, || {
            let gateway = self.app.view.load().gateways.get(name).cloned();
            wanted(gateway.map(|g| serde_json::to_value(&*g).unwrap()).as_ref())
        })
        .await;
    }

    /// Waits until this weight of an upstream is served.
    pub(crate) async fn serves(&self, name: &str, upstream: &str, percent: f64) {
        self.sees(&format!("{name}: {upstream} {percent} %"), name, |gateway| {
            weight(gateway, upstream) == Some(percent)
        })
        .await;
    }

    /// Waits until this weight of an upstream is served, and Envoy has it.
    pub(crate) async fn serves_weight(&self, name: &str, upstream: &str, percent: f64) {
        self.serves(name, upstream, percent).await;
        self.taken().await;
    }

    /// Requests and errors of a shadow.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of a test")]
    pub(crate) fn shadow(&self, gateway: &str, upstream: &str) -> Option<[u64; 2]> {
        let numbers = self.app.table.load().shadow(gateway, upstream, clock::now())?;
        Some([numbers.total.requests as u64, numbers.total.errors as u64])
    }

    /// A load on a path of the listener.
    pub(crate) fn load(&self, path: &str, rate: Option<f64>, until: Until) -> Load {
        Load::start(LoadOptions {
            url: self.url(path),
            rate,
            until,
            version: VersionIn::Header(VERSION_HEADER.into()),
            connections: 8,
            ..LoadOptions::default()
        })
        .unwrap()
    }

    /// One request; the status, and the version that answered.
    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let (status, headers, _) = self.fetch(path, headers).await;
        let version = headers.get(VERSION_HEADER).map(|v| v.to_str().unwrap().to_owned());
        (status, version.unwrap_or_default())
    }

    /// One request; the whole answer.
    pub(crate) async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, String) {
        let mut request = reqwest::Client::new().get(self.url(path)).timeout(DEADLINE);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.text().await.unwrap())
    }

    pub(crate) async fn end(self, envoys: impl IntoIterator<Item = Envoy>) {
        for envoy in envoys {
            envoy.stop().await.unwrap();
        }
        self.app.stop().await;
    }
}

/// The weight of an upstream in a gateway of the API.
/// The version of the routes that an Envoy is offered.
pub(crate) fn offered(view: &View, proxy: &Proxy) -> Option<serin::resource::Version> {
    let older = serin::translate::older(&proxy.node.version);
    view.fleet.snapshot_of(&proxy.node, older).map(|snapshot| snapshot.set(Kind::Route).version())
}

pub(crate) fn weight(gateway: Option<&Value>, upstream: &str) -> Option<f64> {
    let upstreams = gateway?.get("upstreams")?.as_array()?;
    upstreams.iter().find(|u| u["name"] == upstream)?.get("weight")?.as_f64()
}

/// Two versions of one gateway on any host.
pub(crate) fn canary(name: &str, path: &str, v1: &Toy, v2: &Toy, split: (&str, &str)) -> String {
    let (v1, v2, (a, b)) = (v1.url(), v2.url(), split);
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: {path}\nupstreams:\n  v1: {v1}\n  v2: {v2}\ntraffic: {{ v1: {a}, v2: {b} }}\n"
    )
}

/// Fails unless every request was answered with 200.
pub(crate) fn assert_all_well(report: &Report) {
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
    let statuses: Vec<u16> = report.all.by_status.keys().copied().collect();
    assert_eq!(statuses, [200], "{:?}", report.all.by_status);
}

/// For things that take time by their nature, as an outage does.
pub(crate) async fn let_pass(time: Duration) {
    tokio::time::sleep(time).await;
}
