//! Labels and texts: the same, or alike enough.

use crate::model::Number;

/// Whether two texts match. The measure costs as much as the texts are long, not the product of their lengths, as the
/// distances of edits do.
pub(super) fn matches(similarity: Option<Number>, live: &str, shadow: &str) -> bool {
    live == shadow || similarity.is_some_and(|least| strsim::sorensen_dice(live, shadow) >= least.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_alike_by_their_pairs_of_letters() {
        // night: ni ig gh ht; nacht: na ac ch ht; one of four in common, as in the literature.
        let matches = |least: f64| super::matches(Number::new(least), "night", "nacht");
        assert!(matches(0.25) && !matches(0.26));
        assert!(super::matches(None, "", "") && !super::matches(None, "a", "a "));
        assert!(super::matches(Number::new(1.0), "a b c", "ab c"), "spaces do not count");
    }
}
