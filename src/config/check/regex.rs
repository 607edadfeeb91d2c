//! Regular expressions that both this machine and Envoy's RE2 understand alike.
//!
//! Rust's `regex` has the syntax of RE2 with a few additions; those are refused, because Envoy would refuse the
//! whole route configuration for one of them.

use super::Wrong;
use crate::config::spelling::shorten;
use ::regex::RegexBuilder;

const MAX_PATTERN: usize = 1000;
/// Of the compiled expression in bytes: far above any honest one.
const MAX_PROGRAM: usize = 1 << 20;
/// The most repetitions that RE2 takes (`kMaxRepeat` of its parser).
const MAX_REPEAT: u32 = 1000;

/// Refuses what Envoy would refuse.
pub(super) fn check(text: &str) -> Result<(), Wrong> {
    let shown = shorten(text);
    let wrong = |what: String, help: &str| Err(Wrong::new(format!("the expression `{shown}` {what}"), help));
    if text.len() > MAX_PATTERN {
        return wrong("is very long".to_owned(), "shorten it to at most 1000 characters");
    }
    if let Err(error) = RegexBuilder::new(text).size_limit(MAX_PROGRAM).build() {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let help = if why.contains("look-around") || why.contains("backreference") {
            "write it without; RE2, which Envoy uses, has no look-around and no backreferences"
        } else {
            "write it in the syntax of RE2"
        };
        return wrong(format!("is not sound: {why}"), help);
    }
    match addition(text) {
        Some(what) => {
            wrong(format!("has {what}, which Envoy's RE2 does not know"), "write it in the syntax of RE2")
        }
        None => Ok(()),
    }
}

/// A part of a sound expression that RE2 does not have.
fn addition(text: &str) -> Option<&'static str> {
    let mut rest = text;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            // An escape with what it escapes.
            let escaped = after.chars().next()?;
            if matches!(escaped, '<' | '>') || after.starts_with("b{") || (matches!(escaped, 'u' | 'U')) {
                return Some("an escape");
            }
            rest = &after[escaped.len_utf8()..];
            continue;
        }
        if in_class {
            if ["&&", "--", "~~"].iter().any(|operator| rest.starts_with(operator)) {
                return Some("an operation on classes");
            }
            if c == '[' && !after.starts_with(':') {
                return Some("a class within a class");
            }
            if c == '[' {
                rest = after.split_once(":]").map_or("", |(_, rest)| rest);
                continue;
            }
            in_class = c != ']';
        } else if c == '[' {
            in_class = true;
            // A bracket at the very beginning of a class is an ordinary character.
            let body = after.strip_prefix('^').unwrap_or(after);
            rest = body.strip_prefix(']').unwrap_or(body);
            continue;
        } else if let Some(flags) = after.strip_prefix('?').filter(|_| c == '(') {
            let flags: String = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
            if !flags.starts_with('P') && flags.contains(['x', 'R', 'u']) {
                return Some("a flag");
            }
        } else if c == '{' && repeats(after) > MAX_REPEAT {
            return Some("more than 1000 repetitions");
        }
        rest = after;
    }
    None
}

/// The larger bound of a counted repetition.
fn repeats(text: &str) -> u32 {
    let bounds = text.split('}').next().unwrap_or_default();
    bounds.split(',').filter_map(|n| n.trim().parse().ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_knows_is_good() {
        for good in [
            "qa-.*",
            "^a+$",
            "[]a]",
            "[^]a]",
            "[[:alpha:]]+",
            r"\d{1,3}\.[a-z-]",
            "(?i)x",
            "(?P<n>a)",
            "(?:a|b)",
            "a{1000}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_only_others_know_is_refused() {
        for bad in [
            "(", "a**b(", "(?=a)", "(?<!a)b", r"(a)\1", "[a&&b]", "[a[b]]", "(?x) a", "a{1001}", r"\<a",
            r"\u{61}", "(?u)a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
