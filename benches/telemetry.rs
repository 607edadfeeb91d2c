//! What it costs to read what Envoys measured. `cargo bench --bench telemetry`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first trouble, reads the clock, and rounds"
)]

use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::io::prometheus::client::{Bucket, Counter, Gauge, Histogram, Metric, MetricFamily};
use prost::Message;
use serin::clock::Timestamp;
use serin::names::{GatewayName, UpstreamName};
use serin::telemetry::flush::Assembly;
use serin::telemetry::{BATCH, Series, Table, Wanted, envoy_bounds};
use std::time::{Duration, Instant};

const ENVOYS: u64 = 5;
const GATEWAYS: usize = 1_000;
const UPSTREAMS: [&str; 2] = ["v1", "v2"];
const FLUSHES: usize = 20;

fn main() {
    println!(
        "{ENVOYS} Envoys, {GATEWAYS} gateways with two upstreams each, a flush a second, {BATCH} in a message"
    );
    println!(
        "| gateways with traffic | measured for decisions | bytes per flush, one Envoy | per cluster | CPU |"
    );
    println!("|---|---|---|---|---|");
    for (busy, wanted) in [(0, 0), (50, 20), (1_000, 20), (1_000, 1_000)] {
        measure(busy, wanted);
    }
}

fn measure(busy: usize, wanted: usize) {
    let (mut series, mut table) = (Series::default(), Table::default());
    let arms = || UPSTREAMS.map(|u| UpstreamName::new(u).expect("a name")).into();
    series.want((0..wanted).map(|n| (gateway(n), arms())).collect::<Wanted>());
    let mut assemblies: Vec<Assembly> = (0..ENVOYS).map(|_| Assembly::default()).collect();
    // The first flush, of which all upstreams are news, is not measured.
    let messages: Vec<_> = (0..=FLUSHES).map(|flush| messages(busy, flush)).collect();
    let bytes: usize = messages[1].iter().map(Vec::len).sum();
    let (mut told, mut cpu) = (0, Duration::ZERO);
    for (second, flush) in messages.iter().enumerate() {
        let start = Instant::now();
        for (stream, assembly) in (0_u32..).zip(&mut assemblies) {
            let at = Timestamp(1_000 * i64::try_from(second).expect("few") + 100 * i64::from(stream));
            for message in flush {
                for whole in assembly.take(message).expect("a message") {
                    series.take(u64::from(stream), &whole, at);
                    table.take(u64::from(stream), &whole, at);
                    told += series.ready(at).len();
                    std::hint::black_box(series.deadline());
                }
            }
        }
        std::hint::black_box(table.clone());
        if second > 0 {
            cpu += start.elapsed();
        }
    }
    assert!(told >= wanted * FLUSHES, "{told} measurements");
    let percent = cpu.as_secs_f64() * 100.0 / FLUSHES as f64;
    let per_cluster = bytes / (GATEWAYS * UPSTREAMS.len());
    println!("| {busy} | {wanted} | {bytes} | {per_cluster} | {percent:.2} % of a core |");
}

fn gateway(n: usize) -> GatewayName {
    GatewayName::new(&format!("gateway-{n}")).expect("a name")
}

/// One flush as Envoy sends it: counters, then gauges, then histograms, of all clusters, since each had a request
/// once.
fn messages(busy: usize, flush: usize) -> Vec<Vec<u8>> {
    let time = Some(i64::try_from(flush).expect("few") * 1_000);
    let clusters = || {
        let names = |n| UPSTREAMS.map(move |upstream| (n, format!("cluster.gateway-{n}/{upstream}")));
        (0..GATEWAYS).flat_map(names)
    };
    let family = |name: String, r#type, metric: Metric| MetricFamily {
        name: Some(name),
        r#type: Some(r#type),
        metric: vec![Metric { timestamp_ms: time, ..metric }],
        ..Default::default()
    };
    let count = |n: usize, value: f64| if n < busy { value } else { 0.0 };
    let mut families = Vec::new();
    for (n, cluster) in clusters() {
        for (name, value) in
            [("upstream_rq_total", 100.0), ("upstream_rq_completed", 100.0), ("upstream_rq_5xx", 1.0)]
        {
            let counter = Some(Counter { value: Some(count(n, value)), ..Default::default() });
            families.push(family(format!("{cluster}.{name}"), 0, Metric { counter, ..Default::default() }));
        }
    }
    for (n, cluster) in clusters() {
        for (name, value) in
            [("upstream_rq_active", count(n, 2.0)), ("membership_total", 2.0), ("membership_healthy", 2.0)]
        {
            let gauge = Some(Gauge { value: Some(value) });
            families.push(family(format!("{cluster}.{name}"), 1, Metric { gauge, ..Default::default() }));
        }
    }
    for (n, cluster) in clusters() {
        let all = if n < busy { 100 } else { 0 };
        // Spread over twenty buckets.
        let bucket = envoy_bounds().zip(0_u64..).map(|(bound, index)| Bucket {
            cumulative_count: Some((index.saturating_sub(30) * 5).min(all)),
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
