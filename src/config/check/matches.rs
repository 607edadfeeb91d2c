//! Items of `match`: conditions, and the upstream that answers when all of them hold.

use super::{Wrong, header, regex, report, traffic};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::{Condition, Match, Pattern};
use crate::names::UpstreamName;
use std::collections::BTreeSet;

/// Envoy tries one after the other, for each request.
const MAX_CONDITIONS: usize = 1000;

/// What is matched, how its names are checked, and what becomes of them.
type Kind = (&'static str, Code, fn(&str) -> Result<String, Wrong>, fn(String, Pattern) -> Condition);

const HEADERS: Kind = ("headers", Code::HeaderName, header::name, Condition::Header);
const QUERY: Kind = ("query", Code::ConditionName, header::parameter, Condition::Query);
const COOKIES: Kind = ("cookies", Code::ConditionName, header::cookie, Condition::Cookie);

pub(super) fn matches(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) -> Vec<Match> {
    let at = root.at("match");
    let size = |item: &raw::Match| -> usize {
        [&item.headers, &item.query, &item.cookies].into_iter().flatten().map(raw::Patterns::len).sum()
    };
    if raw.matches.iter().flatten().flatten().map(|item| size(item).max(1)).sum::<usize>() > MAX_CONDITIONS {
        let message = format!("the gateway has more than {MAX_CONDITIONS} conditions under `match`");
        problems.error(
            Code::TooManyMatches,
            &root.key("match"),
            message,
            "join them by a `prefix` or a `regex`",
        );
        return Vec::new();
    }
    let mut checked = Vec::new();
    for (i, item) in raw.matches.iter().flatten().enumerate() {
        if problems.is_full() {
            break;
        }
        if let Some(item) = item {
            checked.extend(one(item, raw, &at.item(i), problems));
        }
    }
    checked
}

fn one(item: &raw::Match, gateway: &raw::Gateway, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Match> {
    let groups = [(&item.headers, HEADERS), (&item.query, QUERY), (&item.cookies, COOKIES)];
    if groups.iter().all(|(patterns, _)| patterns.as_ref().is_none_or(raw::Patterns::is_empty)) {
        let help = "add `headers`, `query` or `cookies`; to send everything to one upstream use `traffic`";
        problems.error(Code::NoCondition, at, "this match has no condition", help);
    }
    let mut conditions = Vec::new();
    for (patterns, kind) in groups {
        if let Some(patterns) = patterns {
            group(patterns, kind, &at.at(kind.0), &mut conditions, problems);
        }
    }
    let name = item.upstream.as_deref()?;
    report(traffic::known(name, gateway), Code::UnknownUpstream, &at.at("upstream"), problems)?;
    Some(Match { conditions, upstream: UpstreamName::new(name).ok()? })
}

fn group(
    patterns: &raw::Patterns,
    (_, code, check, make): Kind,
    at: &At<'_>,
    conditions: &mut Vec<Condition>,
    problems: &mut Problems<'_>,
) {
    let mut seen = BTreeSet::new();
    for (key, value) in patterns {
        let name = report(check(key), code, &at.key(key), problems);
        if let Some(name) = &name
            && !seen.insert(name.clone())
        {
            let message = format!("`{name}` comes twice here, and capital letters make no difference");
            problems.error(code, &at.key(key), message, "keep one of them");
        }
        let pattern =
            value.as_ref().and_then(|value| report(pattern(value), code_of(value), &at.at(key), problems));
        conditions.extend(name.zip(pattern).map(|(name, pattern)| make(name, pattern)));
    }
}

/// A broken expression has a code of its own.
fn code_of(value: &raw::StringMatch) -> Code {
    match value {
        raw::StringMatch::Object(o)
            if o.regex.as_ref().is_some_and(|r| !r.is_empty()) && o.exact.is_none() && o.prefix.is_none() =>
        {
            Code::Regex
        }
        _ => Code::Pattern,
    }
}

fn pattern(value: &raw::StringMatch) -> Result<Pattern, Wrong> {
    let object = match value {
        raw::StringMatch::Exact(text) => return Ok(Pattern::Exact(text.clone())),
        raw::StringMatch::Object(object) => object,
    };
    let empty = |key: &str, help: &str| Err(Wrong::new(format!("an empty `{key}` fits every value"), help));
    match (&object.exact, &object.prefix, &object.regex) {
        (Some(text), None, None) => Ok(Pattern::Exact(text.clone())),
        (None, Some(text), None) if text.is_empty() => {
            empty("prefix", "write how the value begins, or `{ regex: .* }` for any value")
        }
        (None, Some(text), None) => Ok(Pattern::Prefix(text.clone())),
        (None, None, Some(text)) if text.is_empty() => {
            empty("regex", "write an expression; `.*` stands for any value")
        }
        (None, None, Some(text)) => regex::check(text).map(|()| Pattern::Regex(text.clone())),
        (None, None, None) => {
            Err(Wrong::new("this says nothing about the value", "write one of `exact`, `prefix` and `regex`"))
        }
        _ => Err(Wrong::new("`exact`, `prefix` and `regex` exclude each other", "keep one of them")),
    }
}
