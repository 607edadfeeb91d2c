//! The alarms and the dashboard: Prometheus understands every expression, and every metric in them is ours.
#![cfg(test)]

use crate::examples::project;
use crate::prometheus::prometheus;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

async fn check(rules: &Path) {
    let promtool = prometheus().await.with_file_name("promtool");
    let run = Command::new(promtool).args(["check", "rules", "--lint-fatal"]).arg(rules).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stdout));
}

/// Each name that begins as ours do is in the table of metrics.
fn is_known(text: &str) {
    let table = std::fs::read_to_string(project("docs/operations.md")).unwrap();
    for rest in text.split("serin_").skip(1) {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        assert!(table.contains(&format!("`serin_{name}")), "serin_{name} is no metric of ours");
    }
}

#[tokio::test]
async fn the_alarms_are_rules() {
    let rules = project("docs/grafana/serin.rules");
    check(&rules).await;
    is_known(&std::fs::read_to_string(rules).unwrap());
}

#[tokio::test]
async fn the_dashboard_asks_what_there_is() {
    let text = std::fs::read_to_string(project("docs/grafana/serin.json")).unwrap();
    is_known(&text);
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let rule = |(i, target): (usize, &Value)| {
        let expression = target["expr"].as_str().unwrap().replace("$gateway", ".*");
        json!({ "record": format!("panel:{i}"), "expr": expression })
    };
    let rules: Vec<Value> = targets.enumerate().map(rule).collect();
    assert!(rules.len() >= 10, "only {} expressions", rules.len());
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    // JSON is YAML.
    std::fs::write(file.path(), json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string())
        .unwrap();
    check(file.path()).await;
}
