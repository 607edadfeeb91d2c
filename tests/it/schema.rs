//! `serin schema` is a JSON Schema that accepts every gateway file of the examples: a check of our own, as small as
//! the part of the language that the schema uses.
#![cfg(test)]

use crate::cli::serin;
use crate::examples::cases;
use regex::Regex;
use serde_json::Value;

#[test]
fn it_accepts_each_example() {
    let schema = schema();
    for case in cases() {
        let file: Value = serde_yaml::from_str(&std::fs::read_to_string(&case.file).unwrap()).unwrap();
        assert!(accepts(&schema, &schema, &file), "the schema refuses {}", case.file.display());
    }
}

#[test]
fn it_refuses_what_is_wrong_in_itself() {
    let schema = schema();
    let good = "{ apiVersion: serin/v1, name: fraud, upstreams: { v1: http://a } }";
    let accepts = |text: &str| accepts(&schema, &schema, &serde_yaml::from_str(text).unwrap());
    assert!(accepts(good));
    for (from, to) in [
        ("name: fraud", "nom: fraud"),
        ("apiVersion: serin/v1, ", ""),
        ("serin/v1", "serin/v2"),
        ("v1: http://a", "v1: { url: http://a, maxConcurent: 3 }"),
        ("v1: http://a", "v1: [http://a]"),
        ("name: fraud", "name: fraud, timeout: 60"),
        ("name: fraud", "name: fraud, traffic: { v1: 101 }"),
        ("name: fraud", "name: fraud, directAccess: yes-please"),
    ] {
        let wrong = good.replace(from, to);
        assert!(wrong != good && !accepts(&wrong), "the schema accepts {wrong}");
    }
}

fn schema() -> Value {
    let schema: Value = serde_json::from_str(&serin(&["schema"]).good()).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    schema
}

/// Whether a value is as `schema`, a part of `root`, wants it. A word that this does not know fails the test.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(words) = schema.as_object() else { return schema != &Value::Bool(false) };
    words.iter().all(|(word, wanted)| match word.as_str() {
        "$schema" | "$defs" | "title" | "description" | "examples" | "format" => true,
        "$ref" => {
            accepts(root, root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap(), value)
        }
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| accepts(root, schema, value)),
        "type" => is(wanted.as_str().unwrap(), value),
        "enum" => wanted.as_array().unwrap().contains(value),
        "required" => value.as_object().is_none_or(|map| {
            wanted.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| wanted.get(key).is_none_or(|schema| accepts(root, schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
            map.iter().all(|(key, value)| known(key) || accepts(root, wanted, value))
        }),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|item| accepts(root, wanted, item))),
        "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
        "minLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap())
        }
        "maxLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap())
        }
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text))
        }
        word => panic!("the schema uses `{word}`, which this test does not know"),
    })
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        kind => panic!("an unknown type {kind}"),
    }
}
