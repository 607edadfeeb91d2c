//! Numbers for people.

use super::*;

fn cluster(upstream: &str) -> Cluster {
    let (gateway, upstream) = (GatewayName::new("fraud").unwrap(), UpstreamName::new(upstream).unwrap());
    Cluster { gateway, upstream, leg: Leg::Live }
}

fn flush(changed: &[(&str, f64, Gauges)]) -> Flush {
    let sample = |completed| {
        let mut latency = Histogram::default();
        latency.add(9, completed);
        Sample { started: completed, completed, errors: completed / 2.0, client_errors: 0.0, latency }
    };
    Flush {
        reported: Arc::new(changed.iter().map(|(name, ..)| cluster(name)).collect()),
        changed: changed.iter().map(|(name, n, gauges)| (cluster(name), sample(*n), *gauges)).collect(),
        keyless: BTreeMap::new(),
    }
}

fn gauges(active: f64, healthy: f64) -> Gauges {
    Gauges { active, endpoints: 3.0, healthy }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(1_000_000_000 + seconds * 1000)
}

fn of(table: &Table, now: Timestamp) -> Option<Numbers> {
    table.gateway("fraud", now).remove(&cluster("v1").upstream)
}

#[test]
fn the_last_minute_slides_and_totals_stay() {
    let mut table = Table::default();
    for second in 0..120 {
        table.take(1, &flush(&[("v1", 10.0, gauges(0.0, 3.0))]), at(second));
    }
    let now = of(&table, at(119)).unwrap();
    assert_eq!((now.total.requests, now.total.errors), (1200.0, 600.0));
    assert!((550.0..=600.0).contains(&now.recent.requests), "{now:?}");
    let rate = now.request_rate().unwrap();
    assert!((9.5..=10.5).contains(&rate), "{rate}");
    assert_eq!((now.recent.error_rate(), now.latency.quantile(0.99)), (Some(0.5), Some(0.01)));
    let later = of(&table, at(300)).unwrap();
    assert_eq!((later.recent, later.request_rate()), (Totals::default(), Some(0.0)));
    assert_eq!((later.recent.error_rate(), later.total.requests), (None, 1200.0));
}

#[test]
fn what_stands_now_is_of_the_envoys_that_are_there() {
    let mut table = Table::default();
    table.take(1, &flush(&[("v1", 1.0, gauges(2.0, 3.0))]), at(0));
    table.take(2, &flush(&[("v1", 1.0, gauges(5.0, 1.0))]), at(0));
    assert_eq!(of(&table, at(1)).unwrap().gauges, Gauges { active: 7.0, endpoints: 3.0, healthy: 1.0 });
    table.end(2);
    assert_eq!(of(&table, at(1)).unwrap().gauges, gauges(2.0, 3.0));
    // The first no longer has the cluster.
    table.take(1, &flush(&[]), at(2));
    assert_eq!(of(&table, at(2)).unwrap().gauges, Gauges::default());
}

#[test]
fn a_gateway_that_is_gone_is_forgotten_in_time() {
    let mut table = Table::default();
    table.take(1, &flush(&[("v1", 1.0, gauges(0.0, 3.0))]), at(0));
    table.take(1, &flush(&[("v2", 1.0, gauges(0.0, 3.0))]), at(1));
    table.take(1, &flush(&[("v2", 1.0, gauges(0.0, 3.0))]), at(599));
    assert_eq!(table.used(Leg::Live, at(599)).count(), 2);
    table.take(1, &flush(&[("v2", 1.0, gauges(0.0, 3.0))]), at(700));
    assert_eq!(table.used(Leg::Live, at(700)).count(), 1);
    table.end(1);
    table.take(2, &flush(&[]), at(2000));
    assert_eq!(table.gateways.len(), 0);
}

#[test]
fn a_shadow_is_counted_apart() {
    let mut table = Table::default();
    let mut flush = flush(&[("v1", 4.0, gauges(0.0, 3.0)), ("v2", 2.0, gauges(0.0, 3.0))]);
    flush.changed[0].0.leg = Leg::Shadow;
    table.take(1, &flush, at(0));
    assert_eq!(of(&table, at(0)), None);
    let total = Totals { requests: 4.0, errors: 2.0, client_errors: 0.0 };
    assert_eq!(table.shadow("fraud", "v1", at(0)).unwrap().total, total);
    assert_eq!(table.shadow("fraud", "v2", at(0)), None);
    let used = |leg| table.used(leg, at(0)).map(|(_, name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!((used(Leg::Live), used(Leg::Shadow)), (vec!["v2".to_owned()], vec!["v1".to_owned()]));
}

#[test]
fn rows_stay_small() {
    let mut table = Table::default();
    for second in 0..1000 {
        table.take(1, &flush(&[("v1", 1.0, gauges(0.0, 3.0))]), at(second));
    }
    let slots =
        table.gateways.values().flat_map(|rows| rows.values()).map(|row| row.slots.len()).sum::<usize>();
    assert_eq!(slots, 12);
}

#[test]
fn requests_without_a_key_are_counted_as_long_as_their_gateway_is_there() {
    let mut table = Table::default();
    let keyless = |requests| Flush {
        keyless: [(GatewayName::new("fraud").unwrap(), requests)].into(),
        ..flush(&[("v1", 10.0, gauges(0.0, 3.0))])
    };
    for stream in [1, 2] {
        table.take(stream, &keyless(3.0), at(0));
    }
    assert_eq!(table.keyless("fraud", at(1)), (6.0, 6.0));
    assert_eq!(table.keyless("fraud", at(300)), (6.0, 0.0));
    assert_eq!(table.keyless("other", at(1)), (0.0, 0.0));
    let forgotten = at(0).plus(FORGET * 2);
    (1..=2).for_each(|stream| table.end(stream));
    table.take(3, &flush(&[]), forgotten);
    assert_eq!(table.all_keyless().count(), 0);
}
