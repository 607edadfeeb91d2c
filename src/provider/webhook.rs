//! A webhook that judges a version: what it is sent, and what its answer says. Pure.

use super::answer::Said;
use crate::control::Question;
use crate::rollout::Side;
use serde::Deserialize;
use serde_json::json;

/// What is posted. It asks about one version.
pub(super) fn body(question: &Question, side: &Side) -> String {
    let role = if *side == question.canary { "canary" } else { "primary" };
    let interval = question.metric.interval.as_secs_f64();
    json!({
        "gateway": question.gateway.as_str(),
        "metric": question.metric.name,
        "role": role,
        "upstream": side.name.as_str(),
        "endpoints": side.endpoints,
        "model": side.model,
        "version": side.version,
        "intervalSeconds": interval,
    })
    .to_string()
}

/// Other keys are the other's business.
#[derive(Deserialize)]
struct Answer {
    value: Option<f64>,
    ok: Option<bool>,
}

/// What an answer says, or why it is no data.
pub(super) fn read(status: u16, body: &[u8]) -> Result<Said, String> {
    if !(200..300).contains(&status) {
        return Err(format!("the answer was {status}"));
    }
    if body.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    let wrong = |why: serde_json::Error| {
        format!("the answer is not of the form {{ \"value\": 1.2 }} or {{ \"ok\": true }}: {why}")
    };
    let Answer { value, ok } = serde_json::from_slice(body).map_err(wrong)?;
    Ok(Said { value, ok })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_word_is_an_answer() {
        let good = |text: &str| read(200, text.as_bytes()).unwrap();
        assert_eq!(good(r#"{ "value": 1, "unit": "s" }"#), Said { value: Some(1.0), ok: None });
        assert_eq!(good(r#"{ "ok": false }"#), Said { value: None, ok: Some(false) });
        assert_eq!(good(r#"{ "value": null }"#), Said { value: None, ok: None });
        for (status, body) in [
            (500, r#"{ "ok": true }"#),
            (302, ""),
            (200, ""),
            (200, "ok"),
            (200, r#"{"value":"1"}"#),
            (200, "[]x"),
        ] {
            assert!(read(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}
