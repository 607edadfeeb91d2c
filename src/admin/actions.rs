//! `POST /api/v1/gateways/{name}/actions/{verb}`: what operators want of a rollout.

use super::Sources;
use super::access::{self, Actor};
use super::problem::Problem;
use crate::control::{Asker, Command, Event};
use crate::names::GatewayName;
use crate::rollout::{Order, Refusal, Verb};
use crate::weight::Weight;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

/// The longest key of an order, in bytes.
const MAX_KEY: usize = 255;
/// The longest reason, in bytes.
const MAX_REASON: usize = 1000;

/// The body of an action; each verb has its own keys besides the first two.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    reason: Option<String>,
    if_revision: Option<u64>,
    /// Of `promote`.
    full: Option<bool>,
    /// Of `set-weight`: the canary's share in percent.
    weight: Option<Value>,
    /// Of `undo`.
    to_revision: Option<u64>,
}

/// Gives an order to the loop. The answer comes when it is kept, with the new revision as its entity tag.
pub(super) async fn act(
    State(sources): State<Sources>,
    Path((name, verb)): Path<(String, String)>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    access::media_type(&headers, &["application/json"])?;
    let gateway = GatewayName::new(&name)
        .map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("there is no gateway {name}")))?;
    let mut body = read(&body)?;
    let reason = body.reason.take().map(reason).transpose()?;
    let matched = if_match(&headers)?;
    let if_revision = match (matched, body.if_revision.take()) {
        (Some(a), Some(b)) if a != b => {
            return Err(bad("`If-Match` and `ifRevision` are not the same revision"));
        }
        (a, b) => a.or(b),
    };
    let order = Order { verb: meaning(&verb, body)?, actor: actor.to_string(), reason, if_revision };
    let key = key(&headers)?;
    let (asker, answer) = Asker::new();
    // A queue without a reader drops the asker, which the answer then tells.
    let _ = sources.events.send(Event::Command(Command { gateway, order, key, ticket: None }, asker)).await;
    let stopping = |_| {
        let why = "Serin is stopping; ask again, and look first whether the order was carried out";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
    };
    match answer.await.map_err(stopping)? {
        Ok(outcome) => {
            let tag = format!("\"{}\"", outcome.revision);
            // What acts and is not kept is accepted, and not completed (RFC 9110 section 15.3.3).
            let status = if outcome.kept { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok((status, [(header::ETAG, tag)], Json(outcome)).into_response())
        }
        Err(refusal) => Err(Problem::new(status(&refusal, matched.is_some()), refusal.to_string())),
    }
}

fn bad(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why)
}

fn read(body: &Bytes) -> Result<Body, Problem> {
    if body.is_empty() {
        return Ok(Body::default());
    }
    serde_json::from_slice(body).map_err(|e| bad(format!("the body is not an order: {e}")))
}

fn reason(text: String) -> Result<String, Problem> {
    if text.len() > MAX_REASON {
        return Err(bad(format!("`reason` has {} bytes; at most {MAX_REASON} are kept", text.len())));
    }
    Ok(text)
}

/// RFC 9110 section 13.1.1: `*` asks only that there is something, which is asked anyway.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
    revision.map(Some).ok_or_else(|| bad("`If-Match` is one revision in quotes, as in \"7\", or *"))
}

/// The key of an order, as draft-ietf-httpapi-idempotency-key-header has it: a string in quotes. Many clients leave the
/// quotes out.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() || text.len() > MAX_KEY {
        return Err(bad(format!(
            "`Idempotency-Key` is a text of 1 to {MAX_KEY} visible characters of ASCII"
        )));
    }
    Ok(Some(text.to_owned()))
}

/// The verb with its own keys; one of another verb is a mistake, not nothing.
fn meaning(word: &str, body: Body) -> Result<Verb, Problem> {
    let Body { full, weight, to_revision, .. } = body;
    let verb = match word {
        "promote" => Verb::Promote { full: full.unwrap_or(false) },
        "abort" => Verb::Abort,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "retry" => Verb::Retry,
        "undo" => Verb::Undo { to_revision },
        "set-weight" => {
            let value =
                weight.as_ref().ok_or_else(|| bad("`weight` is missing: the percent of the canary"))?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Verb::SetWeight(Weight::parse(&text).map_err(|why| bad(format!("`weight` is {text}: {why}")))?)
        }
        _ => {
            let verbs = "promote, abort, pause, resume, retry, set-weight and undo";
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no action {word}, but {verbs}"),
            ));
        }
    };
    let foreign = [
        ("full", full.is_some() && !matches!(verb, Verb::Promote { .. })),
        ("weight", weight.is_some() && !matches!(verb, Verb::SetWeight(_))),
        ("toRevision", to_revision.is_some() && !matches!(verb, Verb::Undo { .. })),
    ];
    match foreign.iter().find(|(_, is_foreign)| *is_foreign) {
        Some((key, _)) => Err(bad(format!("`{key}` does not belong to `{word}`"))),
        None => Ok(verb),
    }
}

fn status(refusal: &Refusal, matched: bool) -> StatusCode {
    match refusal {
        Refusal::UnknownGateway(_) => StatusCode::NOT_FOUND,
        Refusal::Conflict { .. } if matched => StatusCode::PRECONDITION_FAILED,
        Refusal::NoRollout(_) | Refusal::NotNow { .. } | Refusal::Conflict { .. } => StatusCode::CONFLICT,
        Refusal::Revision { .. } | Refusal::KeyUsed => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Store(_) | Refusal::Elsewhere(_) | Refusal::Unknown(_) | Refusal::UnknownSwitch(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(word: &str, body: &str) -> Result<Verb, String> {
        read(&Bytes::copy_from_slice(body.as_bytes())).and_then(|b| meaning(word, b)).map_err(|p| p.detail)
    }

    #[test]
    fn each_verb_has_its_keys() {
        let weight = |h| Weight::new(h).unwrap();
        assert_eq!(verb("promote", ""), Ok(Verb::Promote { full: false }));
        assert_eq!(verb("promote", r#"{"full": true, "reason": "x"}"#), Ok(Verb::Promote { full: true }));
        assert_eq!(verb("set-weight", r#"{"weight": 12.5}"#), Ok(Verb::SetWeight(weight(1250))));
        assert_eq!(verb("set-weight", r#"{"weight": "25%"}"#), Ok(Verb::SetWeight(weight(2500))));
        assert_eq!(verb("undo", r#"{"toRevision": 3}"#), Ok(Verb::Undo { to_revision: Some(3) }));
        assert_eq!(verb("undo", "{}"), Ok(Verb::Undo { to_revision: None }));
    }

    #[test]
    fn what_has_no_effect_is_a_mistake() {
        assert_eq!(verb("pause", r#"{"weight": 5}"#).unwrap_err(), "`weight` does not belong to `pause`");
        assert_eq!(verb("abort", r#"{"full": false}"#).unwrap_err(), "`full` does not belong to `abort`");
        assert!(verb("abort", r#"{"reazon": "x"}"#).unwrap_err().contains("unknown field `reazon`"));
        assert!(verb("set-weight", "{}").unwrap_err().starts_with("`weight` is missing"));
        assert!(verb("set-weight", r#"{"weight": 101}"#).unwrap_err().contains("not between 0 and 100"));
        assert!(verb("ramp", "").unwrap_err().starts_with("there is no action ramp"));
    }

    #[test]
    fn a_key_may_stand_in_quotes() {
        let key =
            |v: &str| key(&HeaderMap::from_iter([("idempotency-key".parse().unwrap(), v.parse().unwrap())]));
        assert_eq!(key("a-1").ok(), Some(Some("a-1".to_owned())));
        assert_eq!(key("\"a-1\"").ok(), Some(Some("a-1".to_owned())));
        for wrong in ["", "\"\"", "é", &"k".repeat(256)] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_revision_is_one_in_quotes() {
        let headers = |v: &str| HeaderMap::from_iter([(header::IF_MATCH, v.parse().unwrap())]);
        assert_eq!(if_match(&headers("\"7\"")).ok(), Some(Some(7)));
        assert_eq!(if_match(&headers("*")).ok(), Some(None));
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(None));
        for wrong in ["7", "\"7\", \"8\"", "W/\"7\""] {
            assert!(if_match(&headers(wrong)).is_err(), "{wrong}");
        }
    }
}
