//! `shadow.compare`: how the answers of a shadow are compared with those that clients get.

use super::json_path::json_path;
use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{Compare, JsonPath, Number, Tolerance};
use crate::weight::{WHOLE, Weight};

/// Whether a number may stand where it stands.
type Fits = fn(f64) -> bool;

/// In hundredths of a percent.
const DEFAULT_MIN_MATCH: u32 = 9_900;
/// Predictions are small; what is longer is a document or a picture.
const DEFAULT_MAX_BYTES: u32 = 64 << 10;

/// How a shadow is compared of which the file says nothing more.
pub(super) fn by_default() -> Option<Compare> {
    let none = Number::new(0.0)?;
    Some(Compare {
        path: JsonPath(Vec::new()),
        tolerance: Tolerance { absolute: none, relative: none },
        similarity: None,
        top1: false,
        min_match: Weight::new(DEFAULT_MIN_MATCH)?,
        keep_examples: false,
        max_bytes: DEFAULT_MAX_BYTES,
    })
}

/// `None`: something is wrong, which is then said.
pub(super) fn compare(
    compare: &raw::Compare,
    raw: &raw::Gateway,
    shadow: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Compare> {
    let at = shadow.at("compare");
    let upstream = raw.shadow.as_ref().and_then(|s| s.upstream.as_deref());
    comparable(raw, upstream, &shadow.key("compare"), problems);
    let path = match &compare.path {
        Some(path) => report(json_path(path), Code::JsonPath, &at.at("path"), problems),
        None => (!at.at("path").is_there()).then(|| JsonPath(Vec::new())),
    };
    let tolerance = tolerance(compare, &at, problems);
    let similarity = match &compare.similarity {
        Some(written) => {
            let checked = measure(written, "similarity", |n| n > 0.0 && n <= 1.0);
            report(checked, Code::Tolerance, &at.at("similarity"), problems).map(Some)
        }
        None => (!at.at("similarity").is_there()).then_some(None),
    };
    let min_match = match &compare.min_match {
        Some(percent) => {
            report(min_match(&percent.to_string()), Code::MinMatch, &at.at("minMatch"), problems)
        }
        None if at.at("minMatch").is_there() => None,
        None => Weight::new(DEFAULT_MIN_MATCH),
    };
    let top1 = compare.top1.unwrap_or_default();
    if top1 {
        for key in ["tolerance", "similarity"].into_iter().filter(|key| at.at(key).is_there()) {
            let message = format!("with `top1: true` no scores are compared, so `{key}` has no effect");
            problems.error(Code::TopOne, &at.key(key), message, "keep one of the two");
        }
    }
    Some(Compare {
        path: path?,
        tolerance: tolerance?,
        similarity: similarity?,
        top1,
        min_match: min_match?,
        keep_examples: compare.keep_examples.unwrap_or_default(),
        max_bytes: compare.max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
    })
}

/// Messages of gRPC are bytes whose meaning nobody has told us.
pub(super) fn comparable(raw: &raw::Gateway, shadow: Option<&str>, at: &At<'_>, problems: &mut Problems<'_>) {
    let speaks_grpc = |name: &str| {
        let upstream = raw.upstreams.as_ref().and_then(|all| all.get(name)).and_then(Option::as_ref);
        matches!(upstream, Some(raw::Upstream::Object(o)) if matches!(o.protocol, Some(raw::Protocol::Grpc)))
    };
    let Some(shadow) = shadow else { return };
    let mut others =
        raw.upstreams.iter().flat_map(|all| all.keys()).filter(|name| *name != shadow).peekable();
    let all_others = others.peek().is_some() && others.all(|name| speaks_grpc(name));
    if speaks_grpc(shadow) || all_others {
        let message = "answers in gRPC are not compared";
        let help = "remove `compare`, or shadow an upstream that answers in JSON or text";
        problems.error(Code::NotComparable, at, message, help);
    }
}

fn tolerance(compare: &raw::Compare, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Tolerance> {
    let at = at.at("tolerance");
    let none = Number::new(0.0)?;
    let mut one = |written: Option<&raw::Amount>, at: &At<'_>, what, fits: Fits| match written {
        Some(written) => report(measure(written, what, fits), Code::Tolerance, at, problems),
        None => (!at.is_there()).then_some(none),
    };
    let (absolute, relative): (Fits, Fits) = (|n| n >= 0.0, |n| (0.0..1.0).contains(&n));
    match &compare.tolerance {
        None => (!at.is_there()).then_some(Tolerance { absolute: none, relative: none }),
        Some(raw::Tolerance::Absolute(written)) => {
            let absolute = one(Some(written), &at, "tolerance", absolute)?;
            Some(Tolerance { absolute, relative: none })
        }
        Some(raw::Tolerance::Object(object)) => {
            let absolute = one(object.absolute.as_ref(), &at.at("absolute"), "tolerance", absolute);
            let relative = one(object.relative.as_ref(), &at.at("relative"), "share", relative);
            Some(Tolerance { absolute: absolute?, relative: relative? })
        }
    }
}

/// A number, or, where it is a share, a percent with its sign.
fn measure(written: &raw::Amount, what: &str, fits: Fits) -> Result<Number, Wrong> {
    let text = written.to_string();
    let number = match text.trim().strip_suffix('%') {
        Some(percent) if what != "tolerance" => percent.trim().parse::<f64>().ok().map(|p| p / 100.0),
        _ => text.trim().parse::<f64>().ok(),
    };
    number.filter(|n| fits(*n)).and_then(Number::new).ok_or_else(|| {
        let help = match what {
            "similarity" => "write a number above 0 and up to 1, such as 0.9",
            "share" => "write a number from 0 to below 1, such as 0.01, or a percent such as 1%",
            _ => "write a number from 0 on in the unit of what is compared, such as 0.01; a share of the number is \
                  `{ relative: 1% }`",
        };
        Wrong::new(format!("`{}` is no {what}", spelling::shorten(&text)), help)
    })
}

pub(super) fn min_match(text: &str) -> Result<Weight, Wrong> {
    let good = Weight::parse(text).ok().filter(|w| (1..WHOLE).contains(&w.hundredths()));
    good.ok_or_else(|| {
        let message = format!("`{}` is no share of matches that pairs can prove", spelling::shorten(text));
        Wrong::new(message, "write a percent above 0 and below 100, such as 99% or 99.9%")
    })
}
