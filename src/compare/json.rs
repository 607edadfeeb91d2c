//! JSON documents: the first difference.

use super::difference::{Difference, Kind, Step};
use super::{number, text};
use crate::model::Compare;
use serde_json::Value;

/// The first difference of two values, in the order of the client's. No deeper than a document that was read, which is
/// 127 levels at most.
pub(super) fn differ<'v>(rules: &Compare, live: &'v Value, shadow: &'v Value) -> Option<Difference<'v>> {
    let found = |kind| Some(Difference::new(kind, live, shadow));
    match (live, shadow) {
        (Value::Null, Value::Null) => None,
        (Value::Bool(a), Value::Bool(b)) => (a != b).then(|| found(Kind::Boolean)).flatten(),
        (Value::Number(a), Value::Number(b)) if number::matches(rules.tolerance, a, b) => None,
        (Value::Number(_), Value::Number(_)) => found(Kind::Number),
        (Value::String(a), Value::String(b)) if text::matches(rules.similarity, a, b) => None,
        (Value::String(_), Value::String(_)) => found(Kind::Text),
        (Value::Array(a), Value::Array(b)) if a.len() != b.len() => found(Kind::Length),
        (Value::Array(a), Value::Array(b)) => a.iter().zip(b).enumerate().find_map(|(index, (a, b))| {
            differ(rules, a, b).map(|difference| difference.below(Step::Index(index)))
        }),
        (Value::Object(a), Value::Object(b))
            if !a.keys().all(|k| b.contains_key(k)) || a.len() != b.len() =>
        {
            found(Kind::Members)
        }
        (Value::Object(a), Value::Object(b)) => a.iter().find_map(|(name, a)| {
            differ(rules, a, b.get(name)?).map(|difference| difference.below(Step::Name(name)))
        }),
        _ => found(Kind::Type),
    }
}

/// The first difference of two lists of selected values.
pub(super) fn differ_all<'v>(
    differ: impl Fn(&'v Value, &'v Value) -> Option<Difference<'v>>,
    live: &[&'v Value],
    shadow: &[&'v Value],
) -> Option<Difference<'v>> {
    let first = live
        .iter()
        .zip(shadow)
        .enumerate()
        .find_map(|(index, (a, b))| differ(a, b).map(|difference| difference.below(Step::Index(index))));
    let rest = || Difference {
        kind: Kind::Length,
        place: Vec::new(),
        live: live.get(shadow.len()).copied(),
        shadow: shadow.get(live.len()).copied(),
    };
    first.or_else(|| (live.len() != shadow.len()).then(rest))
}
