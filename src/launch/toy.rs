//! A toy model server: answers at once or as slow, wrong and sick as it is told, and counts.
//!
//! It plays one version of a model in the demo, in tests and in benches. Nothing is left to chance: a share of
//! failures is spread evenly over the requests, so a hundred requests at 5 % are five failures.

use super::Error;
use crate::weight::{WHOLE, Weight};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

/// The header of every answer that names the version.
pub const VERSION_HEADER: &str = "x-model-version";

/// What a stream says, word by word.
const WORDS: [&str; 5] = ["the", "model", "sings", "like", "a canary"];

/// A toy model server to be.
#[derive(Clone, Debug)]
pub struct ToyOptions {
    /// Where it listens; port 0 is a free one.
    pub address: SocketAddr,
    /// The model it plays.
    pub model: String,
    /// Which version of it.
    pub version: String,
    /// What it predicts, always.
    pub prediction: f64,
    /// Which share of its predictions is the opposite, 1 minus the other one.
    pub astray: Weight,
    /// How long it thinks, at first.
    pub latency: Duration,
    /// Which share of its answers is a 500, at first.
    pub failures: Weight,
}

impl Default for ToyOptions {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            model: "fraud".to_owned(),
            version: "v1".to_owned(),
            prediction: 0.93,
            astray: Weight::NONE,
            latency: Duration::ZERO,
            failures: Weight::NONE,
        }
    }
}

/// A running toy. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Toy {
    address: SocketAddr,
    mind: Arc<Mind>,
    server: JoinSet<()>,
    /// Dropped: the server ends, and closes connections as their answers are out.
    stop: oneshot::Sender<Infallible>,
}

#[derive(Debug)]
struct Mind {
    model: String,
    version: String,
    prediction: f64,
    astray: Weight,
    predictions: AtomicU64,
    latency: AtomicU64,
    failures: AtomicU32,
    healthy: AtomicBool,
    requests: AtomicU64,
}

impl Toy {
    /// Listens, and answers from now on:
    ///
    /// | path | answer |
    /// |---|---|
    /// | `/health` | 200, or 503 after [`Toy::set_healthy`] |
    /// | `/echo` | method, path and headers of the request |
    /// | `/stream` | server-sent events, the latency before each |
    /// | any other | `{"model":"fraud","version":"v1","prediction":[0.93]}` |
    pub async fn start(options: ToyOptions) -> Result<Self, Error> {
        // Whoever asks a toy makes a client.
        crate::client::choose_provider();
        let failed = |source| Error::Listen { address: options.address, source };
        let listener = tokio::net::TcpListener::bind(options.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mind = Arc::new(Mind {
            model: options.model,
            version: options.version,
            prediction: options.prediction,
            astray: options.astray,
            predictions: AtomicU64::new(0),
            latency: AtomicU64::new(micros(options.latency)),
            failures: AtomicU32::new(options.failures.hundredths()),
            healthy: AtomicBool::new(true),
            requests: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/health", get(health))
            .route("/echo", any(echo))
            .route("/stream", any(stream))
            .fallback(predict)
            .layer(DefaultBodyLimit::disable())
            .with_state(mind.clone());
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let end = async {
                let _ = stopped.await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(end).await {
                tracing::error!("toy server on {address}: {error}");
            }
        });
        Ok(Self { address, mind, server, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came, without those to `/health`.
    pub fn requests(&self) -> u64 {
        self.mind.requests.load(Relaxed)
    }

    /// How long it thinks from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.mind.latency.store(micros(latency), Relaxed);
    }

    /// Which share of its answers is a 500 from now on.
    pub fn set_failures(&self, failures: Weight) {
        self.mind.failures.store(failures.hundredths(), Relaxed);
    }

    /// What `/health` says from now on.
    pub fn set_healthy(&self, healthy: bool) {
        self.mind.healthy.store(healthy, Relaxed);
    }

    /// Ends it: no new connections, answers under way are finished, idle connections are closed.
    pub async fn stop(self) {
        let Self { stop, mut server, .. } = self;
        drop(stop);
        while server.join_next().await.is_some() {}
    }
}

impl Mind {
    /// Counts a request, thinks, and says whether to answer it well.
    async fn think(&self) -> bool {
        let number = self.requests.fetch_add(1, Relaxed);
        let well = !fails(number, self.failures.load(Relaxed));
        let latency = self.latency.load(Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
        well
    }

    fn predict(&self) -> f64 {
        let number = self.predictions.fetch_add(1, Relaxed);
        if fails(number, self.astray.hundredths()) { 1.0 - self.prediction } else { self.prediction }
    }
}

/// Whether request `number`, from 0, is one of the share: when the share of all so far reaches a new whole number.
fn fails(number: u64, share: u32) -> bool {
    let (number, share, whole) = (u128::from(number), u128::from(share), u128::from(WHOLE));
    number * share / whole != (number + 1) * share / whole
}

async fn health(State(mind): State<Arc<Mind>>) -> StatusCode {
    if mind.healthy.load(Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The body is read and dropped, so that the connection can be used again.
async fn predict(State(mind): State<Arc<Mind>>, _body: Bytes) -> Response {
    let (status, answer) = if mind.think().await {
        let answer = json!({ "model": mind.model, "version": mind.version, "prediction": [mind.predict()] });
        (StatusCode::OK, answer)
    } else {
        let answer = json!({ "model": mind.model, "version": mind.version, "error": "told to fail" });
        (StatusCode::INTERNAL_SERVER_ERROR, answer)
    };
    (status, [(VERSION_HEADER, mind.version.clone())], Json(answer)).into_response()
}

async fn echo(
    State(mind): State<Arc<Mind>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Json<serde_json::Value> {
    mind.think().await;
    let mut said = BTreeMap::<&str, Vec<_>>::new();
    for (name, value) in &headers {
        said.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
    }
    let headers: BTreeMap<_, _> = said.into_iter().map(|(name, values)| (name, values.join(", "))).collect();
    Json(json!({
        "version": mind.version,
        "method": method.as_str(),
        "path": uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn stream(State(mind): State<Arc<Mind>>) -> Response {
    if !mind.think().await {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let header = [(VERSION_HEADER, mind.version.clone())];
    let words = tokio_stream::iter(WORDS).then(move |word| {
        let latency = Duration::from_micros(mind.latency.load(Relaxed));
        async move {
            tokio::time::sleep(latency).await;
            Ok::<_, Infallible>(Event::default().data(word))
        }
    });
    (header, Sse::new(words)).into_response()
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_exactly_the_share_and_evenly_spread() {
        for hundredths in [0, 1, 500, 3333, WHOLE] {
            let failed = (0..u64::from(WHOLE)).filter(|n| fails(*n, hundredths)).count();
            assert_eq!(failed, hundredths as usize);
        }
        let every_twentieth: Vec<u64> = (0..60).filter(|n| fails(*n, 500)).collect();
        assert_eq!(every_twentieth, [19, 39, 59]);
    }
}
