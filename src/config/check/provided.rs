//! The metrics of a rollout that others measure.

use super::remote::{self, Written, remote};
use super::{Surroundings, Wrong, duration, metrics, query, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{Fact, Limits, MetricSource, Number, Provided, Query, QueryPart};
use std::collections::BTreeSet;
use std::time::Duration;

/// More often, and answers would hardly differ.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_hours(24);
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// A metric with a provider; its name is given by [`named`].
pub(super) fn provided(
    gateway: &raw::Gateway,
    raw: &raw::Metric,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Provided> {
    if at.at("prometheus").is_there() && at.at("webhook").is_there() {
        let help = "keep the one who is asked; for both write two metrics";
        let message = "`prometheus` and `webhook` exclude each other";
        problems.error(Code::MetricSource, &at.key("webhook"), message, help);
        return None;
    }
    if at.at("codes").is_there() {
        let help = "remove it: only `error-rate` has codes";
        problems.error(Code::Metric, &at.key("codes"), "a metric of your own has no `codes`", help);
    }
    let limits = limits(raw, at, problems);
    let (source, range) = match (&raw.prometheus, &raw.webhook) {
        (Some(prometheus), _) => {
            let compares = limits.is_some_and(|limits| limits.max_increase.is_some());
            asked(gateway, prometheus, compares, &at.at("prometheus"), around, problems)
        }
        (None, Some(webhook)) => (called(webhook, &at.at("webhook"), around, problems), Some(Duration::ZERO)),
        (None, None) => return None,
    };
    if let Some(limits) = limits
        && limits.is_empty()
        && raw.prometheus.is_some()
    {
        let help = "add `max`, `min` or `maxIncrease`";
        problems.error(Code::Metric, at, "the metric does not say what is too much", help);
    }
    let interval_at = at.at("interval");
    let default = DEFAULT_INTERVAL.max(range.unwrap_or_default());
    let interval =
        duration::optional(raw.interval.as_ref(), default, SHORTEST..=LONGEST, &interval_at, problems);
    if let (Some(interval), Some(range)) = (interval, range)
        && (range > interval || range > LONGEST)
    {
        let message = "the query looks back on more time than passes between two answers, so that they would say the same twice";
        let help = "make `interval` at least as long as the longest `[...]` of the query, at most 24h";
        problems.error(Code::MetricWindow, &interval_at, message, help);
    }
    Some(Provided {
        name: String::new(),
        source: source?,
        limits: limits?,
        interval: interval?,
        dry_run: raw.dry_run.unwrap_or(false),
    })
}

/// With its name.
pub(super) fn named(provided: Provided, name: String) -> Provided {
    Provided { name, ..provided }
}

fn limits(raw: &raw::Metric, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Limits> {
    let number = |raw: &Option<raw::Amount>, key: &str, problems: &mut Problems<'_>| match raw {
        None => (!at.at(key).is_there()).then_some(None),
        Some(amount) => report(amount_of(amount), Code::Metric, &at.at(key), problems).map(Some),
    };
    let max = number(&raw.max, "max", problems);
    let min = number(&raw.min, "min", problems);
    let increase_at = at.at("maxIncrease");
    let max_increase = match &raw.max_increase {
        None => (!increase_at.is_there()).then_some(None),
        Some(percent) => {
            report(metrics::share(&percent.to_string(), 0), Code::Metric, &increase_at, problems).map(Some)
        }
    };
    if let (Some(Some(max)), Some(Some(min))) = (max, min)
        && min.get() > max.get()
    {
        let help = "a good value lies between `min` and `max`";
        problems.error(Code::Metric, &at.at("min"), "`min` is above `max`, so no value is good", help);
    }
    Some(Limits { max: max?, min: min?, max_increase: max_increase? })
}

/// A number in the unit of the metric: a percent is a share of 1, and a duration is in seconds, as Prometheus has them.
fn amount_of(raw: &raw::Amount) -> Result<Number, Wrong> {
    let text = raw.to_string();
    let number = match raw {
        raw::Amount::Number(number) => Number::new(*number),
        raw::Amount::Text(text) => match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().and_then(|p| Number::new(p / 100.0)),
            None => duration::parse(text).and_then(|d| Number::new(d.as_secs_f64())),
        },
    };
    number.ok_or_else(|| {
        let message = format!("`{}` is not a limit", spelling::shorten(&text));
        Wrong::new(message, "write a number such as 0.9, a percent such as 5%, or a duration such as 500ms")
    })
}

/// A query, and how far it looks back.
fn asked(
    gateway: &raw::Gateway,
    raw: &raw::Prometheus,
    compares: bool,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> (Option<MetricSource>, Option<Duration>) {
    let (text, text_at, object) = match raw {
        raw::Prometheus::Query(text) => (Some(text.as_str()), at.clone(), None),
        raw::Prometheus::Object(object) => (object.query.as_deref(), at.at("query"), Some(object)),
    };
    let parsed = text.and_then(|text| report(query::parse(text), Code::Query, &text_at, problems));
    if let Some(parsed) = &parsed {
        report(tells_apart(gateway, &parsed.query, compares), Code::Query, &text_at, problems);
    }
    let server = match object {
        Some(object) if at.at("url").is_there() => object.url.as_deref().and_then(|url| {
            let written = Written {
                url,
                url_at: at.at("url"),
                headers: object.headers_file.as_ref(),
                ca: object.ca_file.as_deref(),
                at: at.clone(),
            };
            remote(&written, around, problems)
        }),
        _ => {
            for key in ["headersFile", "caFile"] {
                if at.at(key).is_there() {
                    let help = "add `url`, or write it under `prometheus` in serin.yaml";
                    let message = format!("`{key}` goes with a `url`");
                    problems.error(Code::MetricSource, &at.key(key), message, help);
                }
            }
            if let Some(server) = around.prometheus {
                remote::of_settings(server, at, around, problems)
            } else {
                let help = "add `prometheus: { url: http://prometheus:9090 }` to serin.yaml, or a `url` beside the `query` here";
                problems.error(Code::MetricSource, at, "it is not known which Prometheus to ask", help);
                None
            }
        }
    };
    let range = parsed.as_ref().map(|parsed| parsed.range);
    let source = parsed
        .zip(server)
        .map(|(query::Parsed { query, .. }, server)| MetricSource::Prometheus { server, query });
    (source, range)
}

/// Whether the query says different things of the two versions, and each has what the query asks for.
fn tells_apart(gateway: &raw::Gateway, query: &Query, compares: bool) -> Result<(), Wrong> {
    let Some(rollout) = &gateway.rollout else { return Ok(()) };
    let facts: BTreeSet<Fact> = query
        .0
        .iter()
        .filter_map(|part| match part {
            QueryPart::Fact { fact, .. } => Some(*fact),
            QueryPart::Text(_) => None,
        })
        .collect();
    let of = |name: &Option<String>| {
        let name = name.as_deref()?;
        Some((name.to_owned(), gateway.upstreams.as_ref()?.get(name)?.as_ref()?))
    };
    let (Some(canary), Some(primary)) = (of(&rollout.canary), of(&rollout.primary)) else { return Ok(()) };
    let value = |(name, upstream): &(String, &raw::Upstream), fact: Fact| match (fact, upstream) {
        (Fact::Upstream, _) => Some(name.clone()),
        (_, raw::Upstream::Url(_)) => None,
        (Fact::Model, raw::Upstream::Object(object)) => object.model.clone(),
        (Fact::Version, raw::Upstream::Object(object)) => object.version.clone(),
    };
    let sides = if compares { vec![&canary, &primary] } else { vec![&canary] };
    for side in sides {
        if let Some(fact) = facts.iter().find(|fact| value(side, **fact).is_none()) {
            let word = fact.as_str();
            let message = format!("the query asks for the {word} of `{}`, which has none", side.0);
            return Err(Wrong::new(
                message,
                format!("add `{word}` to the upstream, or use `{{{{upstream}}}}`"),
            ));
        }
    }
    if canary.0 != primary.0 && facts.iter().all(|fact| value(&canary, *fact) == value(&primary, *fact)) {
        let message = "the query asks about both versions alike: what it is told is the same of both";
        return Err(Wrong::new(
            message,
            "use `{{version}}` or `{{upstream}}`, as your metrics have them as labels",
        ));
    }
    Ok(())
}

fn called(
    raw: &raw::Webhook,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<MetricSource> {
    let written = match raw {
        raw::Webhook::Url(url) => {
            Written { url, url_at: at.clone(), headers: None, ca: None, at: at.clone() }
        }
        raw::Webhook::Object(object) => Written {
            url: object.url.as_deref()?,
            url_at: at.at("url"),
            headers: object.headers_file.as_ref(),
            ca: object.ca_file.as_deref(),
            at: at.clone(),
        },
    };
    remote(&written, around, problems).map(MetricSource::Webhook)
}
