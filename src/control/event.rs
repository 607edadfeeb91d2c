//! What the loop is told, and what it has to say.

use super::{Asker, By, Command, Draft, Edit, Fetch, Fetched, Question, Reply, Throw, Unlisted};
use crate::clock::Timestamp;
use crate::config::{Attachment, Read, Reference};
use crate::diag::Diagnostic;
use crate::names::{GatewayName, UpstreamName};
use crate::rollout::{Agreed, Reading};
use crate::stats::Counts;
use crate::store::measured::Mark;
use crate::store::{Error, Kept, Restored, Seat, Weights};
use crate::xds::Said;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that happened outside.
#[derive(Debug)]
pub enum Event {
    /// Files are there, have changed or are gone. The first one of a run that comes while the watched directory can be
    /// listed holds all files.
    Files(Changes),
    /// The directories that cannot be listed from now on.
    Unlisted(Unlisted),
    /// An Envoy took or refused something.
    Verdict(Said),
    /// Something of a token issuer or a provider of logins was fetched, or could not be.
    Fetched {
        /// What was wanted.
        what: Fetch,
        /// What there was, of the same kind, or why there is none.
        result: Result<Fetched, String>,
    },
    /// An operator says what a rollout should do.
    Command(Command, Asker),
    /// One that was handed on to the Serin that leads comes back with what it came to.
    HandedBack(Command, Asker, Reply),
    /// Somebody asks what would be wrong with a file.
    Draft(Draft, Asker<Vec<Diagnostic>>),
    /// Somebody changed a file through us; it comes by [`Event::Files`] as any other change.
    Edited(Edit),
    /// An operator throws a switch.
    Throw(Throw),
    /// What Envoys measured of gateways that [`World::take_wants`](super::World::take_wants) names.
    Measured(Vec<Measured>),
    /// How often the predictions of both versions of releases agreed here, so far.
    Compared(Readings),
    /// How often they agreed at other Serins.
    Agreed(Rows),
    /// So many endpoints of the canary are healthy, as the Envoy sees it that sees the fewest.
    Healthy(BTreeMap<GatewayName, u32>),
    /// Somebody was asked about a metric of a rollout.
    Answered(Answered),
    /// The store has answered the proposal of this number. `Err`: it is not known whether it was kept.
    Committed(u64, Result<(), String>),
    /// The store has refused the proposal of this number: nothing of it was kept.
    Refused(u64, Error),
    /// States that another Serin may have kept.
    Kept(Kept),
    /// This Serin leads others from now on, or follows one, or is cut off from them.
    Seat(Seat),
    /// The store that could not be opened before the start can be: the revision and the state of every rollout.
    Restored(Restored),
    /// A deadline of [`World::deadline`](super::World::deadline) has come.
    Tick,
}

/// What the compared upstreams of one gateway did in one interval, at the same Envoys.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Whose they are.
    pub gateway: GatewayName,
    /// The begin of the interval.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What each did.
    pub upstreams: BTreeMap<UpstreamName, Outcome>,
    /// What of it other Serins measured.
    pub others: Others,
}

/// The rows of other Serins in a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Under which [`Duty::term`](crate::store::measured::Duty::term) they were read.
    pub term: u64,
    /// Which.
    pub marks: Vec<Mark>,
}

/// How often predictions agreed at the Envoys of this Serin.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// The token of the leader for whom that was counted: this Serin, at that time. `None`: it is the only one.
    pub token: Option<u64>,
    /// Where the counters stand.
    pub readings: BTreeMap<GatewayName, Reading>,
}

/// How often predictions agreed at the Envoys of other Serins.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Under which [`Duty::term`](crate::store::measured::Duty::term) it was read.
    pub term: u64,
    /// Row for row.
    pub rows: Vec<Row>,
}

/// What another Serin compared in a second or so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which row it is.
    pub mark: Mark,
    /// Whose predictions.
    pub gateway: GatewayName,
    /// The begin of the interval in which they were compared, by the clock of this Serin.
    pub from: Timestamp,
    /// How they agreed, and at which [`Shadow::revision`](crate::store::measured::Shadow::revision).
    pub agreed: Agreed,
}

/// What one upstream did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests, failures, latencies.
    pub counts: Counts,
    /// Of the requests: answered 4xx. None of them is among the failures.
    pub client_errors: f64,
}

/// What somebody said about a metric of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What was asked.
    pub question: Arc<Question>,
    /// The values, or why there are none.
    pub answer: Result<Point, String>,
}

/// What a metric is at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Of the canary; `None` when only good or bad was said.
    pub canary: Option<f64>,
    /// Of the primary, where the metric compares.
    pub primary: Option<f64>,
    /// From 0, good, to 1.
    pub badness: f64,
}

/// How the watched files differ from what was told before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Gateway files by their path below the watched directory; `None`: gone.
    pub documents: BTreeMap<Arc<str>, Option<Read>>,
    /// What gateway files or settings refer to, which is read with them.
    pub attached: BTreeMap<Reference, Attachment>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.attached.is_empty()
    }
}

/// Something worth telling people: logged, counted and streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Counts up by one for each note since the start, from 1.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What it concerns; `None`: more than one gateway.
    pub gateway: Option<GatewayName>,
    /// What kind of thing happened.
    pub kind: NoteKind,
    /// A sentence for people.
    pub message: String,
    /// The weights before and after, where a file changed them.
    #[serde(skip)]
    pub weights: Option<(Weights, Weights)>,
    /// Who did it, where it was a person.
    #[serde(skip)]
    pub by: Option<By>,
}

impl Note {
    /// Not numbered yet.
    pub(super) fn new(
        time: Timestamp,
        gateway: Option<GatewayName>,
        kind: NoteKind,
        message: String,
    ) -> Self {
        Self { sequence: 0, time, gateway, kind, message, weights: None, by: None }
    }
}

/// The kinds of [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// A gateway serves for the first time.
    Loaded,
    /// A gateway serves a new version.
    Changed,
    /// A gateway no longer serves.
    Removed,
    /// The newest version of a file cannot be used.
    Invalid,
    /// A file that could not be used can be used again.
    Repaired,
    /// A file is gone; its gateway serves on for a while.
    Vanished,
    /// An operator changed a file through us.
    Edited,
    /// Envoys refuse a gateway.
    Refused,
    /// A rollout goes on.
    Rollout,
    /// A rollout has stopped: it is paused, or rolled back.
    Stopped,
    /// Of several Serins another one decides.
    Leader,
    /// A switch was thrown.
    Switched,
    /// Somebody should look.
    Alarm,
}

impl NoteKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Invalid => "invalid",
            Self::Repaired => "repaired",
            Self::Vanished => "vanished",
            Self::Edited => "edited",
            Self::Refused => "refused",
            Self::Rollout => "rollout",
            Self::Stopped => "stopped",
            Self::Leader => "leader",
            Self::Switched => "switched",
            Self::Alarm => "alarm",
        }
    }
}
