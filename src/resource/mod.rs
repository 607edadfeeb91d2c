//! What Envoy understands: resources, encoded once.
//!
//! A [`Resource`] is made when its meaning changes and is shared from then on: snapshots, streams and answers hold
//! the same bytes. Its version is a hash of those bytes, and the bytes depend on nothing but the meaning
//! ([`canonical`]), so a version is the same after a restart and on another machine.

pub mod canonical;
mod encoded;
mod kind;
mod wire;

pub use encoded::{Resource, Version};
pub use kind::{ByKind, Kind};
pub use wire::{field, varint_len};

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// A message as Envoy's extension points take it.
pub fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}
