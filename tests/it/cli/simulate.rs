//! `serin simulate`: forecasts, and test vectors that pass or do not.

use super::serin;
use crate::examples::project;
use serde_json::Value;

fn project_of(path: &str) -> String {
    project(path).to_str().unwrap().to_owned()
}

/// Quick, and the same in every run.
const FEW: [&str; 9] =
    ["simulate", "--runs", "5", "--requests-per-second", "20", "--report-every", "5s", "--deadline", "2h"];

fn forecast(more: &[&str]) -> Value {
    let out = serin(&[&FEW[..], &["-o", "json"], more].concat()).good();
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_healthy_canary_is_promoted_step_by_step() {
    let got = forecast(&["--steps", "25,50", "--pause", "1m", "--bake", "1m"]);
    assert_eq!((&got["promoted"], &got["rolledBack"]), (&5.into(), &0.into()), "{got}");
    assert_eq!(got["steps"].as_array().unwrap().len(), 2);
    assert!(got["steps"][0]["seconds"]["median"].as_f64().unwrap() >= 60.0);
    assert!(got["example"].as_str().unwrap().contains("next stage"));
    assert_eq!(got, forecast(&["--steps", "25,50", "--pause", "1m", "--bake", "1m"]), "a seed is a seed");
}

#[test]
fn a_bad_canary_is_caught_and_the_hurt_are_counted() {
    let got = forecast(&["--canary", "errors=50%"]);
    assert_eq!(got["rolledBack"], 5, "{got}");
    assert!(got["hurt"]["median"].as_f64().unwrap() < 60.0 && got["hurt"]["p90"].as_f64().unwrap() > 1.0);
    let table = serin(&[&FEW[..], &["--canary", "errors=50%"]].concat()).good();
    for words in [
        "0 promoted, 5 rolled back",
        "STEP",
        "0 of 5",
        "rolled back after",
        "failed or hung",
        "-> rolled back",
    ] {
        assert!(table.contains(words), "{table}");
    }
}

#[test]
fn the_steps_come_from_a_gateway_file() {
    let file = project_of("examples/rollout/fraud.yaml");
    let out = serin(&["simulate", &file, "--runs", "5", "--canary", "errors=50%", "-o", "json"]).good();
    let got: Value = serde_json::from_str(&out).unwrap();
    let weights: Vec<f64> =
        got["steps"].as_array().unwrap().iter().map(|s| s["weight"].as_f64().unwrap()).collect();
    assert_eq!(weights, [0.05, 0.25, 0.5, 1.0]);
}

#[test]
fn what_a_file_asks_others_and_how_much_traffic_it_wants_have_their_effect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fraud.yaml");
    let simulated = |metrics: &str| {
        let text = format!(
            "apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: 'http://a', v2: 'http://b' }}\n\
             rollout: {{ primary: v1, canary: v2, steps: [50], pause: 1m, bake: 1m, deadline: 3h, \
             metrics: [{{ name: error-rate }}, {metrics}] }}\n"
        );
        std::fs::write(&file, text).unwrap();
        let few = ["simulate", file.to_str().unwrap(), "--runs", "3", "--report-every", "5s", "-o", "json"];
        serde_json::from_str::<Value>(&serin(&few).good()).unwrap()
    };
    let drift = "name: drift, webhook: 'https://checks.example.com/', max: 1, interval: 5m";
    let asked = simulated(&format!("{{ {drift} }}"));
    assert_eq!(
        (&asked["promoted"], &asked["takenAsGood"]),
        (&3.into(), &serde_json::json!({ "drift": 300.0 }))
    );
    let shown = simulated(&format!("{{ {drift}, dryRun: true }}"));
    assert_eq!((&shown["promoted"], &shown["takenAsGood"]), (&3.into(), &Value::Null));
    // One answer is not enough to say that most are good.
    let took = |got: &Value| got["steps"][0]["seconds"]["median"].as_f64().unwrap();
    assert!(took(&asked) > 600.0 && took(&shown) < 600.0, "{asked} {shown}");
    let rate = |least: &str| simulated(&format!("{{ name: request-rate, min: {least} }}"));
    assert_eq!((&rate("20")["promoted"], &rate("30")["paused"]), (&3.into(), &3.into()));
    assert_eq!(rate("30, dryRun: true")["promoted"], 3);
}

#[test]
fn wrong_flags_say_what_is_wrong() {
    let says = |arguments: &[&str]| serin(&[&["simulate"], arguments].concat()).fails(1);
    assert!(says(&["--canary", "error=1%"]).contains("none of errors, latency, p99, hangs"));
    assert!(says(&["--steps", "50,25"]).contains("rising order"));
    assert!(says(&["--pause", "10"]).contains("unit"));
    assert!(says(&["--deadline", "5m"]).contains("longer than --pause"));
    assert!(says(&["--runs", "0"]).contains("--runs"));
    assert!(says(&["--vectors", ".", "--seed", "2"]).contains("cannot be used with"));
    assert!(says(&[&project_of("examples")]).contains("directory"));
    assert!(says(&["--config", "serin.yaml"]).contains("--config is for the gateway FILE"));
    assert!(says(&["--routing", "scoped", "--runs", "5"]).contains("--routing is for the gateway FILE"));
}

#[test]
fn vectors_pass_or_name_the_first_difference() {
    let passed = serin(&["simulate", "--vectors", &project_of("tests/vectors")]).good();
    assert_eq!(passed.lines().count(), 21, "{passed}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let text = std::fs::read_to_string(project_of("tests/vectors/03_total_failure.json")).unwrap();
    let with = |text: &str| {
        std::fs::write(folder.path().join("one.json"), text).unwrap();
        serin(&["simulate", "--vectors", path]).fails(1)
    };
    let wrong = with(&text.replacen("\"srm\": -", "\"srm\": -1", 1));
    for words in ["one.json", "step 1 (t = 2)", "`srm` is expected to be", "got"] {
        assert!(wrong.contains(words), "{wrong}");
    }
    assert!(with(&text[..text.len() / 2]).contains("not a file of test vectors: EOF"));
    assert!(with(&text.replace("\"bounds\"", "\"bound\"")).contains("unknown field `bound`"));
    assert!(with("{\"name\": \"empty\"}").contains("neither `cases` nor a step"));
    std::fs::remove_file(folder.path().join("one.json")).unwrap();
    assert!(serin(&["simulate", "--vectors", path]).fails(1).contains("has no test vectors"));
}
