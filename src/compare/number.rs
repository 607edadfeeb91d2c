//! Numbers: whether they are near enough.

use crate::model::Tolerance;
use serde_json::Number;

/// Whether a number of the shadow is within the tolerance of the client's. Whole numbers without a tolerance are
/// compared to the last digit, all others in double precision.
pub(super) fn matches(tolerance: Tolerance, live: &Number, shadow: &Number) -> bool {
    let (absolute, relative) = (tolerance.absolute.get(), tolerance.relative.get());
    let is_exact = absolute + relative <= 0.0;
    let is_whole = |n: &Number| n.is_i64() || n.is_u64();
    if live == shadow {
        return true;
    }
    if is_exact && is_whole(live) && is_whole(shadow) {
        return false;
    }
    let (Some(b), Some(a)) = (live.as_f64(), shadow.as_f64()) else { return false };
    (a - b).abs() <= absolute + relative * b.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use serde_json::Value;

    fn near(live: &str, shadow: &str, absolute: f64, relative: f64) -> bool {
        let number = |text: &str| match serde_json::from_str(text).unwrap() {
            Value::Number(number) => number,
            other => panic!("{other} is no number"),
        };
        let of = |n| model::Number::new(n).unwrap();
        let tolerance = Tolerance { absolute: of(absolute), relative: of(relative) };
        matches(tolerance, &number(live), &number(shadow))
    }

    #[test]
    fn the_client_is_the_measure() {
        for (live, shadow, absolute, relative, expected) in [
            ("1", "1.0", 0.0, 0.0, true),
            ("0.1", "0.11", 0.0, 0.0, false),
            ("0.5", "0.625", 0.125, 0.0, true),
            ("0.5", "0.626", 0.125, 0.0, false),
            ("100", "110", 0.0, 0.1, true),
            ("110", "99", 0.0, 0.1, true),
            ("99", "110", 0.0, 0.1, false),
            ("-100", "-111", 1.0, 0.1, true),
            ("0", "1e-300", 0.0, 0.5, false),
            ("0", "-0.0", 0.0, 0.0, true),
            ("9007199254740993", "9007199254740992", 0.0, 0.0, false),
            ("9007199254740993", "9007199254740992", 1.0, 0.0, true),
            ("1e308", "-1e308", 1.0, 0.5, false),
        ] {
            assert_eq!(near(live, shadow, absolute, relative), expected, "{live} {shadow}");
        }
    }
}
