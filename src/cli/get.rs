//! `serin get` and `serin proxies`: what a running server sees.

use super::client::{Answer, ServerArgs};
use super::output::{Format, Output};
use super::serve::StopSignals;
use super::tree::{joined, list, text, tree};
use super::{Failure, Outcome, wrong};
use crate::clock;
use serde_json::Value;
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
        let (mut last, mut is_away) = (None, false);
        loop {
            let value = match look(&args).await {
                Ok(value) => value,
                // A control plane that is restarted comes back.
                Err(Failure::World(why)) if last.is_some() => {
                    if !std::mem::replace(&mut is_away, true) {
                        out.note(&format!("{why:#}; asking again until there is an answer"));
                    }
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if last.as_ref() != Some(&value) || std::mem::take(&mut is_away) {
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
    if args.name.is_none() {
        // An older server has no such page.
        if let Answer::Found(replicas) = args.server.get("replicas").await? {
            value["replicas"] = replicas;
        }
        if let Answer::Found(mut alarms) = args.server.get("alarms").await? {
            value["alarms"] = alarms["alarms"].take();
        }
    } else {
        // A gateway that went away just now has no numbers.
        if let Answer::Found(mut numbers) = args.server.get(&format!("{page}/metrics")).await? {
            value["metrics"] = numbers["upstreams"].take();
            if numbers["keyless"].is_object() {
                value["keyless"] = numbers["keyless"].take();
            }
            if value["shadow"].is_object() {
                value["shadow"]["metrics"] = numbers["shadow"].take();
            }
        }
        if value["shadow"].is_object()
            && let Answer::Found(report) = args.server.get(&format!("{page}/shadow")).await?
        {
            value["shadow"]["comparison"] = report;
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
        out.text(&tree(value, clock::now()));
    } else {
        for alarm in list(value, "alarms") {
            out.line(&format!("ALARM  {}", text(alarm, "message")));
        }
        if let Some(lines) = leader(&value["replicas"]) {
            out.text(&lines);
        }
        let rows: Vec<_> = shown.as_array().into_iter().flatten().map(row).collect();
        out.table(&["NAME", "HOSTS", "PATH", "TRAFFIC", "PHASE", "FILE"], &rows);
    }
    Ok(())
}

/// Who of several control planes decides about releases, who is there, and how far their files differ.
fn leader(replicas: &Value) -> Option<String> {
    if replicas["shared"] != true {
        return None;
    }
    let decides = match (replicas["leads"] == true, replicas["leader"].as_str()) {
        (true, _) => "leads the releases".to_owned(),
        (false, Some(leader)) => format!("follows {leader}"),
        (false, None) if replicas["failure"].is_string() => {
            format!("knows no leader: {}", text(replicas, "failure"))
        }
        (false, None) => "follows nobody: no control plane leads at the moment".to_owned(),
    };
    let first = format!("{} {decides}, since {}\n", text(replicas, "name"), text(replicas, "since"));
    Some(list(replicas, "replicas").flat_map(presence).fold(first, |lines, line| lines + &line + "\n"))
}

/// What there is to say of one of several control planes.
fn presence(replica: &Value) -> impl Iterator<Item = String> + use<> {
    let (name, differing) = (text(replica, "name"), &replica["differing"]);
    let is_there = match (replica["answers"] == true, replica["silent"] == true) {
        (true, _) => None,
        (false, true) => Some(format!("{name} is silent")),
        (false, false) => {
            let (gateways, version) = (&replica["gateways"], text(replica, "version"));
            Some(format!("{name} is there, with {gateways} gateways, version {version}"))
        }
    };
    let count = differing["count"].as_u64().filter(|count| *count > 0);
    let differs = count.map(|count| {
        let names: Vec<&str> = list(differing, "names").filter_map(Value::as_str).collect();
        let more = if u64::try_from(names.len()).is_ok_and(|shown| shown < count) { ", ..." } else { "" };
        let names = names.join(", ");
        format!("{name} has other files than the leader, of {count} gateways: {names}{more}")
    });
    is_there.into_iter().chain(differs)
}

fn row(gateway: &Value) -> Vec<String> {
    let split: Vec<String> =
        list(gateway, "upstreams").map(|u| format!("{} {}%", text(u, "name"), u["weight"])).collect();
    let split = if split.is_empty() { "-".into() } else { split.join(", ") };
    let (name, path) = (text(gateway, "name").to_owned(), text(gateway, "path").to_owned());
    let (phase, file) = (text(gateway, "phase").to_owned(), text(gateway, "file").to_owned());
    vec![name, joined(gateway, "hosts"), path, split, phase, file]
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
        for unsupported in list(proxy, "unsupportedGateways") {
            let state = format!("answers 503: it needs Envoy {}", text(unsupported, "needsEnvoy"));
            let mut row: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
            row.extend([format!("gateway {}", text(unsupported, "gateway")), "-".into(), state]);
            rows.push(row);
        }
        for refused in list(proxy, "refusedGateways") {
            let instead = if refused["closed"] == true { "answers 503" } else { "serves the version before" };
            let state = format!("refused, {instead}: {}", text(refused, "message"));
            let mut row: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
            row.extend([format!("gateway {}", text(refused, "gateway")), "-".into(), state]);
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
    fn who_leads_is_said_where_several_may() {
        let said = |more: Value| {
            let mut page =
                json!({ "shared": true, "name": "b", "leads": false, "leader": null, "since": "noon" });
            page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            leader(&page)
        };
        assert_eq!(said(json!({ "leads": true })).unwrap(), "b leads the releases, since noon\n");
        assert_eq!(said(json!({ "leader": "a" })).unwrap(), "b follows a, since noon\n");
        let nobody = "b follows nobody: no control plane leads at the moment, since noon\n";
        assert_eq!(said(json!({})).unwrap(), nobody);
        assert_eq!(said(json!({ "failure": "no way" })).unwrap(), "b knows no leader: no way, since noon\n");
        assert_eq!(said(json!({ "shared": false, "leads": true })), None, "one alone need not say so");
        assert_eq!(leader(&Value::Null), None, "an older server");
        let replica = |name: &str, silent: bool, differing: Value| {
            json!({ "name": name, "answers": name == "b", "silent": silent, "gateways": 3, "version": "1.0.0",
                    "differing": differing })
        };
        let replicas = json!([
            replica("a", false, json!({ "count": 0, "names": [] })),
            replica("b", false, json!({ "count": 7, "names": ["fraud", "spam"] })),
            replica("c", true, Value::Null),
        ]);
        let expected = "b follows a, since noon\na is there, with 3 gateways, version 1.0.0\n\
                        b has other files than the leader, of 7 gateways: fraud, spam, ...\nc is silent\n";
        assert_eq!(said(json!({ "leader": "a", "replicas": replicas })).unwrap(), expected);
    }
}
