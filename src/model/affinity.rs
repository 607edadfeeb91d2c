//! How a user keeps the version that answered before.

use std::fmt;
use std::time::Duration;

/// What a user is known by. The same key gets the same version as long as the split is the same; when it changes,
/// only those move whose version lost the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAffinity {
    /// A request header, in lower case.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie that Envoy gives to whoever comes without it.
    Cookie {
        /// Its name.
        name: String,
        /// How long clients keep it; whole seconds.
        max_age: Duration,
    },
    /// The address of the client, or of the last proxy before Envoy.
    SourceIp,
}

impl fmt::Display for SessionAffinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Cookie { name, .. } => write!(f, "cookie {name}"),
            Self::SourceIp => f.write_str("source IP"),
        }
    }
}
