//! How the answers of a shadow are compared with those that clients get.

use super::{Endpoint, Gateway, Number, Protocol};
use crate::names::UpstreamName;
use crate::weight::Weight;
use std::fmt;
use std::time::Duration;

/// What of two answers has to agree, and how closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The part of both answers that is compared.
    pub path: JsonPath,
    /// How far numbers may be apart.
    pub tolerance: Tolerance,
    /// How alike texts have to be, above 0 and up to 1; `None`: the same.
    pub similarity: Option<Number>,
    /// Whether of score vectors only the place of the highest score counts.
    pub top1: bool,
    /// The share of pairs that should match; above none and below all.
    pub min_match: Weight,
    /// Whether the values of a few answers that differ may be shown.
    pub keep_examples: bool,
    /// Longer answers are not compared.
    pub max_bytes: u32,
}

/// How far two numbers may be apart: `|a - b| <= absolute + relative * |b|`, where `b` is the answer that the client
/// got. The rule of `numpy.isclose`, whose `atol` and `rtol` these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Not below 0.
    pub absolute: Number,
    /// From 0 to below 1.
    pub relative: Number,
}

/// The way to a part of a JSON document: names, indexes and wildcards of RFC 9535, without filters and descendants, so
/// that a look costs no more than the document is long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonPath(pub Vec<Segment>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The member of an object.
    Name(String),
    /// The element of an array, from 0; below 0 from its end.
    Index(i64),
    /// All elements or members.
    All,
}

impl fmt::Display for JsonPath {
    /// As RFC 9535 writes it, names in the short form where they have one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for segment in &self.0 {
            match segment {
                Segment::Name(name) if is_short(name) => write!(f, ".{name}")?,
                Segment::Name(name) => {
                    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
                    write!(f, "['{escaped}']")?;
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::All => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

/// Whether a name may follow a dot (RFC 9535 section 2.5.1.1, `member-name-shorthand`).
pub fn is_short(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// What is compared at one gateway, and by which rules: all of it that makes older counts mean something else when it
/// changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The rules.
    pub compare: Compare,
    /// Who gets copies.
    pub shadow: Side,
    /// Who answers clients, in the order of the file, and may be compared with the shadow.
    pub live: Vec<Side>,
    /// The one of them that serves: the primary of the rollout, else who has the largest share.
    pub primary: UpstreamName,
    /// The longest that an answer may take.
    pub timeout: Duration,
}

/// One deployed version, by what tells it from the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Of the upstream.
    pub name: UpstreamName,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
    /// What it says it is: model and version.
    pub revision: [Option<String>; 2],
}

impl Comparison {
    /// What a gateway wants compared; `None`: nothing.
    pub fn of(gateway: &Gateway) -> Option<Self> {
        let shadow = gateway.shadow.as_ref()?;
        let compare = shadow.compare.clone()?;
        let side = |name: &UpstreamName| {
            let upstream = gateway.upstreams.iter().find(|u| u.name == *name)?;
            Some(Side {
                name: name.clone(),
                endpoints: upstream.endpoints.clone(),
                revision: [upstream.model.clone(), upstream.version.clone()],
            })
        };
        let split = gateway.traffic.parts();
        // Of equal shares the first in the order of the file.
        let largest = split.iter().map(|(_, weight)| weight).max()?;
        let serves = |name: &&UpstreamName| gateway.traffic.of(name) == *largest;
        let primary = match &gateway.rollout {
            Some(rollout) => rollout.primary.clone(),
            None => gateway.upstreams.iter().map(|u| &u.name).find(serves)?.clone(),
        };
        let answers = |name: &&UpstreamName| split.iter().any(|(n, _)| n == *name);
        let live = gateway.upstreams.iter().filter(|u| u.protocol != Protocol::Grpc).map(|u| &u.name);
        Some(Self {
            compare,
            shadow: side(&shadow.upstream)?,
            live: live.filter(answers).filter_map(side).collect(),
            primary,
            timeout: gateway.timeout,
        })
    }
}
