//! How the answers of a shadow compare, for people.

use super::tree::{list, text};
use serde_json::Value;

/// What the API says of a comparison, in lines.
pub(super) fn lines(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(replica) = report["replica"].as_str() {
        lines.push(format!("of the Envoys that send their answers to {replica}; other replicas have theirs"));
    }
    for pair in list(report, "pairs") {
        lines.push(format!("answers of {}: {}", text(pair, "upstream"), matched(pair, &report["minMatch"])));
        if let Some(took) = took(pair) {
            lines.push(format!("  took {took}"));
        }
        for mismatch in list(pair, "mismatches") {
            lines.push(format!("  {} differ by {}", mismatch["count"], text(mismatch, "kind")));
            for example in list(mismatch, "examples") {
                let [request, place, live, shadow] =
                    ["request", "place", "live", "shadow"].map(|key| text(example, key));
                lines.push(format!("    {place}: {live}, of the shadow {shadow}; request {request}"));
            }
        }
        lines.extend(reasons(&pair["notCompared"]).map(|reasons| format!("  not compared: {reasons}")));
    }
    lines.extend(reasons(&report["notPaired"]).map(|reasons| format!("not paired: {reasons}")));
    lines
}

fn matched(pair: &Value, least: &Value) -> String {
    let Some(rate) = pair["matchRate"].as_f64() else { return "none were compared".to_owned() };
    let [low, high] = [0, 1].map(|i| pair["interval"][i].as_f64().unwrap_or_default() * 100.0);
    let verdict = match text(pair, "verdict") {
        "met" => format!("at least {least} % do"),
        "missed" => format!("fewer than {least} % do"),
        _ => format!("too early to say whether {least} % do"),
    };
    format!(
        "{} of {} match, {:.2} % ({low:.2} to {high:.2}): {verdict}",
        pair["matched"],
        pair["compared"],
        rate * 100.0
    )
}

/// The client's latencies, then the shadow's.
fn took(pair: &Value) -> Option<String> {
    let one = |key: &str| {
        let (live, shadow) = (pair["live"][key].as_f64()?, pair["shadow"][key].as_f64()?);
        Some(format!("{key} {:.0} and {:.0} ms", live * 1000.0, shadow * 1000.0))
    };
    let all: Option<Vec<String>> = ["mean", "p50", "p95"].into_iter().map(one).collect();
    Some(all?.join(", "))
}

fn reasons(counts: &Value) -> Option<String> {
    let counts = counts.as_object().filter(|counts| !counts.is_empty())?;
    Some(counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_from_the_top() {
        let spread = |ms: f64| json!({ "mean": ms / 1000.0, "p50": 0.01, "p95": 0.02 });
        let report = json!({ "replica": "host a", "minMatch": 99, "notPaired": { "behind": 2 }, "pairs": [
            { "upstream": "v1", "compared": 10, "matched": 9, "matchRate": 0.9, "interval": [0.4, 0.99],
              "verdict": "missed", "live": spread(12.0), "shadow": spread(15.0),
              "mismatches": [{ "kind": "number", "count": 1, "examples": [
                  { "request": "a-b", "place": "$.p[0]", "live": "a number", "shadow": "a number" }] }],
              "notCompared": { "too-large": 3, "compressed": 1 } },
            { "upstream": "v2", "compared": 0, "matchRate": null },
        ] });
        assert_eq!(
            lines(&report),
            [
                "of the Envoys that send their answers to host a; other replicas have theirs",
                "answers of v1: 9 of 10 match, 90.00 % (40.00 to 99.00): fewer than 99 % do",
                "  took mean 12 and 15 ms, p50 10 and 10 ms, p95 20 and 20 ms",
                "  1 differ by number",
                "    $.p[0]: a number, of the shadow a number; request a-b",
                "  not compared: 1 compressed, 3 too-large",
                "answers of v2: none were compared",
                "not paired: 2 behind",
            ]
        );
    }
}
