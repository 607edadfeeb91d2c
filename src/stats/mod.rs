//! The mathematics of a release: is the canary worse than the primary, is it fine, or is there not enough evidence?
//!
//! Pure: counts and numbers in, evidence out. No clock, no randomness, no knowledge of gateways.
//!
//! Every question is "is this rate too high in the canary?". For each there is one bet against the canary and one for
//! it ([`Harm`], [`Safety`]): a capital that grows by 1/α at most with probability α while the canary is within
//! tolerance, however often anybody looks (Ville's inequality). The sum of the capitals decides ([`Analysis`]).

mod analysis;
mod bets;
mod buckets;
mod decision;
mod event;
mod evidence;
mod interval;
mod latency;
mod name;
mod ratio;
mod reject;
mod report;
mod sentence;
mod settings;
mod stall;
#[cfg(test)]
mod tests;

pub use analysis::Analysis;
pub use bets::{Block, Harm, Null, Safety, Tally};
pub use buckets::log_linear;
pub use decision::{Action, Decision, Hold};
pub use evidence::{Evidence, Rate};
pub use interval::interval;
pub use latency::Threshold;
pub use name::{Quantile, Test, UnknownTest};
pub use reject::Rejected;
pub use report::{Counts, Pairs, Report};
pub use settings::{OutOfRange, Settings, Weights};
