//! What can be different about two answers, and why two answers cannot be compared.

use crate::model::{JsonPath, Segment};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

macro_rules! words {
    ($(#[$doc:meta])* $enum:ident { $($(#[$name_doc:meta])* $name:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum {
            $($(#[$name_doc])* $name,)*
        }

        impl $enum {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word of the API and of the label of metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }

        impl Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// A kind of mismatch: the first difference of a pair.
    Kind {
        /// Other status codes of HTTP.
        Status = "status",
        /// One answer has nothing where the other has a value.
        Missing = "missing",
        /// A number in place of a text, and the like.
        Type = "type",
        /// Arrays of different lengths.
        Length = "length",
        /// Objects with other members.
        Members = "members",
        /// Numbers that are farther apart than the tolerance.
        Number = "number",
        /// Texts that are less alike than they have to be.
        Text = "text",
        /// True and false.
        Boolean = "boolean",
        /// The highest score is in another place.
        Top1 = "top1",
    }
}

words! {
    /// Why an answer or a pair was not compared.
    Reason {
        /// The client got no answer from the upstream: a timeout, a reset, or nobody there.
        NoLiveAnswer = "no-live-answer",
        /// The shadow gave no answer.
        NoShadowAnswer = "no-shadow-answer",
        /// One of the answers broke off.
        Cut = "cut",
        /// Both are 5xx with the same status.
        BothFailed = "both-failed",
        /// One of them is longer than `maxBytes`.
        TooLarge = "too-large",
        /// One of them has a `content-encoding`.
        Compressed = "compressed",
        /// One of them is a stream of server-sent events.
        EventStream = "event-stream",
        /// One of them is in gRPC.
        Grpc = "grpc",
        /// One of them is not JSON, and a path says where to look in it; or it is not even text.
        NotJson = "not-json",
        /// At the path there is nothing in both.
        NothingThere = "nothing-there",
        /// At the path there is no vector of numbers.
        NotScores = "not-scores",
        /// The shadow's half never came: a copy that was not sent, or is later than the timeout.
        OnlyLive = "only-live",
        /// The client's half never came.
        OnlyShadow = "only-shadow",
        /// A second answer of the same side to one request.
        Duplicate = "duplicate",
        /// More waited for their other half than there is room for.
        Waiting = "waiting",
        /// The memory for answers that come in was full.
        Memory = "memory",
        /// Answers came faster than they are compared.
        Behind = "behind",
    }
}

/// A step down into a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step<'v> {
    Index(usize),
    Name(&'v str),
}

/// The first difference of two documents.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference<'v> {
    pub(super) kind: Kind,
    /// Where, below what was selected.
    pub(super) place: Vec<Step<'v>>,
    /// The client's value there; `None`: nothing is there.
    pub(super) live: Option<&'v Value>,
    /// The shadow's.
    pub(super) shadow: Option<&'v Value>,
}

impl<'v> Difference<'v> {
    /// Of two values that are both there. The place is told on the way up.
    pub(super) fn new(kind: Kind, live: &'v Value, shadow: &'v Value) -> Self {
        Self { kind, place: Vec::new(), live: Some(live), shadow: Some(shadow) }
    }

    /// The same, seen from one step above.
    pub(super) fn below(mut self, step: Step<'v>) -> Self {
        self.place.insert(0, step);
        self
    }

    /// Where it is, in full or without names that the answer says.
    pub(super) fn place(&self, path: &JsonPath, names: bool) -> String {
        let mut place = path.to_string();
        for step in &self.place {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Index(index) => write!(place, "[{index}]"),
                Step::Name(_) if !names => write!(place, ".*"),
                Step::Name(name) => {
                    let one = JsonPath(vec![Segment::Name(short(name))]).to_string();
                    write!(place, "{}", &one[1..])
                }
            };
        }
        place
    }
}

/// The most characters of a value or a name that are kept of an example.
const SHOWN: usize = 200;

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
