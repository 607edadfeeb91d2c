//! The pages of the HTTP API, and what is served of gateways and Envoys.

use super::access::Caller;
use super::problem::Problem;
use super::{
    GatewayNumbers, Sources, access, actions, alarms, events, files, metrics, numbers, problem, replicas,
    session, switches, ui, watch,
};
use crate::clock::{self, Timestamp};
use crate::compare::Report;
use crate::control::{GatewayView, View};
use crate::resource::Kind;
use crate::snapshot::{Node, dump};
use crate::translate;
use crate::xds::{Proxy, TypeStatus};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The answer of `GET /api/v1/gateways`.
#[derive(Debug, Serialize)]
pub struct GatewayList {
    /// By name.
    pub gateways: Vec<Arc<GatewayView>>,
}

/// The answer of `GET /api/v1/proxies`.
#[derive(Debug, Serialize)]
pub struct ProxyList {
    /// By id.
    pub proxies: Vec<ProxyView>,
}

/// One Envoy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyView {
    /// `node.id`
    pub id: String,
    /// `node.cluster`
    pub cluster: String,
    /// As the Envoy states it.
    pub version: String,
    /// `ip:port`
    pub address: String,
    /// "delta" or "sotw".
    pub protocol: &'static str,
    /// When it connected.
    pub connected_since: Timestamp,
    /// By kind of resource.
    pub types: BTreeMap<&'static str, TypeView>,
    /// The gateways of which it refuses the newest version, though others take it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_gateways: Vec<RefusedView>,
    /// The gateways in whose place it answers 503, since it is too old for them.
    pub unsupported_gateways: Vec<UnsupportedView>,
}

/// A gateway that needs a newer Envoy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedView {
    /// Its name.
    pub gateway: String,
    /// The oldest release that takes it: "1.40".
    pub needs_envoy: String,
}

/// A gateway of which an Envoy refuses the newest version, though others take it.
#[derive(Debug, Serialize)]
pub struct RefusedView {
    /// Its name.
    pub gateway: String,
    /// Whether the Envoy answers 503 in its place; else it serves the version that it took last.
    pub closed: bool,
    /// In the Envoy's words.
    pub message: String,
}

/// What an Envoy was told of one kind of resource.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeView {
    /// The version that it was offered last.
    pub offered: Option<String>,
    /// The version that it took last.
    pub acknowledged: Option<String>,
    /// Why it refused what is offered.
    pub refusal: Option<Arc<str>>,
    /// Since it connected.
    pub bytes_sent: u64,
    /// Its last request.
    pub last_contact: Timestamp,
}

/// One resource of `GET /api/v1/config/{name}`.
#[derive(Debug, Serialize)]
pub struct ResourceView {
    /// "cluster", "endpoint", "secret", "listener", "scope" or "route".
    pub kind: &'static str,
    /// As Envoy knows it.
    pub name: Arc<str>,
    /// As Envoy acknowledges it.
    pub version: String,
    /// The resource in Envoy's own JSON, secrets masked.
    pub resource: Value,
}

/// All routes of the HTTP port.
pub fn router(sources: Sources) -> Router {
    let guard =
        |routes: Router<Sources>| routes.route_layer(from_fn_with_state(sources.clone(), access::guard));
    let file = put(files::put).patch(files::patch).delete(files::delete);
    let guarded = guard(
        Router::new()
            .route("/gateways", get(gateways))
            .route("/gateways/{name}", get(gateway).merge(file))
            .route("/gateways/{name}/file", get(files::read).layer(map_response(unstored)))
            .route("/gateways/{name}/traffic", get(files::traffic).put(files::set_traffic))
            .route("/gateways/{name}/rollout", get(rollout))
            .route("/gateways/{name}/events", get(events::of_gateway))
            .route("/gateways/{name}/revisions", get(events::revisions))
            .route("/gateways/{name}/actions/{verb}", post(actions::act))
            .route("/events", get(events::all))
            .route("/watch", get(watch::watch))
            .route("/gateways/{name}/metrics", get(numbers_of))
            .route("/gateways/{name}/shadow", get(shadow))
            .route("/proxies", get(proxies))
            .route("/replicas", get(replicas::show))
            .route("/alarms", get(alarms::all))
            .route("/switches", get(switches::all))
            .route("/switches/{name}", put(switches::throw))
            .route("/config/{name}", get(config).layer(map_response(unstored))),
    );
    let session = get(session::show).post(session::begin).delete(session::end);
    let validate = Router::new()
        .route("/validate", post(files::validate))
        .route_layer(from_fn_with_state(sources.clone(), access::readers));
    let api = guarded
        .merge(validate)
        .route("/session", session)
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION)))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such page in the API"))
        .method_not_allowed_fallback(other_method)
        .layer(from_fn(private));
    Router::new()
        .nest("/api/v1", api)
        .merge(guard(Router::new().route("/metrics", get(prometheus))).route_layer(from_fn(private)))
        .merge(ui::routes())
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "there is no such page; the API is at /api/v1")
        })
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(sources.clone(), access::neighbours))
        // Probes ask by the address of the machine, and learn nothing.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(problem::bound))
        .with_state(sources)
}

/// The API for programs, as `OpenAPI` 3.1 has it.
const DESCRIPTION: &str = include_str!("openapi.json");
/// The largest body: a gateway file as large as they can be, in bytes.
const MAX_BODY: usize = 1 << 20;

/// What is served is for who asked, who asks again each time; and it is what its type says (Fetch standard, "`nosniff`").
async fn private(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if headers.get(header::CACHE_CONTROL).is_none_or(|said| said != NO_STORE) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Files may hold what people should not have written there, and what is made of them as well: nobody keeps a copy.
async fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response
}

const NO_STORE: &str = "no-store";

async fn other_method(method: Method) -> Problem {
    let why = format!("{method} is nothing that this page knows; `Allow` says what it knows");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, why)
}

/// Traffic needs no store, so a Serin without one is ready, and says what does not move.
async fn ready(State(sources): State<Sources>) -> Result<&'static str, Problem> {
    begun(&sources)?;
    let is_kept = sources.store.status().load().failure.is_none();
    Ok(if is_kept { "ready\n" } else { "ready, but without its store: no rollout moves\n" })
}

/// Whether the gateway files were read: before that it is not known which gateways there are.
pub(super) fn begun(sources: &Sources) -> Result<(), Problem> {
    if sources.is_ready() {
        return Ok(());
    }
    let unlisted = sources.unlisted.load();
    let why = unlisted.everything().map_or_else(
        || "the gateway files are being read; ask again".to_owned(),
        |why| format!("the directory of gateway files cannot be listed: {why}"),
    );
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn prometheus(State(sources): State<Sources>) -> Response {
    let text = metrics::render(&sources);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

async fn gateways(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    begun(&sources)?;
    let gateways = sources.view.load().gateways.values().map(|gateway| shown(gateway, &caller)).collect();
    Ok(tagged(&headers, &GatewayList { gateways }))
}

async fn gateway(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let gateway = shown(&find(&sources, &name)?, &caller);
    let behind = behind(&sources, &gateway);
    Ok(tagged(&headers, &GatewayPage { gateway, behind }))
}

/// One gateway, and where it is not so yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayPage {
    #[serde(flatten)]
    gateway: Arc<GatewayView>,
    /// The connected Envoys that do not have the newest routes, of a gateway with a release.
    #[serde(rename = "proxiesBehind", skip_serializing_if = "Vec::is_empty")]
    behind: Vec<String>,
}

/// So many Envoys are named.
const NAMED: usize = 100;

/// The ids of the connected Envoys that have not taken the newest routes, of those that serve a gateway with a release.
fn behind(sources: &Sources, gateway: &GatewayView) -> Vec<String> {
    let (Some(_), Some(served)) = (&gateway.rollout, &gateway.gateway) else { return Vec::new() };
    let view = sources.view.load();
    let is_meant = |proxy: &Proxy| served.proxies.is_empty() || served.proxies.contains(&proxy.node.cluster);
    let is_behind = |proxy: &Proxy| {
        let told = view.fleet.snapshot_of(&proxy.node, translate::older(&proxy.node.version));
        let told = told.map(|snapshot| snapshot.set(Kind::Route).version());
        told.is_none() || proxy.kinds.get(&Kind::Route).and_then(|status| status.acknowledged) != told
    };
    let all = sources.registry.proxies().into_iter().filter(is_meant).filter(is_behind);
    all.take(NAMED).map(|proxy| proxy.node.id.clone()).collect()
}

/// What somebody sees of a gateway.
fn shown(gateway: &Arc<GatewayView>, caller: &Caller) -> Arc<GatewayView> {
    if caller.is_viewer() { gateway.without_lines() } else { Arc::clone(gateway) }
}

async fn numbers_of(
    State(sources): State<Sources>,
    Path(name): Path<String>,
) -> Result<Json<GatewayNumbers>, Problem> {
    let gateway = find(&sources, &name)?;
    Ok(Json(numbers::of(&gateway, &sources.table.load(), clock::now())))
}

/// Where a release stands. The entity tag is its revision, for `If-Match`.
async fn rollout(State(sources): State<Sources>, Path(name): Path<String>) -> Result<Response, Problem> {
    let gateway = find(&sources, &name)?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("gateway {name} has no rollout"));
    let rollout = gateway.rollout.as_ref().ok_or_else(missing)?;
    Ok(([(header::ETAG, format!("\"{}\"", rollout.revision))], Json(rollout)).into_response())
}

/// How answers compare, and of which Envoys.
#[derive(Debug, Serialize)]
struct ComparisonView<'r> {
    /// Of several Serins with one store: the one to which they sent their answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<Arc<str>>,
    #[serde(flatten)]
    report: &'r Report,
}

/// How the answers of a shadow compare with those that clients get.
async fn shadow(State(sources): State<Sources>, Path(name): Path<String>) -> Result<Response, Problem> {
    let gateway = find(&sources, &name)?;
    let reports = sources.reports.load();
    let report = reports.gateways.iter().find(|(n, _)| n.as_str() == &*gateway.name);
    let missing = || {
        let sentence = format!("gateway {name} compares no answers; `shadow.compare` in its file says what");
        Problem::new(StatusCode::NOT_FOUND, sentence)
    };
    let (_, report) = report.ok_or_else(missing)?;
    let is_shared = sources.view.load().seat.is_some();
    let replica = is_shared.then(|| Arc::clone(&sources.name));
    Ok(Json(ComparisonView { replica, report }).into_response())
}

async fn proxies(State(sources): State<Sources>) -> Json<ProxyList> {
    let view = sources.view.load();
    let proxies = sources.registry.proxies().into_iter().map(|known| proxy(known, &view));
    Json(ProxyList { proxies: proxies.collect() })
}

#[derive(Debug, Deserialize)]
struct ConfigQuery {
    /// Of which `node.cluster`; default: an Envoy that no gateway names.
    cluster: Option<String>,
}

/// The resources of one gateway: its clusters, endpoints and secrets, and of the route configuration its routes.
async fn config(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    query: Result<Query<ConfigQuery>, QueryRejection>,
) -> Result<Json<Vec<ResourceView>>, Problem> {
    let Query(query) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let gateway = find(&sources, &name)?;
    if !gateway.serving {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("gateway {name} is not served: {}", why(&gateway)),
        ));
    }
    resources_of(&sources.view.load(), &gateway, query.cluster.as_deref())
        .map(Json)
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))
}

/// What the Envoys of a `node.cluster` are told of a gateway: its clusters, endpoints and secrets, and of the
/// route configuration its routes. Without a cluster: one that it is meant for.
pub fn resources_of(
    view: &View,
    gateway: &GatewayView,
    cluster: Option<&str>,
) -> Result<Vec<ResourceView>, String> {
    let Some(served) = &gateway.gateway else { return Ok(Vec::new()) };
    let cluster = cluster.or_else(|| served.proxies.first().map(String::as_str)).unwrap_or_default();
    let snapshot = view.fleet.snapshot(cluster);
    snapshot
        .resources()
        .filter(|r| translate::concerns(r, &gateway.name, &served.listener, &served.hosts))
        .map(|r| {
            let mut resource = dump(r)?;
            translate::keep_gateway(&mut resource, &gateway.name);
            let (kind, version) = (r.kind().as_str(), r.version().to_string());
            Ok(ResourceView { kind, name: Arc::clone(r.name()), version, resource })
        })
        .collect()
}

fn why(gateway: &GatewayView) -> String {
    gateway.diagnostics.first().map_or_else(|| "it waits for its turn".into(), |d| d.message.clone())
}

pub(super) fn find(sources: &Sources, name: &str) -> Result<Arc<GatewayView>, Problem> {
    begun(sources)?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no gateway {name}"));
    sources.view.load().gateways.get(name).cloned().ok_or_else(missing)
}

fn proxy(proxy: Proxy, view: &View) -> ProxyView {
    let types = proxy.kinds.into_iter().map(|(kind, status)| (kind.as_str(), type_view(status))).collect();
    let own = view.refusing.iter().filter(|refusing| refusing.node == proxy.node);
    let refused = own.map(|refusing| RefusedView {
        gateway: refusing.gateway.to_string(),
        closed: refusing.is_closed,
        message: refusing.text.clone(),
    });
    let unsupported = view.unsupported_at(&proxy.node).map(|(gateway, (major, minor))| UnsupportedView {
        gateway: gateway.to_string(),
        needs_envoy: format!("{major}.{minor}"),
    });
    let Node { id, cluster, version } = (*proxy.node).clone();
    ProxyView {
        id,
        cluster,
        version,
        refused_gateways: refused.collect(),
        unsupported_gateways: unsupported.collect(),
        address: proxy.address,
        protocol: proxy.protocol,
        connected_since: proxy.since,
        types,
    }
}

fn type_view(status: TypeStatus) -> TypeView {
    TypeView {
        offered: status.offered.map(|v| v.to_string()),
        acknowledged: status.acknowledged.map(|v| v.to_string()),
        refusal: status.refusal,
        bytes_sent: status.bytes_sent,
        last_contact: status.last_contact,
    }
}

/// JSON with an entity tag; 304 for a reader that has it already.
fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Response {
    let text = match serde_json::to_vec(body) {
        Ok(text) => text,
        Err(e) => return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    };
    let tag = crate::resource::Version::of(&text).tag();
    // RFC 9110 section 13.1.2: a list, compared weakly, or a star.
    let known = headers.get(header::IF_NONE_MATCH).and_then(|t| t.to_str().ok()).unwrap_or_default();
    if known.split(',').map(str::trim).any(|t| t == "*" || t.trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag), (header::CONTENT_TYPE, "application/json".into())], text).into_response()
}
