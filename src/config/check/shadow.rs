//! `shadow`: who gets copies of requests.

use super::traffic::{known, weight};
use super::{compare, report};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::Shadow;
use crate::names::UpstreamName;
use crate::weight::{Split, Weight};
use std::time::Duration;

/// In hundredths of a percent. Enough to compare versions within minutes, and little to pay for.
const DEFAULT: u32 = 1_000;
/// Above it a shadow needs about the capacity of the version that serves.
const MUCH: u32 = 5_000;

/// `None` also when something is wrong, which is then said.
pub(super) fn shadow(
    raw: &raw::Gateway,
    root: &At<'_>,
    (traffic, timeout): (Option<&Split>, Option<Duration>),
    problems: &mut Problems<'_>,
) -> Option<Shadow> {
    let shadow = raw.shadow.as_ref()?;
    let at = root.at("shadow");
    let upstream = shadow.upstream.as_deref().and_then(|name| {
        report(known(name, raw), Code::UnknownUpstream, &at.at("upstream"), problems)?;
        UpstreamName::new(name).ok()
    });
    let percent = match &shadow.percent {
        Some(percent) => report(weight(percent), Code::Percent, &at.at("percent"), problems),
        None if at.at("percent").is_there() => None,
        None => Weight::new(DEFAULT),
    };
    let compare = shadow.compare.as_ref().map(|c| compare::compare(c, raw, &at, problems));
    if compare.is_none() && at.at("compare").is_there() {
        return None;
    }
    if timeout.is_some_and(|t| t.is_zero()) {
        // The copy has the timeout of the request, and no other (Envoy has none for mirrors).
        let message = "with `timeout: 0s` a shadow that never answers would hold its requests for ever";
        let help = "give requests a limit that the longest of them keeps, such as `timeout: 10m`";
        problems.error(Code::ShadowTimeout, &root.at("timeout"), message, help);
        return None;
    }
    if let Some(percent) = percent.filter(|p| p.hundredths() > MUCH) {
        let message = format!("the shadow gets copies of {percent} % of the requests");
        let help = "10 % tell as much within minutes; a shadow does the work of all its copies";
        problems.warning(Code::ShadowShare, &at.at("percent"), message, help);
    }
    if let (Some(upstream), Some(traffic)) = (&upstream, traffic)
        && traffic.of(upstream) == Weight::ALL
    {
        let message = format!("`{upstream}` answers all requests, and would shadow itself");
        let help = "name another upstream, or remove `shadow`";
        problems.warning(Code::ShadowOfItself, &at.at("upstream"), message, help);
    }
    let compare = match compare {
        Some(compare) => Some(compare?),
        None => None,
    };
    Some(Shadow { upstream: upstream?, percent: percent?, compare })
}
