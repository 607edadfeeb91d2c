//! A shadow: an upstream that gets copies of requests, and whose answers no client gets.

use super::Compare;
use crate::names::UpstreamName;
use crate::weight::Weight;

/// Who gets copies, and of which share of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// An upstream of the gateway. It may have a share of the split as well.
    pub upstream: UpstreamName,
    /// Of the requests that the split answers; drawn by chance, each request for itself.
    pub percent: Weight,
    /// How its answers are compared with those that clients get; `None`: they are dropped unseen.
    pub compare: Option<Compare>,
}
