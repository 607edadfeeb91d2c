//! Reports that cannot be true. They are refused whole: half of one would compare the arms unequally.

use super::report::{Counts, Report};
use super::settings::Settings;
use std::fmt;

/// Why a report was refused. Nothing of it was counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejected {
    /// It has no length, or its times are no numbers.
    Time {
        /// Its begin.
        from: f64,
        /// Its end.
        to: f64,
    },
    /// A count is negative, endless or no number.
    Count {
        /// Which, by its name in a report: `canary.err`.
        name: String,
        /// What it was.
        value: f64,
    },
    /// A part is larger than what it is a part of.
    Part {
        /// The part, by its name in a report: `canary.err`.
        name: String,
        /// How many.
        value: f64,
        /// Of what: `canary.n`.
        of: String,
        /// How many these are.
        whole: f64,
    },
    /// A latency bucket beyond the last one.
    Bucket {
        /// `canary` or `primary`.
        arm: &'static str,
        /// Its index.
        bucket: usize,
        /// How many buckets there are.
        buckets: usize,
    },
    /// How bad a metric of the user was is not from 0 to 1.
    Badness {
        /// The metric.
        metric: String,
        /// What it was.
        value: f64,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { from, to } => write!(f, "the interval from {from} to {to} has no length"),
            Self::Count { name, value } => write!(f, "`{name}` is {value}, which is not a count"),
            Self::Part { name, value, of, whole } => {
                write!(f, "`{name}` is {value}, more than the {whole} of `{of}`")
            }
            Self::Bucket { arm, bucket, buckets } => {
                write!(
                    f,
                    "`{arm}.hist` has the bucket {bucket}, but the last one is {}",
                    buckets.saturating_sub(1)
                )
            }
            Self::Badness { metric, value } => {
                write!(f, "`user.{metric}` is {value}, which is not from 0 to 1")
            }
        }
    }
}

impl std::error::Error for Rejected {}

/// Whether a report can be true.
pub(super) fn check(settings: &Settings, report: &Report) -> Result<(), Rejected> {
    let Report { from, to, .. } = *report;
    if !(from.is_finite() && to.is_finite() && from < to) {
        return Err(Rejected::Time { from, to });
    }
    for (arm, counts) in [("canary", &report.canary), ("primary", &report.primary)] {
        check_arm(settings, arm, counts)?;
    }
    if let Some(shadow) = report.shadow {
        count("shadow.n", shadow.pairs)?;
        part("shadow.mismatch", shadow.mismatch, "shadow.n", shadow.pairs)?;
    }
    // No number is no data, which is allowed.
    let bad = report.user.iter().find(|(_, value)| !value.is_nan() && !(0.0..=1.0).contains(*value));
    match bad {
        Some((metric, value)) => Err(Rejected::Badness { metric: metric.clone(), value: *value }),
        None => Ok(()),
    }
}

fn check_arm(settings: &Settings, arm: &'static str, counts: &Counts) -> Result<(), Rejected> {
    let name = |field: &str| format!("{arm}.{field}");
    let all = name("n");
    count(&all, counts.requests)?;
    part(&name("err"), counts.errors, &all, counts.requests)?;
    count(&name("started"), counts.started.unwrap_or(0.0))?;
    count(&name("active"), counts.active)?;
    for (bucket, value) in &counts.latency {
        count(&name(&format!("hist.{bucket}")), *value)?;
    }
    part(&name("hist"), counts.latency.values().sum(), &all, counts.requests)?;
    let buckets = settings.bounds.len();
    match counts.latency.last_key_value() {
        Some((bucket, _)) if buckets > 0 && *bucket >= buckets => {
            Err(Rejected::Bucket { arm, bucket: *bucket, buckets })
        }
        _ => Ok(()),
    }
}

fn count(name: &str, value: f64) -> Result<(), Rejected> {
    let good = value >= 0.0 && value.is_finite();
    if good { Ok(()) } else { Err(Rejected::Count { name: name.to_owned(), value }) }
}

fn part(name: &str, value: f64, of: &str, whole: f64) -> Result<(), Rejected> {
    count(name, value)?;
    // A hair of slack for sums of fractions.
    if value <= whole * (1.0 + 1e-9) {
        return Ok(());
    }
    Err(Rejected::Part { name: name.to_owned(), value, of: of.to_owned(), whole })
}
