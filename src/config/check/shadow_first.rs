//! `shadowFirst`, and what else of a rollout lives on a shadow.

use super::{Wrong, compare, report, traffic};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::{Compare, Rollout, Shadow, ShadowFirst};
use crate::names::UpstreamName;
use crate::weight::Weight;
use std::time::Duration;

/// In hundredths of a percent. As for any shadow.
const DEFAULT_PERCENT: u32 = 1_000;

/// The rollout with its shadow before the first step, if it has one. `None`: something is wrong, which is then said.
pub(super) fn complete(
    mut rollout: Rollout,
    raw: &raw::Gateway,
    root: &At<'_>,
    (shadow, timeout): (Option<&Shadow>, Option<Duration>),
    problems: &mut Problems<'_>,
) -> Option<Rollout> {
    let has_shadow = root.at("shadow").is_there();
    // What is wrong about it has been said.
    let is_known = !has_shadow || shadow.is_some();
    if let Some(own) = &mut rollout.metrics.shadow_match
        && is_known
    {
        let compared = compared(&rollout.canary, shadow, &root.at("rollout").at("metrics"), problems)?;
        let says = |metric: &&raw::Metric| metric.name.as_deref() == Some("shadow-match");
        let metrics = raw.rollout.as_ref().and_then(|rollout| rollout.metrics.as_ref());
        if metrics.into_iter().flatten().flatten().find(says).is_some_and(|metric| metric.min.is_none()) {
            *own = compared.min_match;
        }
    }
    let at = root.at("rollout").at("shadowFirst");
    let Some(first) = raw.rollout.as_ref().and_then(|rollout| rollout.shadow_first.as_ref()) else {
        return (!at.is_there()).then_some(rollout);
    };
    let rules = shadow.and_then(|shadow| shadow.compare.clone()).or_else(compare::by_default)?;
    let percent = match &first.percent {
        Some(percent) => report(percent_of(percent), Code::ShadowFirst, &at.at("percent"), problems),
        None if at.at("percent").is_there() => None,
        None => Weight::new(DEFAULT_PERCENT),
    };
    let min_match = match &first.min_match {
        Some(percent) => {
            let checked = compare::min_match(&percent.to_string());
            report(checked, Code::MinMatch, &at.at("minMatch"), problems)
        }
        None if at.at("minMatch").is_there() => None,
        None => Some(rules.min_match),
    };
    compare::comparable(raw, Some(rollout.canary.as_str()), &at, problems);
    if timeout.is_some_and(|t| t.is_zero()) && !has_shadow {
        let message = "with `timeout: 0s` a shadow that never answers would hold its requests for ever";
        let help = "give requests a limit that the longest of them keeps, such as `timeout: 10m`";
        problems.error(Code::ShadowTimeout, &root.at("timeout"), message, help);
        return None;
    }
    if let Some(shadow) = shadow.filter(|shadow| shadow.upstream != rollout.canary) {
        let (other, canary) = (&shadow.upstream, &rollout.canary);
        let message =
            format!("`shadow` sends copies to `{other}`, and `shadowFirst` would to the canary `{canary}`");
        let help = format!(
            "a gateway has one shadow at a time: name `{canary}` in `shadow`, or remove one of the two"
        );
        problems.error(Code::TwoShadows, &root.at("shadow").at("upstream"), message, help);
        return None;
    }
    let shadow_first = ShadowFirst {
        shadow: Shadow { upstream: rollout.canary.clone(), percent: percent?, compare: Some(rules) },
        otherwise: shadow.cloned(),
        min_match: min_match?,
    };
    is_known.then_some(Rollout { shadow_first: Some(shadow_first), ..rollout })
}

/// `shadow-match` needs predictions of the canary beside those of the primary.
fn compared<'s>(
    canary: &UpstreamName,
    shadow: Option<&'s Shadow>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<&'s Compare> {
    let rules = shadow.filter(|shadow| shadow.upstream == *canary).and_then(|shadow| shadow.compare.as_ref());
    if rules.is_none() {
        let message =
            format!("`shadow-match` has nothing to measure: no predictions of `{canary}` are compared");
        let help =
            format!("add `shadow: {{ upstream: {canary}, compare: {{}} }}`, or use `shadowFirst` alone");
        problems.error(Code::NothingCompared, at, message, help);
    }
    rules
}

fn percent_of(percent: &raw::Percent) -> Result<Weight, Wrong> {
    let weight = traffic::weight(percent)?;
    if weight == Weight::NONE {
        let help = "write a percent above 0, such as 10: without copies the release would never begin";
        return Err(Wrong::new("with `percent: 0` no request is copied to the canary", help));
    }
    Ok(weight)
}
