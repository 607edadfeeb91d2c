//! Types and remedies in the words of somebody who writes a file.

use crate::config::spelling::shorten;
use crate::config::tree::{Data, resolve};
use serde_json::{Map, Value};

/// The definition that a schema refers to.
pub(super) fn definition(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

pub(super) fn type_of(schema: &Value) -> &str {
    schema["type"].as_str().unwrap_or_default()
}

/// Whether a value has a type of JSON Schema.
pub(super) fn fits(kind: &str, data: &Data) -> bool {
    match data {
        Data::Null => false,
        Data::Bool(_) => kind == "boolean",
        Data::Integer(_) => matches!(kind, "integer" | "number"),
        Data::Float(_) => kind == "number",
        Data::Text(_) => kind == "string",
        Data::List(_) => kind == "array",
        Data::Map(_) => kind == "object",
    }
}

/// What is expected: `text or a map`.
pub(super) fn kinds(schema: &Value, kinds: &[&str]) -> String {
    if definition(schema) == Some("Duration") {
        return "a duration".to_owned();
    }
    let words = kinds.iter().map(|kind| match *kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a map",
        _ => "text",
    });
    match words.collect::<Vec<_>>().as_slice() {
        ["true or false", other] => format!("true, false or {other}"),
        words => words.join(" or "),
    }
}

/// What is there, as in: the number `1.4`.
pub(super) fn found(data: &Data, written: &str) -> String {
    match data {
        Data::Null => "empty".to_owned(),
        Data::Bool(_) => format!("the value {}", shorten(written)),
        Data::Integer(_) | Data::Float(_) => format!("the number `{}`", shorten(written)),
        Data::Text(text) => format!("the text `{}`", shorten(text)),
        Data::List(_) => "a list".to_owned(),
        Data::Map(_) => "a map".to_owned(),
    }
}

/// What to write instead.
pub(super) fn remedy(schema: &Value, wanted: &[&Value], data: &Data, written: &str) -> String {
    let wants = |kind: &str| wanted.iter().any(|s| type_of(s) == kind);
    match data {
        Data::Integer(n) if definition(schema) == Some("Duration") => {
            format!("durations need a unit: write {n}s", n = n.unsigned_abs())
        }
        _ if definition(schema) == Some("Duration") => {
            "write a duration such as 500ms, 60s or 1m30s".to_owned()
        }
        Data::Integer(_) | Data::Float(_) | Data::Bool(_) if wants("string") => {
            format!("put it in quotes: \"{}\"", shorten(written))
        }
        Data::Text(text) if wants("boolean") => match text.to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "true" => "write true".to_owned(),
            "no" | "n" | "off" | "false" => "write false".to_owned(),
            _ => "write true or false".to_owned(),
        },
        Data::Text(text) if wants("integer") || wants("number") => match resolve(text) {
            number @ (Data::Integer(_) | Data::Float(_))
                if wants("number") || matches!(number, Data::Integer(_)) =>
            {
                format!("write the number without quotes: {}", shorten(text))
            }
            _ => "write a number".to_owned(),
        },
        Data::Map(_) | Data::List(_) if !wants("object") && !wants("array") => {
            let example = wanted.iter().chain([&schema]).find_map(|s| s["examples"].get(0));
            example.map_or_else(
                || "write a single value".to_owned(),
                |e| format!("write a single value, such as {}", flow(e)),
            )
        }
        Data::Float(_) if wants("integer") => "write a number without decimals".to_owned(),
        Data::Text(_) | Data::Integer(_) | Data::Float(_) | Data::Bool(_) if wants("array") => {
            format!("write it as a list: [{}]", shorten(written))
        }
        _ => map_remedy(schema, wanted),
    }
}

fn map_remedy(schema: &Value, wanted: &[&Value]) -> String {
    if let Some(example) = schema["examples"].get(0) {
        return format!("write it like this: {}", flow(example));
    }
    match wanted.iter().find_map(|s| s["properties"].as_object()) {
        Some(properties) => format!("write a map; {}", known_keys(properties)),
        None if wanted.iter().any(|s| type_of(s) == "object") => {
            "write a map, such as { key: value }".to_owned()
        }
        None if wanted.iter().any(|s| type_of(s) == "array") => "write a list, such as [a, b]".to_owned(),
        None => "write a single value".to_owned(),
    }
}

/// Which keys there are.
pub(super) fn known_keys(properties: &Map<String, Value>) -> String {
    if properties.is_empty() {
        return "there are no keys here: write {}".to_owned();
    }
    format!(
        "the keys here are {}",
        properties.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
    )
}

/// How to add a key that is missing.
pub(super) fn addition(key: &str, schema: &Value) -> String {
    schema["examples"].get(0).map_or_else(|| format!("add `{key}`"), |e| format!("add `{key}: {}`", flow(e)))
}

/// Which values there are.
pub(super) fn choice(allowed: &[&str]) -> String {
    match allowed {
        [one] => format!("write `{one}`"),
        _ => format!(
            "choose one of {}",
            allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// An example in YAML, on one line.
fn flow(example: &Value) -> String {
    match example {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(k, v)| format!("{k}: {}", flow(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}
