//! One gateway as a tree, from what the API says about it.

use super::{compared, release};
use crate::clock::Timestamp;
use serde_json::Value;
use std::fmt::Write;

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn joined(value: &Value, key: &str) -> String {
    let parts: Vec<&str> = list(value, key).filter_map(Value::as_str).collect();
    if parts.is_empty() { "-".into() } else { parts.join(",") }
}

/// One gateway as a tree.
pub(super) fn tree(gateway: &Value, now: Timestamp) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}  {}  {}", text(gateway, "name"), text(gateway, "phase"), text(gateway, "file"));
    if gateway.get("listener").is_some() {
        let place = format!("{}{}", joined(gateway, "hosts"), text(gateway, "path"));
        let _ = writeln!(out, "├─ {place} on listener {}", text(gateway, "listener"));
        for target in list(gateway, "grpcTargets").filter_map(Value::as_str) {
            let _ = writeln!(out, "├─ {target} for gRPC without a proxy");
        }
    } else {
        let _ = writeln!(out, "├─ not served");
    }
    let mut branch = "├─ ";
    for line in gateway.get("rollout").iter().flat_map(|rollout| release::lines(rollout, now)) {
        let _ = writeln!(out, "{branch}{line}");
        branch = "│  ";
    }
    let behind: Vec<&str> = list(gateway, "proxiesBehind").filter_map(Value::as_str).take(5).collect();
    if !behind.is_empty() {
        let _ = writeln!(out, "├─ not yet so at Envoy {}", behind.join(", "));
    }
    if let Some(unkept) = gateway.get("rollout").and_then(|rollout| rollout.get("unkept")) {
        let (verb, actor) = (text(unkept, "verb"), text(unkept, "actor"));
        let _ = writeln!(out, "├─ `{verb}` by {actor} is not kept yet: {}", text(unkept, "message"));
    }
    for upstream in list(gateway, "upstreams") {
        let weight = format!("{} %", upstream["weight"]);
        let version = [upstream.get("model"), upstream.get("version")];
        let version: Vec<&str> = version.into_iter().flatten().filter_map(Value::as_str).collect();
        let (name, endpoints) = (text(upstream, "name"), joined(upstream, "endpoints"));
        let _ = writeln!(out, "├─ {name:<12} {weight:>8}  {endpoints}  {}", version.join(" "));
        if let Some(measured) = measured(&gateway["metrics"][name]) {
            let _ = writeln!(out, "│    {measured}");
        }
    }
    if let Some(release) = gateway.get("needsEnvoy").and_then(Value::as_str) {
        let _ = writeln!(out, "├─ needs Envoy {release}; older ones answer 503 in its place");
    }
    if let Some(by) = gateway.get("sessionAffinity").and_then(Value::as_str) {
        let _ = writeln!(out, "├─ users keep their version by {by}");
        let keyless = &gateway["keyless"];
        if let (Some(all), Some(recent)) = (keyless["requests"].as_u64(), keyless["lastMinute"].as_u64()) {
            let _ = writeln!(out, "│    {all} requests came without it, {recent} of them in the last minute");
        }
    }
    if let Some(shadow) = gateway.get("shadow") {
        let _ = writeln!(out, "├─ shadow {}: copies of {} %", text(shadow, "upstream"), shadow["percent"]);
        if let Some(measured) = measured(&shadow["metrics"]) {
            let _ = writeln!(out, "│    {measured}");
        }
    }
    for line in compared::lines(&gateway["shadow"]["comparison"]) {
        let _ = writeln!(out, "│    {line}");
    }
    for d in list(gateway, "diagnostics") {
        let (file, line, column) = (text(d, "file"), &d["line"], &d["column"]);
        let _ = writeln!(
            out,
            "├─ {}[{}] {file}:{line}:{column}: {}",
            text(d, "severity"),
            text(d, "code"),
            text(d, "message")
        );
        if let Some(help) = d.get("help").and_then(Value::as_str) {
            let _ = writeln!(out, "│    help: {help}");
        }
    }
    if let Some(at) = out.rfind("├─") {
        let last = out.split_off(at);
        out.push_str(&last.replace("├─", "└─").replace('│', " "));
    }
    out
}

/// What Envoys measured of an upstream in the last minute; `None`: it had no request.
fn measured(numbers: &Value) -> Option<String> {
    let recent = &numbers["lastMinute"];
    let (rate, errors) = (recent["requestRate"].as_f64()?, recent["errorRate"].as_f64()?);
    let latencies = ["p50", "p95", "p99"].into_iter().filter_map(|q| {
        let milliseconds = recent[q].as_f64()? * 1000.0;
        Some(format!(", {q} {milliseconds:.0} ms"))
    });
    let latencies: String = latencies.collect();
    let (healthy, all) = (&numbers["healthyEndpoints"], &numbers["endpoints"]);
    Some(format!(
        "{rate:.1} req/s, {:.2} % errors{latencies}, {} in flight, {healthy} of {all} endpoints healthy",
        errors * 100.0,
        numbers["inFlight"],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_has_the_numbers_of_the_last_minute() {
        let numbers = json!({ "inFlight": 3, "endpoints": 2, "healthyEndpoints": 1,
            "lastMinute": { "requestRate": 12.34, "errorRate": 0.0125, "p50": 0.02, "p95": 0.041, "p99": null } });
        let idle = json!({ "lastMinute": { "requestRate": 0.0, "errorRate": null } });
        let upstream = |name: &str| json!({ "name": name, "endpoints": ["a:1"], "weight": 50 });
        let gateway = json!({ "name": "fraud", "upstreams": [upstream("v1"), upstream("v2")],
            "metrics": { "v1": numbers, "v2": idle },
            "shadow": { "upstream": "v3", "percent": 10, "metrics": idle } });
        let tree = tree(&gateway, Timestamp(0));
        let lines: Vec<_> = tree.lines().filter(|l| l.contains("req/s")).collect();
        assert_eq!(
            lines,
            ["│    12.3 req/s, 1.25 % errors, p50 20 ms, p95 41 ms, 3 in flight, 1 of 2 endpoints healthy"]
        );
        assert!(tree.ends_with("└─ shadow v3: copies of 10 %\n"), "{tree}");
    }

    #[test]
    fn a_tree_says_how_many_users_cannot_be_known() {
        let mut gateway = json!({ "name": "fraud", "sessionAffinity": "header x-user-id" });
        assert!(tree(&gateway, Timestamp(0)).ends_with("└─ users keep their version by header x-user-id\n"));
        gateway["keyless"] = json!({ "requests": 12, "lastMinute": 3 });
        let tree = tree(&gateway, Timestamp(0));
        assert!(
            tree.ends_with("\n     12 requests came without it, 3 of them in the last minute\n"),
            "{tree}"
        );
    }

    #[test]
    fn a_tree_has_its_release_as_a_branch() {
        let gateway = json!({ "name": "fraud", "phase": "Promoted", "file": "a.yaml", "listener": "default",
            "hosts": ["*"], "path": "/", "upstreams": [{ "name": "v2", "endpoints": ["a:1"], "weight": 100 }],
            "rollout": { "phase": "Promoted", "since": "1970-01-01T00:00:00Z", "primary": "v1", "canary": "v2",
                "weight": 100, "steps": [{ "weight": 100 }], "message": "all is well" } });
        let tree = tree(&gateway, Timestamp(5_000));
        let lines: Vec<&str> = tree.lines().collect();
        assert_eq!(lines[2], "├─ v2 in place of v1: 100 %, step 1 of 1, Promoted for 5 s");
        assert_eq!(lines[3], "│    all is well");
        assert!(lines[4].starts_with("└─ v2"), "{tree}");
    }

    #[test]
    fn a_tree_has_no_line_below_its_last_branch() {
        let problem = |line: u32| {
            json!({ "severity": "error", "code": "T001", "file": "a.yaml", "line": line, "column": 1,
                "message": "wrong", "help": "write it right" })
        };
        let gateway = json!({ "name": "fraud", "phase": "Invalid", "file": "a.yaml",
            "diagnostics": [problem(1), problem(2)] });
        assert_eq!(
            tree(&gateway, Timestamp(0)),
            "fraud  Invalid  a.yaml\n\
             ├─ not served\n\
             ├─ error[T001] a.yaml:1:1: wrong\n\
             │    help: write it right\n\
             └─ error[T001] a.yaml:2:1: wrong\n     help: write it right\n"
        );
    }
}
