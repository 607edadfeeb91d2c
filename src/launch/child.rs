//! Runs one Envoy as a child that leaves nothing behind, whatever becomes of us.
//!
//! Envoy is started by a few lines of shell that first leave a watcher beside it and then *become* Envoy, so its
//! process id and its exit are our child's. The watcher waits on a pipe that only we hold. When we end in any way,
//! `kill -9` included, the pipe closes and the watcher ends Envoy. (Linux could signal the death of a parent
//! itself, but means the parent's thread, and threads of a runtime come and go.)
//!
//! Hot restart is off: it would want a base id of its own for each Envoy on the machine, and leaves a file in
//! `/dev/shm` behind.

use super::log::{self, Complaints, LogTo};
use super::{EnvoyBinary, Error};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;

/// `$0` is our directory, the arguments are Envoy and its own. A line on the pipe means that Envoy has ended and
/// its process id may be another's by now; only a pipe that closes without a line is our death.
const WATCHED: &str = r#"
exec 3<&0
(
  read -r _ <&3 && exit
  kill -TERM $$
  n=0
  while [ $n -lt 5 ] && kill -0 $$; do sleep 1; n=$((n + 1)); done
  kill -KILL $$
  rm -rf -- "$0"
) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// Between two questions to an Envoy that is not yet where we want it.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How an Envoy is run.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// Envoy's `--log-level`: `trace`, `debug`, `info`, `warning`, `error`, `critical` or `off`.
    pub log_level: String,
    /// Worker threads; `None`: one for each processor.
    pub concurrency: Option<u32>,
    /// Where its log goes.
    pub log: LogTo,
    /// How long it may take to end before it is killed.
    pub grace: Duration,
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self {
            log_level: "warning".to_owned(),
            concurrency: None,
            log: LogTo::default(),
            grace: Duration::from_secs(5),
        }
    }
}

/// A running Envoy. Dropped, it is killed; [`Envoy::stop`] ends it in order.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    pid: Pid,
    /// The watcher's pipe, until Envoy has ended.
    alive: Option<ChildStdin>,
    /// The readers of its log.
    lines: JoinSet<()>,
    complaints: Complaints,
    admin: reqwest::Client,
    grace: Duration,
    /// Goes last.
    home: TempDir,
}

impl Envoy {
    /// Starts Envoy with this bootstrap. Its admin is a unix socket of ours, wherever the bootstrap wants it: no
    /// port can be taken, and nobody else on the machine can stop it.
    pub async fn start(binary: &EnvoyBinary, bootstrap: &str, options: &EnvoyOptions) -> Result<Self, Error> {
        let home = tempfile::Builder::new().prefix("serin-envoy-").tempdir();
        let home = home.map_err(Error::file("cannot create a directory in", &std::env::temp_dir()))?;
        let config = home.path().join("bootstrap.yaml");
        std::fs::write(&config, bootstrap).map_err(Error::file("cannot write", &config))?;
        let socket = home.path().join("admin.sock");
        let log_file = open_log(&options.log).await?;

        let mut child = Command::new("sh");
        child.args(["-c", WATCHED]).arg(home.path()).arg(&binary.path).arg("--config-path").arg(&config);
        child.args(["--config-yaml", &admin_on(&socket), "--disable-hot-restart"]);
        child.args(["--log-level", &options.log_level, "--log-format", log::FORMAT]);
        if let Some(threads) = options.concurrency {
            child.args(["--concurrency", &threads.to_string()]);
        }
        // A group of its own: Ctrl-C in a terminal is for us, who then stop Envoy in our order.
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let failed = |source| Error::Run { program: binary.path.clone(), source };
        let mut child = child.kill_on_drop(true).spawn().map_err(failed)?;

        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        let (mut lines, complaints) = (JoinSet::new(), Complaints::default());
        if let Some(said) = child.stdout.take() {
            let copy = match &log_file {
                Some(file) => Some(file.try_clone().await.map_err(failed)?),
                None => None,
            };
            lines.spawn(log::follow(said, "info", copy, Complaints::default())); // access logs, if any
        }
        if let Some(said) = child.stderr.take() {
            // Before its log starts, Envoy speaks only when something is wrong with its command line.
            lines.spawn(log::follow(said, "error", log_file, complaints.clone()));
        }
        let admin =
            crate::client::builder().unix_socket(socket).no_proxy().build().map_err(no_answer("/"))?;
        tracing::info!(pid = pid.as_raw_pid(), version = %binary.version, "Envoy started");
        Ok(Self {
            alive: child.stdin.take(),
            child,
            pid,
            lines,
            complaints,
            admin,
            grace: options.grace,
            home,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Its own directory with `bootstrap.yaml` and the admin's `admin.sock`, which goes with it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until Envoy runs and its admin answers. It may still wait for its control plane.
    pub async fn up(&mut self, within: Duration) -> Result<(), Error> {
        self.until("up", within, |_| true).await
    }

    /// Waits until Envoy has its configuration and serves.
    pub async fn ready(&mut self, within: Duration) -> Result<(), Error> {
        self.until("ready", within, |status| status.is_success()).await
    }

    /// The admin's answer to GET `path`, such as `/stats?filter=cluster` or `/config_dump`.
    pub async fn admin(&self, path: &str) -> Result<(http::StatusCode, String), Error> {
        let answer = self.admin.get(format!("http://admin{path}")).send().await.map_err(no_answer(path))?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(no_answer(path))?))
    }

    /// Waits for Envoy to end by itself. May be dropped and called again.
    pub async fn exited(&mut self) -> Result<ExitStatus, Error> {
        let status =
            self.child.wait().await.map_err(|source| Error::Run { program: "Envoy".into(), source })?;
        if let Some(mut alive) = self.alive.take() {
            let _ = alive.write_all(b"\n").await; // a watcher that is gone needs no word
        }
        while self.lines.join_next().await.is_some() {}
        tracing::info!(pid = self.pid(), "Envoy ended: {status}");
        Ok(status)
    }

    /// What it complained of so far, first things first.
    pub fn complaints(&self) -> String {
        self.complaints.text()
    }

    /// Ends Envoy: a request first, force after the grace. Gives how it ended.
    pub async fn stop(mut self) -> Result<ExitStatus, Error> {
        if self.child.id().is_some() {
            let _ = kill_process(self.pid, Signal::TERM); // not after its end: the id may be another's by then
        }
        if let Ok(status) = tokio::time::timeout(self.grace, self.exited()).await {
            return status;
        }
        tracing::warn!(pid = self.pid(), "Envoy does not end in {:?}: killed", self.grace);
        let _ = self.child.start_kill();
        self.exited().await
    }

    async fn until(
        &mut self,
        awaited: &'static str,
        within: Duration,
        there: impl Fn(http::StatusCode) -> bool,
    ) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + within;
        let mut state = "its admin does not answer".to_owned();
        loop {
            match tokio::time::timeout_at(deadline, self.admin("/ready")).await {
                Ok(Ok((status, _))) if there(status) => return Ok(()),
                Ok(Ok((_, said))) => said.trim().clone_into(&mut state),
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::select! {
                biased;
                status = self.exited() => return Err(Error::Exited { status: status?, said: self.complaints() }),
                () = tokio::time::sleep_until(deadline) => return Err(Error::NotYet { awaited, within, state }),
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }
}

/// Envoy merges this over the bootstrap; 384 is 0600.
fn admin_on(socket: &Path) -> String {
    serde_json::json!({ "admin": { "address": { "pipe": { "path": socket, "mode": 384 } } } }).to_string()
}

async fn open_log(to: &LogTo) -> Result<Option<tokio::fs::File>, Error> {
    let LogTo::File(path) = to else { return Ok(None) };
    let opened = tokio::fs::OpenOptions::new().create(true).append(true).open(path).await;
    opened.map(Some).map_err(Error::file("cannot open", path))
}

fn no_answer(path: &str) -> impl FnOnce(reqwest::Error) -> Error {
    let url = format!("Envoy's admin {path}");
    move |source| Error::Http { url, source }
}
