//! The part of a document that a path leads to.

use crate::model::{JsonPath, Segment};
use serde_json::Value;

/// Whether a path leads to any number of values rather than to one at most.
pub(super) fn is_plural(path: &JsonPath) -> bool {
    path.0.contains(&Segment::All)
}

/// All values at a path, in the order of the document. Each step looks at a value once at most.
pub(super) fn select<'v>(path: &JsonPath, document: &'v Value) -> Vec<&'v Value> {
    let mut values = vec![document];
    for segment in &path.0 {
        values = values.into_iter().flat_map(|value| below(segment, value)).collect();
    }
    values
}

fn below<'v>(segment: &Segment, value: &'v Value) -> Vec<&'v Value> {
    match (segment, value) {
        (Segment::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Segment::Index(index), Value::Array(elements)) => at(elements, *index).into_iter().collect(),
        (Segment::All, Value::Array(elements)) => elements.iter().collect(),
        (Segment::All, Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// The element at an index that may count from the end (RFC 9535 section 2.3.3.2).
fn at(elements: &[Value], index: i64) -> Option<&Value> {
    let from = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { elements.get(elements.len().checked_sub(from)?) } else { elements.get(from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_where_the_standard_says() {
        let document = json!({ "a": [{ "b": 1 }, { "b": 2 }, 3], "c": { "x": 4, "y": [5] }, "": 6 });
        let name = |name: &str| Segment::Name(name.into());
        for (path, found) in [
            (vec![], vec![document.clone()]),
            (vec![name("c"), name("x")], vec![json!(4)]),
            (vec![name("a"), Segment::Index(-1)], vec![json!(3)]),
            (vec![name("a"), Segment::Index(-4)], vec![]),
            (vec![name("a"), Segment::Index(i64::MIN)], vec![]),
            (vec![name("a"), Segment::All, name("b")], vec![json!(1), json!(2)]),
            (vec![name("c"), Segment::All], vec![json!(4), json!([5])]),
            (vec![name("")], vec![json!(6)]),
            (vec![name("c"), Segment::Index(0)], vec![]),
            (vec![name("a"), name("b")], vec![]),
        ] {
            let path = JsonPath(path);
            let there: Vec<Value> = select(&path, &document).into_iter().cloned().collect();
            assert_eq!(there, found, "{path}");
        }
    }
}
