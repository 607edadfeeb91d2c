//! Envoy's discovery protocol (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol>).
//!
//! # The life of a stream
//! An Envoy opens a stream and subscribes to kinds of resource. The state machine of the stream ([`delta`] or
//! [`sotw`]) knows what the Envoy asked for and what it holds. It is told of each request (`on_request`) and asked,
//! with the newest snapshot at hand, what there is to say (`next`). It has no socket, no clock and no queue: the
//! [`server`] asks only when the client is ready to read, so a slow client skips states and never a final one.
//!
//! # What is absent
//! * No stream holds a response that was sent; resources are shared, encoded once ([`crate::resource`]).
//! * No stream can delay another: there is no lock that one could hold.
//! * A refusal is never answered by the same resources again, so there is no loop.

mod behind;
mod client;
pub mod delta;
mod frame;
mod names;
mod offered;
mod registry;
pub mod server;
pub mod sotw;
mod subscription;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use frame::Frame;
pub use offered::Offered;
pub use registry::{Proxy, Registry, StreamStatus, TypeStatus};

use crate::resource::{Kind, Resource, Version};
use crate::snapshot::Node;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an Envoy says.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is of a release for which there is nothing yet.
    Came,
    /// It took them. Only those that no Envoy had taken before are listed.
    Accepted {
        /// Their kind.
        kind: Kind,
        /// Of the set that the response brought the client to.
        version: Version,
        /// Taken for the first time by any Envoy.
        first: Vec<Arc<Resource>>,
        /// All that it took with the response.
        taken: Offered,
        /// Whether it still refuses another resource of this kind, which was offered apart.
        refusing: bool,
    },
    /// It refused the response as a whole, or one resource in it; which one, the protocol does not tell.
    Refused {
        /// Their kind.
        kind: Kind,
        /// Those of the response that it did not have as they are.
        resources: Vec<Arc<Resource>>,
        /// The versions that it has of them; without one that it has none of, or of which that is not known.
        has: BTreeMap<Arc<str>, Version>,
        /// Envoy's text; may quote parts of the resource.
        text: String,
    },
}

/// A verdict, and who says it.
#[derive(Debug)]
pub struct Said {
    /// Who.
    pub node: Arc<Node>,
    /// What.
    pub verdict: Verdict,
    /// With a refusal: who else is connected, and may know better.
    pub others: Vec<Arc<Node>>,
}

/// A request that no well-behaved client sends. The stream ends with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A single-type stream was asked for something else.
    #[error("this stream serves {expected}, not {asked}")]
    WrongType {
        /// The type URL of the stream.
        expected: &'static str,
        /// The type URL of the request.
        asked: String,
    },
    /// More names than one Envoy can need.
    #[error("more than {0} resource names on one stream")]
    TooManyNames(usize),
}

/// The most resource names that one stream may subscribe to: ten times the largest fleet we test with. It bounds
/// the memory that a client can make us use.
pub const MAX_NAMES: usize = 200_000;

/// The kind that a request is about: what its type URL says, or what the stream is for. `None`: a kind that we do
/// not serve, which is not an error, as newer Envoys may ask for more
/// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#resource-types>).
fn kind_of_request(type_url: &str, only: Option<Kind>) -> Result<Option<Kind>, Malformed> {
    match (Kind::of_type_url(type_url), only) {
        (_, Some(only)) if type_url.is_empty() => Ok(Some(only)),
        (Some(kind), Some(only)) if kind == only => Ok(Some(kind)),
        (_, Some(only)) => {
            Err(Malformed::WrongType { expected: only.type_url(), asked: type_url.to_owned() })
        }
        (kind, None) => Ok(kind),
    }
}
