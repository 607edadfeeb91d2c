//! Where a release stands, for people, from what the API says about it under `rollout`.

use super::tree::text;
use crate::clock::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What is left of a line after the weight: the phase, and what it waits for.
pub(super) fn short(rollout: &Value, now: Timestamp) -> String {
    let mut parts = vec![format!("{} {}", text(rollout, "phase"), since(rollout, now))];
    parts.extend(requests(rollout, needed(rollout)));
    parts.join(", ")
}

/// A release as lines of a tree, without what belongs to its upstreams.
pub(super) fn lines(rollout: &Value, now: Timestamp) -> Vec<String> {
    let (canary, primary) = (text(rollout, "canary"), text(rollout, "primary"));
    let (phase, since) = (text(rollout, "phase"), since(rollout, now));
    let mut lines = vec![format!("{canary} in place of {primary}: {}, {phase} {since}", step(rollout))];
    let is_over = matches!(phase, "Promoted" | "RolledBack" | "Stable");
    lines.push(format!("  {}", text(rollout, "message")));
    if is_over {
        return lines;
    }
    lines.extend(least_time(rollout).map(|line| format!("  {line}")));
    lines.extend(requests(rollout, needed(rollout)).map(|line| format!("  evidence: {line}")));
    let tests = rollout["evidence"].as_array().into_iter().flatten();
    lines.extend(tests.map(|test| format!("    {}", evidence(rollout, test))));
    lines
}

fn since(rollout: &Value, now: Timestamp) -> String {
    let since = Timestamp::parse(text(rollout, "since"));
    since.map_or_else(|_| String::new(), |since| format!("for {}", time(now.since(since))))
}

/// Which step it is at. A person may have chosen a weight that is none.
fn step(rollout: &Value) -> String {
    let weights: Vec<f64> = steps(rollout).filter_map(|step| step["weight"].as_f64()).collect();
    let (percent, count) = (rollout["weight"].as_f64().unwrap_or_default(), weights.len());
    let passed = weights.iter().filter(|weight| **weight <= percent).count();
    match passed {
        0 => format!("{percent} %, before step 1 of {count}"),
        _ if weights.contains(&percent) => format!("{percent} %, step {passed} of {count}"),
        _ => format!("{percent} %, after step {passed} of {count}"),
    }
}

fn steps(rollout: &Value) -> impl Iterator<Item = &Value> {
    rollout["steps"].as_array().into_iter().flatten()
}

/// How long the step has to take at least.
fn least_time(rollout: &Value) -> Option<String> {
    let watched = time(Duration::from_secs(rollout["watchedSeconds"].as_u64()?));
    let step = steps(rollout).find(|step| step["weight"] == rollout["weight"])?;
    Some(match step["pauseSeconds"].as_u64() {
        Some(least) => format!("watched: {watched} of at least {}", time(Duration::from_secs(least))),
        None => format!("watched: {watched}, and until somebody says `promote`"),
    })
}

fn needed(rollout: &Value) -> Option<f64> {
    rollout["requestsNeeded"].as_f64()
}

/// How many requests of the canary there are at this step, of how many.
fn requests(rollout: &Value, needed: Option<f64>) -> Option<String> {
    let seen = rollout["requests"].as_f64()?;
    Some(match needed {
        Some(needed) if needed > seen => format!("{seen:.0} of about {needed:.0} requests"),
        _ => format!("enough, {seen:.0} requests"),
    })
}

/// What one test knows: how often it happened on both sides, what is missing, and how near harm is.
fn evidence(rollout: &Value, test: &Value) -> String {
    let mean = |side: &Value| {
        let (events, requests) = (side["events"].as_f64()?, side["requests"].as_f64()?);
        (requests > 0.0).then(|| format!("{:.2} %", 100.0 * events / requests))
    };
    let seen = mean(&test["canary"]).unwrap_or_else(|| "-".to_owned());
    let beside = match (mean(&test["primary"]), test["limit"].as_f64()) {
        (Some(primary), _) => format!(" vs {primary}"),
        (None, Some(limit)) => format!(", {:.2} % allowed", 100.0 * limit),
        (None, None) => String::new(),
    };
    let missing = test["missingRequests"].as_f64();
    let safe = match missing.zip(rollout["requests"].as_f64()) {
        Some((missing, seen)) => requests(rollout, Some(seen + missing)).unwrap_or_default(),
        None => "looks for harm only".to_owned(),
    };
    let part =
        test["harm"].as_f64().zip(test["harmNeeded"].as_f64()).map_or(0.0, |(harm, needed)| harm / needed);
    format!("{:<8} {seen}{beside}; {safe}; harm {:.0} %", text(test, "test"), 100.0 * part.clamp(0.0, 1.0))
}

/// The two largest units that a person would use.
fn time(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rollout() -> Value {
        json!({ "phase": "Progressing", "since": "2026-01-31T12:00:00.000Z", "primary": "v1", "canary": "v2",
            "weight": 25, "watchedSeconds": 72, "message": "v2 goes on at 25 %: all is well",
            "steps": [{ "weight": 5, "pauseSeconds": 600 }, { "weight": 25, "pauseSeconds": 600 }, { "weight": 100 }],
            "requests": 120.0, "requestsNeeded": 310.4,
            "evidence": [
                { "test": "errors", "harm": 1.0, "harmNeeded": 5.0, "missingRequests": 190.4,
                    "canary": { "events": 2.0, "requests": 160.0 }, "primary": { "events": 4.0, "requests": 400.0 } },
                { "test": "ceiling", "harm": -1.0, "harmNeeded": 5.0, "limit": 0.05,
                    "canary": { "events": 2.0, "requests": 160.0 } },
                { "test": "p99", "harm": 9.0, "harmNeeded": 5.0, "missingRequests": 0.0,
                    "canary": { "events": 0.0, "requests": 0.0 } },
            ] })
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-01-31T12:01:13Z").unwrap()
    }

    #[test]
    fn a_release_says_what_it_waits_for() {
        assert_eq!(
            lines(&rollout(), now()),
            [
                "v2 in place of v1: 25 %, step 2 of 3, Progressing for 1 min 13 s",
                "  v2 goes on at 25 %: all is well",
                "  watched: 1 min 12 s of at least 10 min 0 s",
                "  evidence: 120 of about 310 requests",
                "    errors   1.25 % vs 1.00 %; 120 of about 310 requests; harm 20 %",
                "    ceiling  1.25 %, 5.00 % allowed; looks for harm only; harm 0 %",
                "    p99      -; enough, 120 requests; harm 100 %",
            ]
        );
        assert_eq!(short(&rollout(), now()), "Progressing for 1 min 13 s, 120 of about 310 requests");
    }

    #[test]
    fn a_release_that_is_over_waits_for_nothing() {
        let mut over = rollout();
        (over["phase"], over["weight"]) = ("RolledBack".into(), 0.into());
        let lines = lines(&over, now());
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("v2 in place of v1: 0 %, before step 1 of 3, RolledBack for"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_weight_may_be_none_of_the_steps() {
        let at =
            |weight: f64| step(&json!({ "weight": weight, "steps": [{ "weight": 5 }, { "weight": 100 }] }));
        assert_eq!(
            [0.0, 5.0, 40.5, 100.0].map(at),
            [
                "0 %, before step 1 of 2",
                "5 %, step 1 of 2",
                "40.5 %, after step 1 of 2",
                "100 %, step 2 of 2"
            ]
        );
    }

    #[test]
    fn a_manual_step_says_who_is_waited_for() {
        let mut manual = rollout();
        manual["weight"] = 100.into();
        assert!(lines(&manual, now())[2].ends_with("until somebody says `promote`"));
    }
}
