//! gRPC without a proxy: the client of grpcio finds models by `xds:///`, with the same files.

use super::python::Python;
use super::stage::Stage;
use crate::examples::project;
use crate::real::DEADLINE;
use serde_json::{Value, json};
use serin::resource::Kind;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

static PYTHON: Python = Python::with(include_str!("grpc-requirements.txt"));
/// The two-sided 99.9 % point of the normal distribution.
const Z: f64 = 3.2905;
const METHOD: &str = "/models.Fraud/Score";
const NODE: &str = "scoring-1";

/// Toy models or a client, in a process of Python that writes a line of JSON for each that it reads.
struct Script {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    async fn start(arguments: &[&str], bootstrap: &Value) -> Self {
        let mut command = PYTHON.command().await;
        command.arg(project("tests/it/e2e/grpc_client.py")).args(arguments);
        command.env("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { _process: process, input, output: BufReader::new(output).lines() }
    }

    async fn answer(&mut self) -> BTreeMap<String, u32> {
        let line = tokio::time::timeout(2 * DEADLINE, self.output.next_line()).await;
        serde_json::from_str(&line.expect("the script answers").unwrap().expect("the script runs")).unwrap()
    }

    /// How often each version answered, or with which status the calls failed.
    async fn call(&mut self, calls: u32, method: &str, metadata: &Value) -> BTreeMap<String, u32> {
        let line = format!("{}\n", json!([calls, method, metadata]));
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.answer().await
    }

    /// Calls until all of some calls are answered so.
    async fn comes_to(&mut self, what: &str) {
        let all = async { while self.call(10, METHOD, &json!({})).await != only(what, 10) {} };
        tokio::time::timeout(DEADLINE, all).await.unwrap_or_else(|_| panic!("it does not come to {what}"));
    }
}

fn only(what: &str, calls: u32) -> BTreeMap<String, u32> {
    [(what.to_owned(), calls)].into()
}

/// Servers of these names.
async fn models(names: &[&str]) -> (Script, BTreeMap<String, u32>) {
    let mut script = Script::start(&[&["serve"], names].concat(), &Value::Null).await;
    let ports = script.answer().await;
    (script, ports)
}

async fn client(xds: SocketAddr, target: &str) -> Script {
    let bootstrap = json!({
        "xds_servers": [{ "server_uri": xds.to_string(), "channel_creds": [{ "type": "insecure" }] }],
        "node": { "id": NODE },
    });
    Script::start(&["call", &format!("xds:///{target}")], &bootstrap).await
}

fn gateway(host: &str, v1: &str, v2: &str, traffic: (u32, u32), more: &str) -> String {
    let (a, b) = traffic;
    format!(
        "apiVersion: serin/v1\nname: fraud\nhost: {host}\n{more}upstreams:\n  \
         v1: {{ endpoints: [\"{v1}\"], protocol: grpc }}\n  v2: {{ endpoints: [\"{v2}\"], protocol: grpc }}\n\
         traffic: {{ v1: {a}, v2: {b} }}\n"
    )
}

#[tokio::test]
async fn a_client_without_a_proxy_follows_the_file() {
    let (_models, ports) = models(&["v1", "v2", "v3"]).await;
    let at = |name: &str| format!("127.0.0.1:{}", ports[name]);
    let split = |a, b| gateway("fraud.example.com", &at("v1"), &at("v2"), (a, b), "");
    let stage = Stage::new(&[("fraud.yaml", &split(80, 20))]).await;
    let mut client = client(stage.app.xds, "fraud.example.com").await;

    // One measurement in a thousand lies outside by chance, two in a row do not.
    if !measured(&mut client, 0.2).await {
        assert!(measured(&mut client, 0.2).await, "80/20 is not what the calls do");
    }
    stage.replace("fraud.yaml", &split(0, 100));
    client.comes_to("v2").await;
    stage.replace("fraud.yaml", &gateway("fraud.example.com", &at("v1"), &at("v3"), (0, 100), ""));
    client.comes_to("v3").await;

    // It took what it was told, and is no Envoy: what Envoys take is another matter.
    let proxies = stage.app.registry.proxies();
    let took = |kind| proxies[0].kinds.get(&kind).is_some_and(|s| s.offered == s.acknowledged);
    assert!(proxies[0].node.id == NODE && [Kind::Listener, Kind::Route, Kind::Cluster].into_iter().all(took));
    let fleet = stage.app.view.load().fleet.clone();
    assert!(fleet.everyone.get(Kind::Listener, "fraud.example.com").is_none());
    assert!(fleet.grpc.get(Kind::Listener, "default").is_none());

    stage.replace("fraud.yaml", &gateway("elsewhere.example.com", &at("v1"), &at("v2"), (0, 100), ""));
    client.comes_to("UNAVAILABLE").await;
    stage.end([]).await;
}

/// Whether 1,000 calls lie inside the 99.9 % interval of the binomial distribution, by its normal approximation.
async fn measured(client: &mut Script, share: f64) -> bool {
    let answers = client.call(1_000, METHOD, &json!({})).await;
    assert!(answers.keys().all(|answer| ["v1", "v2"].contains(&answer.as_str())), "{answers:?}");
    let seen = f64::from(answers.get("v2").copied().unwrap_or_default());
    (seen - 1_000.0 * share).abs() <= Z * (1_000.0 * share * (1.0 - share)).sqrt()
}

#[tokio::test]
async fn names_matches_and_direct_access_are_the_same_without_a_proxy() {
    let (_models, ports) = models(&["v1", "v2"]).await;
    let at = |name: &str| format!("localhost:{}", ports[name]);
    let more = "path: /models.Fraud\ndirectAccess: { header: x-model }\nmatch:\n  \
                - { headers: { x-card: gold }, upstream: v2 }\n  \
                - { query: { card: gold }, upstream: v2 }\n";
    let file = gateway("fraud.example.com", &at("v1"), &at("v2"), (100, 0), more);
    let stage = Stage::new(&[("fraud.yaml", &file)]).await;
    let mut client = client(stage.app.xds, "fraud.example.com").await;
    client.comes_to("v1").await;
    for (metadata, answer) in [
        (json!({ "x-card": "gold" }), "v2"),
        (json!({ "x-card": "silver" }), "v1"),
        (json!({ "x-model": "v2" }), "v2"),
        (json!({ "x-model": "v3" }), "UNAVAILABLE"),
    ] {
        assert_eq!(client.call(3, METHOD, &metadata).await, only(answer, 3), "{metadata}");
    }
    assert_eq!(client.call(3, "/models.Fraudulent/Score", &json!({})).await, only("UNAVAILABLE", 3));
    stage.end([]).await;
}
