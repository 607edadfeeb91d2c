//! The messages of a gRPC stream from the pieces in which they come. What is too long is known from the first bytes
//! of a message, before anything of it is kept.
//!
//! The form is that of <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>: a byte that says whether the
//! message is compressed, four bytes with its length, and the message.

const HEADER: usize = 5;

/// Pieces that are no message yet.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    longest: usize,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    TooLong,
    /// Nobody asked for compression.
    Compressed,
}

impl Frames {
    /// Of messages up to this length.
    pub(super) fn new(longest: usize) -> Self {
        Self { buffer: Vec::new(), longest }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next message, if it is all there.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let Some((&[compressed, a, b, c, d], rest)) = self.buffer.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Broken::Compressed);
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > self.longest {
            return Err(Broken::TooLong);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let message = rest[..length].to_vec();
        self.buffer.drain(..HEADER + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[0][..], &length.to_be_bytes(), message].concat()
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_whatever_the_pieces(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            piece in 1usize..17,
        ) {
            let mut frames = Frames::new(40);
            let mut out = Vec::new();
            for piece in messages.iter().flat_map(|m| framed(m)).collect::<Vec<_>>().chunks(piece) {
                frames.push(piece);
                while let Some(message) = frames.next().unwrap() {
                    out.push(message);
                }
            }
            prop_assert_eq!(out, messages);
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_known_by_its_first_bytes() {
        let mut frames = Frames::new(40);
        frames.push(&framed(&[0; 41])[..HEADER]);
        assert_eq!(frames.next(), Err(Broken::TooLong));
        let mut frames = Frames::new(40);
        frames.push(&[1, 0, 0, 0, 0]);
        assert_eq!(frames.next(), Err(Broken::Compressed));
    }
}
