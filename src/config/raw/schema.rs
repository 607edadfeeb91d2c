//! JSON Schema (draft 2020-12) of the files, made from the structs.
//!
//! An `Option` in Rust is a key that may be left out here, never one that may be null: a key without a value is
//! a mistake in a file.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;
use std::sync::LazyLock;

/// Of the gateway file.
pub(crate) fn gateway() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(of::<super::Gateway>);
    &SCHEMA
}

/// Of `serin.yaml`.
pub(crate) fn settings() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(of::<super::Settings>);
    &SCHEMA
}

fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with_transform(NoNull)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Takes the null out of every type.
#[derive(Clone)]
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        for word in ["type", "enum"] {
            if let Some(Value::Array(all)) = object.get_mut(word) {
                all.retain(|v| !v.is_null() && v != "null");
                if let (1, "type") = (all.len(), word) {
                    object["type"] = object["type"][0].take();
                }
            }
        }
        let Some(Value::Array(all)) = object.get_mut("anyOf") else { return };
        all.retain(|v| v["type"] != "null");
        if all.len() == 1
            && let Value::Object(only) = all.remove(0)
        {
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}
