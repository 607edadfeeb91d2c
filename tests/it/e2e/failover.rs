//! One Envoy knows several control planes by its bootstrap: it goes to another one when its own is killed or says nothing any
//! more, with all its streams, and clients notice nothing.

use super::replicas::{Replicas, load, metric, release};
use super::stage::{let_pass, toy};
use crate::protocol::client::soon;
use crate::real::{DEADLINE, envoy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use serin::launch::{Bootstrap, Envoy, EnvoyOptions};
use serin::model::Endpoint;
use std::time::Duration;
use tokio::time::Instant;

/// How a control plane goes away.
#[derive(Clone, Copy, Debug)]
enum Gone {
    Killed,
    Frozen,
}

/// Whether an Envoy has its configuration from here, and tells this one what it measures.
async fn serves(url: &str) -> [bool; 2] {
    let streams = metric(url, "serin_proxies").await == Some(1.0);
    let numbers: Option<Value> = match reqwest::get(format!("{url}/api/v1/gateways/fraud/metrics")).await {
        Ok(answer) => answer.json().await.ok(),
        Err(_) => None,
    };
    let requests = numbers.is_some_and(|n| n.to_string().contains("\"requests\":") && counts(&n) > 0.0);
    [streams, requests]
}

/// All requests that are known of.
fn counts(numbers: &Value) -> f64 {
    match numbers {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| if key == "requests" { value.as_f64().unwrap_or(0.0) } else { counts(value) })
            .sum(),
        Value::Array(list) => list.iter().map(counts).sum(),
        _ => 0.0,
    }
}

async fn moves_when(how: Gone) {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let replicas = Replicas::start(3, &release(&v1, &v2)).await;
    let mut all: Vec<Endpoint> = (0..3)
        .map(|i| replicas.xds(i))
        .map(|at| Endpoint { host: at.ip().to_string(), port: at.port() })
        .collect();
    let control_plane = all.remove(0);
    let bootstrap = Bootstrap { control_plane, others: all, ..Bootstrap::default() };
    let order: Vec<usize> = bootstrap
        .control_planes()
        .iter()
        .map(|at| (0..3).find(|i| replicas.xds(*i).port() == at.port).unwrap())
        .collect();
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(envoy().await, &bootstrap.to_string(), &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    let load = load(replicas.port);
    let both = async |i: usize| {
        let url = replicas.get(i).url.clone();
        let (mut configured, mut measured) = (None, None);
        let since = Instant::now();
        let wait = async {
            while configured.is_none() || measured.is_none() {
                let [streams, numbers] = serves(&url).await;
                configured = configured.or_else(|| streams.then(|| since.elapsed()));
                measured = measured.or_else(|| numbers.then(|| since.elapsed()));
                let_pass(Duration::from_millis(20)).await;
            }
        };
        soon("it is there with all its streams", wait).await;
        (configured.unwrap(), measured.unwrap())
    };
    both(order[0]).await;
    let pid = |i: usize| Pid::from_child(&replicas.get(i).child);
    let mut took = Vec::new();
    for step in 0..2 {
        match how {
            Gone::Killed => kill_process(pid(order[step]), Signal::KILL).unwrap(),
            Gone::Frozen => kill_process(pid(order[step]), Signal::STOP).unwrap(),
        }
        took.push(both(order[step + 1]).await);
    }
    println!("{how:?}: until another one had its stream, and counted its requests: {took:?}");
    if let Gone::Frozen = how {
        (0..2).for_each(|step| kill_process(pid(order[step]), Signal::CONT).unwrap());
    }
    let report = load.stop().await;
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    envoy.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_whose_control_plane_is_killed_goes_to_the_next() {
    moves_when(Gone::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_whose_control_plane_is_frozen_goes_to_the_next() {
    moves_when(Gone::Frozen).await;
}
