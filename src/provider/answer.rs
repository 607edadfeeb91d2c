//! From what was said of the versions to a point: pure.

use crate::control::Point;
use crate::model::Limits;
use crate::rollout::badness;

/// What was said of one version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Said {
    /// The value of the metric.
    pub(super) value: Option<f64>,
    /// Good or bad, in the other's words.
    pub(super) ok: Option<bool>,
}

/// What the answers say, or why they are no data. `primary` was asked about where the limits compare.
pub(super) fn point(limits: &Limits, canary: Said, primary: Option<Said>) -> Result<Point, String> {
    let by_value = match canary.value {
        Some(value) if !value.is_finite() => return Err(format!("the value is {value}")),
        Some(value) if !limits.is_empty() => {
            let primary = primary.and_then(|said| said.value);
            Some(badness(limits, value, primary).ok_or("there is no value of the primary")?)
        }
        None if !limits.is_empty() => {
            return Err("the answer has no `value`, which the limits want".to_owned());
        }
        Some(_) | None => None,
    };
    let by_word = canary.ok.map(|ok| if ok { 0.0 } else { 1.0 });
    let worst = by_value.into_iter().chain(by_word).reduce(f64::max);
    let badness = worst.ok_or("the answer has no `ok`, and the metric no limit for its `value`")?;
    Ok(Point { canary: canary.value, primary: primary.and_then(|said| said.value), badness })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Number;
    use crate::weight::Weight;

    fn said(value: Option<f64>, ok: Option<bool>) -> Said {
        Said { value, ok }
    }

    #[test]
    fn a_word_or_a_limit_makes_it_bad_and_silence_is_no_data() {
        let none = Limits::default();
        let max = Limits { max: Number::new(2.0), ..none };
        let both = Limits { max_increase: Weight::new(1000), ..none };
        let bad = |limits: &Limits, canary, primary| point(limits, canary, primary).map(|p| p.badness);
        assert_eq!(bad(&none, said(None, Some(true)), None), Ok(0.0));
        assert_eq!(bad(&none, said(Some(9.0), Some(false)), None), Ok(1.0));
        assert_eq!(bad(&max, said(Some(1.0), Some(false)), None), Ok(1.0));
        assert_eq!(bad(&max, said(Some(1.0), None), None), Ok(0.0));
        assert_eq!(bad(&max, said(Some(3.0), Some(true)), None), Ok(1.0));
        assert_eq!(bad(&both, said(Some(3.0), None), Some(said(Some(2.0), None))), Ok(1.0));
        for (limits, canary) in [
            (&none, said(Some(1.0), None)),
            (&none, said(None, None)),
            (&max, said(None, Some(true))),
            (&max, said(Some(f64::NAN), None)),
            (&max, said(Some(f64::INFINITY), None)),
            (&both, said(Some(1.0), None)),
        ] {
            assert!(bad(limits, canary, None).is_err(), "{limits:?} {canary:?}");
        }
    }
}
