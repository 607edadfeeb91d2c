//! Puts one answer together from what an Envoy says about it, and knows when nothing more is needed.

use super::answer::{Content, Unread};
use super::budget::Held;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request;
use envoy_types::pb::envoy::service::ext_proc::v3::{HttpBody, HttpHeaders, ProcessingRequest};

/// What is known so far.
#[derive(Debug)]
pub(super) struct Collector {
    /// The longest body that is compared.
    longest: usize,
    id: Option<Box<str>>,
    status: Option<u16>,
    unread: Option<Unread>,
    is_whole: bool,
    body: Held,
}

impl Collector {
    pub(super) fn new(longest: usize, body: Held) -> Self {
        Self { longest, id: None, status: None, unread: None, is_whole: false, body }
    }

    /// Takes a message; `true`: nothing more is needed.
    pub(super) fn take(&mut self, message: ProcessingRequest) -> bool {
        match message.request {
            Some(Request::RequestHeaders(headers)) => {
                self.id = header(&headers, "x-request-id").map(Into::into);
                self.id.is_none()
            }
            Some(Request::ResponseHeaders(headers)) => self.begin(&headers),
            Some(Request::ResponseBody(part)) => self.add(&part),
            _ => false,
        }
    }

    /// A message is longer than any whose answer is compared.
    pub(super) fn too_long(&mut self) {
        self.unread = Some(Unread::TooLarge);
    }

    /// Makes room for bytes that come; `false`: there is none.
    pub(super) fn reserve(&mut self, bytes: usize) -> bool {
        self.body.reserve(bytes)
    }

    /// The request and its answer; `None`: of no request.
    pub(super) fn end(self) -> Option<(Box<str>, Content)> {
        let content = match (self.status, self.unread) {
            (None, _) => Content::None,
            (Some(status), Some(why)) => Content::Unread { status, why },
            (Some(status), None) if self.is_whole => Content::Whole { status, body: self.body },
            (Some(status), None) => Content::Cut { status },
        };
        Some((self.id?, content))
    }

    fn begin(&mut self, headers: &HttpHeaders) -> bool {
        self.status = header(headers, ":status").and_then(|status| status.parse().ok());
        let encoding = header(headers, "content-encoding").unwrap_or_default();
        let kind = header(headers, "content-type").unwrap_or_default().trim().to_ascii_lowercase();
        self.unread = if kind.starts_with("application/grpc") {
            Some(Unread::Grpc)
        } else if kind.starts_with("text/event-stream") {
            Some(Unread::EventStream)
        } else if !matches!(encoding.trim(), "" | "identity") {
            Some(Unread::Compressed)
        } else {
            None
        };
        self.is_whole = headers.end_of_stream;
        self.is_whole || self.unread.is_some()
    }

    fn add(&mut self, part: &HttpBody) -> bool {
        if self.body.bytes().len() + part.body.len() > self.longest {
            self.unread = Some(Unread::TooLarge);
            return true;
        }
        self.body.add(&part.body);
        self.is_whole = part.end_of_stream;
        self.is_whole
    }
}

/// The value of a header: Envoy writes it as bytes, and in older versions as text.
fn header<'h>(headers: &'h HttpHeaders, name: &str) -> Option<&'h str> {
    let header = headers.headers.as_ref()?.headers.iter().find(|h| h.key == name)?;
    let bytes = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::budget::Budget;
    use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};

    fn headers(all: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
        let headers = all.iter().map(|(key, value)| HeaderValue {
            key: (*key).into(),
            raw_value: value.as_bytes().into(),
            ..Default::default()
        });
        let headers = Some(HeaderMap { headers: headers.collect() });
        HttpHeaders { headers, end_of_stream, ..Default::default() }
    }

    fn message(request: Request) -> ProcessingRequest {
        ProcessingRequest { request: Some(request), ..Default::default() }
    }

    /// What becomes of an answer with these headers and this body in pieces, the last of which ends it.
    fn collected(answer: &[(&str, &str)], pieces: &[&str], ends: bool) -> Content {
        let budget = Budget::new(1000);
        let mut collector = Collector::new(8, budget.hold());
        let request = headers(&[("x-request-id", "a")], true);
        let mut done = collector.take(message(Request::RequestHeaders(request)));
        if !answer.is_empty() {
            done |= collector.take(message(Request::ResponseHeaders(headers(answer, pieces.is_empty()))));
        }
        for (i, piece) in pieces.iter().enumerate() {
            let end_of_stream = ends && i + 1 == pieces.len();
            let part = HttpBody { body: piece.as_bytes().into(), end_of_stream, ..Default::default() };
            done = done || collector.take(message(Request::ResponseBody(part)));
        }
        let (id, content) = collector.end().unwrap();
        assert_eq!(&*id, "a");
        assert_eq!(done, !matches!(content, Content::None | Content::Cut { .. }), "{content:?}");
        content
    }

    #[test]
    fn every_end_of_an_answer_is_told_from_the_others() {
        let json = [(":status", "200"), ("content-type", "application/json")];
        let whole = |content: &Content| match content {
            Content::Whole { status, body } => Some((*status, body.bytes().to_vec())),
            _ => None,
        };
        assert_eq!(whole(&collected(&json, &["[1,", "2]", ""], true)), Some((200, b"[1,2]".to_vec())));
        assert_eq!(whole(&collected(&[(":status", "204")], &[], true)), Some((204, Vec::new())));
        assert!(matches!(collected(&json, &["[1,"], false), Content::Cut { status: 200 }));
        assert!(matches!(collected(&[], &[], false), Content::None));
        for (header, value, expected) in [
            ("content-type", "text/event-stream; charset=utf-8", Unread::EventStream),
            ("content-type", "application/grpc+proto", Unread::Grpc),
            ("content-encoding", "gzip", Unread::Compressed),
            ("x", "", Unread::TooLarge),
        ] {
            let content = collected(&[(":status", "200"), (header, value)], &["[1,2,", "3,4]"], true);
            assert!(
                matches!(content, Content::Unread { status: 200, why } if why == expected),
                "{content:?}"
            );
        }
    }
}
