//! What a rollout compares: the metrics that Envoys measure. Those of others are in `provided`.

use super::compare::min_match;
use super::{Surroundings, Wrong, provided, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{BuiltIn, ErrorRate, Metrics, Number, Quantile};
use crate::names;
use crate::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};

/// In hundredths of a percent.
const DEFAULT_MAX_ERRORS: u32 = 500;
const DEFAULT_ERROR_INCREASE: u32 = 1000;
const DEFAULT_LATENCY_INCREASE: u32 = 2000;
const DEFAULT_MIN_MATCH: u32 = 9900;

const BUILT_IN: [(&str, BuiltIn); 7] = [
    ("error-rate", BuiltIn::ErrorRate),
    ("latency-p50", BuiltIn::Latency(Quantile::P50)),
    ("latency-p90", BuiltIn::Latency(Quantile::P90)),
    ("latency-p95", BuiltIn::Latency(Quantile::P95)),
    ("latency-p99", BuiltIn::Latency(Quantile::P99)),
    ("request-rate", BuiltIn::RequestRate),
    ("shadow-match", BuiltIn::ShadowMatch),
];

/// The metrics; those of the contract when the file names none.
pub(super) fn metrics(
    raw: &raw::Gateway,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Metrics> {
    let (at, all) = (at.at("metrics"), raw.rollout.as_ref()?.metrics.as_deref());
    if all.is_none() && at.is_there() {
        return None;
    }
    let mut metrics = Metrics {
        error_rate: ErrorRate {
            max: Weight::new(DEFAULT_MAX_ERRORS)?,
            max_increase: Weight::new(DEFAULT_ERROR_INCREASE)?,
            client_errors: false,
        },
        latency: BTreeMap::new(),
        request_rate: None,
        shadow_match: None,
        provided: Vec::new(),
        dry_run: BTreeSet::new(),
    };
    if all.is_none() {
        metrics.latency.insert(Quantile::P99, Weight::new(DEFAULT_LATENCY_INCREASE)?);
    }
    let mut good = true;
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (i, metric) in all.unwrap_or_default().iter().enumerate() {
        let Some(metric) = metric else { continue };
        let Some(name) = metric.name.as_deref() else { continue };
        let at = at.item(i);
        if !seen.insert(name) {
            let help = "keep one of them, with all limits";
            problems.error(Code::Metric, &at.at("name"), "this metric is listed twice", help);
        }
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, b)| *b);
        let is_provided = at.at("prometheus").is_there() || at.at("webhook").is_there();
        let done = match built_in {
            Some(_) if is_provided => {
                let message = format!("Envoys measure `{name}` already");
                let help = "give your metric another name, or remove the one who is asked about it";
                problems.error(Code::Metric, &at.at("name"), message, help);
                None
            }
            Some(built_in) => measured(built_in, metric, &mut metrics, &at, problems),
            None if is_provided => {
                let known = own_name(name).map(|()| name.to_owned());
                let known = report(known, Code::Metric, &at.at("name"), problems);
                let provided = provided::provided(raw, metric, &at, around, problems);
                known.zip(provided).map(|(name, p)| metrics.provided.push(provided::named(p, name)))
            }
            None => report(Err(unknown(name)), Code::Metric, &at.at("name"), problems),
        };
        good &= done.is_some();
    }
    good.then_some(metrics)
}

/// A metric that Envoys measure, with its limits.
fn measured(
    built_in: BuiltIn,
    raw: &raw::Metric,
    metrics: &mut Metrics,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<()> {
    let keys: &[&str] = match built_in {
        BuiltIn::ErrorRate => &["max", "maxIncrease", "codes"],
        BuiltIn::Latency(_) => &["maxIncrease"],
        BuiltIn::RequestRate | BuiltIn::ShadowMatch => &["min"],
    };
    let named = raw.name.as_deref().unwrap_or_default();
    for key in ["max", "min", "maxIncrease", "codes", "interval"] {
        if at.at(key).is_there() && !keys.contains(&key) {
            let (message, help) = if matches!(built_in, BuiltIn::Latency(_)) && key == "max" {
                let help = "write `maxIncrease`: a latency is compared with the primary's";
                ("a latency has no `max`".to_owned(), help.to_owned())
            } else {
                let words: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                (format!("`{named}` has no `{key}`"), format!("it has {}", words.join(", ")))
            };
            problems.error(Code::Metric, &at.key(key), message, help);
        }
    }
    if raw.dry_run == Some(true) {
        metrics.dry_run.insert(built_in);
    }
    match built_in {
        BuiltIn::ErrorRate => {
            let before = metrics.error_rate;
            let max = raw.max.as_ref().map(|amount| share(&amount.to_string(), 1));
            let max = limit(max, before.max, &at.at("max"), problems);
            let max_increase = raw.max_increase.as_ref().map(|percent| share(&percent.to_string(), 0));
            let max_increase = limit(max_increase, before.max_increase, &at.at("maxIncrease"), problems);
            let client_errors = codes(raw, &at.at("codes"), problems);
            metrics.error_rate =
                ErrorRate { max: max?, max_increase: max_increase?, client_errors: client_errors? };
        }
        BuiltIn::Latency(quantile) => {
            let default = Weight::new(DEFAULT_LATENCY_INCREASE)?;
            let increase = raw.max_increase.as_ref().map(|percent| share(&percent.to_string(), 0));
            let increase = limit(increase, default, &at.at("maxIncrease"), problems)?;
            metrics.latency.insert(quantile, increase);
        }
        BuiltIn::ShadowMatch => metrics.shadow_match = Some(agreement(raw, at, problems)?),
        BuiltIn::RequestRate => {
            let Some(min) = &raw.min else {
                if !at.at("min").is_there() {
                    let help = "add `min: 10`, for ten requests a second";
                    problems.error(Code::Metric, at, "`request-rate` does not say how many are enough", help);
                }
                return None;
            };
            let rate = min.to_string().parse().ok().filter(|rate| *rate >= 0.0).and_then(Number::new);
            let wrong = || {
                let message = format!("`{}` is not a rate", spelling::shorten(&min.to_string()));
                Wrong::new(message, "write the requests a second, such as 10 or 0.5")
            };
            metrics.request_rate =
                Some(report(rate.ok_or_else(wrong), Code::Metric, &at.at("min"), problems)?);
        }
    }
    Some(())
}

/// The share of predictions that must agree. Without a word on it, that of `shadow.compare` is taken later.
fn agreement(raw: &raw::Metric, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Weight> {
    match &raw.min {
        Some(min) => report(min_match(&min.to_string()), Code::MinMatch, &at.at("min"), problems),
        None if at.at("min").is_there() => None,
        None => Weight::new(DEFAULT_MIN_MATCH),
    }
}

/// Whether 4xx are failures. Failures without an answer and 5xx always are.
fn codes(raw: &raw::Metric, at: &At<'_>, problems: &mut Problems<'_>) -> Option<bool> {
    let Some(codes) = &raw.codes else { return (!at.is_there()).then_some(false) };
    let codes: Vec<_> = codes.iter().flatten().collect();
    if !codes.contains(&&raw::Codes::Server) {
        let help = "write `[5xx]`, or `[4xx, 5xx]` to count both";
        problems.error(
            Code::Metric,
            at,
            "`codes` leaves out 5xx, and a server that fails is a failure",
            help,
        );
        return None;
    }
    Some(codes.contains(&&raw::Codes::Client))
}

fn limit(
    written: Option<Result<Weight, Wrong>>,
    default: Weight,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Weight> {
    match written {
        None => (!at.is_there()).then_some(default),
        Some(checked) => report(checked, Code::Metric, at, problems),
    }
}

/// A limit in percent, of at least so many hundredths.
pub(super) fn share(text: &str, least: u32) -> Result<Weight, Wrong> {
    let good = Weight::parse(text).ok().filter(|w| w.hundredths() >= least);
    good.ok_or_else(|| {
        let message = format!("`{}` is not a limit", spelling::shorten(text));
        let from = if least > 0 { "0.01" } else { "0" };
        Wrong::new(message, format!("write a percent from {from} to 100, such as 5% or 0.5%"))
    })
}

fn own_name(name: &str) -> Result<(), Wrong> {
    names::check_label(name).map_err(|why| {
        let message = format!("`{}` cannot name a metric: {why}", spelling::shorten(name));
        Wrong::new(message, "use 1 to 63 lower-case letters, digits and inner hyphens, such as `ttft-p95`")
    })
}

fn unknown(name: &str) -> Wrong {
    let names = || BUILT_IN.iter().map(|(name, _)| *name);
    let help = if let Some(near) = spelling::nearest(name, names()) {
        format!("did you mean `{near}`? A metric of your own wants `prometheus` or `webhook`")
    } else {
        let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
        format!("write one of {}, or add `prometheus` or `webhook`", names.join(", "))
    };
    Wrong::new(format!("Envoys do not measure `{}`", spelling::shorten(name)), help)
}
