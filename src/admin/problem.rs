//! Errors of the HTTP API, as RFC 9457 describes them.

use crate::diag::Diagnostic;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

/// For one request and its body; answers that are streams may last longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest sentence of a refusal that is not ours, in bytes.
const MAX_SENTENCE: usize = 4096;
const MEDIA_TYPE: &str = "application/problem+json";

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    diagnostics: Option<Vec<Diagnostic>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new(), diagnostics: None }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With what is wrong about a file.
    pub(super) fn about(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.diagnostics = Some(diagnostics);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(diagnostics) = self.diagnostics {
            body["diagnostics"] = json!(diagnostics);
        }
        let mut response = (self.status, [(header::CONTENT_TYPE, MEDIA_TYPE)], Json(body)).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Gives each request its time, and every refusal the one form, also those that axum writes.
pub(super) async fn bound(request: Request, next: Next) -> Response {
    let Ok(response) = tokio::time::timeout(PATIENCE, next.run(request)).await else {
        let why = format!("the request was not complete, or not carried out, within {PATIENCE:?}");
        return Problem::new(StatusCode::REQUEST_TIMEOUT, why).into_response();
    };
    let status = response.status();
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == MEDIA_TYPE);
    if !(status.is_client_error() || status.is_server_error()) || is_ours {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_SENTENCE).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = if text.is_empty() { status.canonical_reason().unwrap_or_default() } else { &text };
    let (told, body) = Problem::new(status, detail).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(told.headers);
    Response::from_parts(parts, Body::new(body))
}
