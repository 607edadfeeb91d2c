//! Where a rollout stands.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// There is nothing to release: primary and canary are the same.
    Stable,
    /// The canary has no healthy endpoint yet, so it gets no traffic.
    Waiting,
    /// The canary has its share, and the step's least time runs.
    Progressing,
    /// It stays where it is: not enough evidence, an outage of both sides, no news from Envoys, or a split that does
    /// not match.
    Holding,
    /// Somebody has to say how to go on: an operator paused it, a step asks for a person, a deadline has passed, or the
    /// canary does harm and the file says `onFailure: pause`.
    Paused,
    /// All steps are done; the canary is watched for a while with all traffic.
    Baking,
    /// The canary has all traffic, and that is final.
    Promoted,
    /// The canary has no traffic, and that is final until its upstream is edited or somebody says `retry`.
    RolledBack,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Stable,
        Self::Waiting,
        Self::Progressing,
        Self::Holding,
        Self::Paused,
        Self::Baking,
        Self::Promoted,
        Self::RolledBack,
    ];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "Stable",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::Holding => "Holding",
            Self::Paused => "Paused",
            Self::Baking => "Baking",
            Self::Promoted => "Promoted",
            Self::RolledBack => "RolledBack",
        }
    }

    /// Whether a canary is being released: it may gain or lose traffic without anybody's word.
    pub const fn is_running(self) -> bool {
        match self {
            Self::Waiting | Self::Progressing | Self::Holding | Self::Paused | Self::Baking => true,
            Self::Stable | Self::Promoted | Self::RolledBack => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
