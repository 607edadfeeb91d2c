//! Rollouts without an Envoy: recorded reports replayed, and invented traffic.
//!
//! Pure: the same seed gives the same numbers. Only traffic is random; the decision is that of [`crate::stats`].

mod file;
mod plan;
mod random;
mod summary;
mod traffic;
mod vectors;

pub use file::{asked, plan};
pub use plan::{End, Plan, Run, Stop, run};
pub use random::Random;
pub use summary::{Forecast, Spread, Step, forecast};
pub use traffic::{Behaviour, Burst, Disturbance, Drift, Outage, Scenario, Traffic};
pub use vectors::{Mismatch, Replayed, Restart, Unfit, replay};
