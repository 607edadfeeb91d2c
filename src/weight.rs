//! Weights: exact parts of a whole, counted in hundredths of a percent.
//!
//! Envoy picks `hash mod (sum of weights)` over the clusters in listing order, so a sum and an order that never
//! change keep every user of a sticky split in place. The sum is [`WHOLE`], always.

use crate::names::UpstreamName;
use std::fmt;

/// The whole, in hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// A share of the traffic in hundredths of a percent, from 0 to [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weight(u32);

impl Weight {
    /// Everything.
    pub const ALL: Self = Self(WHOLE);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// From hundredths of a percent; `None` above the whole.
    pub const fn new(hundredths: u32) -> Option<Self> {
        if hundredths <= WHOLE { Some(Self(hundredths)) } else { None }
    }

    /// From a percent as people write it: `5`, `0.5`, `99.95`, with or without a percent sign, at most two
    /// decimals. Exact: no floating point is involved.
    pub fn parse(text: &str) -> Result<Self, WeightError> {
        let text = text.trim();
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || (text.contains('.') && part.is_empty()) {
            return Err(WeightError::NotANumber);
        }
        let part = part.trim_end_matches('0');
        if part.len() > 2 {
            return Err(WeightError::Decimals);
        }
        let whole: u32 = whole.parse().map_err(|_| WeightError::Range)?;
        let hundredths: u32 = format!("{part:0<2}").parse().map_err(|_| WeightError::NotANumber)?;
        whole
            .checked_mul(100)
            .and_then(|w| w.checked_add(hundredths))
            .and_then(Self::new)
            .ok_or(WeightError::Range)
    }

    /// In hundredths of a percent.
    pub const fn hundredths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Weight {
    /// The shortest percent without its sign: `5`, `0.5`, `99.95`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}"),
            p if p % 10 == 0 => write!(f, "{whole}.{}", p / 10),
            p => write!(f, "{whole}.{p:02}"),
        }
    }
}

impl serde::Serialize for Weight {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(100) {
            s.serialize_u32(self.0 / 100)
        } else {
            s.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

impl<'de> serde::Deserialize<'de> for Weight {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The shortest decimal of a float is the one that was written.
        Self::parse(&f64::deserialize(d)?.to_string()).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightError {
    /// Not a plain decimal number.
    NotANumber,
    /// More than two decimals.
    Decimals,
    /// Not from 0 to 100.
    Range,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "it is not a number",
            Self::Decimals => "it has more than two decimals",
            Self::Range => "it is not between 0 and 100",
        })
    }
}

impl std::error::Error for WeightError {}

/// How one gateway's traffic is split: each upstream once, in the order Envoy lists them, summing to [`WHOLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split(Vec<(UpstreamName, Weight)>);

impl Split {
    /// Takes the parts in listing order; `Err` carries the sum when it is not the whole.
    pub fn new(parts: Vec<(UpstreamName, Weight)>) -> Result<Self, u32> {
        match parts.iter().map(|(_, w)| w.hundredths()).sum() {
            WHOLE => Ok(Self(parts)),
            sum => Err(sum),
        }
    }

    /// Everything to one upstream.
    pub fn all_to(upstream: UpstreamName) -> Self {
        Self(vec![(upstream, Weight::ALL)])
    }

    /// The parts in listing order.
    pub fn parts(&self) -> &[(UpstreamName, Weight)] {
        &self.0
    }

    /// The share of an upstream; nothing when it has no part.
    pub fn of(&self, upstream: &UpstreamName) -> Weight {
        self.0.iter().find(|(u, _)| u == upstream).map_or(Weight::NONE, |(_, w)| *w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percents_are_read_exactly() {
        for (text, hundredths) in [
            ("5", 500),
            ("0.5", 50),
            ("99.95", 9995),
            ("100", 10_000),
            ("0", 0),
            ("7.10", 710),
            ("5%", 500),
            ("1.500", 150),
        ] {
            assert_eq!(Weight::parse(text), Ok(Weight(hundredths)), "{text}");
        }
    }

    #[test]
    fn other_texts_say_why() {
        assert_eq!(Weight::parse("1.234"), Err(WeightError::Decimals));
        assert_eq!(Weight::parse("100.01"), Err(WeightError::Range));
        assert_eq!(Weight::parse("99999999999"), Err(WeightError::Range));
        for text in ["-1", "", ".", "5.", ".5", "1e2", "five", "0x1"] {
            assert_eq!(Weight::parse(text), Err(WeightError::NotANumber), "{text}");
        }
    }

    #[test]
    fn a_split_sums_to_the_whole() {
        let v = |n: &str| UpstreamName::new(n).unwrap();
        let parts = |a, b| vec![(v("v2"), Weight(a)), (v("v1"), Weight(b))];
        assert_eq!(Split::new(parts(500, 9400)), Err(9900));
        let split = Split::new(parts(500, 9500)).unwrap();
        assert_eq!(split.of(&v("v2")), Weight(500));
        assert_eq!(split.of(&v("v3")), Weight::NONE);
    }

    proptest! {
        #[test]
        fn printing_and_reading_is_identity(h in 0u32..=WHOLE) {
            let w = Weight(h);
            prop_assert_eq!(Weight::parse(&w.to_string()), Ok(w));
            let json = serde_json::to_string(&w).unwrap();
            prop_assert_eq!(serde_json::from_str::<Weight>(&json).unwrap(), w);
        }
    }
}
