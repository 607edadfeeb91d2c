//! What a message looks like. Pure.

use crate::control::Notice;
use crate::model::{Format, Occasion};
use serde_json::{Value, json};

/// The body of a message, in JSON.
pub(super) fn body(notice: &Notice, format: Format) -> String {
    let value = match format {
        Format::Json => plain(notice),
        Format::Slack => slack(notice),
        Format::Teams => teams(notice),
    };
    format!("{value:#}\n")
}

/// Everything that is known, for programs. Keys are only ever added.
fn plain(notice: &Notice) -> Value {
    let release = notice.release.as_ref().map(|release| {
        json!({
            "phase": release.phase.as_str(),
            "primary": release.primary,
            "canary": release.canary,
            "weight": release.weight,
            "revision": release.revision,
        })
    });
    json!({
        "time": notice.time,
        "gateway": notice.gateway.as_str(),
        "event": notice.occasion.as_str(),
        "actor": notice.actor,
        "reason": notice.reason,
        "message": notice.message,
        "rollout": release,
    })
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
fn slack(notice: &Notice) -> Value {
    let (title, sentence) = (escaped(&title(notice)), escaped(&notice.message));
    json!({ "text": format!("{} *{title}*\n{sentence}", sign(notice.occasion)) })
}

/// The three signs that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>
fn teams(notice: &Notice) -> Value {
    let colour = match notice.occasion {
        Occasion::RolledBack | Occasion::NoData => "Attention",
        Occasion::Paused | Occasion::Holding => "Warning",
        Occasion::Promoted => "Good",
        _ => "Default",
    };
    let facts = notice.release.iter().flat_map(|release| {
        [
            ("Phase", release.phase.to_string()),
            ("Primary", release.primary.clone()),
            ("Canary", format!("{}, {} %", release.canary, release.weight)),
        ]
    });
    let facts: Vec<Value> = facts.map(|(title, value)| json!({ "title": title, "value": value })).collect();
    let text = |text: &str| json!({ "type": "TextBlock", "text": text, "wrap": true });
    let mut head = text(&title(notice));
    head["weight"] = "Bolder".into();
    head["color"] = colour.into();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [head, text(&notice.message), { "type": "FactSet", "facts": facts }],
            },
        }],
    })
}

fn title(notice: &Notice) -> String {
    format!("{}: {}", notice.gateway, words(notice.occasion))
}

/// As a person would say it.
fn words(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Started => "release begins",
        Occasion::Advanced => "next step",
        Occasion::Holding => "holding",
        Occasion::Progressing => "goes on",
        Occasion::Paused => "paused",
        Occasion::Resumed => "resumed",
        Occasion::WeightSet => "weight set by hand",
        Occasion::Undone => "undone",
        Occasion::Baking => "watched at 100 %",
        Occasion::Promoted => "promoted",
        Occasion::RolledBack => "rolled back",
        Occasion::Retried => "tried again",
        Occasion::Ended => "release ended",
        Occasion::NoData => "a metric has no data",
    }
}

fn sign(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::RolledBack => ":rotating_light:",
        Occasion::Paused | Occasion::NoData | Occasion::Holding => ":warning:",
        Occasion::Promoted => ":white_check_mark:",
        _ => ":information_source:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::control::Release;
    use crate::names::GatewayName;
    use crate::rollout::Phase;
    use crate::weight::Weight;

    #[test]
    fn each_format_has_its_golden() {
        let notice = Notice {
            time: Timestamp(1_790_000_000_123),
            gateway: GatewayName::new("fraud").unwrap(),
            occasion: Occasion::RolledBack,
            actor: "engine".into(),
            reason: None,
            message: "all traffic goes to v1; v2 had 5 %: canary error rate 12.7% [3.2%, 30.1%] > primary & \"<0.97%>\"".into(),
            release: Some(Release {
                phase: Phase::RolledBack,
                primary: "v1".into(),
                canary: "v2".into(),
                weight: Weight::parse("0").unwrap(),
                revision: 7,
            }),
            to: Vec::new(),
        };
        for (format, golden) in [
            (Format::Json, include_str!("goldens/json.json")),
            (Format::Slack, include_str!("goldens/slack.json")),
            (Format::Teams, include_str!("goldens/teams.json")),
        ] {
            assert_eq!(body(&notice, format), golden);
        }
        let nothing = Notice { release: None, reason: Some("tired".into()), ..notice };
        assert!(body(&nothing, Format::Teams).contains("\"facts\": []"));
        assert!(body(&nothing, Format::Json).contains("\"reason\": \"tired\""));
    }
}
