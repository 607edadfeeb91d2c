//! `/api/v1/session`: who one is, and how a browser shows a token once and a cookie afterwards.

use super::Sources;
use super::access::{self, COOKIE, SECURE_COOKIE};
use super::problem::Problem;
use crate::access::{LIFETIME, Role};
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The largest body of a login, in bytes.
const MAX_LOGIN: usize = 4096;

/// The answer of `GET /api/v1/session`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Who asks; null: nobody in particular.
    pub name: Option<Arc<str>>,
    /// What they may do; null: nothing before they log in.
    pub role: Option<Role>,
    /// Whether a token would help.
    pub login_needed: bool,
    /// Whether they can change gateway files.
    pub editing: Editing,
}

/// Whether gateway files can be changed.
#[derive(Debug, Serialize)]
pub struct Editing {
    /// By who asks.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// `GET`
pub(super) async fn show(State(sources): State<Sources>, parts: Parts) -> Result<Response, Problem> {
    let caller = access::caller(&sources.access, &parts).await?;
    let may_change = access::may_change(&sources.access, &caller, &as_if_from_here(&parts.headers));
    let role = match (&may_change, access::may_read(&sources.access, &caller)) {
        (Ok(_), _) => Some(Role::Operator),
        (Err(_), Ok(())) => Some(Role::Viewer),
        (Err(_), Err(_)) => None,
    };
    let reason = match may_change {
        Err(problem) => Some(problem.detail),
        Ok(_) => sources.hindrance(None).await.map(|hindrance| hindrance.why),
    };
    let session = Session {
        name: caller.identity().map(|identity| Arc::clone(&identity.name)),
        role,
        login_needed: role.is_none(),
        editing: Editing { allowed: reason.is_none(), reason },
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(session)).into_response())
}

/// What a page of ours would send with a change.
fn as_if_from_here(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(header::ORIGIN);
    headers.insert("sec-fetch-site", header::HeaderValue::from_static("same-origin"));
    headers
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// `POST`: a token for a cookie.
pub(super) async fn begin(State(sources): State<Sources>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    access::is_from_here(&parts.headers)?;
    access::media_type(&parts.headers, &["application/json"])?;
    let Some(door) = &sources.access.door else {
        let why = "this Serin has no tokens, so there is nobody to log in as";
        return Err(Problem::new(StatusCode::CONFLICT, why));
    };
    let body = to_bytes(body, MAX_LOGIN).await;
    let body = body.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "this is no token"))?;
    // What serde would say could show the token.
    let login: Login = serde_json::from_slice(&body)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "a login is `{\"token\": \"...\"}`"))?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|e| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the system gives no random numbers: {e}"))
    })?;
    let cookie = BASE64_URL_SAFE_NO_PAD.encode(random);
    door.login(login.token, cookie.clone(), access::peer(&parts)).await.map_err(access::denied)?;
    Ok(answer(&cookie, LIFETIME.as_secs(), is_secure(&sources, &parts.headers)))
}

/// Whether the browser speaks TLS, with us or with a proxy that does it for us, which the browser says.
fn is_secure(sources: &Sources, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok()).unwrap_or_default();
    sources.access.tls || origin.starts_with("https://")
}

/// `DELETE`: the session ends, if there is one.
pub(super) async fn end(State(sources): State<Sources>, headers: HeaderMap) -> Result<Response, Problem> {
    access::is_from_here(&headers)?;
    if let (Some(door), Some(cookie)) = (&sources.access.door, access::cookie(&headers, sources.access.tls)) {
        door.logout(cookie).await;
    }
    Ok(answer("", 0, is_secure(&sources, &headers)))
}

fn answer(cookie: &str, seconds: u64, is_secure: bool) -> Response {
    let (name, secure) = if is_secure { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    let text = format!("{name}={cookie}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, text)]).into_response()
}
