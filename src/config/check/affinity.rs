//! `sessionAffinity`: what a user is known by.

use super::{Wrong, duration, header, report};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::SessionAffinity;
use std::time::Duration;

/// How long a user keeps a version at least between two visits.
const MAX_AGE: Duration = duration::DAY;
/// Browsers keep no cookie for longer.
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// `None` also when something is wrong, which is then said.
pub(super) fn affinity(
    raw: &raw::Gateway,
    root: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<SessionAffinity> {
    let at = root.at("sessionAffinity");
    let object = match raw.session_affinity.as_ref()? {
        raw::SessionAffinity::SourceIp(_) => return Some(SessionAffinity::SourceIp),
        raw::SessionAffinity::Object(object) => object,
    };
    match (&object.header, &object.query, &object.cookie) {
        (Some(name), None, None) => {
            ageless(object, &at, problems);
            let name = report(header::name(name), Code::HeaderName, &at.at("header"), problems)?;
            if name == "cookie" {
                let help = "name the cookie under `cookie`";
                problems.error(
                    Code::HeaderName,
                    &at.at("header"),
                    "the header `cookie` holds many things",
                    help,
                );
                return None;
            }
            Some(SessionAffinity::Header(name))
        }
        (None, Some(name), None) => {
            ageless(object, &at, problems);
            report(header::parameter(name), Code::ConditionName, &at.at("query"), problems)
                .map(SessionAffinity::Query)
        }
        (None, None, Some(name)) => {
            let name = report(header::cookie(name), Code::ConditionName, &at.at("cookie"), problems);
            let age = max_age(object, &at, problems);
            Some(SessionAffinity::Cookie { name: name?, max_age: age? })
        }
        (None, None, None)
            if at.at("header").is_there() || at.at("query").is_there() || at.at("cookie").is_there() =>
        {
            None
        }
        keys => {
            let message = match keys {
                (None, None, None) => "this does not say what a user is known by",
                _ => "`header`, `query` and `cookie` exclude each other",
            };
            let help = "write one of them, such as `{ header: x-user-id }`, or `sourceIp`";
            problems.error(Code::SessionAffinity, &at, message, help);
            None
        }
    }
}

/// Only a cookie is given for a while.
fn ageless(object: &raw::SessionAffinityObject, at: &At<'_>, problems: &mut Problems<'_>) {
    if object.max_age.is_some() {
        let help = "remove `maxAge`; it is for a `cookie`";
        problems.error(Code::SessionAffinity, &at.key("maxAge"), "nothing here has an age", help);
    }
}

/// Cookies count whole seconds (RFC 6265 section 5.2.2).
fn max_age(
    object: &raw::SessionAffinityObject,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Duration> {
    let at = at.at("maxAge");
    let bounds = Duration::from_secs(1)..=LONGEST;
    let age = duration::optional(object.max_age.as_ref(), MAX_AGE, bounds, &at, problems)?;
    let help = "write seconds, minutes or hours, such as `24h`";
    let whole = age.subsec_nanos() == 0;
    report(
        whole.then_some(age).ok_or_else(|| Wrong::new("cookies live for whole seconds", help)),
        Code::Duration,
        &at,
        problems,
    )
}
