//! Who of several Serins leads: a lease in the database that they share, as a pure machine.
//!
//! The lease is one row: a *token* that counts up with every new leader, and a *beat* that its leader counts up. Nobody
//! compares clocks. A leader counts its time from before it asked for a beat; the others count theirs from when they saw
//! that beat, which is later; and they wait longer. So a leader that cannot renew has stopped before anyone may take over, as
//! long as the clocks go about equally fast, whatever they show.
//!
//! That is for people and for speed. What protects the rollouts is the token (M. Kleppmann, "How to do distributed
//! locking", 2016): every write checks in its own transaction that its token is still the newest, so that a leader that was
//! frozen between its decision and its write writes nothing.
//!
//! Moments are times since the start of this process.

use std::time::Duration;

/// For how long a leader leads after it asked for a beat that was written.
pub const TERM: Duration = Duration::from_secs(3);
/// How long others watch a beat that does not change: clocks may differ by a tenth in how fast they go.
pub const PATIENCE: Duration = Duration::from_millis(3_300);
/// From one beat to the next.
pub const BEAT: Duration = Duration::from_secs(1);
/// Between two looks of those who follow.
pub const LOOK: Duration = Duration::from_millis(500);

/// Where a Serin stands among those that share its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// It decides, and writes under this token.
    Leads {
        /// Larger than that of every leader before.
        token: u64,
    },
    /// Another one decides.
    Follows {
        /// Where people find that one; `None`: it is not known yet, or nobody leads at the moment.
        leader: Option<String>,
    },
    /// The database cannot be reached, so that nobody knows who decides.
    Cut {
        /// Why.
        why: String,
    },
}

/// The row as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Of the newest leader.
    pub token: u64,
    /// Changes with every sign of life.
    pub beat: u64,
    /// Where people find the leader; `None`: it has left, and anybody may take over at once.
    pub holder: Option<String>,
}

/// What to ask the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How the row is.
    Look,
    /// To write the next token and ourselves as its holder, if the row is still like this.
    Take(Row),
    /// To count up the beat, if the token is still this and it was not given back.
    Renew(u64),
}

/// What the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// How the row is.
    Is(Row),
    /// It is written, and this is the token.
    Done(u64),
    /// The row was another.
    Refused,
}

/// One Serin's knowledge of the lease.
#[derive(Debug, Default)]
pub struct Lease {
    /// The row as it was seen last, and when it was seen first like that.
    seen: Option<(Row, Duration)>,
    /// The token that was given to us, and until when we lead.
    mine: Option<(u64, Duration)>,
}

impl Lease {
    /// The token under which this Serin may decide now.
    pub fn token(&self, now: Duration) -> Option<u64> {
        self.mine.filter(|(_, until)| now < *until).map(|(token, _)| token)
    }

    /// Until when it leads, if nothing more is heard.
    pub fn until(&self) -> Option<Duration> {
        self.mine.map(|(_, until)| until)
    }

    /// Where people find the leader, as far as that is known.
    pub fn leader(&self) -> Option<&str> {
        self.seen.as_ref()?.0.holder.as_deref()
    }

    /// What to ask now.
    pub fn ask(&self, now: Duration) -> Ask {
        if let Some((token, _)) = self.mine {
            return Ask::Renew(token);
        }
        match &self.seen {
            Some((row, since)) if row.holder.is_none() || now >= *since + PATIENCE => Ask::Take(row.clone()),
            _ => Ask::Look,
        }
    }

    /// How long to wait until the next [`Lease::ask`].
    pub fn pause(&self, now: Duration) -> Duration {
        match (&self.mine, &self.seen) {
            (Some(_), _) => BEAT,
            (None, Some((row, since))) if row.holder.is_some() => {
                LOOK.min((*since + PATIENCE).saturating_sub(now))
            }
            (None, Some(_)) => Duration::ZERO,
            (None, None) => LOOK,
        }
    }

    /// What the database said to what was asked at a moment.
    pub fn heard(&mut self, answer: Answer, asked: Duration, now: Duration) {
        match answer {
            // From when it was asked: the others count from when they see it.
            Answer::Done(token) => self.mine = Some((token, asked + TERM)),
            Answer::Refused => (self.mine, self.seen) = (None, None),
            Answer::Is(row) => {
                if self.seen.as_ref().is_none_or(|(seen, _)| *seen != row) {
                    self.seen = Some((row, now));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
