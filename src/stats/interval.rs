//! An interval for a rate that stays valid however often one looks. For people; only the ceiling at nearly all traffic
//! is derived from one.

use std::f64::consts::PI;

/// Where the rate of `events` among `requests` is, from lowest to highest, with confidence `level` at all looks at once
/// (level from 0 to 1, both excluded; no requests: anywhere).
///
/// All rates that a Beta(1/2, 1/2) mixture does not reject at `1 / (1 - level)`: Robbins, Statistical Methods Related to
/// the Law of the Iterated Logarithm, 1970; Howard et al., arXiv 1810.08240.
pub fn interval(events: f64, requests: f64, level: f64) -> (f64, f64) {
    if requests <= 0.0 {
        return (0.0, 1.0);
    }
    let (events, rest) = (events.clamp(0.0, requests), (requests - events).max(0.0));
    let enough = (1.0 - level).recip().ln();
    let excess = |rate: f64| log_mixture(events, rest, rate) - enough;
    let mean = events / requests;
    (edge(&excess, 0.0, mean), edge(&excess, 1.0, mean))
}

/// The rate between `outside`, which is rejected, and `inside`, which is not, where rejection begins.
fn edge(excess: &impl Fn(f64) -> f64, mut outside: f64, mut inside: f64) -> f64 {
    loop {
        let middle = 0.5 * (outside + inside);
        let between = outside.min(inside) < middle && middle < outside.max(inside);
        if !between {
            return inside;
        }
        if excess(middle) <= 0.0 {
            inside = middle;
        } else {
            outside = middle;
        }
    }
}

/// The log-likelihood ratio of the mixture against one rate:
/// `ln B(x+1/2, y+1/2) - ln B(1/2, 1/2) - x ln p - y ln(1-p)`.
///
/// Written as differences that stay small, so that billions of requests lose few digits.
fn log_mixture(events: f64, rest: f64, rate: f64) -> f64 {
    let (a, b) = (events + 0.5, rest + 0.5);
    let all = a + b;
    let weighted =
        |count: f64, part: f64, rate: f64| if count > 0.0 { count * (part / all / rate).ln() } else { 0.0 };
    // B(a, b) is a^(a-1/2) b^(b-1/2) / (a+b)^(a+b-1/2) times sqrt(2 pi) and Stirling's rests; B(1/2, 1/2) is pi.
    weighted(events, a, rate) + weighted(rest, b, 1.0 - rate) - 0.5 * all.ln() + 0.5 * (2.0 * PI).ln()
        - PI.ln()
        + stirling_rest(a)
        + stirling_rest(b)
        - stirling_rest(all)
}

/// `ln Γ(x) - ((x - 1/2) ln x - x + 1/2 ln 2π)`, for x of 1/2 and more (Abramowitz and Stegun 6.1.40).
fn stirling_rest(x: f64) -> f64 {
    if x < 12.0 {
        // Γ(x+1) = x Γ(x) leads to where the series is exact.
        return stirling_rest(x + 1.0) + (x + 0.5) * (1.0 / x).ln_1p() - 1.0;
    }
    let square = x * x;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square) / square)
            / square)
        / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_stirling_is_known_at_whole_and_half_numbers() {
        let rest = |x: f64, log_gamma: f64| log_gamma - ((x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln());
        for (x, log_gamma) in [(0.5, 0.5 * PI.ln()), (1.0, 0.0), (2.0, 0.0), (5.0, 24_f64.ln())] {
            assert!((stirling_rest(x) - rest(x, log_gamma)).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn billions_of_requests_give_a_narrow_interval_around_their_rate() {
        let (low, high) = interval(1e13, 1e15, 0.95);
        assert!(low < 0.01 && 0.01 < high && high - low < 1e-7, "{low} {high}");
    }

    #[test]
    fn without_requests_the_rate_is_anywhere_and_the_ends_are_reached() {
        assert!(interval(0.0, 0.0, 0.95) == (0.0, 1.0));
        assert!(interval(0.0, 10.0, 0.95).0.abs() < f64::MIN_POSITIVE);
        assert!((interval(10.0, 10.0, 0.95).1 - 1.0).abs() < f64::EPSILON);
    }
}
