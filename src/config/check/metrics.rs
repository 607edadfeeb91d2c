//! What a rollout compares.

use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::raw::MetricName;
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{ErrorRate, Metrics, Quantile};
use crate::weight::Weight;
use std::collections::BTreeMap;

/// In hundredths of a percent.
const DEFAULT_MAX_ERRORS: u32 = 500;
const DEFAULT_ERROR_INCREASE: u32 = 1000;
const DEFAULT_LATENCY_INCREASE: u32 = 2000;

/// The metrics; those of the contract when the file names none.
pub(super) fn metrics(raw: &raw::Rollout, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Metrics> {
    let (at, all) = (at.at("metrics"), raw.metrics.as_deref());
    if all.is_none() && at.is_there() {
        return None;
    }
    let mut error_rate = ErrorRate {
        max: Weight::new(DEFAULT_MAX_ERRORS)?,
        max_increase: Weight::new(DEFAULT_ERROR_INCREASE)?,
    };
    let mut latency = BTreeMap::new();
    if all.is_none() {
        latency.insert(Quantile::P99, Weight::new(DEFAULT_LATENCY_INCREASE)?);
    }
    let mut good = true;
    let mut seen: Vec<MetricName> = Vec::new();
    for (i, metric) in all.unwrap_or_default().iter().enumerate() {
        let Some(raw::Metric { name: Some(name), max, max_increase }) = metric else { continue };
        let at = at.item(i);
        if seen.contains(name) {
            let help = "keep one of them, with all limits";
            problems.error(Code::Metric, &at.at("name"), "this metric is listed twice", help);
        }
        seen.push(*name);
        let limit =
            |raw: &Option<raw::Percent>, least: u32, default: Weight, key: &str, p: &mut Problems<'_>| {
                let Some(percent) = raw else { return Some(default) };
                report(limit(percent, least), Code::Metric, &at.at(key), p)
            };
        let Some(quantile) = quantile(*name) else {
            let max = limit(max, 1, error_rate.max, "max", problems);
            let max_increase = limit(max_increase, 0, error_rate.max_increase, "maxIncrease", problems);
            match max.zip(max_increase) {
                Some((max, max_increase)) => error_rate = ErrorRate { max, max_increase },
                None => good = false,
            }
            continue;
        };
        if at.at("max").is_there() {
            let help = "write `maxIncrease`: a latency is compared with the primary's";
            problems.error(Code::Metric, &at.key("max"), "a latency has no `max`", help);
        }
        let default = Weight::new(DEFAULT_LATENCY_INCREASE)?;
        match limit(max_increase, 0, default, "maxIncrease", problems) {
            Some(increase) => drop(latency.insert(quantile, increase)),
            None => good = false,
        }
    }
    good.then_some(Metrics { error_rate, latency })
}

fn quantile(name: MetricName) -> Option<Quantile> {
    match name {
        MetricName::ErrorRate => None,
        MetricName::LatencyP50 => Some(Quantile::P50),
        MetricName::LatencyP90 => Some(Quantile::P90),
        MetricName::LatencyP95 => Some(Quantile::P95),
        MetricName::LatencyP99 => Some(Quantile::P99),
    }
}

fn limit(percent: &raw::Percent, least: u32) -> Result<Weight, Wrong> {
    let text = percent.to_string();
    let good = Weight::parse(&text).ok().filter(|w| w.hundredths() >= least);
    good.ok_or_else(|| {
        let message = format!("`{}` is not a limit", spelling::shorten(&text));
        let from = if least > 0 { "0.01" } else { "0" };
        Wrong::new(message, format!("write a percent from {from} to 100, such as 5% or 0.5%"))
    })
}
