//! Flushes from messages as Envoy sends them.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which floats hold exactly")]

use super::*;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::io::prometheus::client as prometheus;
use prost::Message;

fn family(name: &str, flush: i64, metric: prometheus::Metric) -> prometheus::MetricFamily {
    let metric = vec![prometheus::Metric { timestamp_ms: Some(flush), ..metric }];
    prometheus::MetricFamily { name: Some(name.into()), metric, ..Default::default() }
}

fn counter(name: &str, flush: i64, value: f64) -> prometheus::MetricFamily {
    let counter = Some(prometheus::Counter { value: Some(value), ..Default::default() });
    family(name, flush, prometheus::Metric { counter, ..Default::default() })
}

fn gauge(name: &str, flush: i64, value: f64) -> prometheus::MetricFamily {
    let gauge = Some(prometheus::Gauge { value: Some(value) });
    family(name, flush, prometheus::Metric { gauge, ..Default::default() })
}

/// A histogram with our bounds: these counts in the first buckets, and so many above all.
fn latency(name: &str, flush: i64, counts: &[u64], above: u64) -> prometheus::MetricFamily {
    let mut below = 0;
    let bucket = envoy_bounds()
        .enumerate()
        .map(|(n, bound)| {
            below += counts.get(n).unwrap_or(&0);
            prometheus::Bucket {
                cumulative_count: Some(below),
                upper_bound: Some(bound),
                ..Default::default()
            }
        })
        .collect();
    let histogram = prometheus::Histogram { sample_count: Some(below + above), bucket, ..Default::default() };
    family(name, flush, prometheus::Metric { histogram: Some(histogram), ..Default::default() })
}

fn message(envoy_metrics: Vec<prometheus::MetricFamily>) -> Vec<u8> {
    StreamMetricsMessage { identifier: None, envoy_metrics }.encode_to_vec()
}

fn one(assembly: &mut Assembly, families: Vec<prometheus::MetricFamily>) -> Flush {
    let mut flushes = assembly.take(&message(families)).unwrap();
    assert_eq!(flushes.len(), 1);
    flushes.remove(0)
}

const V1: &str = "cluster.fraud/v1.";

fn named(statistic: &str) -> String {
    format!("{V1}{statistic}")
}

#[test]
fn a_flush_has_what_was_counted() {
    let mut assembly = Assembly::default();
    let flush = one(
        &mut assembly,
        vec![
            counter(&named("upstream_rq_total"), 1, 7.0),
            counter(&named("upstream_rq_pending_failure_eject"), 1, 2.0),
            counter(&named("upstream_cx_none_healthy"), 1, 1.0),
            counter(&named("upstream_rq_completed"), 1, 9.0),
            counter(&named("upstream_rq_5xx"), 1, 3.0),
            counter(&named("upstream_rq_4xx"), 1, 1.0),
            counter("cluster.control_plane.upstream_rq_total", 1, 5.0),
            gauge(&named("upstream_rq_active"), 1, 4.0),
            gauge(&named("membership_total"), 1, 2.0),
            gauge(&named("membership_healthy"), 1, 1.0),
            latency(&named("upstream_rq_time"), 1, &[0, 2, 3], 1),
        ],
    );
    let [(cluster, sample, gauges)] = &flush.changed[..] else { panic!("{flush:?}") };
    assert_eq!((cluster.gateway.as_str(), cluster.upstream.as_str()), ("fraud", "v1"));
    assert_eq!(
        [sample.started, sample.completed, sample.errors, sample.client_errors],
        [10.0, 9.0, 3.0, 1.0]
    );
    let last = u16::try_from(envoy_bounds().len()).unwrap();
    assert_eq!(sample.latency.iter().collect::<Vec<_>>(), [(1, 2.0), (2, 3.0), (last, 1.0)]);
    assert_eq!(*gauges, Gauges { active: 4.0, endpoints: 2.0, healthy: 1.0 });
    assert_eq!(flush.reported.len(), 1);
}

#[test]
fn a_call_of_grpc_fails_once() {
    let mut assembly = Assembly::default();
    let counters =
        [("upstream_rq_completed", 9.0), ("upstream_rq_5xx", 2.0), ("grpc.14", 3.0), ("grpc.5", 1.0)];
    let flush =
        one(&mut assembly, counters.iter().map(|(name, value)| counter(&named(name), 1, *value)).collect());
    let (_, sample, _) = &flush.changed[0];
    assert_eq!([sample.completed, sample.errors, sample.client_errors], [9.0, 3.0, 1.0]);
}

#[test]
fn what_stands_still_is_reported_and_not_changed() {
    let mut assembly = Assembly::default();
    let still =
        || vec![gauge(&named("membership_total"), 1, 2.0), counter(&named("upstream_rq_total"), 1, 0.0)];
    assert_eq!(one(&mut assembly, still()).changed.len(), 1, "the endpoints are news");
    for _ in 0..2 {
        let flush = one(&mut assembly, still());
        assert_eq!((flush.changed.len(), flush.reported.len()), (0, 1));
    }
    let gone = one(&mut assembly, Vec::new());
    assert_eq!((gone.changed.len(), gone.reported.len()), (0, 0));
}

#[test]
fn only_whole_flushes_come_out() {
    let mut assembly = Assembly::default();
    let full = |flush| message(vec![counter(&named("upstream_rq_completed"), flush, 1.0); BATCH]);
    assert!(assembly.take(&full(1)).unwrap().is_empty(), "there may be more");
    let mut second = assembly.take(&full(2)).unwrap();
    assert_eq!(second.remove(0).changed[0].1.completed, f64::from(u32::try_from(BATCH).unwrap()));
    let rest = one(&mut assembly, vec![counter(&named("upstream_rq_completed"), 2, 1.0)]);
    assert_eq!(rest.changed[0].1.completed, f64::from(u32::try_from(BATCH + 1).unwrap()));
}

#[test]
fn other_buckets_are_noticed_and_not_counted() {
    let mut assembly = Assembly::default();
    let mut foreign = latency(&named("upstream_rq_time"), 1, &[0, 2], 0);
    foreign.metric[0].histogram.as_mut().unwrap().bucket[1].upper_bound = Some(1.5);
    let flush = one(&mut assembly, vec![counter(&named("upstream_rq_completed"), 1, 2.0), foreign]);
    assert!(assembly.foreign_buckets);
    assert_eq!(flush.changed[0].1.completed, 2.0);
    assert_eq!(flush.changed[0].1.latency.total(), 0.0);
}

#[test]
fn requests_without_a_key_are_summed_over_the_hosts_of_their_gateway() {
    let mut assembly = Assembly::default();
    let route = |host, route, n| counter(&format!("vhost.{host}.route.{route}.upstream_rq_completed"), 1, n);
    let families = vec![
        route("*", "fraud/keyless", 2.0),
        route("fraud.example.com", "fraud/keyless", 3.0),
        route("fraud.example.com", "churn/keyless", 0.0),
        route("fraud.example.com", "churn/else", 4.0),
    ];
    let flush = one(&mut assembly, families);
    let counts: Vec<_> = flush.keyless.iter().map(|(gateway, n)| (gateway.as_str(), *n)).collect();
    assert_eq!(counts, [("fraud", 5.0)]);
    assert!(flush.changed.is_empty() && flush.reported.is_empty());
    assert!(one(&mut assembly, Vec::new()).keyless.is_empty(), "they are told once");
}
