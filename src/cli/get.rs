//! `serin get` and `serin proxies`: what a running server sees.

use super::client::{Answer, ServerArgs};
use super::output::{Format, Output};
use super::serve::StopSignals;
use super::{Outcome, wrong};
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// Between two looks of `get -w`.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct GetArgs {
    /// Which gateway [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Look again each second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProxiesArgs {
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: GetArgs, out: &Output) -> Outcome {
    if !args.watch {
        return out_value(&args, &look(&args).await?, out);
    }
    let mut signals = StopSignals::listen()?;
    let work = async {
        let mut last = None;
        loop {
            let value = look(&args).await?;
            if last.as_ref() != Some(&value) {
                if out.is_terminal() {
                    out.text("\x1b[2J\x1b[H"); // a fresh screen
                }
                out_value(&args, &value, out)?;
                last = Some(value);
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        outcome = work => outcome,
        _ = signals.next() => Ok(()),
    }
}

async fn look(args: &GetArgs) -> Result<Value, super::Failure> {
    let page = args.name.as_ref().map_or_else(|| "gateways".to_owned(), |name| format!("gateways/{name}"));
    let mut value = match args.server.get(&page).await? {
        Answer::Found(value) => value,
        Answer::NotFound(sentence) => return Err(wrong(sentence)),
    };
    if args.name.is_some() {
        // A gateway that went away just now has no numbers.
        if let Answer::Found(mut numbers) = args.server.get(&format!("{page}/metrics")).await? {
            value["metrics"] = numbers["upstreams"].take();
            if value["shadow"].is_object() {
                value["shadow"]["metrics"] = numbers["shadow"].take();
            }
        }
    }
    Ok(value)
}

fn out_value(args: &GetArgs, value: &Value, out: &Output) -> Outcome {
    let shown = if args.name.is_some() { value.clone() } else { value["gateways"].clone() };
    if out.data(args.output, &shown)? {
        return Ok(());
    }
    if args.name.is_some() {
        out.text(&tree(value));
    } else {
        let rows: Vec<_> = shown.as_array().into_iter().flatten().map(row).collect();
        out.table(&["NAME", "HOSTS", "PATH", "TRAFFIC", "PHASE", "FILE"], &rows);
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn joined(value: &Value, key: &str) -> String {
    let parts: Vec<&str> = list(value, key).filter_map(Value::as_str).collect();
    if parts.is_empty() { "-".into() } else { parts.join(",") }
}

fn row(gateway: &Value) -> Vec<String> {
    let split: Vec<String> =
        list(gateway, "upstreams").map(|u| format!("{} {}%", text(u, "name"), u["weight"])).collect();
    let split = if split.is_empty() { "-".into() } else { split.join(", ") };
    let (name, path) = (text(gateway, "name").to_owned(), text(gateway, "path").to_owned());
    let (phase, file) = (text(gateway, "phase").to_owned(), text(gateway, "file").to_owned());
    vec![name, joined(gateway, "hosts"), path, split, phase, file]
}

/// One gateway as a tree.
fn tree(gateway: &Value) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}  {}  {}", text(gateway, "name"), text(gateway, "phase"), text(gateway, "file"));
    if gateway.get("listener").is_some() {
        let place = format!("{}{}", joined(gateway, "hosts"), text(gateway, "path"));
        let _ = writeln!(out, "├─ {place} on listener {}", text(gateway, "listener"));
    } else {
        let _ = writeln!(out, "├─ not served");
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
    if let Some(shadow) = gateway.get("shadow") {
        let _ = writeln!(out, "├─ shadow {}: copies of {} %", text(shadow, "upstream"), shadow["percent"]);
        if let Some(measured) = measured(&shadow["metrics"]) {
            let _ = writeln!(out, "│    {measured}");
        }
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

pub(super) async fn proxies(args: ProxiesArgs, out: &Output) -> Outcome {
    let value = match args.server.get("proxies").await? {
        Answer::Found(value) => value["proxies"].clone(),
        Answer::NotFound(sentence) => return Err(wrong(sentence)),
    };
    if out.data(args.output, &value)? {
        return Ok(());
    }
    let mut rows = Vec::new();
    for proxy in value.as_array().into_iter().flatten() {
        let head =
            [text(proxy, "id"), text(proxy, "cluster"), text(proxy, "version"), text(proxy, "address")];
        for (kind, status) in proxy["types"].as_object().into_iter().flatten() {
            let state = match (status["refusal"].as_str(), &status["offered"], &status["acknowledged"]) {
                (Some(refusal), _, _) => format!("refused: {refusal}"),
                (None, Value::Null, _) => "nothing offered".into(),
                (None, offered, acknowledged) if offered == acknowledged => "acknowledged".into(),
                _ => "waiting".into(),
            };
            let mut row: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
            row.extend([kind.clone(), text(status, "offered").into(), state]);
            rows.push(row);
        }
    }
    out.table(&["ID", "CLUSTER", "ENVOY", "ADDRESS", "TYPE", "VERSION", "STATE"], &rows);
    Ok(())
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
        let tree = tree(&gateway);
        let lines: Vec<_> = tree.lines().filter(|l| l.contains("req/s")).collect();
        assert_eq!(
            lines,
            ["│    12.3 req/s, 1.25 % errors, p50 20 ms, p95 41 ms, 3 in flight, 1 of 2 endpoints healthy"]
        );
        assert!(tree.ends_with("└─ shadow v3: copies of 10 %\n"), "{tree}");
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
            tree(&gateway),
            "fraud  Invalid  a.yaml\n\
             ├─ not served\n\
             ├─ error[T001] a.yaml:1:1: wrong\n\
             │    help: write it right\n\
             └─ error[T001] a.yaml:2:1: wrong\n     help: write it right\n"
        );
    }
}
