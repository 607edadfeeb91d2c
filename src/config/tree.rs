//! A YAML document as a tree in which every node knows its bytes.

use indexmap::IndexMap;
use serde_yaml::{Mapping, Value};
use std::ops::Range;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Its bytes in the text; empty for a value that is not written.
    pub(super) span: Range<usize>,
    pub(super) data: Data,
    pub(super) style: Style,
    /// Somebody complained about it already: it counts as null, and what hangs on it is not judged.
    pub(super) bad: bool,
    /// Some of its entries were refused and are not here, so nothing is said about it as a whole.
    pub(super) incomplete: bool,
}

/// What a value is, by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Entries),
}

/// A map by its keys, in the order of the file.
pub(super) type Entries = IndexMap<String, Entry>;

/// What stands under one key of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// A text after `|` or `>`; a list or a map by indentation.
    Block,
    /// A list in `[]`, a map in `{}`.
    Flow,
}

impl Node {
    /// The value under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// Replaces it by null, so that indexes hold and the rest of the file can still be judged.
    pub(super) fn spoil(&mut self) {
        self.data = Data::Null;
        self.bad = true;
    }

    /// Whether something in it has been complained about.
    pub(super) fn is_doubtful(&self) -> bool {
        self.bad
            || self.incomplete
            || match &self.data {
                Data::List(items) => items.iter().any(Self::is_doubtful),
                Data::Map(entries) => entries.values().any(|e| e.value.is_doubtful()),
                _ => false,
            }
    }

    /// As a value for `serde`.
    pub(super) fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b) => Value::Bool(*b),
            Data::Integer(i) => Value::Number((*i).into()),
            Data::Float(f) => Value::Number((*f).into()),
            Data::Text(t) => Value::String(t.clone()),
            Data::List(items) => Value::Sequence(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => {
                let pairs = entries.iter().map(|(key, e)| (Value::String(key.clone()), e.value.to_value()));
                Value::Mapping(pairs.collect::<Mapping>())
            }
        }
    }
}

/// What a plain scalar means (YAML 1.2.2 section 10.3.2): `no` and `on` are texts, `010` is ten.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Data::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Data::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|d| unsigned(d, radix));
    if let Some(n) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Data::Integer(n);
    }
    let number = digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !number {
        return Data::Text(text.to_owned());
    }
    // Rust reads the same decimal numbers as the core schema does, once the characters are these.
    if let Ok(n) = text.parse::<i64>() {
        return Data::Integer(n);
    }
    text.parse::<f64>().map_or_else(|_| Data::Text(text.to_owned()), Data::Float)
}

fn unsigned(digits: &str, radix: u32) -> Option<i64> {
    digits
        .bytes()
        .all(|b| b.is_ascii_alphanumeric())
        .then(|| i64::from_str_radix(digits, radix).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_yaml_1_2_says() {
        let text = |t: &str| Data::Text(t.into());
        for (written, meant) in [
            ("", Data::Null),
            ("~", Data::Null),
            ("true", Data::Bool(true)),
            ("no", text("no")),
            ("on", text("on")),
            ("010", Data::Integer(10)),
            ("+7", Data::Integer(7)),
            ("-7", Data::Integer(-7)),
            ("0x1F", Data::Integer(31)),
            ("0o17", Data::Integer(15)),
            ("0x", text("0x")),
            ("0x-1", text("0x-1")),
            ("1.50", Data::Float(1.5)),
            (".5", Data::Float(0.5)),
            ("5.", Data::Float(5.0)),
            ("1e3", Data::Float(1000.0)),
            ("1.2.3", text("1.2.3")),
            ("1-2", text("1-2")),
            ("e5", text("e5")),
            (".", text(".")),
            ("-", text("-")),
            ("1_000", text("1_000")),
            ("60s", text("60s")),
            ("inf", text("inf")),
            ("-.inf", Data::Float(f64::NEG_INFINITY)),
            ("99999999999999999999", Data::Float(1e20)),
        ] {
            assert_eq!(resolve(written), meant, "{written:?}");
        }
    }
}
