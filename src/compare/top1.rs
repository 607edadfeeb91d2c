//! Score vectors: which place has the highest score.

use super::difference::{Difference, Kind, Reason, Step};
use serde_json::Value;

/// The first difference of two score vectors, or of two lists of such.
pub(super) fn differ<'v>(live: &'v Value, shadow: &'v Value) -> Result<Option<Difference<'v>>, Reason> {
    let (Value::Array(a), Value::Array(b)) = (live, shadow) else { return Err(Reason::NotScores) };
    if a.is_empty() || b.is_empty() {
        return Err(Reason::NotScores);
    }
    if a.len() != b.len() {
        return Ok(Some(Difference::new(Kind::Length, live, shadow)));
    }
    if a.iter().chain(b).all(Value::is_array) {
        for (index, (live, shadow)) in a.iter().zip(b).enumerate() {
            if let Some(difference) = differ(live, shadow)? {
                return Ok(Some(difference.below(Step::Index(index))));
            }
        }
        return Ok(None);
    }
    let (a, b) = (highest(a)?, highest(b)?);
    Ok((a != b).then(|| Difference::new(Kind::Top1, live, shadow)))
}

/// The place of the highest score, the first of equals.
fn highest(scores: &[Value]) -> Result<usize, Reason> {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, score) in scores.iter().enumerate() {
        let score = score.as_f64().ok_or(Reason::NotScores)?;
        if score > best.1 {
            best = (index, score);
        }
    }
    Ok(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_place_of_the_highest_score_counts() {
        let kind = |live: Value, shadow: Value| super::differ(&live, &shadow).map(|d| d.map(|d| d.kind));
        assert_eq!(kind(json!([0.1, 0.9]), json!([0.4, 0.6])), Ok(None));
        assert_eq!(kind(json!([0.1, 0.9]), json!([0.6, 0.4])), Ok(Some(Kind::Top1)));
        assert_eq!(kind(json!([0.5, 0.5]), json!([0.5, 0.4])), Ok(None), "the first of equals");
        assert_eq!(kind(json!([1, 0]), json!([1, 0, 0])), Ok(Some(Kind::Length)));
        assert_eq!(kind(json!([[1, 0], [0, 1]]), json!([[2, 1], [9, 3]])), Ok(Some(Kind::Top1)));
        for other in [json!([]), json!("a"), json!([1, "a"]), json!([[1], 2])] {
            assert_eq!(kind(other.clone(), other.clone()), Err(Reason::NotScores), "{other}");
        }
    }
}
