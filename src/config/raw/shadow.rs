//! `shadow`.

use super::{Amount, Percent};
use schemars::JsonSchema;
use serde::Deserialize;

/// An upstream that gets copies of requests. No client gets its answers, or notices it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Shadow {
    /// The upstream that gets the copies.
    #[schemars(required, example = &"next")]
    pub(crate) upstream: Option<String>,
    /// Of how many of the requests that the split answers. Default: `10`.
    #[schemars(example = &10)]
    pub(crate) percent: Option<Percent>,
    /// How its answers are compared with those that clients get. Default: they are not.
    pub(crate) compare: Option<Compare>,
}

/// What of two answers has to agree, and how closely.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Compare {
    /// The part of an answer in JSON that is compared: names, indexes and wildcards of RFC 9535. Default: `$`, all of it.
    #[schemars(example = &"$.predictions")]
    pub(crate) path: Option<String>,
    /// How far a number may be from the one that the client got: so much, or a map that says more. Default: `0`.
    #[schemars(example = &0.01)]
    pub(crate) tolerance: Option<Tolerance>,
    /// How alike texts have to be, from 0 to 1 (Sørensen-Dice coefficient of their pairs of letters). Default: the same.
    #[schemars(example = &0.9)]
    pub(crate) similarity: Option<Amount>,
    /// Of score vectors only the place of the highest score counts. Default: false.
    pub(crate) top1: Option<bool>,
    /// The share of the pairs that should match. Default: `99%`.
    #[schemars(example = &"99%")]
    pub(crate) min_match: Option<Percent>,
    /// Whether the values of a few answers that differ are kept in memory and shown. Default: false, only where they differ.
    pub(crate) keep_examples: Option<bool>,
    /// Longer answers are not compared, but counted. Default: 65536.
    #[schemars(range(min = 256, max = 1_048_576), example = &262_144)]
    pub(crate) max_bytes: Option<u32>,
}

/// So much, or a map that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Tolerance {
    Absolute(Amount),
    Object(ToleranceObject),
}

/// `|a - b| <= absolute + relative * |b|`, where `b` is what the client got.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ToleranceObject {
    /// In the unit of the numbers. Default: `0`.
    #[schemars(example = &0.01)]
    pub(crate) absolute: Option<Amount>,
    /// Of the number that the client got: `0.01` or `1%`. Default: `0`.
    #[schemars(example = &"1%")]
    pub(crate) relative: Option<Amount>,
}
