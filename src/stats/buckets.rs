//! Latency buckets: their bounds, and which of them tell slow from fast.

/// Bounds of log-linear buckets with two significant digits, in seconds: 1.1, 1.2, ..., 10 times each power of ten from
/// `10^from` until below `10^to`, and one without an end (as 1e308, which JSON can carry). Envoy's own histograms are
/// so (libcircllhist).
pub fn log_linear(from: i32, to: i32) -> Vec<f64> {
    let decades = (from..to).flat_map(|e| (11..=100).map(move |m| f64::from(m) * 10_f64.powi(e - 1)));
    decades.chain([1e308]).collect()
}

/// Which bucket a latency falls into: the first whose bound is not below it.
#[cfg(test)]
fn of(bounds: &[f64], latency: f64) -> usize {
    bounds.partition_point(|b| *b < latency)
}

/// Above which bucket a request is slow, on the primary and on the canary: `(i, k)` with
/// `bounds[k] >= (1 + tolerance) * bounds[i]`.
///
/// Both are bounds that were measured, nothing is interpolated, so coarse buckets cost power and never validity. Any `i`
/// is valid as long as it follows from earlier requests of the primary. Among those near the quantile the one is taken
/// whose rounded-up tolerance `bounds[k] / bounds[i]` is smallest.
pub(super) fn pick(primary: &[f64], bounds: &[f64], quantile: f64, tolerance: f64) -> (usize, usize) {
    let all: f64 = primary.iter().sum();
    let last = bounds.len() - 1;
    let (low, high) = (quantile - 0.25 * (1.0 - quantile), quantile + 0.25 * (1.0 - quantile));
    let mut below = 0.0;
    let mut best: Option<(f64, usize, usize)> = None;
    for i in 0..last {
        below += primary[i];
        let rank = below / all;
        if rank < low {
            continue;
        }
        if rank > high && best.is_some() {
            break;
        }
        // A hair of slack, so that 1.1 times 0.1 is not above 0.11.
        let enough = (1.0 + tolerance) * bounds[i] * (1.0 - 1e-9);
        let k = (i..last).find(|k| bounds[*k] >= enough).unwrap_or(last);
        let ratio = bounds[k] / bounds[i];
        if best.is_none_or(|(smallest, ..)| ratio < smallest * (1.0 - 1e-9)) {
            best = Some((ratio, i, k));
        }
        if rank >= high {
            break;
        }
    }
    best.map_or((last, last), |(_, i, k)| (i, k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend_with_two_digits() {
        let bounds = log_linear(-2, 0);
        assert_eq!(bounds.len(), 181);
        assert!(bounds.windows(2).all(|w| w[0] < w[1]));
        assert!((bounds[0] - 0.011).abs() < 1e-12 && (bounds[179] - 1.0).abs() < 1e-12);
        assert_eq!(of(&bounds, 0.0115), 1);
    }

    #[test]
    fn among_coarse_buckets_the_finest_step_near_the_quantile_is_taken() {
        let bounds = [0.1, 0.5, 0.6, 1.0, 1e308];
        // Half of the requests are below 0.1, and 45 % below 0.5: only the second is near 95 %.
        let requests = [50.0, 45.0, 0.0, 4.0, 1.0];
        assert_eq!(pick(&requests, &bounds, 0.95, 0.1), (1, 2));
        assert_eq!(pick(&requests, &bounds, 0.5, 0.1), (0, 1));
    }

    #[test]
    fn when_all_is_slower_than_every_bound_nothing_counts_as_slow() {
        assert_eq!(pick(&[0.0, 0.0, 9.0], &[0.1, 0.2, 1e308], 0.5, 0.1), (2, 2));
    }
}
