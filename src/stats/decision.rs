//! What to do after a report.

use super::name::Test;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What to do with the rollout. In the order in which they win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The canary is worse. It stays so, whatever comes.
    Rollback,
    /// Something else is wrong: never advance, tell people.
    Hold(Hold),
    /// Not enough evidence yet. Never a success, never a failure.
    Wait,
    /// Everything that the step asks for is shown.
    Advance,
}

/// Why a rollout is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    /// The traffic is not split as it was told to be.
    SampleRatio,
    /// The primary itself fails more often than is ever allowed.
    Outage,
}

/// What to do, and the evidence behind it. Logarithms are natural.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The end of the report, in seconds on the engine's clock.
    pub at: f64,
    /// What to do.
    pub action: Action,
    /// Of a rollback, the test to blame; of a wait, the first that lacks evidence, none when only the least time or
    /// number of requests is not reached.
    pub why: Option<Test>,
    /// Evidence of harm, of all tests together: the log of their capital. `exp(-evidence)` is a p-value at any time.
    pub evidence: f64,
    /// Evidence of a wrong split at this step.
    pub sample_ratio: f64,
    /// Evidence of harm of each test, over the rollout.
    pub harm: BTreeMap<Test, f64>,
    /// Evidence of safety of each test, at this step.
    pub safety: BTreeMap<Test, f64>,
}

impl Decision {
    /// The reason in a word: a test, `srm`, `outage`, `minimum`, or nothing when it advances.
    pub fn reason(&self) -> String {
        match (&self.why, self.action) {
            (Some(test), _) => test.to_string(),
            (None, Action::Hold(hold)) => hold.to_string(),
            (None, Action::Wait) => "minimum".to_owned(),
            (None, Action::Rollback | Action::Advance) => String::new(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rollback => "rollback",
            Self::Hold(_) => "hold",
            Self::Wait => "wait",
            Self::Advance => "advance",
        })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SampleRatio => "srm",
            Self::Outage => "outage",
        })
    }
}
