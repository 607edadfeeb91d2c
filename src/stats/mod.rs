//! The mathematics of a release: is the canary worse than the primary, is it fine, or is there not enough evidence?
//!
//! Pure: counts and numbers in, evidence out. No clock, no randomness, no knowledge of gateways.

mod report;

pub use report::{Counts, Pairs, Report};
