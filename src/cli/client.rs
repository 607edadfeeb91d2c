//! Talks to the HTTP API of a running server.

use crate::client;
use anyhow::{Context, anyhow, bail};
use serde_json::Value;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The HTTP address of the server
    #[arg(long, env = "SERIN_SERVER", default_value = "http://127.0.0.1:18080", value_name = "URL")]
    pub(super) server: String,
}

/// The answer to a question that may have none.
pub(super) enum Answer {
    Found(Value),
    /// With the server's sentence.
    NotFound(String),
}

impl ServerArgs {
    /// Reads a page of the API, for instance `gateways`.
    pub(super) async fn get(&self, page: &str) -> anyhow::Result<Answer> {
        let url = format!("{}/api/v1/{page}", self.server.trim_end_matches('/'));
        let answer = client::builder().build()?.get(&url).send().await.with_context(|| {
            format!("no answer from {}; is `serin serve` running, or is --server another one?", self.server)
        })?;
        let status = answer.status();
        let body: Value = answer.json().await.with_context(|| format!("{url} is not the API of serin"))?;
        let detail = || body.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned();
        match status.as_u16() {
            200 => Ok(Answer::Found(body)),
            404 => Ok(Answer::NotFound(detail())),
            _ => bail!(anyhow!("{url}: {status}: {}", detail())),
        }
    }
}
