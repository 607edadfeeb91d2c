//! Whether two answers to one request match.

use super::answer::{Content, Unread};
use super::difference::{Difference, Kind, Reason, short};
use super::select::{is_plural, select};
use super::{json, text, top1};
use crate::model::Compare;
use serde_json::Value;

/// What came of a pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Match,
    Mismatch(Found),
    NotCompared(Reason),
}

/// A difference as people may see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) place: String,
    pub(super) live: String,
    pub(super) shadow: String,
}

/// Two answers to one request.
pub(super) fn judge(rules: &Compare, live: &Content, shadow: &Content) -> Outcome {
    let Some(a) = live.status() else { return Outcome::NotCompared(Reason::NoLiveAnswer) };
    let Some(b) = shadow.status() else { return Outcome::NotCompared(Reason::NoShadowAnswer) };
    if a != b {
        let (place, live, shadow) = ("status".into(), a.to_string(), b.to_string());
        return Outcome::Mismatch(Found { kind: Kind::Status, place, live, shadow });
    }
    if a >= 500 {
        return Outcome::NotCompared(Reason::BothFailed);
    }
    if a >= 400 {
        // Both say that the request is wrong; what they say about it is no prediction.
        return Outcome::Match;
    }
    match (live, shadow) {
        (Content::Unread { why, .. }, _) | (_, Content::Unread { why, .. }) => {
            Outcome::NotCompared(unread(*why))
        }
        (Content::Whole { body: live, .. }, Content::Whole { body: shadow, .. }) => {
            bodies(rules, live.bytes(), shadow.bytes())
        }
        _ => Outcome::NotCompared(Reason::Cut),
    }
}

fn unread(why: Unread) -> Reason {
    match why {
        Unread::TooLarge => Reason::TooLarge,
        Unread::Compressed => Reason::Compressed,
        Unread::EventStream => Reason::EventStream,
        Unread::Grpc => Reason::Grpc,
    }
}

fn bodies(rules: &Compare, live: &[u8], shadow: &[u8]) -> Outcome {
    let read = |body| serde_json::from_slice::<Value>(body).ok();
    match (read(live), read(shadow)) {
        (Some(live), Some(shadow)) => match documents(rules, &live, &shadow) {
            Ok(None) => Outcome::Match,
            Ok(Some(difference)) => Outcome::Mismatch(found(rules, &difference)),
            Err(reason) => Outcome::NotCompared(reason),
        },
        // A label alone, or any other text.
        _ if rules.path.0.is_empty() && !rules.top1 => match (str::from_utf8(live), str::from_utf8(shadow)) {
            (Ok(live), Ok(shadow)) => texts(rules, live, shadow),
            _ => Outcome::NotCompared(Reason::NotJson),
        },
        _ => Outcome::NotCompared(Reason::NotJson),
    }
}

fn documents<'v>(
    rules: &Compare,
    live: &'v Value,
    shadow: &'v Value,
) -> Result<Option<Difference<'v>>, Reason> {
    let (a, b) = (select(&rules.path, live), select(&rules.path, shadow));
    if a.is_empty() && b.is_empty() {
        return Err(Reason::NothingThere);
    }
    if !is_plural(&rules.path) || a.is_empty() || b.is_empty() {
        return match (a.first(), b.first()) {
            (Some(a), Some(b)) if rules.top1 => top1::differ(a, b),
            (Some(a), Some(b)) => Ok(json::differ(rules, a, b)),
            (live, shadow) => Ok(Some(Difference {
                kind: Kind::Missing,
                place: Vec::new(),
                live: live.copied(),
                shadow: shadow.copied(),
            })),
        };
    }
    if rules.top1 {
        // Vectors that were selected one by one.
        for (a, b) in a.iter().zip(&b) {
            top1::differ(a, b)?;
        }
        return Ok(json::differ_all(|a, b| top1::differ(a, b).ok().flatten(), &a, &b));
    }
    Ok(json::differ_all(|a, b| json::differ(rules, a, b), &a, &b))
}

fn texts(rules: &Compare, live: &str, shadow: &str) -> Outcome {
    if text::matches(rules.similarity, live, shadow) {
        return Outcome::Match;
    }
    let shown = |text: &str| if rules.keep_examples { short(text) } else { text_of(text) };
    let (live, shadow) = (shown(live), shown(shadow));
    Outcome::Mismatch(Found { kind: Kind::Text, place: "$".into(), live, shadow })
}

fn found(rules: &Compare, difference: &Difference<'_>) -> Found {
    let shown = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(value) if rules.keep_examples => short(&value.to_string()),
        Some(value) => redacted(value),
    };
    Found {
        kind: difference.kind,
        place: difference.place(&rules.path, rules.keep_examples),
        live: shown(difference.live),
        shadow: shown(difference.shadow),
    }
}

/// What a value is, without the value.
fn redacted(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(text) => text_of(text),
        Value::Array(elements) => format!("an array of {}", elements.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
    }
}

fn text_of(text: &str) -> String {
    format!("a text of {}", text.chars().count())
}
