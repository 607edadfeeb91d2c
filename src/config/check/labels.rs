//! What a gateway says about itself: description, labels, and the Envoys that serve it.

use super::gateway::length;
use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use std::collections::{BTreeMap, BTreeSet};

const MAX_DESCRIPTION: usize = 1000;
/// As in Kubernetes, so that labels can be carried over.
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 256;
const MAX_LABELS: usize = 64;
const MAX_PROXY: usize = 256;

pub(super) fn description(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) -> String {
    let text = raw.description.clone().unwrap_or_default();
    let at = root.at("description");
    report(length("the description", &text, MAX_DESCRIPTION), Code::Description, &at, problems);
    text
}

pub(super) fn labels(
    raw: &raw::Gateway,
    root: &At<'_>,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, String> {
    let Some(all) = &raw.labels else { return BTreeMap::new() };
    let at = root.at("labels");
    if all.len() > MAX_LABELS {
        let message = format!("the gateway has {} labels", all.len());
        problems.error(Code::Label, &at, message, format!("keep at most {MAX_LABELS}"));
    }
    for (key, value) in all {
        report(label_key(key), Code::Label, &at.key(key), problems);
        let value = value.as_deref().unwrap_or_default();
        report(length("the value of the label", value, MAX_LABEL_VALUE), Code::Label, &at.at(key), problems);
    }
    all.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect()
}

fn label_key(key: &str) -> Result<(), Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if (1..=MAX_LABEL_KEY).contains(&key.len()) && key.chars().all(good) {
        return Ok(());
    }
    if key.is_empty() {
        return Err(Wrong::new("the key of this label is empty", "name the label, or remove it"));
    }
    let message = format!("`{}` cannot be the key of a label", spelling::shorten(key));
    Err(Wrong::new(message, format!("use 1 to {MAX_LABEL_KEY} letters, digits and any of `-_./`")))
}

pub(super) fn proxies(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) -> BTreeSet<String> {
    let Some(all) = &raw.proxies else { return BTreeSet::new() };
    let at = root.at("proxies");
    if all.is_empty() {
        let help = "name the `node.cluster` of an Envoy, or remove the line to serve on every Envoy";
        problems.error(Code::Proxies, &at, "`proxies` is empty, so no Envoy would serve the gateway", help);
    }
    let mut checked = BTreeSet::new();
    for (i, text) in all.iter().enumerate() {
        let Some(text) = text else { continue };
        if text.is_empty() || text.chars().count() > MAX_PROXY {
            let help = format!("write the `node.cluster` of an Envoy, 1 to {MAX_PROXY} characters");
            problems.error(Code::Proxies, &at.item(i), "this cannot name an Envoy", help);
        } else if !checked.insert(text.clone()) {
            let message = format!("`{}` is listed twice", spelling::shorten(text));
            problems.error(Code::Proxies, &at.item(i), message, "keep one of them");
        }
    }
    checked
}
