//! The HTTP API of Prometheus: a query for one version, and what an answer says. Pure.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>

use super::answer::Said;
use crate::model::{Fact, Query, QueryPart};
use crate::rollout::Side;
use serde::Deserialize;
use std::time::Duration;
use url::form_urlencoded;

/// What is added to the root of a server.
pub(super) const PATH: &str = "/api/v1/query";

/// The query for a version; `Err`: it cannot be asked about this one.
pub(super) fn query(query: &Query, side: &Side) -> Result<String, String> {
    let mut text = String::new();
    for part in &query.0 {
        match part {
            QueryPart::Text(part) => text += part,
            QueryPart::Fact { fact, quote, is_regex } => {
                let value = match fact {
                    Fact::Upstream => Some(side.name.as_str()),
                    Fact::Model => side.model.as_deref(),
                    Fact::Version => side.version.as_deref(),
                };
                let word = fact.as_str();
                let value = value.ok_or_else(|| format!("{} has no {word}", side.name))?;
                let value = if *is_regex { regex_escaped(value) } else { value.to_owned() };
                text += &quoted(&value, *quote)
                    .ok_or_else(|| format!("the {word} of {} cannot stand in backquotes", side.name))?;
            }
        }
    }
    Ok(text)
}

/// As RE2 takes it for the very text (`regexp.QuoteMeta` of Go).
fn regex_escaped(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// As it stands inside of a string; `None`: it cannot.
fn quoted(text: &str, quote: char) -> Option<String> {
    if quote == '`' {
        return (!text.contains('`')).then(|| text.to_owned());
    }
    let escaped = text.chars().map(|c| match c {
        '\n' => "\\n".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c == quote => format!("\\{c}"),
        c => c.to_string(),
    });
    Some(escaped.collect())
}

/// The form to post.
pub(super) fn form(query: &str, timeout: Duration) -> String {
    let timeout = format!("{}s", timeout.as_secs());
    form_urlencoded::Serializer::new(String::new())
        .append_pair("query", query)
        .append_pair("timeout", &timeout)
        .finish()
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    /// A native histogram has none.
    value: Option<(f64, String)>,
}

/// The one value that an answer has, or why it is no data.
pub(super) fn read(status: u16, body: &[u8]) -> Result<Said, String> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) if !(200..300).contains(&status) => return Err(format!("the answer was {status}")),
        Err(why) => return Err(format!("the answer is not one of Prometheus: {why}")),
    };
    if let Some(error) = answer.error {
        // What Prometheus says of a query is the best help; it is no longer than the query.
        return Err(format!("Prometheus says: {}", error.chars().take(500).collect::<String>()));
    }
    let text = match answer.data {
        Some(Data::Vector(mut series)) => match (series.len(), series.pop()) {
            (0, _) => return Err("the query has no result".to_owned()),
            (1, Some(Series { value: Some((_, text)) })) => text,
            (1, _) => return Err("the query gives a histogram; ask for a quantile of it".to_owned()),
            (many, _) => {
                return Err(format!("the query gives {many} series; make one of them, as with `sum(...)`"));
            }
        },
        Some(Data::Scalar((_, text))) => text,
        Some(Data::Matrix(_) | Data::String(_)) => {
            return Err("the query gives no number; ask for an instant vector of one series".to_owned());
        }
        None => return Err(format!("the answer was {status}, without data")),
    };
    let value = text.parse::<f64>().map_err(|_| "the value is not a number".to_owned())?;
    if value.is_finite() {
        Ok(Said { value: Some(value), ok: None })
    } else {
        Err(format!("the value is {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::UpstreamName;

    fn side(version: &str) -> Side {
        let name = UpstreamName::new("v2").unwrap();
        Side { name, endpoints: Vec::new(), model: None, version: Some(version.to_owned()) }
    }

    fn asked(quote: char, is_regex: bool, version: &str) -> Result<String, String> {
        let fact = QueryPart::Fact { fact: Fact::Version, quote, is_regex };
        let text = |t: &str| QueryPart::Text(t.to_owned());
        query(
            &Query(vec![text("a{v="), text(&quote.to_string()), fact, text(&quote.to_string()), text("}")]),
            &side(version),
        )
    }

    #[test]
    fn no_version_can_end_its_string_or_mean_more_than_itself() {
        for (quote, is_regex, version, expected) in [
            ('"', false, "2.0", r#"a{v="2.0"}"#),
            ('"', false, r#"2"} or up{a=""#, r#"a{v="2\"} or up{a=\""}"#),
            ('"', false, "it's\\\n", "a{v=\"it's\\\\\\n\"}"),
            ('\'', false, "it's", r"a{v='it\'s'}"),
            ('"', true, "2.0|.*", r#"a{v="2\\.0\\|\\.\\*"}"#),
            ('`', true, "2.0", r"a{v=`2\.0`}"),
        ] {
            assert_eq!(asked(quote, is_regex, version).as_deref(), Ok(expected));
        }
        assert!(asked('`', false, "a`} or up").is_err());
        let fact = QueryPart::Fact { fact: Fact::Model, quote: '"', is_regex: false };
        assert_eq!(query(&Query(vec![fact]), &side("2")), Err("v2 has no model".to_owned()));
    }

    #[test]
    fn a_query_is_posted_as_a_form() {
        assert_eq!(
            form("a{b=\"c d\"}&x", Duration::from_secs(9)),
            "query=a%7Bb%3D%22c+d%22%7D%26x&timeout=9s"
        );
    }

    #[test]
    fn one_finite_number_is_data_and_nothing_else() {
        let vector = |values: &[&str]| {
            let series: Vec<_> =
                values.iter().map(|v| format!(r#"{{"metric":{{}},"value":[1.5,"{v}"]}}"#)).collect();
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
                series.join(",")
            )
        };
        let good = |body: &str| read(200, body.as_bytes()).unwrap().value;
        assert_eq!(good(&vector(&["0.25"])), Some(0.25));
        assert_eq!(
            good(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}"#),
            Some(3.0)
        );
        for (status, body, why) in [
            (200, vector(&[]), "no result"),
            (200, vector(&["1", "2"]), "2 series"),
            (200, vector(&["NaN"]), "NaN"),
            (200, vector(&["+Inf"]), "Inf"),
            (200, vector(&["x"]), "not a number"),
            (
                200,
                r#"{"data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}"#.to_owned(),
                "histogram",
            ),
            (200, r#"{"data":{"resultType":"matrix","result":[]}}"#.to_owned(), "no number"),
            (200, r#"{"data":{"resultType":"string","result":[1,"a"]}}"#.to_owned(), "no number"),
            (200, r#"{"status":"success"}"#.to_owned(), "without data"),
            (200, "<html>".to_owned(), "not one of Prometheus"),
            (503, "Service Unavailable".to_owned(), "503"),
            (
                400,
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#.to_owned(),
                "parse error",
            ),
        ] {
            let said = read(status, body.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{body}: {said}");
        }
    }
}
