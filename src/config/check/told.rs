//! Whom to tell what happens.

use super::attached::{Privacy, content};
use super::{Surroundings, Wrong, remote, report};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::{Format, Notify, Occasion, Secret};
use std::collections::BTreeSet;

/// More webhooks than any gateway needs.
const MAX: usize = 20;

/// Whom to tell; nothing after a complaint.
pub(super) fn notify(
    raw: &raw::Gateway,
    root: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Notify>> {
    let at = root.at("notify");
    let Some(all) = &raw.notify else { return (!at.is_there()).then(Vec::new) };
    if all.len() > MAX {
        let message = format!("`notify` has {} items", all.len());
        problems.error(Code::Notify, &at, message, format!("write at most {MAX}"));
        return None;
    }
    if !all.is_empty() && !root.at("rollout").is_there() {
        let help = "add `rollout`, or remove `notify`";
        problems.error(Code::Notify, &root.key("notify"), "without `rollout` there is nothing to tell", help);
    }
    let one = |(i, item): (usize, &Option<raw::Notify>), problems: &mut Problems<'_>| {
        let (item, at) = (item.as_ref()?, at.item(i));
        let url = url(item.webhook.as_ref()?, &at.at("webhook"), around, problems);
        let on = on(item, &at.at("on"), problems);
        let format = match item.format {
            None | Some(raw::Format::Json) => Format::Json,
            Some(raw::Format::Slack) => Format::Slack,
            Some(raw::Format::Teams) => Format::Teams,
        };
        Some(Notify { url: url?, format, on: on? })
    };
    let checked: Vec<_> = all.iter().enumerate().map(|item| one(item, problems)).collect();
    checked.into_iter().collect()
}

fn url(
    raw: &raw::Content,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Secret> {
    if let raw::Content::File(text) = raw
        && text.contains("://")
    {
        let message = "the URL stands in the gateway file, though whoever knows it may write there";
        let help = "write it into a file of its own, as in `webhook: secrets/slack.url`, or a variable, as in `webhook: { env: SLACK_URL }`";
        problems.error(Code::NotifyUrl, at, message, help);
        return None;
    }
    let content = content(raw, at, around, Privacy::Secret, problems)?;
    let text = content.text.trim();
    // Nothing of a secret may be shown, so only that it is wrong.
    let checked = remote::url(text).map(Secret::new).map_err(|_| {
        let help = "put the whole URL there, in one line, with `https://`";
        Wrong::new(format!("{} does not hold a URL of http or https", content.origin), help)
    });
    let url = report(checked, Code::NotifyUrl, at, problems)?;
    if !remote::is_safe(url.expose()) {
        let message =
            format!("{} holds a URL of http, so that anybody on the way could read it", content.origin);
        problems.warning(Code::PlainSecret, at, message, "write it with `https://`, if the server speaks it");
    }
    Some(url)
}

fn on(raw: &raw::Notify, at: &At<'_>, problems: &mut Problems<'_>) -> Option<BTreeSet<Occasion>> {
    let Some(all) = &raw.on else { return (!at.is_there()).then(|| Occasion::DEFAULT.into()) };
    if all.is_empty() {
        let help = "write at least one, such as `[paused, rolled-back, promoted]`, or remove the item";
        problems.error(Code::Notify, at, "`on` is empty, so nothing would ever be told", help);
        return None;
    }
    Some(all.iter().flatten().map(|raw| occasion(*raw)).collect())
}

fn occasion(raw: raw::Occasion) -> Occasion {
    match raw {
        raw::Occasion::Started => Occasion::Started,
        raw::Occasion::Advanced => Occasion::Advanced,
        raw::Occasion::Holding => Occasion::Holding,
        raw::Occasion::Progressing => Occasion::Progressing,
        raw::Occasion::Paused => Occasion::Paused,
        raw::Occasion::Resumed => Occasion::Resumed,
        raw::Occasion::WeightSet => Occasion::WeightSet,
        raw::Occasion::Undone => Occasion::Undone,
        raw::Occasion::Baking => Occasion::Baking,
        raw::Occasion::Promoted => Occasion::Promoted,
        raw::Occasion::RolledBack => Occasion::RolledBack,
        raw::Occasion::Retried => Occasion::Retried,
        raw::Occasion::Ended => Occasion::Ended,
        raw::Occasion::NoData => Occasion::NoData,
    }
}
