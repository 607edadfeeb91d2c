//! Changing the weights in a gateway file as a careful hand would: the numbers, and not another byte.
//!
//! Comments, quotes, order, line ends, flow and block style stay. The text is parsed, the new numbers are spliced
//! into the bytes of the old ones, and the result is read again before it is given back.

pub(super) mod merge;

use super::problems::Problems;
use super::source::Source;
use super::tree::{Data, Entry, Node, Style};
use super::yaml;
use crate::names::UpstreamName;
use crate::weight::{WHOLE, Weight};
use std::collections::BTreeMap;
use std::ops::Range;
use thiserror::Error;

/// Why a file is not changed. The texts are for users.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The file has a mistake in its YAML.
    #[error("the file cannot be edited before it is correct: {0}")]
    Broken(String),
    /// The file has no `traffic`.
    #[error("the file has no `traffic`; add a line such as `traffic: {{ v1: 100 }}` and edit again")]
    NoTraffic,
    /// `traffic` is not a map, or one of its values not a number.
    #[error("`traffic` is not a map of upstreams and percents; correct it by hand")]
    NotWeights,
    /// A value is written in a style that cannot be replaced in place.
    #[error("the weight of `{0}` is written as a block of text; write it as a plain number and edit again")]
    Style(String),
    /// An upstream that the file does not have.
    #[error("the file has no upstream `{0}`")]
    UnknownUpstream(UpstreamName),
    /// The weights would not sum to 100.
    #[error("the weights would sum to {}.{:02}, not 100", .0 / 100, .0 % 100)]
    Sum(u32),
    /// The text is one map in braces, or it has no keys at all.
    #[error("the file is not written as lines of keys; replace the whole text instead")]
    NotLines,
    /// What should be written is no JSON, or not of the right form.
    #[error("{0}")]
    Json(String),
    /// The result does not say what it should: a bug, caught before it could do harm.
    #[error("the edited file would not read back as it should; edit it by hand")]
    ReadBack,
}

/// Gives upstreams new weights under `traffic`; those that are not mentioned keep theirs.
///
/// An upstream that `traffic` does not list yet is added at its end. The weights sum to 100 afterwards, or nothing
/// is changed.
pub fn set_weights(text: &str, weights: &[(UpstreamName, Weight)]) -> Result<String, EditError> {
    let source = Source::of_text("".into(), text);
    // Spans do not count a byte order mark.
    let mark = text.len() - source.text().len();
    let tree = parse(&source)?;
    let traffic = &tree.get("traffic").ok_or(EditError::NoTraffic)?.value;
    let mut wanted = read(traffic)?;
    let mut splices: Vec<(Range<usize>, String)> = Vec::new();
    let mut added: Vec<(&UpstreamName, Weight)> = Vec::new();
    for (name, weight) in weights {
        if tree.get("upstreams").is_none_or(|upstreams| upstreams.value.get(name.as_str()).is_none()) {
            return Err(EditError::UnknownUpstream(name.clone()));
        }
        match traffic.get(name.as_str()) {
            Some(entry) => splices.push((entry.value.span.clone(), written(name, entry, *weight, &source)?)),
            None => added.push((name, *weight)),
        }
        wanted.insert(name.as_str().to_owned(), *weight);
    }
    let sum = wanted.values().map(|w| w.hundredths()).sum();
    if sum != WHOLE {
        return Err(EditError::Sum(sum));
    }
    if !added.is_empty() {
        splices.push(addition(traffic, &added, &source)?);
    }
    // From the end, so that the places before stay where they are.
    splices.sort_by_key(|(span, _)| std::cmp::Reverse((span.start, span.end)));
    let mut edited = text.to_owned();
    for (span, new) in splices {
        edited.replace_range(span.start + mark..span.end + mark, &new);
    }
    let again = parse(&Source::of_text("".into(), &edited)).ok();
    let sound = again
        .and_then(|tree| read(&tree.get("traffic")?.value).ok())
        .is_some_and(|weights| weights == wanted);
    if sound { Ok(edited) } else { Err(EditError::ReadBack) }
}

/// The weights that a file has.
pub fn weights(text: &str) -> Result<BTreeMap<String, Weight>, EditError> {
    let tree = parse(&Source::of_text("".into(), text))?;
    read(&tree.get("traffic").ok_or(EditError::NoTraffic)?.value)
}

fn parse(source: &Source) -> Result<Node, EditError> {
    let mut problems = Problems::new(source);
    let tree = yaml::parse(&mut problems).ok().flatten();
    match (tree, problems.into_diagnostics().into_iter().next()) {
        (_, Some(first)) => Err(EditError::Broken(format!("line {}: {}", first.place.line, first.message))),
        (Some(tree), None) => Ok(tree),
        (None, None) => Err(EditError::NoTraffic),
    }
}

/// The weights that `traffic` has.
fn read(traffic: &Node) -> Result<BTreeMap<String, Weight>, EditError> {
    let Data::Map(entries) = &traffic.data else { return Err(EditError::NotWeights) };
    let weight = |entry: &Entry| {
        let text = match &entry.value.data {
            Data::Integer(n) => n.to_string(),
            Data::Float(n) => n.to_string(),
            Data::Text(text) => text.clone(),
            _ => return Err(EditError::NotWeights),
        };
        Weight::parse(&text).map_err(|_| EditError::NotWeights)
    };
    entries.iter().map(|(key, entry)| Ok((key.clone(), weight(entry)?))).collect()
}

/// The new weight in the style of the old: an equal one stays as it is, quotes and a percent sign stay.
fn written(name: &UpstreamName, entry: &Entry, weight: Weight, source: &Source) -> Result<String, EditError> {
    let old = source.slice(&entry.value.span);
    let inner = match entry.value.style {
        Style::Plain => old,
        Style::SingleQuoted => old.trim_matches('\''),
        Style::DoubleQuoted => old.trim_matches('"'),
        Style::Block | Style::Flow => return Err(EditError::Style(name.to_string())),
    };
    if Weight::parse(inner) == Ok(weight) {
        return Ok(old.to_owned());
    }
    let sign = if inner.trim_end().ends_with('%') { "%" } else { "" };
    Ok(match entry.value.style {
        Style::SingleQuoted => format!("'{weight}{sign}'"),
        Style::DoubleQuoted => format!("\"{weight}{sign}\""),
        _ => format!("{weight}{sign}"),
    })
}

/// Where new entries go, and their text.
fn addition(
    traffic: &Node,
    added: &[(&UpstreamName, Weight)],
    source: &Source,
) -> Result<(Range<usize>, String), EditError> {
    let entries = added.iter().map(|(name, weight)| format!("{}: {weight}", key(name)));
    let Data::Map(old) = &traffic.data else { return Err(EditError::NotWeights) };
    let Some((last_key, last)) = old.last() else {
        let inside = traffic.span.start + 1;
        return Ok((inside..inside, format!(" {} ", entries.collect::<Vec<_>>().join(", "))));
    };
    if traffic.style == Style::Flow {
        let end = last.value.span.end;
        return Ok((end..end, entries.map(|entry| format!(", {entry}")).collect::<Vec<_>>().concat()));
    }
    if last.value.style == Style::Block {
        return Err(EditError::Style(last_key.clone()));
    }
    let line = source.line_span(source.line(last.key_span.start));
    let indent = source.slice(&(line.start..last.key_span.start));
    let end = source.line_span(source.line(last.value.span.end)).end;
    let line_end = line_end(source, line.start);
    Ok((end..end, entries.map(|entry| format!("{line_end}{indent}{entry}")).collect::<Vec<_>>().concat()))
}

/// How the line before a place ends.
fn line_end(source: &Source, place: usize) -> &str {
    let before = source.slice(&(0..place));
    let end = before.trim_end_matches(['\r', '\n']).len();
    match &before[end..] {
        ends if ends.starts_with("\r\n") => "\r\n",
        ends if ends.starts_with('\r') => "\r",
        _ => "\n",
    }
}

/// A name that YAML would not read as a text is put in quotes.
fn key(name: &UpstreamName) -> String {
    match super::tree::resolve(name.as_str()) {
        Data::Text(text) => text,
        _ => format!("\"{name}\""),
    }
}

#[cfg(test)]
mod tests;
