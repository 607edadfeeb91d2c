//! One attempt: bounded in time. What is answered does not matter, only whether it is a success.

use super::queue::Failure;
use crate::client::{Clients, reason};
use crate::model::Secret;
use reqwest::header::CONTENT_TYPE;
use std::time::Duration;

/// For the whole of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn clients() -> reqwest::Result<Clients> {
    Clients::new(TIMEOUT)
}

/// Posts a message. Nothing that it says repeats the URL.
pub(super) async fn send(clients: &Clients, url: &Secret, body: String) -> Result<(), Failure> {
    let failed = |e| Failure { why: reason(e, TIMEOUT), is_final: false };
    let client = clients.for_url(url.expose(), None).map_err(failed)?;
    let request = client.post(url.expose()).header(CONTENT_TYPE, "application/json").body(body);
    let status = request.send().await.map_err(failed)?.status();
    if status.is_success() {
        return Ok(());
    }
    // 408 and 429 say themselves that later is better (RFC 9110 section 15.5.9, RFC 6585 section 4).
    let is_final = !status.is_server_error() && !matches!(status.as_u16(), 408 | 429);
    Err(Failure { why: format!("the answer was {status}"), is_final })
}
