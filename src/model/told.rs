//! Whom to tell what happens to a gateway.

use super::Secret;
use std::collections::BTreeSet;

/// A webhook that is told of some kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Whoever knows the URL may write there, so it is a secret.
    pub url: Secret,
    /// How a message looks.
    pub format: Format,
    /// At least one.
    pub on: BTreeSet<Occasion>,
}

/// How a message looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// All facts, for programs.
    #[default]
    Json,
    /// Slack's incoming webhooks.
    Slack,
    /// A workflow of Microsoft Teams: a message with an adaptive card.
    Teams,
}

/// Something worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// A release begins.
    Started,
    /// The canary has its first share, or the next.
    Advanced,
    /// It stays where it is.
    Holding,
    /// What held it is over.
    Progressing,
    /// Somebody has to say how to go on.
    Paused,
    /// Somebody said to go on.
    Resumed,
    /// An operator chose the weight.
    WeightSet,
    /// An operator took back a change of the weight.
    Undone,
    /// The last step is done.
    Baking,
    /// The release has succeeded.
    Promoted,
    /// The canary has lost its traffic.
    RolledBack,
    /// A release that was rolled back begins again.
    Retried,
    /// There is nothing to release any more, or no rollout.
    Ended,
    /// A metric has had no data four times in a row.
    NoData,
}

impl Occasion {
    /// What is told when the file does not say.
    pub const DEFAULT: [Self; 4] = [Self::Paused, Self::RolledBack, Self::Promoted, Self::NoData];

    /// The word of the file and of messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Holding => "holding",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::WeightSet => "weight-set",
            Self::Undone => "undone",
            Self::Baking => "baking",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Retried => "retried",
            Self::Ended => "ended",
            Self::NoData => "no-data",
        }
    }
}
