//! Talks to the HTTP API of a running server.

use crate::client;
use anyhow::{Context, anyhow};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The HTTP address of the server
    #[arg(long, env = "SERIN_SERVER", default_value = "http://127.0.0.1:18080", value_name = "URL")]
    pub(super) server: String,
    /// A file with the token to show, as `serin tokens new` printed it
    #[arg(long, env = "SERIN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who signs the server's certificate, in PEM [default: whom this machine trusts]
    #[arg(long, env = "SERIN_SERVER_CA", value_name = "FILE")]
    server_ca: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// Nobody is there, or the connection broke.
    #[error("no answer from {0}; is `serin serve` running, or is --server another one?")]
    Gone(String, #[source] reqwest::Error),
    /// It is something else, or it failed.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The answer to an order.
pub(super) enum Verdict {
    Done(Value),
    /// With the server's sentence.
    Refused(String),
}

/// The answer to a question that may have none.
pub(super) enum Answer {
    Found(Value),
    /// With the server's sentence.
    NotFound(String),
}

impl ServerArgs {
    /// A server that wants no token.
    pub(super) fn of(server: String) -> Self {
        Self { server, token_file: None, server_ca: None }
    }

    fn url(&self, page: &str) -> String {
        format!("{}/api/v1/{page}", self.server.trim_end_matches('/'))
    }

    fn request(&self, method: Method, url: &str) -> anyhow::Result<RequestBuilder> {
        let mut client = client::builder();
        if let Some(file) = &self.server_ca {
            let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} holds no certificates in PEM", file.display()))?;
            client = client.tls_certs_only(authorities);
        }
        let request = client.build()?.request(method, url);
        let Some(file) = &self.token_file else { return Ok(request) };
        let token =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(request.bearer_auth(token.trim()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, Silence> {
        request.send().await.map_err(|e| Silence::Gone(self.server.clone(), e))
    }

    /// Reads a page of the API, for instance `gateways`.
    pub(super) async fn get(&self, page: &str) -> Result<Answer, Silence> {
        let url = self.url(page);
        let answer = self.send(self.request(Method::GET, &url)?).await?;
        let status = answer.status();
        let body = json(answer, &url).await?;
        match status.as_u16() {
            200 => Ok(Answer::Found(body)),
            404 => Ok(Answer::NotFound(detail(&body))),
            _ => Err(Silence::Other(anyhow!("{url}: {status}: {}", detail(&body)))),
        }
    }

    /// Gives an order. It is sent once: whoever gets no answer looks before they say it again.
    pub(super) async fn post(&self, page: &str, body: &Value) -> Result<Verdict, Silence> {
        self.order(reqwest::Method::POST, page, body).await
    }

    /// Says how something should be.
    pub(super) async fn put(&self, page: &str, body: &Value) -> Result<Verdict, Silence> {
        self.order(reqwest::Method::PUT, page, body).await
    }

    async fn order(&self, method: reqwest::Method, page: &str, body: &Value) -> Result<Verdict, Silence> {
        let url = self.url(page);
        let answer = self.send(self.request(method, &url)?.json(body)).await?;
        let status = answer.status();
        let body = json(answer, &url).await?;
        match status {
            s if s.is_success() => Ok(Verdict::Done(body)),
            s if s.is_client_error() => Ok(Verdict::Refused(detail(&body))),
            _ => Err(Silence::Other(anyhow!("{url}: {status}: {}", detail(&body)))),
        }
    }

    /// Follows the journal after an entry. Ends when the server does.
    pub(super) async fn follow(
        &self,
        page: &str,
        after: u64,
        mut each: impl FnMut(Value) -> anyhow::Result<()>,
    ) -> Result<(), Silence> {
        let url = self.url(page);
        let request = self.request(Method::GET, &url)?.header("accept", "text/event-stream");
        let mut answer = self.send(request.header("last-event-id", after.to_string())).await?;
        if !answer.status().is_success() {
            let status = answer.status();
            let body = json(answer, &url).await?;
            return Err(Silence::Other(anyhow!("{url}: {status}: {}", detail(&body))));
        }
        let mut waiting: Vec<u8> = Vec::new();
        // A connection that breaks is the end of the stream too.
        while let Ok(Some(chunk)) = answer.chunk().await {
            waiting.extend_from_slice(&chunk);
            while let Some(end) = waiting.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                // The server puts each entry into one line; other lines hold its number or keep the connection.
                if let Some(data) = line.strip_prefix(b"data:") {
                    each(serde_json::from_slice(data).map_err(anyhow::Error::from)?)?;
                }
            }
        }
        Ok(())
    }
}

async fn json(answer: reqwest::Response, url: &str) -> anyhow::Result<Value> {
    answer.json().await.with_context(|| format!("{url} is not the API of serin"))
}

fn detail(problem: &Value) -> String {
    problem.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned()
}
