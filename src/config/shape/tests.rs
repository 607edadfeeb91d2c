//! The schema, and that a tree has its shape after the check.

use super::*;
use crate::config::source::Source;
use crate::config::{raw, yaml};

fn shaped(text: &str) -> (Node, Vec<Code>) {
    let source = Source::of_text("a.yaml".into(), text);
    let mut problems = Problems::new(&source);
    let mut tree = yaml::parse(&mut problems).ok().flatten().unwrap();
    check(&mut tree, raw::gateway_schema(), &mut problems);
    (tree, problems.into_diagnostics().iter().map(|d| d.code).collect())
}

#[test]
fn a_bad_item_becomes_null_so_that_indexes_hold() {
    let (tree, codes) =
        shaped("apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a }\nhosts: [a, 1, b]\n");
    assert_eq!(codes, [Code::WrongType]);
    let Data::List(items) = &tree.get("hosts").unwrap().value.data else { panic!("no list") };
    assert_eq!(items[1].data, Data::Null);
    assert_eq!(items[2].data, Data::Text("b".into()));
    assert!(tree.get("hosts").unwrap().value.is_doubtful());
}

#[test]
fn a_misspelt_key_counts_as_the_one_that_was_meant_unless_that_is_there() {
    let (tree, codes) = shaped("apiVersion: serin/v1\nnames: a\nupstreams: { v1: http://a }\n");
    assert_eq!(codes, [Code::UnknownKey]);
    assert_eq!(tree.get("name").unwrap().value.data, Data::Text("a".into()));
    let (tree, _) = shaped("names: a\nname: b\n");
    assert_eq!(tree.get("name").unwrap().value.data, Data::Text("b".into()));
    assert!(tree.get("names").is_none());
}

/// Every schema of a document, with a path for messages.
fn all<'v>(schema: &'v Value, path: &str, found: &mut Vec<(String, &'v Value)>) {
    found.push((path.to_owned(), schema));
    match schema {
        Value::Object(map) => map.iter().for_each(|(k, v)| all(v, &format!("{path}/{k}"), found)),
        Value::Array(items) => items.iter().for_each(|v| all(v, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn the_interpreter_knows_every_word_of_the_schemas() {
    for schema in [raw::gateway_schema(), raw::settings_schema()] {
        let mut found = Vec::new();
        all(schema, "", &mut found);
        for (path, value) in found {
            assert!(!value.is_null(), "null at {path}");
            let is_schema =
                value["type"].is_string() || value["$ref"].is_string() || value["anyOf"].is_array();
            if !is_schema || path.contains("/examples") {
                continue;
            }
            for word in value.as_object().unwrap().keys() {
                let checked =
                    ["type", "$ref", "anyOf", "enum", "minimum", "maximum", "properties", "required"];
                let checked = checked.iter().chain(&["additionalProperties", "items", "$defs"]);
                // These only tell: what they say is checked, with better words, after the shape.
                let told = [
                    "$schema",
                    "title",
                    "description",
                    "examples",
                    "format",
                    "pattern",
                    "minLength",
                    "maxLength",
                ];
                assert!(checked.chain(&told).any(|w| w == word), "unknown word {word} at {path}");
            }
            assert_ne!(value["type"], "null", "null at {path}");
        }
    }
}
