//! What Envoys send: the statistics of many gateways, for the benchmarks that read them.
#![expect(clippy::expect_used, reason = "a benchmark stops at the first trouble")]

use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::io::prometheus::client::{Bucket, Counter, Gauge, Histogram, Metric, MetricFamily};
use prost::Message;
use serin::telemetry::{BATCH, envoy_bounds};

/// Envoys that report.
pub(crate) const ENVOYS: u32 = 5;
/// Gateways named `gateway-0` and so on.
pub(crate) const GATEWAYS: usize = 1_000;
/// The upstreams of each.
pub(crate) const UPSTREAMS: [&str; 2] = ["v1", "v2"];

/// One flush as Envoy sends it: counters, then gauges, then histograms, of all clusters, since each had a request
/// once. The first so many gateways are busy: each of their upstreams has so many requests, of which 1 % fail.
pub(crate) fn messages(busy: usize, requests: [u32; 2], flush: usize) -> Vec<Vec<u8>> {
    let time = Some(i64::try_from(flush).expect("few") * 1_000);
    let clusters = || {
        let name = |n, upstream| format!("cluster.gateway-{n}/{upstream}");
        let had = move |n: usize, requests: u32| if n < busy { requests } else { 0 };
        let names = move |n| [0, 1].map(|i| (had(n, requests[i]), name(n, UPSTREAMS[i])));
        (0..GATEWAYS).flat_map(names)
    };
    let family = |name: String, r#type, metric: Metric| MetricFamily {
        name: Some(name),
        r#type: Some(r#type),
        metric: vec![Metric { timestamp_ms: time, ..metric }],
        ..Default::default()
    };
    let mut families = Vec::new();
    for (had, cluster) in clusters() {
        for (name, value) in
            [("upstream_rq_total", had), ("upstream_rq_completed", had), ("upstream_rq_5xx", had / 100)]
        {
            let counter = Some(Counter { value: Some(value.into()), ..Default::default() });
            families.push(family(format!("{cluster}.{name}"), 0, Metric { counter, ..Default::default() }));
        }
    }
    for (had, cluster) in clusters() {
        for (name, value) in
            [("upstream_rq_active", had.min(2)), ("membership_total", 2), ("membership_healthy", 2)]
        {
            let gauge = Some(Gauge { value: Some(value.into()) });
            families.push(family(format!("{cluster}.{name}"), 1, Metric { gauge, ..Default::default() }));
        }
    }
    for (had, cluster) in clusters() {
        let all = u64::from(had);
        // Spread over twenty buckets.
        let bucket = envoy_bounds().zip(0_u64..).map(|(bound, index)| Bucket {
            cumulative_count: Some(index.saturating_sub(30).min(20) * all / 20),
            upper_bound: Some(bound),
            ..Default::default()
        });
        let histogram = Histogram {
            sample_count: Some(all),
            sample_sum: Some(5_000.0),
            bucket: bucket.collect(),
            ..Default::default()
        };
        let metric = Metric { histogram: Some(histogram), ..Default::default() };
        families.push(family(format!("{cluster}.upstream_rq_time"), 4, metric));
    }
    families
        .chunks(BATCH)
        .map(|chunk| StreamMetricsMessage { identifier: None, envoy_metrics: chunk.to_vec() }.encode_to_vec())
        .collect()
}
