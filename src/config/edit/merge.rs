//! Changing sections of a gateway file: the top-level keys that differ, and not another byte.
//!
//! A changed section is written anew, with the comments within it lost; comments before it, between and after sections
//! stay. As with weights the result is read again before it is given back.

use super::{EditError, line_end, parse};
use crate::config::source::Source;
use crate::config::tree::{Data, Entry, Style};
use serde_yaml::{Mapping, Value};
use std::ops::Range;

/// Applies a merge patch (RFC 7396) to a file.
pub fn merge(text: &str, patch: &[u8]) -> Result<String, EditError> {
    let Value::Mapping(patch) = json(patch)? else {
        return Err(EditError::Json("a patch is an object of keys and their new values".to_owned()));
    };
    let source = Source::of_text("".into(), text);
    let mark = text.len() - source.text().len();
    let tree = parse(&source)?;
    let Value::Mapping(before) = tree.to_value() else { return Err(EditError::NotLines) };
    if tree.style != Style::Block {
        return Err(EditError::NotLines);
    }
    let indent = {
        let line = source.line_span(source.line(tree.span.start)).start;
        source.slice(&(line..tree.span.start)).to_owned()
    };
    let end = line_end(&source, source.text().find('\n').map_or(0, |first| first + 1));
    let (mut wanted, mut edited, mut added) = (before.clone(), text.to_owned(), String::new());
    let mut splices: Vec<(Range<usize>, String)> = Vec::new();
    for (key, change) in patch {
        let Some(name) = key.as_str() else { continue };
        let section = tree.get(name).map(|entry| section(entry, &source));
        if change.is_null() {
            wanted.shift_remove(&key);
            splices.extend(section.map(|span| (whole_lines(&span, &source), String::new())));
            continue;
        }
        let old = before.get(&key);
        let new = merged(old, change);
        if old == Some(&new) {
            continue;
        }
        let lines = written(&key, &new, &indent, end)?;
        wanted.insert(key, new);
        match section {
            // Its first line has its indentation already.
            Some(span) => splices.push((span, lines.trim_start().to_owned())),
            None => added = format!("{added}{lines}{end}"),
        }
    }
    splices.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, new) in splices {
        edited.replace_range(span.start + mark..span.end + mark, &new);
    }
    if !added.is_empty() && !edited.is_empty() && !edited.ends_with(['\n', '\r']) {
        edited.push_str(end);
    }
    edited.push_str(&added);
    let again = parse(&Source::of_text("".into(), &edited)).map(|tree| tree.to_value());
    let same = |value: Value| matches!(value, Value::Mapping(map) if map == wanted);
    if again.is_ok_and(same) { Ok(edited) } else { Err(EditError::ReadBack) }
}

/// A document in JSON as a gateway file, its keys in the same order.
pub fn from_json(document: &[u8]) -> Result<String, EditError> {
    let value = json(document)?;
    if !value.is_mapping() {
        return Err(EditError::Json("a gateway is an object of keys and values".to_owned()));
    }
    serde_yaml::to_string(&value).map_err(|e| EditError::Json(e.to_string()))
}

fn json(bytes: &[u8]) -> Result<Value, EditError> {
    serde_json::from_slice(bytes).map_err(|e| EditError::Json(format!("the body is not JSON: {e}")))
}

/// RFC 7396 section 2.
fn merged(old: Option<&Value>, patch: Value) -> Value {
    let Value::Mapping(patch) = patch else { return patch };
    let mut map = match old {
        Some(Value::Mapping(map)) => map.clone(),
        _ => Mapping::new(),
    };
    for (key, change) in patch {
        if change.is_null() {
            map.shift_remove(&key);
        } else {
            let new = merged(map.get(&key), change);
            map.insert(key, new);
        }
    }
    Value::Mapping(map)
}

/// From a key to the end of the last line of its value.
fn section(entry: &Entry, source: &Source) -> Range<usize> {
    let start = entry.key_span.start;
    // A block of text ends where the next thing begins.
    let span = start..entry.value.span.end.max(entry.key_span.end);
    let end = start + source.slice(&span).trim_end().len();
    let is_text = matches!(entry.value.data, Data::Text(_)) && entry.value.style == Style::Block;
    let last = source.line_span(source.line(end.saturating_sub(usize::from(is_text)).max(start)));
    start..last.end.max(end)
}

/// The lines of a section with their ends.
fn whole_lines(section: &Range<usize>, source: &Source) -> Range<usize> {
    let start = source.line_span(source.line(section.start)).start;
    let rest = &source.text()[section.end..];
    let end = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with(['\n', '\r'])) };
    start..section.end + end
}

/// A section as lines without the last line's end.
fn written(key: &Value, value: &Value, indent: &str, end: &str) -> Result<String, EditError> {
    let map: Mapping = [(key.clone(), value.clone())].into_iter().collect();
    let text = serde_yaml::to_string(&map).map_err(|e| EditError::Json(e.to_string()))?;
    let lines = text.trim_end().lines().map(|line| format!("{indent}{line}"));
    Ok(lines.collect::<Vec<_>>().join(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who\napiVersion: serin/v1\nname: a   # the name\n\n# to whom\nupstreams:\n  v1: http://a # old\n  v2: http://b\n# how much\ntraffic: { v1: 95, v2: 5 }\ndescription: |\n  two\n  lines\n# end\n";

    fn patched(patch: &str) -> String {
        merge(FILE, patch.as_bytes()).unwrap()
    }

    #[test]
    fn only_sections_that_differ_are_written_anew() {
        assert_eq!(patched("{}"), FILE);
        assert_eq!(patched(r#"{"name": "a", "traffic": {"v1": 95}, "gone": null}"#), FILE);
        assert_eq!(
            patched(r#"{"traffic": {"v1": 90, "v2": 10}}"#),
            FILE.replace("traffic: { v1: 95, v2: 5 }", "traffic:\n  v1: 90\n  v2: 10")
        );
        assert_eq!(
            patched(r#"{"upstreams": {"v2": null, "v3": "http://c"}}"#),
            FILE.replace("  v1: http://a # old\n  v2: http://b", "  v1: http://a\n  v3: http://c")
        );
        assert_eq!(patched(r#"{"traffic": null}"#), FILE.replace("traffic: { v1: 95, v2: 5 }\n", ""));
        assert_eq!(
            patched(r#"{"description": null, "path": "/x", "host": "no"}"#),
            FILE.replace("description: |\n  two\n  lines\n", "") + "path: /x\nhost: no\n"
        );
        assert_eq!(
            patched(r#"{"description": "one\ntwo: 3 # x"}"#),
            FILE.replace("|\n  two\n  lines", "|-\n  one\n  two: 3 # x")
        );
    }

    #[test]
    fn line_ends_and_a_mark_stay() {
        let text = "\u{feff}name: a\r\npath: /x\r\nupstreams:\r\n  v1: http://a";
        let patch = br#"{"path": null, "upstreams": {"v2": "http://b"}, "traffic": {"v1": 1, "v2": 99}}"#;
        assert_eq!(
            merge(text, patch).unwrap(),
            "\u{feff}name: a\r\nupstreams:\r\n  v1: http://a\r\n  v2: http://b\r\ntraffic:\r\n  v1: 1\r\n  v2: 99\r\n"
        );
    }

    #[test]
    fn what_cannot_be_patched_says_why() {
        assert_eq!(merge("{ name: a }", br#"{"path": "/x"}"#), Err(EditError::NotLines));
        assert!(matches!(merge(FILE, b"[1]"), Err(EditError::Json(_))));
        assert!(matches!(merge(FILE, b"{"), Err(EditError::Json(_))));
        assert!(matches!(merge("name: a\n---\nname: b\n", b"{}"), Err(EditError::Broken(_))));
    }

    #[test]
    fn json_is_written_in_its_order() {
        let text = from_json(br#"{"name": "a", "apiVersion": "serin/v1", "upstreams": {"v1": "http://a"}}"#);
        assert_eq!(text.unwrap(), "name: a\napiVersion: serin/v1\nupstreams:\n  v1: http://a\n");
        assert!(from_json(b"3").is_err());
    }
}
