//! The file behind a gateway: read, created, replaced, patched, removed. The API is the user's hand here: what it writes is
//! found by the source as any other edit.

use super::Sources;
use super::access::{self, Actor, Caller};
use super::api::{begun, find};
use super::editor::{Change, Editor, Reach, tag};
use super::problem::Problem;
use super::replicas::Hindrance;
use crate::config::{self, Content, Document, EditError};
use crate::control::{Asker, By, Draft, Edit, Event};
use crate::diag::{Diagnostic, Severity};
use crate::names::{GatewayName, UpstreamName};
use crate::weight::Weight;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where nobody leads, after how many seconds to ask again.
const AGAIN: u64 = 5;
/// How long a change may take to be seen by the source before it is answered all the same.
const SEEN: Duration = Duration::from_secs(2);
const YAML: &str = "application/yaml";
const JSON: &str = "application/json";

/// The answer of `GET /api/v1/gateways/{name}/file`.
#[derive(Debug, Serialize)]
pub struct GatewayFile {
    /// Below the watched directory.
    pub file: Arc<str>,
    /// The whole text.
    pub yaml: String,
    /// Whether it can be changed, by those who may.
    pub writable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// The answer to a change.
#[derive(Debug, Serialize)]
pub struct Written {
    /// Below the watched directory.
    pub file: Arc<str>,
    /// Warnings; with an error nothing is written.
    pub diagnostics: Vec<Diagnostic>,
}

/// The answer of `POST /api/v1/validate`.
#[derive(Debug, Serialize)]
pub struct Validation {
    /// Whether it could be written.
    pub valid: bool,
    /// In the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// `GET /api/v1/gateways/{name}/file`
pub(super) async fn read(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let gateway = find(&sources, &name)?;
    let bytes = sources.editor.read(&gateway.file).await?;
    // A right file has its secrets elsewhere; in a wrong one there may be any. What was loaded may be another text.
    if caller.is_viewer() {
        let said = judge(&sources, Arc::clone(&gateway.file), &bytes, None, Reach::Nowhere).await?;
        if said.iter().any(|d| d.severity == Severity::Error) {
            let why = "the file has errors, so it may hold a secret by mistake; an operator can read it";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
    }
    let reason = sources.hindrance(Some(&gateway.file)).await.map(|hindrance| hindrance.why);
    let tag = tag(&bytes);
    let file = GatewayFile {
        file: Arc::clone(&gateway.file),
        yaml: text(bytes)?,
        writable: reason.is_none(),
        reason,
    };
    Ok(versioned(tag, file))
}

/// `PUT /api/v1/gateways/{name}`
pub(super) async fn put(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let media_type = access::media_type(&headers, &[YAML, JSON])?;
    let after = if media_type == JSON {
        config::from_json(&body).map_err(|e| refused(&e))?.into_bytes()
    } else {
        body.to_vec()
    };
    match (given(&headers, &header::IF_MATCH)?, given(&headers, &header::IF_NONE_MATCH)?) {
        (Some(_), Some(_)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "`If-Match` and `If-None-Match` exclude each other"))
        }
        (None, Some(star)) if star == "*" => create(sources, name, actor, after).await,
        (None, Some(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "`If-None-Match` can only be * here")),
        (matched, None) => {
            let matched = matched.ok_or_else(|| {
                let why = "say `If-None-Match: *` to create a gateway, or `If-Match` with the entity tag of its file to \
                           replace it";
                Problem::new(StatusCode::PRECONDITION_REQUIRED, why)
            })?;
            if let Err(missing) = find(&sources, &name) {
                if GatewayName::new(&name).is_err() {
                    return Err(missing);
                }
                let why = format!("there is no gateway {name}; create it with `If-None-Match: *`");
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, why));
            }
            change(sources, name, actor, matched, |_| Ok(after)).await
        }
    }
}

/// `PATCH /api/v1/gateways/{name}`
pub(super) async fn patch(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    access::media_type(&headers, &["application/merge-patch+json"])?;
    if serde_json::from_slice::<Map<String, Value>>(&body).is_err() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a patch is an object of keys and their new values",
        ));
    }
    let matched = required(&headers)?;
    let patched = move |before: Vec<u8>| {
        let text = text(before)?;
        config::merge(&text, &body).map(String::into_bytes).map_err(|e| refused(&e))
    };
    change(sources, name, actor, matched, patched).await
}

/// `DELETE /api/v1/gateways/{name}`
pub(super) async fn delete(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let matched = required(&headers)?;
    let editor = Arc::clone(&sources.editor);
    let removal = async move {
        let file = Arc::clone(&find(&sources, &name)?.file);
        hinder(&sources, Some(&file)).await?;
        let before = sources.editor.read(&file).await?;
        agree(&matched, &before)?;
        sources.editor.change(&file, Change::Remove { before }).await?;
        tell(&sources, &name, &actor, format!("{file} was removed through the API")).await;
        seen(&sources, &file, None).await;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    editor.in_turn(removal).await
}

/// `GET /api/v1/gateways/{name}/traffic`: the weights that count, with the entity tag of the file.
pub(super) async fn traffic(
    State(sources): State<Sources>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let gateway = find(&sources, &name)?;
    let bytes = sources.editor.read(&gateway.file).await?;
    let tag = tag(&bytes);
    let written = str::from_utf8(&bytes).ok().and_then(|text| config::weights(text).ok());
    let served = gateway.gateway.as_ref().map(|g| &g.upstreams[..]).unwrap_or_default();
    let is_split = |name: &str| match (&written, &gateway.rollout) {
        (Some(written), _) => written.contains_key(name),
        (None, Some(rollout)) => rollout.primary == name || rollout.canary == name,
        (None, None) => false,
    };
    let weights: Map<String, Value> = served
        .iter()
        .filter(|u| u.weight > Weight::NONE || is_split(&u.name))
        .map(|u| (u.name.clone(), serde_json::json!(u.weight)))
        .collect();
    Ok(versioned(tag, weights))
}

/// `PUT /api/v1/gateways/{name}/traffic`
pub(super) async fn set_traffic(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    access::media_type(&headers, &[JSON])?;
    let matched = required(&headers)?;
    let form = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    let said: BTreeMap<String, Value> = serde_json::from_slice(&body)
        .map_err(|e| refused(&EditError::Json(format!("the body is not upstreams and percents: {e}"))))?;
    let mut weights = Vec::new();
    for (upstream, value) in said {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let weight =
            Weight::parse(&text).map_err(|why| form(format!("the weight of `{upstream}`: {why}")))?;
        let unknown = |_| form(format!("the file has no upstream `{upstream}`"));
        weights.push((UpstreamName::new(&upstream).map_err(unknown)?, weight));
    }
    if find(&sources, &name)?.rollout.is_some() {
        let why =
            format!("gateway {name} has a `rollout`, so Serin moves the weights; use the action set-weight");
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let edited = move |before: Vec<u8>| {
        let text = text(before)?;
        config::set_weights(&text, &weights).map(String::into_bytes).map_err(|e| refused(&e))
    };
    change(sources, name, actor, matched, edited).await
}

/// `POST /api/v1/validate`
pub(super) async fn validate(
    State(sources): State<Sources>,
    actor: Option<Extension<Actor>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Validation>, Problem> {
    access::media_type(&headers, &[YAML])?;
    let reach = if actor.is_some() { Reach::Below } else { Reach::Nowhere };
    // A new version of a gateway that is there, or a new gateway.
    let bytes = body.to_vec();
    let named = config::name_of(&bytes).map(|name| name.to_string());
    let file =
        named.as_ref().and_then(|name| find(&sources, name).ok()).map(|gateway| Arc::clone(&gateway.file));
    let file = file.unwrap_or_else(|| file_of(named.as_deref().unwrap_or("gateway")));
    let diagnostics = judge(&sources, file, &bytes, None, reach).await?;
    let valid = diagnostics.iter().all(|d| d.severity != Severity::Error);
    Ok(Json(Validation { valid, diagnostics }))
}

async fn create(sources: Sources, name: String, actor: Actor, after: Vec<u8>) -> Result<Response, Problem> {
    let gateway = GatewayName::new(&name).map_err(|why| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("no gateway can have the name `{name}`: {why}"),
        )
    })?;
    let editor = Arc::clone(&sources.editor);
    let creation = async move {
        // One whose file is gone serves on for a while.
        if let Ok(there) = find(&sources, &name)
            && sources.editor.read(&there.file).await.is_ok()
        {
            let why = format!("gateway {name} is there already, in {}", there.file);
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, why));
        }
        hinder(&sources, None).await?;
        let file = file_of(&name);
        let diagnostics = judge(&sources, Arc::clone(&file), &after, Some(gateway), Reach::Below).await?;
        accept(&diagnostics)?;
        let tag = tag(&after);
        sources.editor.change(&file, Change::Create(after)).await?;
        tell(&sources, &name, &actor, format!("{file} was created through the API")).await;
        seen(&sources, &file, Some(&tag)).await;
        let location = format!("/api/v1/gateways/{name}");
        let headers = [(header::ETAG, tag), (header::LOCATION, location)];
        Ok((StatusCode::CREATED, headers, Json(Written { file, diagnostics })).into_response())
    };
    editor.in_turn(creation).await
}

/// Replaces the text of a file that is as its reader knew it.
async fn change(
    sources: Sources,
    name: String,
    actor: Actor,
    matched: String,
    edit: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let editor = Arc::clone(&sources.editor);
    let change = async move {
        let file = Arc::clone(&find(&sources, &name)?.file);
        hinder(&sources, Some(&file)).await?;
        let before = sources.editor.read(&file).await?;
        agree(&matched, &before)?;
        let known = before.clone();
        let after = Editor::edited(move || edit(known)).await?;
        // A file that never said its name may get any.
        let diagnostics =
            judge(&sources, Arc::clone(&file), &after, GatewayName::new(&name).ok(), Reach::Below).await?;
        accept(&diagnostics)?;
        let tag = tag(&after);
        if before != after {
            sources.editor.change(&file, Change::Replace { before, after }).await?;
            tell(&sources, &name, &actor, format!("{file} was changed through the API")).await;
            seen(&sources, &file, Some(&tag)).await;
        }
        Ok(versioned(tag, Written { file, diagnostics }))
    };
    editor.in_turn(change).await
}

/// What would be wrong with a file, alone and beside the others.
async fn judge(
    sources: &Sources,
    path: Arc<str>,
    bytes: &[u8],
    name: Option<GatewayName>,
    reach: Reach,
) -> Result<Vec<Diagnostic>, Problem> {
    begun(sources)?;
    let document = Document { path, content: Content::Text(bytes.into()) };
    let attached = sources.editor.attached(document.clone(), reach).await?;
    let (asker, answer) = Asker::new();
    // A queue without a reader drops the asker, which the answer then tells.
    let _ = sources.events.send(Event::Draft(Draft { document, attached, name }, asker)).await;
    answer.await.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Serin is stopping"))
}

fn accept(diagnostics: &[Diagnostic]) -> Result<(), Problem> {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let detail = match errors {
        0 => return Ok(()),
        1 => "the text has an error, so nothing was written".to_owned(),
        _ => format!("the text has {errors} errors, so nothing was written"),
    };
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about(diagnostics.to_vec()))
}

async fn hinder(sources: &Sources, file: Option<&str>) -> Result<(), Problem> {
    match sources.hindrance(file).await {
        Some(Hindrance { why, passes: true }) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).with(header::RETRY_AFTER, AGAIN))
        }
        Some(Hindrance { why, passes: false }) => Err(Problem::new(StatusCode::CONFLICT, why)),
        None => Ok(()),
    }
}

async fn tell(sources: &Sources, name: &str, actor: &Actor, message: String) {
    let by = By { actor: actor.0.to_string(), reason: None };
    let edit = Edit { gateway: GatewayName::new(name).ok(), by, message };
    // When the loop has ended, so has its journal.
    if let Err(lost) = sources.events.send(Event::Edited(edit)).await
        && let Event::Edited(Edit { by, message, .. }) = lost.0
    {
        tracing::error!(actor = %by.actor, "not in the journal, since Serin is stopping: {message}");
    }
}

/// Waits until the loop holds a file as it was just written, or knows that it is gone: the next change is judged by what
/// the loop holds. Not for long, since somebody else may have changed it again, and the file is written in any case.
async fn seen(sources: &Sources, file: &str, tag: Option<&str>) {
    let mut views = sources.view.subscribe();
    let seen = async {
        loop {
            let view = views.load();
            let shown = view.gateways.values().find(|gateway| *gateway.file == *file);
            if shown.and_then(|gateway| gateway.file_tag.as_deref()) == tag {
                return;
            }
            if !views.changed().await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(SEEN, seen).await;
}

/// Where a new gateway is written. The settings may lie beside the gateways.
fn file_of(name: &str) -> Arc<str> {
    let extension = if name == "serin" { "yml" } else { "yaml" };
    format!("{name}.{extension}").into()
}

/// An answer with the version of the file that it is about.
fn versioned(tag: String, body: impl Serialize) -> Response {
    ([(header::ETAG, tag)], Json(body)).into_response()
}

fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| Problem::new(StatusCode::CONFLICT, "the file is not text in UTF-8"))
}

fn refused(error: &EditError) -> Problem {
    let status = match error {
        EditError::Json(_) => StatusCode::BAD_REQUEST,
        EditError::Sum(_) | EditError::UnknownUpstream(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    Problem::new(status, error.to_string())
}

fn given(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text =
        value.to_str().map_err(|_| Problem::new(StatusCode::BAD_REQUEST, format!("`{name}` is no text")))?;
    Ok(Some(text.trim().to_owned()))
}

fn required(headers: &HeaderMap) -> Result<String, Problem> {
    given(headers, &header::IF_MATCH)?.ok_or_else(|| {
        let why = "say with `If-Match` which version of the file is meant; its entity tag comes with it";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, why)
    })
}

/// RFC 9110 section 13.1.1: one of a list of strong tags, or a star.
fn agree(matched: &str, before: &[u8]) -> Result<(), Problem> {
    let tag = tag(before);
    if matched.split(',').map(str::trim).any(|t| t == "*" || t == tag) {
        return Ok(());
    }
    let why = "the file is another one than `If-Match` names; look at it and try again";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, why))
}
