//! The few pieces of protobuf's wire format that let encoded messages be put together without decoding them
//! (<https://protobuf.dev/programming-guides/encoding>). Only length-delimited fields are needed.

use bytes::BufMut;
use prost::encoding::{encode_varint, encoded_len_varint};

/// How many bytes a varint takes.
pub fn varint_len(value: usize) -> usize {
    encoded_len_varint(value as u64)
}

/// Appends a length-delimited field: tag, length, content.
pub fn field(number: u32, content: &[u8], out: &mut impl BufMut) {
    header(number, content.len(), out);
    out.put_slice(content);
}

/// Appends the tag and the length of a length-delimited field.
pub(crate) fn header(number: u32, len: usize, out: &mut impl BufMut) {
    encode_varint(u64::from(number << 3 | 2), out);
    encode_varint(len as u64, out);
}

/// The size of a length-delimited field.
pub(crate) fn field_len(number: u32, len: usize) -> usize {
    varint_len((number << 3) as usize) + varint_len(len) + len
}
