//! Laws of measurements: both versions over the same intervals, nothing twice, nothing below zero.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which floats hold exactly")]

use super::*;
use crate::telemetry::{Gauges, Histogram, Key};
use proptest::prelude::*;
use std::sync::Arc;

fn gateway() -> GatewayName {
    GatewayName::new("fraud").unwrap()
}

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn cluster(name: &str) -> Cluster {
    Cluster { gateway: gateway(), upstream: upstream(name), leg: Leg::Live }
}

fn series() -> Series {
    let mut series = Series::default();
    series.want(Wanted::from([(gateway(), ["v1", "v2"].map(upstream).into())]));
    series
}

fn sample(completed: f64, errors: f64) -> Sample {
    let mut latency = Histogram::default();
    latency.add(3, completed);
    Sample { started: completed, completed, errors, client_errors: 0.0, latency, unsent: 0.0 }
}

/// A flush that reports these upstreams, with so many requests and errors.
fn flush(upstreams: &[(&str, f64, f64)]) -> Flush {
    let gauges = Gauges { active: 1.0, endpoints: 1.0, healthy: 1.0 };
    Flush {
        reported: Arc::new(upstreams.iter().map(|(name, ..)| cluster(name)).collect()),
        changed: upstreams.iter().map(|(name, n, e)| (cluster(name), sample(*n, *e), gauges)).collect(),
        keyless: BTreeMap::new(),
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp(1_000_000 + ms)
}

fn requests(measurement: &Measurement, name: &str) -> f64 {
    measurement.upstreams[&upstream(name)].counts.requests
}

#[test]
fn one_envoy_gives_a_measurement_with_each_flush() {
    let mut series = series();
    series.take(1, &flush(&[("v1", 9.0, 1.0), ("v2", 1.0, 0.0)]), at(0));
    assert_eq!(series.ready(at(0)).len(), 1);
    series.take(1, &flush(&[("v1", 8.0, 2.0), ("v2", 2.0, 1.0)]), at(1000));
    let [seen] = &series.ready(at(1000))[..] else { panic!() };
    assert_eq!((seen.from, seen.to, seen.proxies), (at(0), at(1000), 1));
    let v2 = &seen.upstreams[&upstream("v2")].counts;
    assert_eq!((v2.requests, v2.errors, v2.started, v2.active), (2.0, 1.0, Some(2.0), 1.0));
    assert_eq!(v2.latency, BTreeMap::from([(3, 2.0)]));
    assert_eq!((series.ready(at(9000)), series.deadline()), (vec![], None), "nothing is told twice");
}

#[test]
fn what_a_shadow_does_is_no_evidence() {
    let mut series = series();
    let mut both = flush(&[("v1", 9.0, 1.0), ("v2", 5.0, 5.0), ("v2", 1.0, 0.0)]);
    both.changed[1].0.leg = Leg::Shadow;
    series.take(1, &both, at(0));
    let [seen] = &series.ready(at(0))[..] else { panic!() };
    let v2 = &seen.upstreams[&upstream("v2")].counts;
    assert_eq!((v2.requests, v2.errors), (1.0, 0.0));
}

#[test]
fn what_nobody_wants_is_not_measured() {
    let mut series = Series::default();
    series.take(1, &flush(&[("v1", 9.0, 1.0), ("v2", 1.0, 0.0)]), at(0));
    assert_eq!((series.ready(at(9000)), series.deadline()), (vec![], None));
}

#[test]
fn a_flush_without_one_of_the_versions_counts_for_neither() {
    let mut series = series();
    series.take(1, &flush(&[("v1", 9.0, 1.0)]), at(0));
    assert_eq!(series.ready(at(9000)), []);
    series.take(1, &flush(&[("v1", 5.0, 0.0), ("v2", 1.0, 0.0)]), at(1000));
    let [seen] = &series.ready(at(1000))[..] else { panic!() };
    assert_eq!((requests(seen, "v1"), requests(seen, "v2")), (5.0, 1.0));
}

#[test]
fn a_late_envoy_is_waited_for_a_little_and_counted_later() {
    let mut series = series();
    let both = flush(&[("v1", 9.0, 0.0), ("v2", 1.0, 0.0)]);
    for (stream, ms) in [(1, 0), (2, 400), (1, 1000), (2, 1400), (1, 2000)] {
        series.take(stream, &both, at(ms));
        series.ready(at(ms));
    }
    series.take(1, &both, at(3000));
    assert_eq!(series.ready(at(3000)), [], "the second may still come");
    let deadline = series.deadline().unwrap();
    assert!(deadline > at(3000) && deadline <= at(5000), "{deadline}");
    let [seen] = &series.ready(deadline)[..] else { panic!() };
    assert_eq!((seen.proxies, requests(seen, "v1")), (1, 9.0));
    series.take(2, &both, at(5000));
    series.take(1, &both, at(5050));
    let [seen] = &series.ready(at(5050))[..] else { panic!() };
    assert_eq!((seen.proxies, requests(seen, "v1"), seen.from), (2, 18.0, at(1400)));
}

#[test]
fn nobody_waits_for_an_envoy_that_is_gone_or_silent() {
    let mut series = series();
    let both = flush(&[("v1", 9.0, 0.0), ("v2", 1.0, 0.0)]);
    for (stream, ms) in [(1, 0), (2, 0), (1, 1000), (2, 1000)] {
        series.take(stream, &both, at(ms));
    }
    series.ready(at(1000));
    series.take(1, &both, at(2000));
    series.end(2);
    let [seen] = &series.ready(at(2000))[..] else { panic!() };
    let active = seen.upstreams[&upstream("v1")].counts.active;
    assert!(seen.proxies == 1 && active <= 1.0, "what is in flight at an Envoy that is gone is gone");

    series.take(3, &both, at(2000));
    series.take(3, &both, at(2010));
    series.ready(at(2010));
    series.take(1, &both, at(60_000));
    assert_eq!(series.ready(at(60_000)).len(), 1, "the third has been silent for a minute");
}

#[test]
fn no_more_fail_than_are_completed_and_nothing_is_lost() {
    let mut series = series();
    series.take(1, &flush(&[("v1", 4.0, 5.0), ("v2", 0.0, 0.0)]), at(0));
    let [first] = &series.ready(at(0))[..] else { panic!() };
    series.take(1, &flush(&[("v1", 2.0, 0.0), ("v2", 0.0, 0.0)]), at(1000));
    let [second] = &series.ready(at(1000))[..] else { panic!() };
    let errors = [first, second].map(|m| m.upstreams[&upstream("v1")].counts.errors);
    assert_eq!(errors, [4.0, 1.0]);
}

/// What the Envoys of another Serin did in the last second, each with one request in flight.
fn part(source: i64, sequence: i64, now: Timestamp, upstreams: &[(&str, f64, f64)]) -> Part {
    let did = |(name, n, e): &(&str, f64, f64)| {
        let mut outcome = outcome(&sample(*n, *e), 1.0);
        outcome.client_errors = 0.0;
        (upstream(name), outcome)
    };
    Part {
        key: Key(source, sequence),
        gateway: gateway(),
        from: now.minus(Duration::from_secs(1)),
        proxies: 2,
        upstreams: upstreams.iter().map(did).collect(),
    }
}

#[test]
fn what_others_measured_is_a_part_of_the_same_measurement() {
    let mut series = series();
    let both = |n| [("v1", n, 1.0), ("v2", n, 0.0)];
    let parts = |term, sequence, now| Parts { term, parts: vec![part(7, sequence, now, &both(4.0))] };
    series.take(1, &flush(&both(2.0)), at(0));
    series.ready(at(0));
    series.take_parts(parts(1, 1, at(400)), at(400));
    assert_eq!(series.ready(at(400)), [], "our own Envoy is waited for");
    series.take(1, &flush(&both(2.0)), at(1000));
    let [seen] = &series.ready(at(1000))[..] else { panic!() };
    let v1 = &seen.upstreams[&upstream("v1")].counts;
    assert_eq!((v1.requests, v1.errors, v1.started, v1.active), (6.0, 2.0, Some(6.0), 2.0));
    assert_eq!((v1.latency[&3], seen.proxies, seen.from, seen.to), (6.0, 3, at(-600), at(1000)));
    assert_eq!(seen.others, Others { term: 1, keys: vec![Key(7, 1)] });
    // The other one is late, and what was in flight there may have ended.
    series.take(1, &flush(&both(2.0)), at(2000));
    assert_eq!(series.ready(at(2000)), []);
    let [seen] = &series.ready(series.deadline().unwrap())[..] else { panic!() };
    assert_eq!((seen.upstreams[&upstream("v1")].counts.active, seen.proxies), (1.0, 1));
    assert_eq!(seen.others, Others::default());
    // It comes alone, at the end of another: the moments differ.
    series.take_parts(parts(1, 2, at(2000)), at(2000));
    series.end(1);
    assert_eq!(series.ready(at(2000)), [], "two that end at once would be taken for one");
    let [seen] = &series.ready(at(2001))[..] else { panic!() };
    assert_eq!((requests(seen, "v1"), seen.to), (4.0, at(2001)));
}

#[test]
fn what_may_come_again_is_forgotten() {
    let mut series = series();
    let both = [("v1", 4.0, 0.0), ("v2", 4.0, 0.0)];
    let parts = |term, sequence| Parts { term, parts: vec![part(7, sequence, at(0), &both)] };
    for stream in [1, 2] {
        series.take(stream, &flush(&both), at(0));
    }
    series.ready(at(0));
    series.take(1, &flush(&both), at(1000));
    series.take_parts(parts(1, 1), at(1000));
    series.take_parts(parts(2, 1), at(1100));
    series.take_parts(parts(1, 2), at(1200));
    series.take(2, &flush(&both), at(1300));
    assert_eq!(series.ready(at(1300)), [], "the first Envoy may say more");
    let [seen] = &series.ready(series.deadline().unwrap())[..] else { panic!() };
    assert_eq!(seen.others, Others { term: 2, keys: vec![Key(7, 1)] });
    assert_eq!(requests(seen, "v1"), 8.0, "of the first Envoy, the same of both versions is lost");
    // One that does not have both versions counts for neither.
    series.take_parts(Parts { term: 2, parts: vec![part(7, 3, at(1300), &both[..1])] }, at(2000));
    assert_eq!(series.ready(at(60_000)), []);
}

/// What one Envoy says in one of its intervals.
fn interval() -> impl Strategy<Value = (u64, f64, f64, f64, f64)> {
    let few = || (0..20_u32).prop_map(f64::from);
    (1..4_u64, few(), few(), few(), few())
}

/// Requests, errors and latencies of both versions, summed over all that the series told.
fn told(intervals: &[(u64, f64, f64, f64, f64)]) -> (Vec<Measurement>, [f64; 6]) {
    let mut series = series();
    let mut all = Vec::new();
    for (n, (stream, n1, e1, n2, e2)) in intervals.iter().enumerate() {
        let now = at(100 * i64::try_from(n).unwrap());
        series.take(*stream, &flush(&[("v1", *n1, *e1), ("v2", *n2, *e2)]), now);
        all.extend(series.ready(now));
    }
    all.extend(series.ready(at(1_000_000)));
    let mut sums = [0.0; 6];
    for measurement in &all {
        for (n, name) in ["v1", "v2"].into_iter().enumerate() {
            let counts = &measurement.upstreams[&upstream(name)].counts;
            sums[n] += counts.requests;
            sums[n + 2] += counts.errors;
            sums[n + 4] += counts.latency.values().sum::<f64>();
        }
    }
    (all, sums)
}

proptest! {
    #[test]
    fn several_envoys_are_their_sum_in_any_order(
        intervals in proptest::collection::vec(interval(), 1..40),
        seed in any::<prop::sample::Index>(),
    ) {
        // Errors never exceed requests over a whole interval.
        let fair: Vec<_> =
            intervals.iter().map(|&(s, n1, e1, n2, e2)| (s, n1, e1.min(n1), n2, e2.min(n2))).collect();
        let (measurements, sums) = told(&fair);
        let sum = |f: fn(&(u64, f64, f64, f64, f64)) -> f64| fair.iter().map(f).sum::<f64>();
        let wanted = [sum(|i| i.1), sum(|i| i.3), sum(|i| i.2), sum(|i| i.4), sum(|i| i.1), sum(|i| i.3)];
        prop_assert_eq!(sums, wanted);
        for m in &measurements {
            prop_assert!(m.from <= m.to && m.proxies >= 1 && m.upstreams.len() == 2);
        }
        let mut turned = fair.clone();
        turned.rotate_left(seed.index(fair.len()));
        prop_assert_eq!(told(&turned).1, sums);
    }

    #[test]
    fn parts_and_flushes_are_their_sum_in_any_order(
        intervals in proptest::collection::vec((interval(), any::<bool>()), 1..40),
    ) {
        let (mut series, mut all, mut wanted) = (series(), Vec::new(), [0.0; 2]);
        for (n, ((stream, n1, _, n2, _), is_part)) in intervals.iter().enumerate() {
            let n = i64::try_from(n).unwrap();
            let (now, did) = (at(100 * n), [("v1", *n1, 0.0), ("v2", *n2, 0.0)]);
            if *is_part {
                let source = i64::try_from(*stream).unwrap();
                series.take_parts(Parts { term: 1, parts: vec![part(source, n, now, &did)] }, now);
            } else {
                series.take(*stream, &flush(&did), now);
            }
            wanted = [wanted[0] + n1, wanted[1] + n2];
            all.extend(series.ready(now));
        }
        all.extend(series.ready(at(1_000_000)));
        let sum = |name: &str| all.iter().map(|m| requests(m, name)).sum::<f64>();
        prop_assert_eq!([sum("v1"), sum("v2")], wanted);
        prop_assert!(all.is_sorted_by(|a, b| a.to < b.to), "one after the other");
        let keys: Vec<Key> = all.iter().flat_map(|m| m.others.keys.clone()).collect();
        let parts = intervals.iter().filter(|(_, is_part)| *is_part).count();
        prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        prop_assert_eq!(keys.len(), parts);
    }

    #[test]
    fn no_measurement_is_impossible(intervals in proptest::collection::vec(interval(), 1..40)) {
        for measurement in told(&intervals).0 {
            for outcome in measurement.upstreams.values() {
                let Counts { requests, errors, latency, .. } = &outcome.counts;
                prop_assert!(*errors >= 0.0 && *errors + outcome.client_errors <= *requests);
                prop_assert!(latency.values().all(|n| *n > 0.0) && latency.values().sum::<f64>() <= *requests);
            }
        }
    }

    #[test]
    fn sums_do_not_depend_on_how_they_are_made(parts in proptest::collection::vec(interval(), 3)) {
        let [a, b, c] = [0, 1, 2].map(|n| sample(parts[n].1, parts[n].2));
        let plus = |x: &Sample, y: &Sample| {
            let mut sum = x.clone();
            sum.add(y);
            sum
        };
        prop_assert_eq!(plus(&plus(&a, &b), &c), plus(&a, &plus(&b, &c)));
        prop_assert_eq!(plus(&a, &b), plus(&b, &a));
    }
}
