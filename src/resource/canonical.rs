//! One meaning, one encoding.
//!
//! prost keeps map fields in hash maps, whose order differs from run to run, so encoding one message twice gives
//! two texts, and a version made from them would push unchanged resources after every restart. [`encode`] brings
//! an encoded message into a fixed form: entries of map fields in the order of their bytes, also inside nested
//! messages and inside every `Any` whose type is known. Everything else stays where it was: prost writes fields
//! in the order of their numbers.

use super::wire;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use std::sync::LazyLock;

/// The Envoy messages that may stand in a resource, made by `build.rs` from the envoy-types package.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = include_bytes!(concat!(env!("OUT_DIR"), "/envoy_descriptor.bin"));
    DescriptorPool::decode(set.as_slice()).unwrap_or_default()
});

/// The descriptors of all messages that may stand in a resource.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The canonical form of an encoded message of the given full name.
///
/// Bytes that are not a message of that name come back as they are: prost made them, so there are none.
pub fn encode(message: &str, bytes: &[u8]) -> Vec<u8> {
    let Some(descriptor) = pool().get_message_by_name(message) else { return bytes.to_vec() };
    let mut out = Vec::with_capacity(bytes.len());
    if canonicalize(&descriptor, bytes, &mut out).is_some() { out } else { bytes.to_vec() }
}

/// Appends the canonical form; `None` when the bytes are not well formed.
fn canonicalize(message: &MessageDescriptor, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if message.full_name() == "google.protobuf.Any" {
        return canonicalize_any(bytes, out);
    }
    // The entries of the map field that is being read; prost writes the entries of one map in sequence.
    let mut map: (u32, Vec<Vec<u8>>) = (0, Vec::new());
    while !bytes.is_empty() {
        let (number, wire_type, whole, content) = next_field(&mut bytes)?;
        let descriptor = message.get_field(number);
        if number != map.0 {
            flush(&mut map, out);
        }
        let nested = match (&descriptor, wire_type) {
            (Some(field), WireType::LengthDelimited) => nested(field),
            _ => None,
        };
        let Some(nested) = nested else {
            out.extend_from_slice(whole);
            continue;
        };
        let mut inner = Vec::with_capacity(content.len());
        canonicalize(&nested, content, &mut inner)?;
        if descriptor.is_some_and(|field| field.is_map()) {
            map.0 = number;
            map.1.push(inner);
        } else {
            wire::field(number, &inner, out);
        }
    }
    flush(&mut map, out);
    Some(())
}

fn flush(map: &mut (u32, Vec<Vec<u8>>), out: &mut Vec<u8>) {
    map.1.sort_unstable();
    for entry in map.1.drain(..) {
        wire::field(map.0, &entry, out);
    }
    map.0 = 0;
}

fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

/// An `Any` is opened when its type is known: field 1 is the type URL, field 2 the message.
fn canonicalize_any(mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut content_type = None;
    while !bytes.is_empty() {
        let (number, _, whole, content) = next_field(&mut bytes)?;
        if number == 1 {
            let name = std::str::from_utf8(content).ok()?.rsplit('/').next()?;
            content_type = pool().get_message_by_name(name);
        }
        match &content_type {
            Some(descriptor) if number == 2 => {
                let mut inner = Vec::with_capacity(content.len());
                canonicalize(descriptor, content, &mut inner)?;
                wire::field(2, &inner, out);
            }
            _ => out.extend_from_slice(whole),
        }
    }
    Some(())
}

/// Takes one field off the front: its number, its wire type, all of its bytes, and its content if it has a length.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, WireType, &'a [u8], &'a [u8])> {
    let all = *bytes;
    let (number, wire_type) = decode_key(bytes).ok()?;
    let size = match wire_type {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            0
        }
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let content = bytes.get(..size)?;
    *bytes = bytes.get(size..)?;
    let whole = all.get(..all.len() - bytes.len())?;
    Some((number, wire_type, whole, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::any;
    use envoy_types::pb::envoy::config::core::v3::Metadata;
    use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
    use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
    use prost::Message;

    /// A message with maps at the top, below, and inside an `Any`; each call has its own hash order.
    fn tangled() -> Vec<u8> {
        let inner = VirtualHost {
            name: "inner".into(),
            typed_per_filter_config: (0..6).map(|i| (format!("f{i}"), any(&Router::default()))).collect(),
            ..Default::default()
        };
        let host = VirtualHost {
            name: "a".into(),
            typed_per_filter_config: (0..6).map(|i| (format!("f{i}"), any(&inner))).collect(),
            metadata: Some(Metadata {
                typed_filter_metadata: (0..6).map(|i| (format!("m{i}"), any(&inner))).collect(),
                ..Default::default()
            }),
            ..Default::default()
        };
        RouteConfiguration { name: "r".into(), virtual_hosts: vec![host], ..Default::default() }
            .encode_to_vec()
    }

    #[test]
    fn equal_meaning_is_equal_bytes() {
        let name = "envoy.config.route.v3.RouteConfiguration";
        let first = encode(name, &tangled());
        for _ in 0..50 {
            assert_eq!(encode(name, &tangled()), first);
        }
        assert_eq!(encode(name, &first), first, "the canonical form is its own canonical form");
    }

    #[test]
    fn the_meaning_stays() {
        let bytes = tangled();
        let canonical = encode("envoy.config.route.v3.RouteConfiguration", &bytes);
        assert_eq!(canonical.len(), bytes.len());
        let message = RouteConfiguration::decode(canonical.as_slice()).unwrap();
        assert_eq!(message.virtual_hosts[0].typed_per_filter_config.len(), 6);
    }
}
