//! One answer of one version, as an Envoy saw it.

use super::budget::Held;
use crate::names::{GatewayName, UpstreamName};
use crate::translate::Leg;
use std::time::Duration;

/// An answer, or what came in its place.
#[derive(Debug)]
pub struct Answer {
    /// Of which gateway.
    pub gateway: GatewayName,
    /// Who answered.
    pub upstream: UpstreamName,
    /// A client, or a copy.
    pub leg: Leg,
    /// The request, by the `x-request-id` that both of its answers have.
    pub id: Box<str>,
    /// From the request to the end of the answer, as the control plane saw it.
    pub took: Duration,
    /// What was answered.
    pub content: Content,
}

/// What was answered.
#[derive(Debug)]
pub enum Content {
    /// Nothing: a timeout, a reset, or nobody there.
    None,
    /// It broke off.
    Cut {
        /// Of HTTP.
        status: u16,
    },
    /// It came, and is not compared.
    Unread {
        /// Of HTTP.
        status: u16,
        /// Why not.
        why: Unread,
    },
    /// All of it.
    Whole {
        /// Of HTTP.
        status: u16,
        /// As the upstream sent it.
        body: Held,
    },
}

/// Why an answer is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than `maxBytes`.
    TooLarge,
    /// It has a `content-encoding`.
    Compressed,
    /// Server-sent events: one answer in many parts, of which no two models make the same.
    EventStream,
    /// Its status comes in trailers, and its bytes have many forms.
    Grpc,
}

impl Content {
    /// The status of HTTP; `None`: there was none.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Cut { status } | Self::Unread { status, .. } | Self::Whole { status, .. } => Some(*status),
        }
    }

    /// How many bytes of memory it holds.
    pub fn cost(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.cost(),
            Self::None | Self::Cut { .. } | Self::Unread { .. } => 0,
        }
    }
}
