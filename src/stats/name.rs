//! The questions, by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// One question about the canary. Their order is the order in which they are summed and named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// `errors`: does it fail more often than the primary?
    Errors,
    /// `ceiling`: does it fail more often than is ever allowed?
    Ceiling,
    /// `p95`: is a larger share of its answers slow?
    Latency(Quantile),
    /// `stall`: does a larger share of its requests never end?
    Stall,
    /// `shadow`: do its predictions differ?
    Shadow,
    /// `user:<name>`: is a metric of the user bad?
    User(String),
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors => f.write_str("errors"),
            Self::Ceiling => f.write_str("ceiling"),
            Self::Latency(quantile) => write!(f, "{quantile}"),
            Self::Stall => f.write_str("stall"),
            Self::Shadow => f.write_str("shadow"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// A text that names no test, and no quantile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTest(String);

impl fmt::Display for UnknownTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no test is called {:?}", self.0)
    }
}

impl std::error::Error for UnknownTest {}

impl FromStr for Test {
    type Err = UnknownTest;

    fn from_str(text: &str) -> Result<Self, UnknownTest> {
        Ok(match text {
            "errors" => Self::Errors,
            "ceiling" => Self::Ceiling,
            "stall" => Self::Stall,
            "shadow" => Self::Shadow,
            _ => match text.strip_prefix("user:") {
                Some(name) => Self::User(name.to_owned()),
                None => Self::Latency(text.parse()?),
            },
        })
    }
}

impl Serialize for Test {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// A quantile of the latency between 0 and 1, exact in ten-thousandths. In data it is a number (0.95), for people `p95`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantile(u16);

impl Quantile {
    /// Half of the requests are slower.
    pub const P50: Self = Self(5_000);
    /// One in ten is slower.
    pub const P90: Self = Self(9_000);
    /// One in twenty is slower.
    pub const P95: Self = Self(9_500);
    /// One in a hundred is slower.
    pub const P99: Self = Self(9_900);

    /// From a share; `None` unless it is between 0 and 1 with at most four decimals.
    pub fn new(share: f64) -> Option<Self> {
        (1..10_000).map(Self).find(|q| (q.share() - share).abs() < 1e-9)
    }

    /// As a share: 0.95.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", f64::from(self.0) / 100.0)
    }
}

impl FromStr for Quantile {
    type Err = UnknownTest;

    fn from_str(text: &str) -> Result<Self, UnknownTest> {
        let percent = text.strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
        percent.and_then(|p| Self::new(p / 100.0)).ok_or_else(|| UnknownTest(text.to_owned()))
    }
}

impl Serialize for Quantile {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.share())
    }
}

impl<'de> Deserialize<'de> for Quantile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(d)?;
        Self::new(share).ok_or_else(|| {
            de::Error::custom(format!(
                "a quantile is between 0 and 1 with at most four decimals, not {share}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let p999 = Quantile::new(0.999).unwrap();
        for (test, name) in [
            (Test::Errors, "errors"),
            (Test::Ceiling, "ceiling"),
            (Test::Latency(Quantile::P50), "p50"),
            (Test::Latency(p999), "p99.9"),
            (Test::Stall, "stall"),
            (Test::Shadow, "shadow"),
            (Test::User("drift".into()), "user:drift"),
        ] {
            assert_eq!(test.to_string(), name);
            assert_eq!(name.parse(), Ok(test));
        }
        for unknown in ["error", "p0", "p100", "p12.345", "95", "pp"] {
            assert_eq!(unknown.parse::<Test>(), Err(UnknownTest(unknown.to_owned())));
        }
    }
}
