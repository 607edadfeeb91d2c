//! One question: bounded in time and size.

use super::answer::{Said, point};
use super::{prometheus, webhook};
use crate::client::{Clients, reason};
use crate::control::{Point, Question};
use crate::model::{MetricSource, Pem, Remote};
use crate::rollout::Side;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// For the whole of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Prometheus gives up a little before we do, and can then say why.
const ITS_TIMEOUT: Duration = Duration::from_secs(9);
/// More than the answer to any question about one number.
const MAX_SIZE: usize = 1 << 20;

pub(super) fn clients() -> reqwest::Result<Clients> {
    Clients::new(TIMEOUT)
}

/// What the other says of the canary, and of the primary where they are compared; else a sentence that says why there
/// is no data.
pub(super) async fn ask(clients: &Clients, question: &Question) -> Result<Point, String> {
    let limits = &question.metric.limits;
    if limits.max_increase.is_none() {
        return point(limits, one(clients, question, &question.canary).await?, None);
    }
    // At the same time, so that they look back on the same.
    let (canary, primary) =
        tokio::join!(one(clients, question, &question.canary), one(clients, question, &question.primary));
    let primary = primary.map_err(|why| format!("of the primary: {why}"))?;
    point(limits, canary?, Some(primary))
}

async fn one(clients: &Clients, question: &Question, side: &Side) -> Result<Said, String> {
    match &question.metric.source {
        MetricSource::Prometheus { server, query } => {
            let url = format!("{}{}", server.url.trim_end_matches('/'), prometheus::PATH);
            let form = prometheus::form(&prometheus::query(query, side)?, ITS_TIMEOUT);
            let (status, body) =
                post(clients, server, &url, form, "application/x-www-form-urlencoded").await?;
            prometheus::read(status, &body)
        }
        MetricSource::Webhook(server) => {
            let body = webhook::body(question, side);
            let (status, body) = post(clients, server, &server.url, body, "application/json").await?;
            webhook::read(status, &body)
        }
    }
}

async fn post(
    clients: &Clients,
    server: &Remote,
    url: &str,
    body: String,
    kind: &'static str,
) -> Result<(u16, Vec<u8>), String> {
    let ca = server.ca.as_ref().map(Pem::expose);
    let client = clients.for_url(url, ca).map_err(|e| reason(e, TIMEOUT))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in &server.headers {
        let name: HeaderName = name.parse().map_err(|_| "a header has no name")?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| "a header has no value")?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let sent = client.post(url).headers(headers).body(body).send().await;
    let mut answer = sent.map_err(|e| reason(e, TIMEOUT))?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| reason(e, TIMEOUT))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_SIZE {
            return Err(format!("the answer has more than {MAX_SIZE} bytes"));
        }
    }
    Ok((status, bytes))
}
