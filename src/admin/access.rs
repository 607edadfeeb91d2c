//! Who may change something.
//!
//! There are no tokens yet, so it is everyone on this machine or nobody. Not everyone on this machine is a person: a
//! page of some other site in a browser here can send requests to loopback addresses as well. It cannot send JSON
//! without asking first (Fetch standard, "CORS-safelisted request-header"), and what it asks is not answered; and a name
//! that its own DNS server points to 127.0.0.1 shows in `Host`.

use super::Sources;
use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use std::net::IpAddr;

/// How the journal names who came in; nobody can prove to be anyone in particular yet.
pub(super) const OPERATOR: &str = "operator";

/// Says who may act, or why nobody may.
pub(super) fn actor(sources: &Sources, headers: &HeaderMap) -> Result<&'static str, Problem> {
    let refuse = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
    if !sources.insecure_admin {
        return refuse(
            "this Serin takes no orders: start it with --insecure-admin to let everyone on its machine give them",
        );
    }
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return refuse("orders are taken under the name localhost or a loopback address only");
    }
    if text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, h)| h != host)) {
        return refuse("a page of another site may not give orders");
    }
    let json = |value: &str| value.split(';').next().is_some_and(|v| v.trim() == "application/json");
    if !text(header::CONTENT_TYPE).is_some_and(json) {
        let why = "an order is JSON, with `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(OPERATOR)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn names_of_this_machine_are_known() {
        for here in ["localhost", "LOCALHOST:18080", "127.0.0.1:18080", "127.8.9.1", "[::1]:18080", "[::1]"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "",
            "evil.example:18080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
