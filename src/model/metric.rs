//! Metrics of a release that neither Serin nor Envoy measures: who is asked, what, how often, and what is too much.

use super::{Pem, Secret};
use crate::weight::Weight;
use std::fmt;
use std::time::Duration;

/// A number of a file that is not endless: the unit is that of the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(f64);

/// A finite number equals itself.
impl Eq for Number {}

impl Number {
    /// `None` when it is no number, or endless.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A metric that somebody else measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// Unique among the metrics of a rollout, and none of the built-in names.
    pub name: String,
    /// Who is asked, and what.
    pub source: MetricSource,
    /// What is too much. With [`MetricSource::Webhook`] there may be none: then the answer says itself.
    pub limits: Limits,
    /// Between two answers; what they look back on does not overlap.
    pub interval: Duration,
    /// Shown, and nothing is decided by it.
    pub dry_run: bool,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// A server that speaks the HTTP API of Prometheus.
    Prometheus {
        /// Its root, to which `/api/v1/query` is added.
        server: Remote,
        /// What it is asked.
        query: Query,
    },
    /// Anything that answers a POST with JSON.
    Webhook(Remote),
}

/// A server, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `http://` or `https://`, with a host, without user, password or fragment.
    pub url: String,
    /// Sent with each request; the names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Who signs its certificate; `None`: whom the system trusts.
    pub ca: Option<Pem>,
}

/// What is too much of a metric: any of them that is exceeded is a breach. Bounds are within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most.
    pub max: Option<Number>,
    /// The least.
    pub min: Option<Number>,
    /// By how many percent of it the primary's value may be exceeded.
    pub max_increase: Option<Weight>,
}

impl Limits {
    /// Whether nothing is too much.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A query of Prometheus with places for the version that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(pub Vec<QueryPart>);

/// A piece of a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryPart {
    /// As it stands.
    Text(String),
    /// A fact about the version, inside a string of the query.
    Fact {
        /// Which.
        fact: Fact,
        /// The quotes around the string; in backquotes nothing can be escaped.
        quote: char,
        /// The string is a regular expression, as after `=~`.
        is_regex: bool,
    },
}

/// What a query can be told about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The name of the upstream.
    Upstream,
    /// Its `model`.
    Model,
    /// Its `version`.
    Version,
}

impl Fact {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Upstream, Self::Model, Self::Version];

    /// The word between the braces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Model => "model",
            Self::Version => "version",
        }
    }
}
