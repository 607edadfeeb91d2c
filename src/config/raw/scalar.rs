//! Scalars with a form of their own.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

/// A length of time with its unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Duration(pub(crate) String);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit, such as 500ms, 60s, 1m30s or 2h",
            "pattern": r"^(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$",
            "minLength": 2,
        })
    }
}

/// A share in percent.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Percent {
    Number(f64),
    Text(String),
}

impl fmt::Display for Percent {
    /// As it is written: a number in its shortest form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Text(t) => t.fmt(f),
        }
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A percent from 0 to 100 with at most two decimals, such as 5, 0.25 or 5%",
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 100 },
                { "type": "string", "pattern": r"^\d{1,3}(\.\d{1,2})?%?$" },
            ],
        })
    }
}
