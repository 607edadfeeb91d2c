//! A gateway: where requests come in and which upstream answers them.

use super::{Authentication, Notify, Rollout, SessionAffinity, Shadow, Upstream};
use crate::names::{GatewayName, ListenerName, UpstreamName};
use crate::weight::Split;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// One gateway file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Unique in the watched directory.
    pub name: GatewayName,
    /// For people.
    pub description: String,
    /// For people and their tools.
    pub labels: BTreeMap<String, String>,
    /// The Envoys that serve it, by `node.cluster`; empty: every Envoy.
    pub proxies: BTreeSet<String>,
    /// A listener of the settings.
    pub listener: ListenerName,
    /// At least one, sorted, each once.
    pub hosts: Vec<Host>,
    /// Begins with `/`; no slash at the end unless it is the root. Matches whole path segments.
    pub path: String,
    /// What the upstream sees in place of `path`; begins with `/`.
    pub rewrite: Option<String>,
    /// Who may use it.
    pub authentication: Authentication,
    /// Of a whole request; zero: none, for streams.
    pub timeout: Duration,
    /// At least one, in the order of the file, names unique; none, when it is [`Authentication::Closed`].
    pub upstreams: Vec<Upstream>,
    /// Who gets which share of the requests that no match took. With a rollout the file knows only what is always
    /// safe, all to the primary, and the rollout's state says the rest.
    pub traffic: Split,
    /// How traffic moves to the next version by itself; `None`: the file owns the split.
    pub rollout: Option<Rollout>,
    /// Who gets copies of requests; `None`: nobody.
    pub shadow: Option<Shadow>,
    /// Users keep their version; `None`: each request goes its own way.
    pub affinity: Option<SessionAffinity>,
    /// Whom to tell what its rollout does.
    pub notify: Vec<Notify>,
    /// Tried in order before the split.
    pub matches: Vec<Match>,
    /// A request header that names the upstream to answer; `None`: there is no such way.
    pub direct_access: Option<DirectAccess>,
    /// Whether responses name the upstream that answered in `x-serin-upstream`.
    pub expose_upstream: bool,
}

/// The header by which a request may choose its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectAccess {
    /// Lower case.
    pub header: String,
}

/// A host that a gateway answers for. The order is Envoy's: the more specific first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `fraud.example.com`, lower case.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`, lower case.
    Suffix(String),
    /// `*`
    Any,
}

impl fmt::Display for Host {
    /// As Envoy's `domains` and gateway files write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(h) => f.write_str(h),
            Self::Suffix(s) => write!(f, "*{s}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A key split: requests that fulfil all conditions go to one upstream, whatever the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// At least one; all must hold.
    pub conditions: Vec<Condition>,
    /// Who answers.
    pub upstream: UpstreamName,
}

/// One condition on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A header by its lower-case name.
    Header(String, Pattern),
    /// A query parameter by its name.
    Query(String, Pattern),
    /// A cookie by its name.
    Cookie(String, Pattern),
}

/// What a value has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The very text.
    Exact(String),
    /// Begins with this, which is not empty.
    Prefix(String),
    /// The whole value matches this RE2 expression.
    Regex(String),
}
