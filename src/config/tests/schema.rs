//! The schema is what users read and editors know: each of its keys works and is explained.

use super::*;
use serde_json::Value;

/// Every key that a schema has, in all of its objects.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

fn keys_of(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(schema, &mut found);
    found
}

fn written(node: &Node, found: &mut BTreeSet<String>) {
    match &node.data {
        Data::Map(entries) => entries.iter().for_each(|(key, entry)| {
            found.insert(key.clone());
            written(&entry.value, found);
        }),
        Data::List(items) => items.iter().for_each(|item| written(item, found)),
        _ => {}
    }
}

#[test]
fn each_key_of_the_schema_is_accepted() {
    let mut used = BTreeSet::new();
    let one_host = "apiVersion: serin/v1\nname: a\nhost: a.com\nupstreams: { v1: http://a }\nsessionAffinity: { query: user }\n";
    let top1 = "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a, v2: http://b }\ntraffic: { v1: 100 }\nshadow: { upstream: v2, compare: { top1: true } }\n";
    let ways = authentication::WAYS.into_iter().chain(["{ jwt: { issuer: a, jwksFile: idp.jwks } }"]);
    let files =
        [include_str!("everything.yaml"), include_str!("rollout.yaml"), one_host, top1].map(str::to_owned);
    for text in files.into_iter().chain(ways.map(authentication::file)) {
        good("a.yaml", &text);
        let source = Source::new(&document("a.yaml", &text)).unwrap();
        let tree = yaml::parse(&mut Problems::new(&source)).ok().flatten().unwrap();
        written(&tree, &mut used);
    }
    let missing: Vec<_> = keys_of(&schema()).difference(&used).cloned().collect();
    assert!(missing.is_empty(), "no good file uses {missing:?}");
}

#[test]
fn each_key_is_in_the_reference() {
    let reference = include_str!("../../../docs/file-format.md");
    for key in keys_of(raw::gateway_schema()).union(&keys_of(raw::settings_schema())) {
        assert!(reference.contains(&format!("`{key}`")), "docs/file-format.md does not explain `{key}`");
    }
}

#[test]
fn the_examples_of_the_reference_are_good() {
    let reference = include_str!("../../../docs/file-format.md");
    let blocks: Vec<_> =
        reference.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let (gateways, others): (Vec<_>, Vec<_>) =
        blocks.iter().partition(|text| text.starts_with("apiVersion:"));
    assert!(!gateways.is_empty() && !others.is_empty());
    for text in gateways {
        good("a.yaml", text);
    }
    for text in others {
        settings(&document("serin.yaml", text)).unwrap();
    }
}

#[test]
fn editors_get_what_must_be_there() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], serde_json::json!(["apiVersion", "name", "upstreams"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["host"]["type"], "string");
}
