//! Responses as gRPC frames, put together from bytes that all clients share.
//!
//! The generated service would encode every response once per client, and its encoder keeps the last response of
//! every idle stream alive. A frame is made of pieces instead: a small head, shared pieces with the resources, a
//! small tail (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Length-Prefixed-Message").

use crate::resource::{Kind, Version, field};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// One gRPC message in pieces, its five-byte prefix included.
#[derive(Clone, Debug)]
pub struct Frame(Vec<Bytes>);

impl Frame {
    /// A `DeltaDiscoveryResponse`. `resources` are fields of it, tags included.
    pub(crate) fn delta(
        kind: Kind,
        version: Version,
        resources: Bytes,
        removed: &[Arc<str>],
        nonce: u64,
    ) -> Self {
        Self::assemble(version, resources, |tail| {
            field(4, kind.type_url().as_bytes(), tail);
            field(5, nonce_text(nonce).as_bytes(), tail);
            removed.iter().for_each(|name| field(6, name.as_bytes(), tail));
        })
    }

    /// A `DiscoveryResponse`. `resources` are fields of it, tags included.
    pub(crate) fn sotw(kind: Kind, version: Version, resources: Bytes, nonce: u64) -> Self {
        Self::assemble(version, resources, |tail| {
            field(4, kind.type_url().as_bytes(), tail);
            field(5, nonce_text(nonce).as_bytes(), tail);
        })
    }

    /// Field 1 is the version in both responses.
    fn assemble(version: Version, resources: Bytes, write_tail: impl FnOnce(&mut BytesMut)) -> Self {
        let is_small = resources.len() <= SMALL;
        let mut head = BytesMut::with_capacity(ROOM + if is_small { resources.len() } else { 0 });
        head.put_slice(&[0; PREFIX]);
        field(1, version.to_string().as_bytes(), &mut head);
        if is_small {
            // One write instead of three.
            head.put(resources);
            write_tail(&mut head);
            write_prefix(&mut head, 0);
            return Self(vec![head.freeze()]);
        }
        let mut tail = BytesMut::with_capacity(ROOM);
        write_tail(&mut tail);
        write_prefix(&mut head, resources.len() + tail.len());
        Self(vec![head.freeze(), resources, tail.freeze()])
    }

    /// The pieces in order.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.0
    }

    /// The size of the message on the wire, without HTTP/2's own frames.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether it has no bytes, which no frame has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Completes the prefix of a message that goes on for `more` bytes behind `head`: not compressed, and its length.
fn write_prefix(head: &mut BytesMut, more: usize) {
    let len = u32::try_from(head.len() - PREFIX + more).unwrap_or(u32::MAX);
    head[1..PREFIX].copy_from_slice(&len.to_be_bytes());
}

/// Bytes before each message.
const PREFIX: usize = 5;

/// Room for what stands around the resources, names of removed ones aside.
const ROOM: usize = 160;

/// Up to this size copying is cheaper than another DATA frame.
const SMALL: usize = 4096;

/// Nonces are counted per stream.
pub(crate) fn nonce_text(nonce: u64) -> String {
    format!("{nonce:x}")
}

/// The nonce that a client echoes; `None` when it is none of ours.
pub(crate) fn parse_nonce(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Resource;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
    use prost::Message;

    fn message(frame: Frame) -> Vec<u8> {
        let bytes = frame.into_pieces().concat();
        let (prefix, message) = bytes.split_at(5);
        assert_eq!(prefix[0], 0);
        assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
        message.to_vec()
    }

    #[test]
    fn small_and_large_frames_are_well_formed() {
        for size in [1, 10_000] {
            let cluster = Cluster { name: "n".repeat(size), ..Default::default() };
            let resource = Resource::new(Kind::Cluster, "a", &cluster);
            let frame =
                Frame::delta(Kind::Cluster, Version(7), resource.delta_field().clone(), &["gone".into()], 26);
            let delta = DeltaDiscoveryResponse::decode(message(frame).as_slice()).unwrap();
            assert_eq!(
                (delta.nonce.as_str(), delta.system_version_info.as_str()),
                ("1a", "0000000000000007")
            );
            assert_eq!((delta.resources.len(), delta.removed_resources), (1, vec!["gone".to_owned()]));
            let frame = Frame::sotw(Kind::Cluster, Version(7), resource.sotw_field(), 1);
            let sotw = DiscoveryResponse::decode(message(frame).as_slice()).unwrap();
            assert_eq!((sotw.type_url.as_str(), sotw.resources.len()), (Kind::Cluster.type_url(), 1));
        }
    }
}
