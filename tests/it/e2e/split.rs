//! Weights are what the traffic does.

use super::stage::{Stage, assert_all_well, canary, toy};
use serin::launch::{Answers, Until};

/// The two-sided 99.9 % point of the normal distribution.
const Z: f64 = 3.2905;

#[tokio::test]
async fn twenty_thousand_requests_follow_the_weights() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[("fraud.yaml", &canary("fraud", "/", &v1, &v2, ("95", "5")))]).await;
    let envoy = stage.envoy().await;
    for (a, b, share) in [("95", "5", 0.05_f64), ("99.5", "0.5", 0.005)] {
        stage.replace("fraud.yaml", &canary("fraud", "/", &v1, &v2, (a, b)));
        stage.serves_weight("fraud", "v2", b.parse().unwrap()).await;
        // One measurement in a thousand lies outside by chance, two in a row do not.
        if !measured(&stage, share).await {
            assert!(measured(&stage, share).await, "{a}/{b} is not what the traffic does");
        }
    }
    stage.end([envoy]).await;
}

/// Whether 20,000 requests lie inside the 99.9 % interval of the binomial distribution, by its normal approximation,
/// which is good from 100 expected hits on.
async fn measured(stage: &Stage, share: f64) -> bool {
    let report = stage.load("/", None, Until::Requests(20_000)).finished().await;
    assert_all_well(&report);
    let count = report.by_version.get("v2").map_or(0, Answers::count);
    let (n, seen) = (20_000.0, f64::from(u32::try_from(count).unwrap()));
    let (mean, deviation) = (n * share, (n * share * (1.0 - share)).sqrt());
    (seen - mean).abs() <= Z * deviation
}
