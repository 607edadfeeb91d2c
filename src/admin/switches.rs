//! `GET /api/v1/switches` and `PUT /api/v1/switches/{name}`: what is on or off for all gateways at once.

use super::Sources;
use super::access::{self, Actor};
use super::problem::Problem;
use crate::control::{Asker, By, Event, Throw};
use crate::model::Switch;
use crate::rollout::Refusal;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The longest reason, in bytes.
const MAX_REASON: usize = 1000;

/// By name.
type Positions = BTreeMap<&'static str, bool>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    on: bool,
    reason: Option<String>,
}

pub(super) async fn all(State(sources): State<Sources>) -> Json<Positions> {
    Json(sources.view.load().switches.positions())
}

/// Throws a switch, and says where all of them stand then. Saying it again does nothing more.
pub(super) async fn throw(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Positions>, Problem> {
    access::media_type(&headers, &["application/json"])?;
    let actor = actor.to_string();
    let switch = Switch::of_name(&name).ok_or_else(|| {
        let all = Switch::ALL.map(Switch::name).join(", ");
        Problem::new(StatusCode::NOT_FOUND, format!("there is no switch {name}, but {all}"))
    })?;
    let Body { on, reason } = serde_json::from_slice(&body).map_err(|e| {
        let why = format!("the body is not like {{\"on\": false, \"reason\": \"...\"}}: {e}");
        Problem::new(StatusCode::BAD_REQUEST, why)
    })?;
    if reason.as_ref().is_some_and(|text| text.len() > MAX_REASON) {
        let why = format!("`reason` is longer than {MAX_REASON} bytes");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let (asker, answer) = Asker::new();
    // A queue without a reader drops the asker, which the answer then tells.
    let _ = sources
        .events
        .send(Event::Throw(Throw { switch, on, by: By { actor, reason }, asker, ticket: None }))
        .await;
    let stopping = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Serin is stopping; ask again");
    let switches = answer.await.map_err(stopping)?;
    let refused = |why: Refusal| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string());
    switches.map(|switches| Json(switches.positions())).map_err(refused)
}
