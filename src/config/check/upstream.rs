//! One upstream.

use super::address::{self, Url};
use super::gateway::length;
use super::{Surroundings, Wrong, health, report, tls};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{Endpoint, Protocol, Upstream};
use crate::names::UpstreamName;
use std::collections::BTreeSet;

/// Model and version become values of metrics.
const MAX_REVISION: usize = 200;

/// An upstream under its name, which the caller has checked; without one, only the complaints count.
pub(super) fn upstream(
    name: Option<UpstreamName>,
    raw: &raw::Upstream,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Upstream> {
    let raw = match raw {
        raw::Upstream::Object(object) => object,
        raw::Upstream::Url(text) => {
            let url = report(address::url(text), Code::Url, at, problems)?;
            if url.https {
                tls::without_tls(at, problems);
                return None;
            }
            return Some(Upstream {
                name: name?,
                endpoints: vec![url.endpoint],
                model: None,
                version: None,
                health_check: None,
                protocol: Protocol::Http1,
                tls: None,
                max_concurrent: None,
            });
        }
    };
    let protocol = match raw.protocol {
        None | Some(raw::Protocol::Http1) => Protocol::Http1,
        Some(raw::Protocol::Http2) => Protocol::Http2,
        Some(raw::Protocol::Grpc) => Protocol::Grpc,
    };
    one_address(at, problems);
    let url =
        raw.url.as_deref().and_then(|text| report(address::url(text), Code::Url, &at.at("url"), problems));
    let tls = tls::tls(raw, url.as_ref(), at, around, problems);
    let endpoints = raw.endpoints.as_deref().map(|all| endpoints(all, &at.at("endpoints"), problems));
    let checks = raw.health_check.as_ref();
    let health_check =
        checks.and_then(|raw| health::health_check(raw, protocol, &at.at("healthCheck"), problems));
    for (what, text) in [("model", &raw.model), ("version", &raw.version)] {
        if let Some(text) = text {
            report(revision(what, text), Code::Revision, &at.at(what), problems);
        }
    }
    Some(Upstream {
        name: name?,
        endpoints: url.map(|Url { endpoint, .. }| vec![endpoint]).or(endpoints)?,
        model: raw.model.clone(),
        version: raw.version.clone(),
        health_check,
        protocol,
        tls,
        max_concurrent: raw.max_concurrent,
    })
}

/// `url` or `endpoints`: one of them and not both.
fn one_address(at: &At<'_>, problems: &mut Problems<'_>) {
    match (at.at("url").is_there(), at.at("endpoints").is_there()) {
        (true, true) => {
            let help = "list all servers under `endpoints` and remove `url`";
            problems.error(
                Code::UrlOrEndpoints,
                &at.key("endpoints"),
                "`url` and `endpoints` exclude each other",
                help,
            );
        }
        (false, false) => {
            let help = "add `url: http://host:port`, or `endpoints: [host:port]` for several servers";
            problems.error(Code::UrlOrEndpoints, at, "the upstream does not say where it is", help);
        }
        _ => {}
    }
}

fn endpoints(all: &[Option<String>], at: &At<'_>, problems: &mut Problems<'_>) -> Vec<Endpoint> {
    if all.is_empty() {
        problems.error(Code::Endpoint, at, "`endpoints` is empty", "write at least one as host:port");
    }
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for (i, text) in all.iter().enumerate() {
        let Some(text) = text else { continue };
        let at = at.item(i);
        let Some(endpoint) = report(endpoint(text), Code::Endpoint, &at, problems) else { continue };
        if seen.insert(endpoint.clone()) {
            checked.push(endpoint);
        } else {
            problems.error(Code::Endpoint, &at, format!("`{endpoint}` is listed twice"), "keep one of them");
        }
    }
    checked
}

fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    let shown = spelling::shorten(text);
    if text.contains("://") {
        let help = "write it as host:port, and say `tls` for an encrypted connection";
        return Err(Wrong::new(format!("the endpoint `{shown}` is a URL"), help));
    }
    let wrong = |why| {
        Wrong::new(
            format!("`{shown}` is not an endpoint: {why}"),
            "write it as host:port, such as 10.0.0.6:8080",
        )
    };
    address::endpoint(text, None).map_err(wrong)
}

fn revision(what: &str, text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new(format!("`{what}` is empty"), "write a text, or remove the line"));
    }
    length(&format!("`{what}`"), text, MAX_REVISION)
}
