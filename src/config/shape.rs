//! Checks a tree against the schema, and repairs it.
//!
//! Every problem of shape is reported, with its place and in words of a user. After that the tree *has* the
//! shape: what did not fit is null, an unknown key that was surely meant for another is renamed, any other is
//! gone. So the typed structs can always be read, and the rest of the file is judged in the same run.
//!
//! It knows the part of JSON Schema that `schemars` makes of our structs, and no more.

mod words;

use super::problems::{Problems, shown_span};
use super::spelling::{nearest, shorten};
use super::tree::{Data, Entries, Node};
use crate::diag::Code;
use serde_json::{Map, Value};
use std::ops::Range;

/// Checks and repairs a whole document.
pub(super) fn check(root: &mut Node, schema: &'static Value, problems: &mut Problems<'_>) {
    let whole = Subject { name: "the file".to_owned(), key: None, plural: None };
    Shape { definitions: &schema["$defs"], problems }.node(root, &whole, schema);
}

struct Shape<'p, 's> {
    definitions: &'static Value,
    problems: &'p mut Problems<'s>,
}

/// What a complaint is about.
struct Subject {
    /// As a message names it.
    name: String,
    key: Option<Range<usize>>,
    /// The key beside it that takes a list of the same.
    plural: Option<String>,
}

impl Subject {
    /// As a complaint about a key in it ends.
    fn within(&self) -> String {
        if self.key.is_some() { format!(" in {}", self.name) } else { String::new() }
    }

    fn place(&self, node: &Node) -> Option<Range<usize>> {
        shown_span(node, self.key.as_ref())
    }
}

impl Shape<'_, '_> {
    fn node(&mut self, node: &mut Node, subject: &Subject, schema: &'static Value) {
        if node.bad {
            return;
        }
        if node.data == Data::Null {
            let message = format!("{} has no value", subject.name);
            self.problems.at(
                Code::NoValue,
                subject.place(node),
                message,
                "give it a value, or remove the line",
            );
            return node.spoil();
        }
        let alternatives = self.alternatives(schema);
        let Some(schema) = alternatives.iter().find(|s| words::fits(words::type_of(s), &node.data)) else {
            return self.wrong_type(node, subject, schema, &alternatives);
        };
        match &mut node.data {
            Data::Text(text) => {
                let allowed: Vec<_> =
                    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
                    let message = format!("{} cannot be `{}`", subject.name, shorten(text));
                    self.problems.at(Code::NotAllowed, subject.place(node), message, words::choice(&allowed));
                    node.spoil();
                }
            }
            Data::Integer(_) | Data::Float(_) => self.range(node, subject, schema),
            Data::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    let name = format!("item {} of {}", i + 1, subject.name);
                    let key = Some(item.span.clone());
                    self.node(item, &Subject { name, key, plural: None }, &schema["items"]);
                }
            }
            Data::Map(entries) => {
                self.keys(entries, subject, schema);
                let properties = &schema["properties"];
                for (key, entry) in entries.iter_mut() {
                    let known = &properties[key];
                    let inner = if known.is_null() { &schema["additionalProperties"] } else { known };
                    let name = format!("`{}`", shorten(key));
                    let plural = properties.get(format!("{key}s")).filter(|p| words::type_of(p) == "array");
                    let plural = plural.map(|_| format!("{key}s"));
                    let here = Subject { name, key: Some(entry.key_span.clone()), plural };
                    self.node(&mut entry.value, &here, inner);
                }
                self.missing(node, subject, schema);
            }
            Data::Null | Data::Bool(_) => {}
        }
    }

    /// The schemas of which a value has to fit one, without indirections.
    fn alternatives(&self, schema: &'static Value) -> Vec<&'static Value> {
        if let Some(name) = words::definition(schema) {
            self.alternatives(&self.definitions[name])
        } else if let Some(all) = schema["anyOf"].as_array() {
            all.iter().flat_map(|s| self.alternatives(s)).collect()
        } else {
            vec![schema]
        }
    }

    fn wrong_type(
        &mut self,
        node: &mut Node,
        subject: &Subject,
        schema: &'static Value,
        wanted: &[&'static Value],
    ) {
        let written = self.problems.source().slice(&node.span);
        let kinds: Vec<_> = wanted.iter().map(|s| words::type_of(s)).collect();
        let message = format!(
            "{} must be {}, not {}",
            subject.name,
            words::kinds(schema, &kinds),
            words::found(&node.data, written)
        );
        let help = match (&subject.plural, &node.data) {
            (Some(plural), Data::List(_)) => format!("write the list under `{plural}`"),
            _ => words::remedy(schema, wanted, &node.data, written),
        };
        self.problems.at(Code::WrongType, subject.place(node), message, help);
        node.spoil();
    }

    fn range(&mut self, node: &mut Node, subject: &Subject, schema: &'static Value) {
        let number = match node.data {
            // Bounds are small; a number that a float cannot hold exactly is far outside all of them.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            Data::Integer(i) => i as f64,
            Data::Float(f) => f,
            _ => return,
        };
        let (low, high) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high) {
            return;
        }
        let written = self.problems.source().slice(&node.span);
        let message = format!("{} cannot be {}", subject.name, shorten(written));
        let help = format!("write a number from {} to {}", schema["minimum"], schema["maximum"]);
        self.problems.at(Code::OutOfRange, subject.place(node), message, help);
        node.spoil();
    }

    /// Renames unknown keys that were surely meant for another, and removes all others.
    fn keys(&mut self, entries: &mut Entries, subject: &Subject, schema: &'static Value) {
        let none = Map::new();
        let known = match schema["properties"].as_object() {
            Some(known) => known,
            // An object without any key.
            None if schema["additionalProperties"] == false => &none,
            None => return,
        };
        let (mut kept, mut renamed) = (Entries::new(), Vec::new());
        for (key, entry) in std::mem::take(entries) {
            if known.contains_key(&key) {
                kept.insert(key, entry);
                continue;
            }
            let words = known.keys().map(String::as_str);
            let meant = if self.problems.is_full() { None } else { nearest(&key, words) };
            let message = format!("unknown key `{}`{}", shorten(&key), subject.within());
            let help =
                meant.map_or_else(|| words::known_keys(known), |meant| format!("did you mean `{meant}`?"));
            self.problems.at(Code::UnknownKey, Some(entry.key_span.clone()), message, help);
            if let Some(meant) = meant {
                renamed.push((meant, entry));
            }
        }
        for (meant, entry) in renamed {
            kept.entry(meant.to_owned()).or_insert(entry);
        }
        *entries = kept;
    }

    fn missing(&mut self, node: &Node, subject: &Subject, schema: &'static Value) {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if node.get(key).is_none() {
                let message = format!("`{key}` is missing{}", subject.within());
                let help = words::addition(key, &schema["properties"][key]);
                self.problems.at(Code::MissingKey, subject.place(node), message, help);
            }
        }
    }
}

#[cfg(test)]
mod tests;
