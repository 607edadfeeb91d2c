//! `xdsload`: many Envoy-like xDS clients against one management server.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use xdsload::client::{self, Manner};
use xdsload::proc::{self, Usage};
use xdsload::shared::{Behaviour, Shared, lock};

#[derive(Clone, Copy, ValueEnum, PartialEq, Debug)]
enum Protocol {
    Sotw,
    Delta,
}

/// Opens many aggregated xDS streams that behave as Envoy does, and times their first sync and the spread of changes.
/// Prints one JSON object.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Management server, as `http://HOST:PORT`
    #[arg(long, default_value = "http://127.0.0.1:18000")]
    server: String,
    #[arg(long, value_enum, default_value = "delta")]
    protocol: Protocol,
    /// Ask for scoped routes too, and for the routes that they name
    #[arg(long)]
    scoped: bool,
    /// Clients, each with a connection of its own
    #[arg(short = 'n', long, default_value_t = 1)]
    clients: usize,
    /// Node id of client I is this followed by I
    #[arg(long, default_value = "node-")]
    node_prefix: String,
    #[arg(long, default_value = "xdsload")]
    node_cluster: String,

    /// A round's change: this file is replaced, by renaming a new one into its place ...
    #[arg(long, requires = "template", conflicts_with = "trigger_http")]
    edit: Option<PathBuf>,
    /// ... with this text, in which {stable} and {canary} are the percents of the round's weight
    #[arg(long)]
    template: Option<PathBuf>,
    /// A round's change: a GET of `http://HOST:PORT/PATH`, in which {w} is the round's weight
    #[arg(long)]
    trigger_http: Option<String>,
    /// Rounds
    #[arg(short = 'k', long, default_value_t = 5)]
    repeat: u32,
    /// Weights that the rounds take in turn, in hundredths of a percent
    #[arg(long, value_delimiter = ',', default_value = "2500,500")]
    weights: Vec<u32>,
    /// A round ends for a client when this cluster has the round's weight; without it, at any response with routes
    #[arg(long)]
    match_cluster: Option<String>,
    /// Pause between rounds, seconds
    #[arg(long, default_value_t = 0.5)]
    interval: f64,
    /// A round or a sync is over when nothing arrived for this long, milliseconds
    #[arg(long, default_value_t = 300)]
    quiet: u64,
    /// Give up on a sync or a round after this long, seconds
    #[arg(long, default_value_t = 120.0)]
    timeout: f64,

    /// So many clients (the last ones) refuse every response with routes in the rounds
    #[arg(long, default_value_t = 0)]
    nack: usize,
    /// So many clients stop reading when the first round begins ...
    #[arg(long, default_value_t = 0)]
    slow: usize,
    /// ... for so many seconds
    #[arg(long, default_value_t = 10.0)]
    slow_for: f64,
    /// After the rounds, drop all connections and come back, so many times
    #[arg(long, default_value_t = 0)]
    reconnect: u32,

    /// Processes whose CPU and memory are reported as the server's
    #[arg(long, value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// HTTP/2 stream window, bytes (Envoy's own default is 16 MiB)
    #[arg(long, default_value_t = 16 << 20)]
    window: u32,
    /// Write what client 0 received into this folder, for `xdsfloor`
    #[arg(long)]
    record: Option<PathBuf>,
}

fn ms(ns: u64) -> f64 {
    (ns as f64 / 1e4).round() / 100.0
}

/// Connections that are opened at once.
const CONNECTING: usize = 64;

/// p50, p99 and so on of a list of nanoseconds, in milliseconds.
fn spread(mut v: Vec<u64>) -> Value {
    if v.is_empty() {
        return Value::Null;
    }
    v.sort_unstable();
    let at = |q: f64| ms(v[((v.len() as f64 * q).ceil() as usize).clamp(1, v.len()) - 1]);
    json!({"min": ms(v[0]), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0), "n": v.len()})
}

/// CPU seconds, to the microsecond.
fn used(a: Usage, b: Usage) -> f64 {
    ((b.cpu_s - a.cpu_s) * 1e6).round() / 1e6
}

fn round2(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Sums of all clients' counters.
#[derive(Clone, Copy, Default)]
struct Totals {
    bytes: u64,
    sent: u64,
    responses: u64,
    resources: u64,
    nacks: u64,
}

fn totals(s: &Shared, range: std::ops::Range<usize>) -> Totals {
    s.counters[range].iter().fold(Totals::default(), |t, c| Totals {
        bytes: t.bytes + c.bytes.load(Relaxed),
        sent: t.sent + c.sent.load(Relaxed),
        responses: t.responses + c.responses.load(Relaxed),
        resources: t.resources + c.resources.load(Relaxed),
        nacks: t.nacks + c.nacks.load(Relaxed),
    })
}

fn per_client(a: Totals, b: Totals, n: usize) -> Value {
    let d = |x: u64, y: u64| round2((y - x) as f64 / n as f64);
    json!({
        "bytes_received": d(a.bytes, b.bytes), "bytes_sent": d(a.sent, b.sent),
        "responses": d(a.responses, b.responses), "resources": d(a.resources, b.resources),
    })
}

struct Load {
    args: Args,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Load {
    fn usage(&self) -> Usage {
        proc::usage(&self.args.server_pid)
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.args.timeout)
    }

    /// Opens the connections; returns the time each took.
    async fn connect(&self) -> Result<(Vec<Channel>, Vec<u64>), String> {
        let a = &self.args;
        let endpoint = Endpoint::from_shared(a.server.clone())
            .map_err(|e| e.to_string())?
            .initial_stream_window_size(a.window)
            .initial_connection_window_size(a.window.saturating_add(a.window / 2).min((1 << 31) - 1))
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(30));
        let gate = Arc::new(Semaphore::new(CONNECTING));
        let mut set = JoinSet::new();
        for i in 0..a.clients {
            let (endpoint, gate) = (endpoint.clone(), Arc::clone(&gate));
            set.spawn(async move {
                let _permit = gate.acquire().await;
                let t = Instant::now();
                let c = endpoint.connect().await.map_err(|e| format!("connect: {e:?}"))?;
                Ok::<_, String>((i, c, t.elapsed().as_nanos() as u64))
            });
        }
        let mut channels: Vec<Option<Channel>> = vec![None; a.clients];
        let mut times = Vec::with_capacity(a.clients);
        while let Some(r) = set.join_next().await {
            let (at, channel, took) = r.map_err(|e| e.to_string())??;
            channels[at] = Some(channel);
            times.push(took);
        }
        Ok((channels.into_iter().flatten().collect(), times))
    }

    fn manner(&self, i: usize) -> Manner {
        let a = &self.args;
        if i >= a.clients - a.nack {
            Manner::Nack
        } else if i >= a.clients - a.nack - a.slow {
            Manner::Slow(Duration::from_secs_f64(a.slow_for))
        } else {
            Manner::Good
        }
    }

    /// Clients that take part in a round's figures.
    fn good(&self) -> usize {
        self.args.clients - self.args.nack - self.args.slow
    }

    /// Starts all clients at one moment.
    fn start(&mut self, channels: &[Channel], resume: bool) -> u64 {
        let (tx, rx) = watch::channel(false);
        for i in 0..self.args.clients {
            let c = channels[i % channels.len()].clone();
            self.tasks.spawn(client::run(Arc::clone(&self.shared), i, self.manner(i), c, rx.clone(), resume));
        }
        let t = self.shared.now();
        tx.send_replace(true);
        t
    }

    /// Waits until `done` says so; false if the time ran out or every stream is gone.
    async fn wait(&self, done: impl Fn(&Shared) -> bool) -> bool {
        let end = Instant::now() + self.timeout();
        loop {
            let changed = self.shared.changed.notified();
            if done(&self.shared) {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
        }
    }

    /// Waits until nothing has arrived for a while. A client that is told to misbehave does not count.
    async fn quiet(&self) {
        let end = Instant::now() + self.timeout();
        let quiet = Duration::from_millis(self.args.quiet);
        let since = self.shared.now();
        loop {
            let last = self.shared.counters[..self.good()]
                .iter()
                .map(|c| c.last_rx.load(Relaxed))
                .max()
                .unwrap_or(0)
                .max(since);
            let idle = Duration::from_nanos(self.shared.now().saturating_sub(last));
            if idle >= quiet || Instant::now() > end {
                return;
            }
            tokio::time::sleep(quiet.saturating_sub(idle)).await;
        }
    }

    async fn first_sync(&mut self) -> Result<(Value, Value), String> {
        let (u0, own0) = (self.usage(), proc::own());
        let t = Instant::now();
        let (channels, times) = self.connect().await?;
        let connect = json!({"connections": channels.len(), "ms": spread(times), "all_ms": round2(t.elapsed().as_secs_f64() * 1e3)});
        let u1 = self.usage();
        let t0 = self.start(&channels, false);
        drop(channels);
        let n = self.args.clients;
        let complete = self.wait(|s| s.synced.load(Relaxed) >= n).await;
        self.quiet().await;
        let (u2, own) = (self.usage(), proc::own());
        let v: Vec<u64> = self
            .shared
            .counters
            .iter()
            .map(|c| c.synced.load(Relaxed))
            .filter(|t| *t > 0)
            .map(|t| t - t0)
            .collect();
        let sync = json!({
            "complete": complete, "ms": spread(v),
            "per_client": per_client(Totals::default(), totals(&self.shared, 0..n), n),
            "server_cpu_s": used(u1, u2), "server_cpu_s_connect": used(u0, u1), "server_rss_mib": u2.rss_kib / 1024,
            "server_rss_mib_before": u0.rss_kib / 1024, "server_peak_mib": u2.peak_kib / 1024,
            "own_cpu_s": used(own0, own), "own_rss_mib": own.rss_kib / 1024,
        });
        Ok((connect, sync))
    }

    /// Runs the trigger; returns how long it took and what it said.
    async fn trigger(&self, weight: u32) -> Result<(f64, String), String> {
        let t = Instant::now();
        let args = &self.args;
        let said = match (&args.trigger_http, &args.edit, &args.template) {
            (Some(url), ..) => {
                let url = url.replace("{w}", &weight.to_string());
                get(&url).await.map_err(|e| format!("trigger: {e}"))?
            }
            (None, Some(file), Some(template)) => {
                edit(file, template, weight).map_err(|e| format!("{}: {e}", file.display()))?;
                String::new()
            }
            _ => String::new(),
        };
        Ok((round2(t.elapsed().as_secs_f64() * 1e3), said))
    }

    async fn round(&self, k: u32) -> Result<(Value, Vec<u64>), String> {
        let s = &self.shared;
        let (n, good) = (self.args.clients, self.good());
        let weight = self.args.weights[k as usize % self.args.weights.len()];
        let (u0, own0) = (self.usage(), proc::own());
        let (before, bad_before) = (totals(s, 0..good), totals(s, good..n));
        s.weight.store(weight, Relaxed);
        s.round.store(k + 1, Relaxed);
        let t0 = s.now();
        let started = Instant::now();
        let hits =
            |s: &Shared| s.counters[..good].iter().filter(|c| c.hit_round.load(Relaxed) == k + 1).count();
        let (trigger, complete) = tokio::join!(self.trigger(weight), self.wait(|s| hits(s) >= good));
        let (trigger_ms, said) = trigger?;
        self.quiet().await;
        let took = started.elapsed().as_secs_f64();
        let (u1, own1) = (self.usage(), proc::own());
        let v: Vec<u64> = s.counters[..good]
            .iter()
            .filter(|c| c.hit_round.load(Relaxed) == k + 1)
            .map(|c| c.hit.load(Relaxed).saturating_sub(t0))
            .collect();
        let bad = totals(s, good..n);
        let mut out = json!({
            "weight": weight, "complete": complete, "ms": spread(v.clone()), "trigger_ms": trigger_ms, "trigger_said": said,
            "per_client": per_client(before, totals(s, 0..good), good.max(1)),
            "server_cpu_s": used(u0, u1), "server_rss_mib": u1.rss_kib / 1024, "server_peak_mib": u1.peak_kib / 1024,
            "own_cpu_s": used(own0, own1),
        });
        if n > good {
            let caught_up = s.counters[good..n].iter().filter(|c| c.hit_round.load(Relaxed) == k + 1).count();
            out["misbehaving"] = json!({
                "per_client": per_client(bad_before, bad, n - good), "seconds": round2(took),
                "nacks": bad.nacks - bad_before.nacks, "saw_change": caught_up,
            });
        }
        Ok((out, v))
    }

    /// All clients at once lose their connection and come back with what they know.
    async fn come_back(&mut self) -> Result<Value, String> {
        self.tasks.shutdown().await;
        tokio::time::sleep(Duration::from_millis(self.args.quiet)).await;
        let (u0, before) = (self.usage(), totals(&self.shared, 0..self.args.clients));
        let (channels, times) = self.connect().await?;
        let t0 = self.start(&channels, true);
        drop(channels);
        // A server may owe a client nothing; do not wait for it much longer than for the others.
        let patience = Duration::from_secs_f64(self.args.timeout.min(15.0));
        let end = Instant::now() + patience;
        while Instant::now() < end && self.shared.counters.iter().any(|c| c.last_rx.load(Relaxed) < t0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.quiet().await;
        let v: Vec<u64> =
            self.shared.counters.iter().filter_map(|c| c.last_rx.load(Relaxed).checked_sub(t0)).collect();
        let u1 = self.usage();
        Ok(json!({
            "connect_ms": spread(times), "last_byte_ms": spread(v),
            "per_client": per_client(before, totals(&self.shared, 0..self.args.clients), self.args.clients),
            "server_cpu_s": used(u0, u1), "server_rss_mib": u1.rss_kib / 1024,
        }))
    }

    async fn run(mut self) -> Result<Value, String> {
        let (connect, sync) = self.first_sync().await?;
        let mut out = json!({
            "protocol": format!("{:?}", self.args.protocol).to_lowercase(),
            "clients": self.args.clients, "connect": connect, "sync": sync,
        });
        if self.args.edit.is_some() || self.args.trigger_http.is_some() {
            let (mut rounds, mut all, mut last) = (vec![], vec![], vec![]);
            for k in 0..self.args.repeat {
                let (r, v) = self.round(k).await?;
                rounds.push(r);
                last.extend(v.iter().max());
                all.extend(v);
                tokio::time::sleep(Duration::from_secs_f64(self.args.interval)).await;
            }
            let mean = |key: &str| {
                round2(
                    rounds.iter().filter_map(|r| r[key].as_f64()).sum::<f64>() / rounds.len().max(1) as f64,
                )
            };
            let cpu = rounds.iter().filter_map(|r| r["server_cpu_s"].as_f64()).sum::<f64>()
                / rounds.len().max(1) as f64;
            out["change"] = json!({
                "ms": spread(all), "last_client_ms": spread(last), "trigger_ms_mean": mean("trigger_ms"),
                "server_cpu_s_mean": (cpu * 1e6).round() / 1e6,
                "complete": rounds.iter().all(|r| r["complete"] == true),
                "per_client": rounds.last().map(|r| r["per_client"].clone()),
            });
            out["rounds"] = json!(rounds);
        }
        let mut back = vec![];
        for _ in 0..self.args.reconnect {
            back.push(self.come_back().await?);
        }
        if !back.is_empty() {
            out["reconnects"] = json!(back);
        }
        let u = self.usage();
        out["server"] =
            json!({"cpu_s": round2(u.cpu_s), "rss_mib": u.rss_kib / 1024, "peak_mib": u.peak_kib / 1024});
        out["own"] = json!({"cpu_s": round2(proc::own().cpu_s), "peak_mib": proc::own().peak_kib / 1024});
        let errors: HashMap<String, usize> = lock(&self.shared.errors).clone();
        out["errors"] = json!(errors);
        Ok(out)
    }
}

/// Replaces a file as careful programs do, so that its readers see the old text or the new one.
fn edit(file: &Path, template: &Path, weight: u32) -> std::io::Result<()> {
    let percent = |w: u32| format!("{}.{:02}", w / 100, w % 100);
    let text = std::fs::read_to_string(template)?
        .replace("{canary}", &percent(weight))
        .replace("{stable}", &percent(10_000 - weight.min(10_000)));
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
}

/// A plain HTTP/1.1 GET; the body, or an error for any status but 2xx.
async fn get(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// is supported")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let e = |e: std::io::Error| e.to_string();
    let mut s = TcpStream::connect(host).await.map_err(e)?;
    s.set_nodelay(true).map_err(e)?;
    let req = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    s.write_all(req.as_bytes()).await.map_err(e)?;
    let mut buf = String::new();
    s.read_to_string(&mut buf).await.map_err(e)?;
    let status = buf.split(' ').nth(1).unwrap_or("");
    if !status.starts_with('2') {
        return Err(format!("HTTP status {status}"));
    }
    Ok(buf.split_once("\r\n\r\n").map_or("", |x| x.1).trim().to_string())
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.clients == 0 || args.clients < args.nack + args.slow || args.weights.is_empty() {
        eprintln!("xdsload: at least one client and one weight, and no more --nack and --slow than clients");
        return ExitCode::from(2);
    }
    if let Some(d) = &args.record
        && let Err(e) = std::fs::create_dir_all(d)
    {
        eprintln!("xdsload: {}: {e}", d.display());
        return ExitCode::from(2);
    }
    let behaviour = Behaviour {
        delta: args.protocol == Protocol::Delta,
        scoped: args.scoped,
        node_prefix: args.node_prefix.clone(),
        node_cluster: args.node_cluster.clone(),
        cluster: args.match_cluster.clone(),
        remember: args.reconnect > 0,
        record: args.record.clone(),
    };
    let shared = Arc::new(Shared::new(behaviour, args.clients));
    // One thread: the server under test has the other CPUs.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("xdsload: {e}");
            return ExitCode::FAILURE;
        }
    };
    let load = Load { args, shared, tasks: JoinSet::new() };
    match runtime.block_on(load.run()) {
        Ok(v) => {
            println!("{v:#}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("xdsload: {e}");
            ExitCode::FAILURE
        }
    }
}
