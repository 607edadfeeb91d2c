//! The last quarter of an hour of a gateway, for charts: one point for each slot of the table of numbers.
//!
//! Memory is bounded: [`KEPT`] points of at most [`UPSTREAMS`] versions are about 130 kB of a gateway, and
//! [`super::work::FOLLOWED`] gateways are followed at most.

use crate::clock::Timestamp;
use crate::telemetry::Table;
use crate::telemetry::table::SLOT;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A quarter of an hour.
const KEPT: usize = 180;
/// Versions in a point.
const UPSTREAMS: usize = 16;

/// What the versions of a gateway did in one slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// The end of the slot.
    #[serde(rename = "at", serialize_with = "milliseconds")]
    pub(super) at: Timestamp,
    /// How long it is.
    seconds: u64,
    /// Those that had requests.
    upstreams: BTreeMap<Arc<str>, Done>,
}

/// What one version did. Latencies in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Done {
    requests: f64,
    errors: f64,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn milliseconds<S: serde::Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_i64(at.0)
}

/// The points of one gateway, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    points: VecDeque<Point>,
    /// The number of the slot that was taken last.
    last: Option<i64>,
}

impl Points {
    /// Takes the slots that are complete, as far as they are not too old; the first time, those of the last minute.
    pub(super) fn take(&mut self, name: &str, table: &Table, now: Timestamp) {
        // Envoys report a moment later.
        let complete = now.minus(LATE).0.div_euclid(SLOT) - 1;
        let oldest = Table::oldest_slot(now);
        let first = self.last.map_or(oldest, |last| (last + 1).max(oldest));
        for number in first..=complete {
            let done = table.slot(name, number).take(UPSTREAMS).map(|(upstream, sample)| {
                let at = |q| sample.latency.quantile(q);
                let (requests, errors) = (sample.completed, sample.errors.min(sample.completed));
                let done = Done { requests, errors, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
                (upstream.as_str().into(), done)
            });
            let at = Timestamp((number + 1) * SLOT);
            let point = Point { at, seconds: SLOT.unsigned_abs() / 1000, upstreams: done.collect() };
            self.points.push_back(point);
            self.last = Some(number);
        }
        while self.points.len() > KEPT {
            self.points.pop_front();
        }
    }

    /// Whether something would be taken.
    pub(super) fn is_behind(&self, now: Timestamp) -> bool {
        self.last.is_none_or(|last| last < now.minus(LATE).0.div_euclid(SLOT) - 1)
    }

    /// The slot that was taken last.
    pub(super) fn newest(&self) -> Option<i64> {
        self.last
    }

    /// Whether all that is known is too old to be shown.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        let kept = i64::try_from(KEPT).unwrap_or(i64::MAX);
        self.last.is_some_and(|last| last < now.0.div_euclid(SLOT) - kept)
    }

    /// The points that end after a moment.
    pub(super) fn after(&self, after: i64) -> impl Iterator<Item = &Point> {
        self.points.iter().skip_while(move |p| p.at.0 <= after)
    }
}

/// How long after its end a slot counts as complete.
const LATE: std::time::Duration = std::time::Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_taken_once_and_bounded() {
        let (table, mut points) = (Table::default(), Points::default());
        let start = Timestamp(1_000_000_000);
        assert!(points.is_behind(start));
        points.take("a", &table, start);
        let first = points.after(0).count();
        assert!((10..=12).contains(&first), "the last minute: {first}");
        points.take("a", &table, start);
        assert_eq!(points.after(0).count(), first);
        for turn in 1..400 {
            points.take("a", &table, start.plus(std::time::Duration::from_secs(5 * turn)));
        }
        assert_eq!(points.after(0).count(), KEPT);
        let last = points.points.back().unwrap().at.0;
        assert_eq!(points.after(last).count(), 0);
        let moments: Vec<i64> = points.after(0).map(|p| p.at.0).collect();
        assert!(moments.is_sorted_by(|a, b| b - a == SLOT), "no slot is missing, none is there twice");
        assert!(!points.is_old(Timestamp(last)) && points.is_old(Timestamp(last + 16 * 60_000)));
    }
}
