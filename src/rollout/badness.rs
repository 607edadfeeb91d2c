//! How bad an answer about a metric of the user is.

use crate::model::Limits;
use crate::weight::Weight;

/// 1 when a limit is exceeded, else 0; `None` when a limit compares and the primary's value is not known, or a value is
/// no number: that is no data, and neither good nor bad.
///
/// The mean over many answers is what counts: see `stats`.
pub fn badness(limits: &Limits, canary: f64, primary: Option<f64>) -> Option<f64> {
    let most = match limits.max_increase {
        None => None,
        Some(increase) => {
            let part = f64::from(increase.hundredths()) / f64::from(Weight::ALL.hundredths());
            let primary = primary.filter(|value| value.is_finite())?;
            // A metric may be negative: then the same distance is tolerated.
            Some(primary + part * primary.abs())
        }
    };
    if !canary.is_finite() {
        return None;
    }
    let is_above = |most: f64| canary > most;
    let breach = limits.max.is_some_and(|max| is_above(max.get()))
        || limits.min.is_some_and(|min| canary < min.get())
        || most.is_some_and(is_above);
    Some(if breach { 1.0 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Number;

    fn limits(max: Option<f64>, min: Option<f64>, increase: Option<u32>) -> Limits {
        let number = |n: Option<f64>| n.and_then(Number::new);
        Limits { max: number(max), min: number(min), max_increase: increase.and_then(Weight::new) }
    }

    #[test]
    fn a_value_is_bad_beyond_any_limit_and_good_at_it() {
        let both = limits(Some(2.0), Some(1.0), None);
        for (value, bad) in [(0.9, 1.0), (1.0, 0.0), (2.0, 0.0), (2.1, 1.0)] {
            assert_eq!(badness(&both, value, None), Some(bad), "{value}");
        }
        let increase = limits(None, None, Some(2000));
        for (canary, primary, bad) in
            [(1.2, 1.0, 0.0), (1.21, 1.0, 1.0), (-0.9, -1.0, 0.0), (-0.7, -1.0, 1.0)]
        {
            assert_eq!(badness(&increase, canary, Some(primary)), Some(bad), "{canary} {primary}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_good_nor_bad() {
        let increase = limits(Some(9.0), None, Some(2000));
        for (canary, primary) in
            [(1.0, None), (1.0, Some(f64::NAN)), (1.0, Some(f64::INFINITY)), (f64::NAN, Some(1.0))]
        {
            assert_eq!(badness(&increase, canary, primary), None, "{canary} {primary:?}");
        }
        assert_eq!(badness(&limits(Some(1.0), None, None), f64::INFINITY, None), None);
    }
}
