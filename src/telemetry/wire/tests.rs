//! Reads what prost wrote, and survives anything else.

use super::*;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::io::prometheus::client as prometheus;
use proptest::prelude::*;
use prost::Message;

/// A metric in plain values: name, flush, and what was read.
type Plain = (String, u64, PlainReading);

#[derive(Clone, Debug, PartialEq)]
enum PlainReading {
    Counter(f64),
    Gauge(f64),
    Histogram(u64, Vec<(f64, u64)>),
}

fn plain() -> impl Strategy<Value = Plain> {
    let number = || prop_oneof![Just(0.0), (0..u32::MAX).prop_map(f64::from)];
    let bucket = (number(), any::<u64>());
    let reading = prop_oneof![
        number().prop_map(PlainReading::Counter),
        number().prop_map(PlainReading::Gauge),
        (1_u64.., proptest::collection::vec(bucket, 0..9)).prop_map(|(n, b)| PlainReading::Histogram(n, b)),
    ];
    ("[a-z./_]{0,40}", 0..u64::MAX / 2, reading)
}

fn family((name, flush, reading): &Plain) -> prometheus::MetricFamily {
    let mut metric =
        prometheus::Metric { timestamp_ms: Some(i64::try_from(*flush).unwrap()), ..Default::default() };
    match reading {
        PlainReading::Counter(n) => {
            metric.counter = Some(prometheus::Counter { value: Some(*n), ..Default::default() });
        }
        PlainReading::Gauge(n) => metric.gauge = Some(prometheus::Gauge { value: Some(*n) }),
        PlainReading::Histogram(samples, buckets) => {
            let bucket = |(bound, count): &(f64, u64)| prometheus::Bucket {
                upper_bound: Some(*bound),
                cumulative_count: Some(*count),
                ..Default::default()
            };
            metric.histogram = Some(prometheus::Histogram {
                sample_count: Some(*samples),
                sample_sum: Some(1.5),
                bucket: buckets.iter().map(bucket).collect(),
                ..Default::default()
            });
        }
    }
    prometheus::MetricFamily {
        name: Some(name.clone()),
        r#type: Some(1),
        metric: vec![metric],
        ..Default::default()
    }
}

fn read_plain(message: &[u8]) -> Result<Vec<Plain>, Malformed> {
    let mut seen = Vec::new();
    read(message, |metric| {
        let reading = match metric.reading {
            Reading::Counter(n) => PlainReading::Counter(n),
            Reading::Gauge(n) => PlainReading::Gauge(n),
            Reading::Histogram(buckets) => {
                let mut all = Vec::new();
                buckets.each(|bound, count| {
                    all.push((bound, count));
                    true
                })?;
                PlainReading::Histogram(buckets.samples, all)
            }
            Reading::Other => return Ok(()),
        };
        seen.push((String::from_utf8_lossy(metric.name).into_owned(), metric.flush, reading));
        Ok(())
    })?;
    Ok(seen)
}

proptest! {
    #[test]
    fn what_prost_writes_is_read(metrics in proptest::collection::vec(plain(), 0..9), id in "[a-z0-9/.-]{0,20}") {
        let node = Node { id: id.clone(), cluster: "edge".into(), ..Default::default() };
        let message = StreamMetricsMessage {
            identifier: Some(Identifier { node: Some(node) }),
            envoy_metrics: metrics.iter().map(family).collect(),
        }
        .encode_to_vec();
        prop_assert_eq!(node_id(&message), Ok((!id.is_empty()).then_some(id)));
        prop_assert_eq!(read_plain(&message), Ok(metrics));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = node_id(&bytes);
        let ours = read_plain(&bytes);
        // Prost also looks into fields that we leave alone, so it may refuse more, but never less.
        if StreamMetricsMessage::decode(&*bytes).is_ok_and(|m| m.envoy_metrics.is_empty()) {
            prop_assert_eq!(ours, Ok(Vec::new()));
        }
    }

    #[test]
    fn a_message_that_is_cut_is_refused_or_shorter(metrics in proptest::collection::vec(plain(), 1..5), at in any::<prop::sample::Index>()) {
        let message = StreamMetricsMessage { identifier: None, envoy_metrics: metrics.iter().map(family).collect() }
            .encode_to_vec();
        let cut = &message[..at.index(message.len())];
        if let Ok(seen) = read_plain(cut) {
            prop_assert!(seen.len() < metrics.len() && metrics.starts_with(&seen));
        }
    }
}

#[test]
fn a_field_that_is_not_known_may_be_a_group() {
    // Field 6: a group with a number, and in it another one. After it, a family without anything.
    let message = [0x33, 0x08, 0x01, 0x43, 0x44, 0x34, 0x12, 0x00];
    assert_eq!(StreamMetricsMessage::decode(&message[..]).unwrap().envoy_metrics.len(), 1);
    assert_eq!(read_plain(&message), Ok(Vec::new()));
    assert_eq!(read_plain(&message[..4]), Err(Malformed), "it has no end");
    assert_eq!(read_plain(&message[5..]), Err(Malformed), "it has no begin");
}

#[test]
fn a_number_that_nothing_can_have_is_refused() {
    for number in [-1.0, f64::NAN, f64::INFINITY] {
        let metrics = vec![family(&("a".into(), 1, PlainReading::Counter(number)))];
        let message = StreamMetricsMessage { identifier: None, envoy_metrics: metrics }.encode_to_vec();
        assert_eq!(read_plain(&message), Err(Malformed));
    }
}
