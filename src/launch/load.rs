//! A steady load: so many requests a second over so many connections, and what came of them.
//!
//! It is open: requests are due by the clock, not when the one before is answered. A latency counts from the time
//! the request was due, so a server that stands still for a second is seen by all requests of that second. What
//! fails is counted; nothing ends the load but its limit or [`Load::stop`].

use super::{Error, Report};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// A load without a rate gives a server that refuses it this pause.
const AFTER_A_FAILURE: Duration = Duration::from_millis(10);

/// A load to be.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where to.
    pub url: String,
    /// Sent along with each request.
    pub headers: http::HeaderMap,
    /// Set: POST with this JSON; else GET.
    pub body: Option<serde_json::Value>,
    /// How many, each with at most one request under way; each is kept open.
    pub connections: usize,
    /// Requests a second over all connections; `None`: as fast as answers come.
    pub rate: Option<f64>,
    /// When it ends.
    pub until: Until,
    /// When an answer is no longer waited for.
    pub timeout: Duration,
    /// Where an answer names its version.
    pub version: VersionIn,
}

/// When a load ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// When no more are due after this time.
    Elapsed(Duration),
    /// Never.
    Stopped,
}

/// Where an answer names the version that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionIn {
    /// A response header.
    Header(String),
    /// A field of the JSON body, at its top.
    Json(String),
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080/".to_owned(),
            headers: http::HeaderMap::new(),
            body: None,
            connections: 4,
            rate: Some(20.0),
            until: Until::Stopped,
            timeout: Duration::from_secs(10),
            version: VersionIn::Json("version".to_owned()),
        }
    }
}

/// A running load. Dropped, it ends at once.
#[derive(Debug)]
pub struct Load {
    report: watch::Receiver<Report>,
    connections: JoinSet<()>,
    is_ending: Arc<AtomicBool>,
}

/// What the connections share.
#[derive(Debug)]
struct Plan {
    options: LoadOptions,
    start: Instant,
    /// The number of the next request.
    next: AtomicU64,
    /// No more requests are to be sent.
    is_ending: Arc<AtomicBool>,
    report: watch::Sender<Report>,
}

impl Load {
    /// Starts; the first request is due now.
    pub fn start(options: LoadOptions) -> Result<Self, Error> {
        let count = options.connections.max(1);
        let clients: Vec<_> = (0..count).map(|_| client(&options)).collect::<Result<_, _>>()?;
        let (report, seen) = watch::channel(Report::default());
        let (is_ending, next) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
        let plan = Plan { options, start: Instant::now(), next, is_ending: Arc::clone(&is_ending), report };
        let plan = Arc::new(plan);
        let mut connections = JoinSet::new();
        for client in clients {
            let plan = plan.clone();
            connections.spawn(async move { plan.run(&client).await });
        }
        Ok(Self { report: seen, connections, is_ending })
    }

    /// What came of it so far.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Waits until the report is as wanted, or the load has ended.
    pub async fn until(&mut self, wanted: impl FnMut(&Report) -> bool) -> Report {
        let _ = self.report.wait_for(wanted).await; // fails when the load has ended
        self.report()
    }

    /// Waits for its end.
    pub async fn finished(mut self) -> Report {
        while self.connections.join_next().await.is_some() {}
        self.report()
    }

    /// Ends it when the requests under way are answered, so that both sides have counted the same.
    pub async fn end(self) -> Report {
        self.is_ending.store(true, Relaxed);
        self.finished().await
    }

    /// Ends it now; requests under way do not count.
    pub async fn stop(mut self) -> Report {
        self.connections.shutdown().await;
        self.report()
    }
}

impl Plan {
    /// One connection: takes the next request, waits until it is due, sends it.
    async fn run(&self, client: &reqwest::Client) {
        while let Some(due) = self.due(self.next.fetch_add(1, Relaxed)) {
            sleep_until(due).await;
            if self.is_ending.load(Relaxed) {
                return;
            }
            let answer = self.ask(client).await;
            let took = due.elapsed();
            let failed = answer.is_err();
            self.report.send_modify(|report| match answer {
                Ok((status, version)) => report.answer(status, version, took),
                Err(kind) => report.failure(kind),
            });
            if failed && self.options.rate.is_none() {
                sleep(AFTER_A_FAILURE).await;
            }
        }
    }

    /// When request `number` is due; `None` after the end.
    fn due(&self, number: u64) -> Option<Instant> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 requests are out of reach")]
        let due = match self.options.rate {
            Some(rate) => self.start + Duration::try_from_secs_f64(number as f64 / rate).ok()?,
            None => Instant::now(),
        };
        let more = match self.options.until {
            Until::Requests(count) => number < count,
            Until::Elapsed(time) => due.duration_since(self.start) < time,
            Until::Stopped => true,
        };
        more.then_some(due)
    }

    /// Sends one request and reads the whole answer.
    async fn ask(&self, client: &reqwest::Client) -> Result<(u16, Option<String>), &'static str> {
        let LoadOptions { url, headers, body, version, .. } = &self.options;
        let request = match body {
            Some(body) => client.post(url).json(body),
            None => client.get(url),
        };
        let answer = request.headers(headers.clone()).send().await.map_err(|e| kind(&e))?;
        let status = answer.status().as_u16();
        let header = match version {
            VersionIn::Header(name) => {
                answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
            }
            VersionIn::Json(_) => None,
        };
        let body = answer.bytes().await.map_err(|e| kind(&e))?;
        let version = match version {
            VersionIn::Header(_) => header,
            VersionIn::Json(field) => serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|body| body.get(field)?.as_str().map(str::to_owned)),
        };
        Ok((status, version))
    }
}

/// A client with one connection of its own. A proxy of the environment has no part in a load on this machine.
fn client(options: &LoadOptions) -> Result<reqwest::Client, Error> {
    let refused = |source| Error::Http { url: options.url.clone(), source };
    let client = crate::client::builder()
        .no_proxy()
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(None)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(options.timeout)
        .build()
        .map_err(refused)?;
    client.get(&options.url).build().map_err(refused)?; // a URL that cannot be asked is no load
    Ok(client)
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "broken"
    }
}
