//! Queries of Prometheus: where facts about a version stand in them, and how far they look back.
//!
//! Facts are put into strings only, where each text can be escaped; elsewhere a version named `1"} or up` could ask
//! something else. Only what this needs is understood of the language; Prometheus itself judges the rest.

use super::{Wrong, duration};
use crate::config::spelling::shorten;
use crate::model::{Fact, Query, QueryPart};
use std::time::Duration;

/// Longer than any query that a person could read.
const MAX_LENGTH: usize = 10_000;
const HELP: &str =
    "write a label matcher such as `version=\"{{version}}\"`, so that it asks about one version only";

/// A query, and the longest time that it looks back on.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) query: Query,
    pub(super) range: Duration,
}

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Parsed, Wrong> {
    if text.len() > MAX_LENGTH {
        return Err(Wrong::new(
            format!("the query has {} bytes", text.len()),
            "record it with a rule in Prometheus, and ask for what is recorded",
        ));
    }
    let mut reader = Reader { rest: text, before: String::new(), parts: Vec::new(), range: Duration::ZERO };
    while let Some(next) = reader.rest.chars().next() {
        match next {
            '"' | '\'' | '`' => reader.string(next)?,
            '#' => reader.comment(),
            '[' => reader.brackets(),
            _ if reader.rest.starts_with("{{") => return Err(reader.outside()),
            _ => reader.take(next.len_utf8()),
        }
    }
    reader.flush();
    if !reader.parts.iter().any(|part| matches!(part, QueryPart::Fact { .. })) {
        let message =
            "the query asks about no version: it has none of `{{upstream}}`, `{{version}}` and `{{model}}`";
        return Err(Wrong::new(message, HELP));
    }
    Ok(Parsed { query: Query(reader.parts), range: reader.range })
}

struct Reader<'t> {
    rest: &'t str,
    /// Text since the last fact.
    before: String,
    parts: Vec<QueryPart>,
    range: Duration,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.before += taken;
        self.rest = rest;
    }

    fn flush(&mut self) {
        if !self.before.is_empty() {
            self.parts.push(QueryPart::Text(std::mem::take(&mut self.before)));
        }
    }

    /// A string with its quotes.
    fn string(&mut self, quote: char) -> Result<(), Wrong> {
        let operator = self.before.trim_end();
        let is_regex = operator.ends_with("=~") || operator.ends_with("!~");
        self.take(1);
        loop {
            let Some(next) = self.rest.chars().next() else {
                let message = "a string in the query has no end";
                return Err(Wrong::new(message, format!("end it with {quote}")));
            };
            if self.rest.starts_with("{{") {
                self.fact(quote, is_regex)?;
            } else if next == '\\' && quote != '`' {
                let escaped = self.rest.chars().nth(1).map_or(0, char::len_utf8);
                self.take(1 + escaped);
            } else {
                self.take(next.len_utf8());
                if next == quote {
                    return Ok(());
                }
            }
        }
    }

    fn fact(&mut self, quote: char, is_regex: bool) -> Result<(), Wrong> {
        let Some(end) = self.rest.find("}}") else {
            return Err(Wrong::new("a `{{` in the query has no `}}`", HELP));
        };
        let word = self.rest[2..end].trim();
        let Some(fact) = Fact::ALL.into_iter().find(|fact| fact.as_str() == word) else {
            let message = format!("`{{{{{}}}}}` is nothing that a query can be told", shorten(word));
            return Err(Wrong::new(message, "write `{{upstream}}`, `{{version}}` or `{{model}}`"));
        };
        self.flush();
        self.parts.push(QueryPart::Fact { fact, quote, is_regex });
        self.rest = &self.rest[end + 2..];
        Ok(())
    }

    fn outside(&self) -> Wrong {
        let end = self.rest.find("}}").map_or(self.rest.len(), |end| end + 2);
        let shown = shorten(&self.rest[..end]);
        Wrong::new(format!("`{shown}` stands outside of a string, where it could change what is asked"), HELP)
    }

    /// To the end of the line.
    fn comment(&mut self) {
        self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
    }

    /// `[5m]`, or `[1h:1m]` of a subquery.
    fn brackets(&mut self) {
        let inner = self.rest[1..].split(']').next().unwrap_or_default();
        let range = inner.split(':').next().unwrap_or_default().trim();
        if let Some(range) = looks_back(range) {
            self.range = self.range.max(range);
        }
        self.take(1);
    }
}

/// Durations of Prometheus have days, weeks and years too.
fn looks_back(text: &str) -> Option<Duration> {
    let long = [("d", 24), ("w", 7 * 24), ("y", 365 * 24)];
    let unit = long.into_iter().find_map(|(unit, hours)| Some((text.strip_suffix(unit)?, hours)));
    match unit {
        Some((number, hours)) => Some(Duration::from_hours(number.parse::<u32>().ok()?.into()) * hours),
        None => duration::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(fact: Fact, quote: char, is_regex: bool) -> QueryPart {
        QueryPart::Fact { fact, quote, is_regex }
    }

    fn text(text: &str) -> QueryPart {
        QueryPart::Text(text.to_owned())
    }

    #[test]
    fn facts_stand_in_strings_and_windows_in_brackets() {
        let query = "rate(a{v=\"{{version}}\", u =~ 'x-{{ upstream }}|\\'[9d]'}[5m]) / b{m!=`{{model}}`}[1h:2d] # {{x}} '";
        let parsed = parse(query).unwrap();
        assert_eq!(parsed.range, Duration::from_hours(1));
        let expected = vec![
            text("rate(a{v=\""),
            fact(Fact::Version, '"', false),
            text("\", u =~ 'x-"),
            fact(Fact::Upstream, '\'', true),
            text("|\\'[9d]'}[5m]) / b{m!=`"),
            fact(Fact::Model, '`', false),
            text("`}[1h:2d] # {{x}} '"),
        ];
        assert_eq!(parsed.query, Query(expected));
    }

    #[test]
    fn ranges_have_the_units_of_prometheus() {
        for (query, hours) in [("a[2d]", 48), ("a[1w]", 168), ("a[1h30m] + b[30m]", 1), ("a[1y]", 8760)] {
            let parsed = parse(&format!("{query} + c{{v=\"{{{{version}}}}\"}}")).unwrap();
            assert_eq!(parsed.range.as_secs() / 3600, hours, "{query}");
        }
    }

    #[test]
    fn what_asks_about_no_version_or_could_be_turned_is_refused() {
        for (query, message) in [
            ("up", "no version"),
            ("", "no version"),
            ("a{v=\"x\"} # \"{{version}}\"", "no version"),
            ("rate({{upstream}}_total[5m])", "outside of a string"),
            ("a{v={{version}}}", "outside of a string"),
            ("a{v=\"{{revision}}\"}", "`{{revision}}` is nothing"),
            ("a{v=\"{{version", "no `}}`"),
            ("a{v=\"{{version}}}", "no end"),
            ("a{v=\"{{version}}\\", "no end"),
        ] {
            let wrong = parse(query).expect_err(query);
            assert!(wrong.message.contains(message), "{query}: {wrong:?}");
        }
    }
}
