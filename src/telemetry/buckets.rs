//! The latency buckets that Envoys are asked for, and what can be read from them.
//!
//! Envoy keeps latencies in whole milliseconds, binned by their first two significant digits, and counts a bin into
//! the bucket whose bound lies anywhere inside it (seen on Envoy 1.40: 134 ms counts into "130 or less"). So only
//! bounds that end a bin are exact. Ours do: a bucket ends before a number of two digits, and Envoy is told the last
//! millisecond before it.
//!
//! From 1 to 22 of each power of ten every number is a bound; above, each is the first that is at least 1.1 times
//! the one before, so that a tolerance of 10 % meets a bound nearby. The steps are 13.7 % at most, from 10 ms on.

use std::time::Duration;

/// The bounds within one power of ten, from 10 on.
const DECADE: [u32; 27] = [
    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25, 28, 31, 35, 39, 43, 48, 53, 59, 65, 72, 80, 88,
    97,
];
/// A little more than five minutes.
const LAST: u32 = 310_000;
/// Below 10 ms, every millisecond; then four whole powers of ten, and 100 to 310 seconds.
const COUNT: usize = 9 + 4 * DECADE.len() + 16;

/// The upper ends of the buckets in milliseconds, ascending. A latency of exactly this many is in the next bucket.
const ENDS: [u32; COUNT] = ends();

const fn ends() -> [u32; COUNT] {
    let mut ends = [0; COUNT];
    let (mut n, mut millisecond) = (0, 1);
    while millisecond < DECADE[0] {
        ends[n] = millisecond;
        (n, millisecond) = (n + 1, millisecond + 1);
    }
    let mut scale = 1;
    while n < COUNT {
        let mut i = 0;
        while i < DECADE.len() && DECADE[i] * scale <= LAST {
            ends[n] = DECADE[i] * scale;
            (n, i) = (n + 1, i + 1);
        }
        scale *= 10;
    }
    ends
}

/// The upper ends of the buckets that indexes of [`stats::Counts::latency`](crate::stats::Counts) refer to, in
/// seconds, ascending. The bucket with an index as large as their number has what took longer than the last.
pub fn bounds() -> impl ExactSizeIterator<Item = f64> {
    ENDS.iter().map(|end| f64::from(*end) / 1000.0)
}

/// The index of the bucket of a latency.
pub fn bucket(latency: Duration) -> u16 {
    let after = |end: &u32| Duration::from_millis(u64::from(*end)) <= latency;
    u16::try_from(ENDS.partition_point(after)).unwrap_or(u16::MAX)
}

/// The bounds as Envoy is told them, in milliseconds.
pub fn envoy_bounds() -> impl ExactSizeIterator<Item = f64> {
    // Envoy wants bounds above zero.
    ENDS.iter().map(|end| if *end == 1 { 0.5 } else { f64::from(end - 1) })
}

/// Requests by the index of their latency bucket: those that have any, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram(Vec<(u16, f64)>);

impl Histogram {
    /// Adds so many requests to a bucket. Buckets in ascending order are the cheapest.
    pub fn add(&mut self, bucket: u16, count: f64) {
        if count <= 0.0 {
            return;
        }
        match self.0.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(bucket, count)| self.add(bucket, count));
    }

    /// Bucket and count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u16, f64)> + '_ {
        self.0.iter().copied()
    }

    /// All requests.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The upper end of the bucket that holds the quantile, in seconds; `None`: there are no requests. What is above
    /// all bounds counts as the last.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = self.total() * q;
        let mut below = 0.0;
        for (bucket, count) in self.iter() {
            below += count;
            if below >= rank {
                return bounds().nth(usize::from(bucket)).or(bounds().last());
            }
        }
        None
    }

    /// Takes so many requests out of the fullest buckets: where they are missed least.
    pub(super) fn take_from_fullest(&mut self, mut count: f64) -> Self {
        let mut taken = Self::default();
        while count > 0.0 {
            let Some(fullest) = self.0.iter_mut().max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
            let some = count.min(fullest.1);
            fullest.1 -= some;
            count -= some;
            taken.add(fullest.0, some);
            self.0.retain(|(_, count)| *count > 0.0);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend_by_small_steps_up_to_five_minutes() {
        assert!(ENDS.is_sorted() && ENDS[COUNT - 1] == LAST);
        for pair in ENDS.windows(2).filter(|pair| pair[0] >= 10) {
            let step = f64::from(pair[1]) / f64::from(pair[0]);
            assert!(step > 1.0 && step <= 1.137, "{pair:?}");
        }
    }

    #[test]
    fn every_bound_ends_one_of_envoys_bins() {
        for end in ENDS {
            let digits = end.to_string();
            assert!(digits.trim_end_matches('0').len() <= 2, "{end}");
        }
        assert_eq!(envoy_bounds().take(3).collect::<Vec<_>>(), [0.5, 1.0, 2.0]);
        assert_eq!(envoy_bounds().len(), bounds().len());
    }

    #[test]
    fn a_quantile_is_the_end_of_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        histogram.add(1, 1.0);
        histogram.add(0, 98.0);
        histogram.add(u16::try_from(COUNT).unwrap(), 1.0);
        assert_eq!(
            [0.5, 0.98, 0.99, 1.0].map(|q| histogram.quantile(q)),
            [Some(0.001), Some(0.001), Some(0.002), Some(310.0)]
        );
    }

    #[test]
    fn a_latency_is_below_the_end_of_its_bucket_and_not_below_the_one_before() {
        for (microseconds, expected) in [(0, 0), (999, 0), (1000, 1), (22_500, 22), (u64::MAX, COUNT)] {
            let latency = Duration::from_micros(microseconds);
            assert_eq!(usize::from(bucket(latency)), expected, "{latency:?}");
        }
        for (index, end) in bounds().enumerate() {
            let end = Duration::from_secs_f64(end);
            assert_eq!(usize::from(bucket(end)), index + 1);
            assert_eq!(usize::from(bucket(end.saturating_sub(Duration::from_micros(1)))), index);
        }
    }

    #[test]
    fn what_is_taken_comes_from_the_fullest_bucket() {
        let mut histogram = Histogram(vec![(0, 1.0), (4, 5.0)]);
        assert_eq!(histogram.take_from_fullest(2.0), Histogram(vec![(4, 2.0)]));
        assert_eq!(histogram, Histogram(vec![(0, 1.0), (4, 3.0)]));
        assert_eq!(histogram.take_from_fullest(9.0), Histogram(vec![(0, 1.0), (4, 3.0)]));
        assert_eq!(histogram, Histogram::default());
    }
}
