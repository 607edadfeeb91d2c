//! The split of the traffic.

use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::names::UpstreamName;
use crate::weight::{Split, Weight, WeightError};
use std::collections::{BTreeSet, VecDeque};

/// The split, in the order of Envoy's list.
///
/// Envoy cuts the range of hashes into one interval for each cluster, in the order of the list. So that a user of a
/// sticky split moves only to the version that grows, the first upstream of the file stands in the middle and gives
/// way to both sides: the second grows from the lower end, the third from the upper one, later ones outside of those.
/// A new upstream of the file comes in at an end, and moves nobody until it has a share.
pub(super) fn traffic(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) -> Option<Split> {
    let upstreams = raw.upstreams.as_ref()?;
    let at = root.at("traffic");
    let Some(traffic) = &raw.traffic else {
        return if at.is_there() { None } else { unsaid(upstreams.keys(), root, problems) };
    };
    let mut good = true;
    for (key, percent) in traffic {
        if problems.is_full() {
            return None;
        }
        good &= report(known(key, raw), Code::UnknownUpstream, &at.key(key), problems).is_some();
        let weight = percent.as_ref().and_then(|p| report(weight(p), Code::Percent, &at.at(key), problems));
        good &= weight.is_some();
    }
    if !good {
        return None;
    }
    let part = |key: &String| {
        let percent = traffic.get(key)?.as_ref()?;
        UpstreamName::new(key).ok().zip(weight(percent).ok())
    };
    let listed: Vec<_> = upstreams.keys().filter_map(part).collect();
    if listed.len() < traffic.len() {
        return None; // A name that is no name has been complained about.
    }
    let mut parts = VecDeque::with_capacity(listed.len());
    for (i, part) in listed.into_iter().enumerate() {
        if i % 2 == 0 { parts.push_back(part) } else { parts.push_front(part) }
    }
    let parts = Vec::from(parts);
    Split::new(parts)
        .map_err(|sum| {
            let message = format!("traffic sums to {}, not 100", hundredths(sum));
            problems.error(Code::TrafficSum, &at, message, "make the weights sum to exactly 100");
        })
        .ok()
}

/// Without a word on the split, everything goes to the only upstream; among several nobody guesses.
fn unsaid<'k>(
    mut upstreams: impl DoubleEndedIterator<Item = &'k String> + ExactSizeIterator,
    root: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Split> {
    let count = upstreams.len();
    let first = upstreams.next()?;
    if count == 1 {
        return UpstreamName::new(first).ok().map(Split::all_to);
    }
    let others: Vec<_> = upstreams.take(4).map(|name| format!(", {}: 0", spelling::shorten(name))).collect();
    let help = format!(
        "say how to split, such as `traffic: {{ {}: 100{} }}`",
        spelling::shorten(first),
        others.concat()
    );
    let message = format!("there are {count} upstreams, and no `traffic` says who gets which share");
    // At the key: which upstreams there are is clear, also when one of them is in error.
    problems.error(Code::NoTraffic, &root.key("upstreams"), message, help);
    None
}

/// A share in percent.
pub(super) fn weight(percent: &raw::Percent) -> Result<Weight, Wrong> {
    let text = percent.to_string();
    Weight::parse(&text).map_err(|e| {
        let help = match e {
            WeightError::Decimals => "round it to two decimals, such as 33.33",
            WeightError::NotANumber | WeightError::Range => "write a number from 0 to 100, such as 5 or 0.25",
        };
        Wrong::new(format!("`{}` is not a share of the traffic: {e}", spelling::shorten(&text)), help)
    })
}

/// Whether an upstream that is mentioned exists.
pub(super) fn known(name: &str, raw: &raw::Gateway) -> Result<(), Wrong> {
    let Some(upstreams) = &raw.upstreams else { return Ok(()) };
    if upstreams.contains_key(name) {
        return Ok(());
    }
    let names = || upstreams.keys().map(String::as_str);
    let help = match spelling::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if upstreams.is_empty() => "add it to `upstreams`".to_owned(),
        None => {
            let names: Vec<_> = names().take(8).map(|n| format!("`{}`", spelling::shorten(n))).collect();
            format!("add it to `upstreams`, or name one that is there: {}", names.join(", "))
        }
    };
    Err(Wrong::new(format!("there is no upstream `{}`", spelling::shorten(name)), help))
}

/// Warns about upstreams that no request can reach.
pub(super) fn unused(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) {
    let split: Vec<&str> = match (&raw.traffic, &raw.rollout) {
        (Some(traffic), _) => traffic.keys().map(String::as_str).collect(),
        // A side that is missing or misspelt is complained about, and may be the one that nothing mentions.
        (None, Some(rollout)) => match (&rollout.primary, &rollout.canary) {
            (Some(a), Some(b)) if known(a, raw).and(known(b, raw)).is_ok() => vec![a, b],
            _ => return,
        },
        (None, None) => return,
    };
    let Some(upstreams) = &raw.upstreams else { return };
    let matched = raw.matches.iter().flatten().flatten().filter_map(|m| m.upstream.as_deref());
    let shadow = raw.shadow.as_ref().and_then(|s| s.upstream.as_deref());
    if shadow.is_some_and(|name| known(name, raw).is_err()) {
        return; // As above.
    }
    let mentioned: BTreeSet<&str> = split.into_iter().chain(matched).chain(shadow).collect();
    let at = root.at("upstreams");
    for name in upstreams.keys().filter(|name| !mentioned.contains(name.as_str())) {
        let shown = spelling::shorten(name);
        let help = if raw.traffic.is_some() {
            format!(
                "give it a share under `traffic`, such as `{shown}: 0`, a `match` or the `shadow`; or remove it"
            )
        } else {
            "give it a `match` or the `shadow`, or remove it".to_owned()
        };
        problems.warning(
            Code::UnusedUpstream,
            &at.key(name),
            format!("nothing mentions the upstream `{shown}`"),
            help,
        );
    }
}

/// A sum in percent, also above the whole.
fn hundredths(sum: u32) -> String {
    let text = format!("{}.{:02}", sum / 100, sum % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_as_people_would() {
        for (sum, text) in [(9500, "95"), (10_050, "100.5"), (9999, "99.99"), (0, "0"), (100, "1")] {
            assert_eq!(hundredths(sum), text);
        }
    }
}
