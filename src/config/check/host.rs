//! Hosts, in the three forms that Envoy matches.

use super::address::dns_name;
use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{Host, Routing};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// The hosts of a gateway that can be had, sorted; every host when it names none.
pub(super) fn hosts(
    raw: &raw::Gateway,
    root: &At<'_>,
    routing: Routing,
    problems: &mut Problems<'_>,
) -> Vec<Host> {
    let (one, many) = (root.at("host"), root.at("hosts"));
    if one.is_there() && many.is_there() {
        let help = "list all of them under `hosts` and remove `host`";
        problems.error(Code::HostTwice, &root.key("hosts"), "`host` and `hosts` exclude each other", help);
    }
    let mut hosts = BTreeSet::new();
    if let Some(text) = &raw.host {
        let host = report(host(text), Code::Host, &one, problems);
        hosts.extend(host.filter(|host| exact(host, routing, &one, problems)));
    }
    let Some(all) = &raw.hosts else {
        if one.is_there() {
            return hosts.into_iter().collect();
        }
        let is_possible = exact(&Host::Any, routing, &root.at("name"), problems);
        return if is_possible { vec![Host::Any] } else { Vec::new() };
    };
    if all.is_empty() {
        let help = "name a host, or remove the line to answer for every host";
        problems.error(Code::Host, &many, "`hosts` is empty", help);
    }
    let mut seen = BTreeSet::new();
    for (i, text) in all.iter().enumerate() {
        let Some(text) = text else { continue };
        let at = many.item(i);
        let Some(host) = report(host(text), Code::Host, &at, problems) else { continue };
        let is_possible = exact(&host, routing, &at, problems);
        if !seen.insert(host.clone()) {
            problems.error(
                Code::HostTwice,
                &at,
                format!("the host `{host}` is listed twice"),
                "keep one of them",
            );
        }
        if is_possible {
            hosts.insert(host);
        }
    }
    hosts.into_iter().collect()
}

/// Whether the layout of routes can have this host. Where each host has a table of its own, Envoy looks the host up as
/// it is: there are no patterns, and none for all.
fn exact(host: &Host, routing: Routing, at: &At<'_>, problems: &mut Problems<'_>) -> bool {
    if routing == Routing::Plain || matches!(host, Host::Exact(_)) {
        return true;
    }
    let message = match host {
        Host::Any => "the gateway answers for every host, which `routing: scoped` cannot do".to_owned(),
        pattern => format!("the host `{pattern}` is a pattern, which `routing: scoped` cannot match"),
    };
    let help =
        "name the hosts exactly, such as `host: fraud.example.com`; or set `routing: plain` in serin.yaml";
    problems.error(Code::HostNotExact, at, message, help);
    false
}

fn host(text: &str) -> Result<Host, Wrong> {
    let shown = spelling::shorten(text);
    let just = |rest: &str| format!("write just the host: `{}`", spelling::shorten(rest));
    if text.is_empty() {
        return Err(Wrong::new("the host is empty", "name a host, or write `*` for every host"));
    }
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(Wrong::new(format!("the host `{shown}` has the scheme `{scheme}`"), just(host)));
    }
    if let Some((host, path)) = text.split_once('/') {
        let help = format!("{}, and the path under `path`: `/{}`", just(host), spelling::shorten(path));
        return Err(Wrong::new(format!("the host `{shown}` has a path"), help));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Host::Exact(format!("[{address}]"))),
            Err(_) => Err(Wrong::new(
                format!("the host `{shown}` is not an IPv6 address"),
                "write one such as `[2001:db8::1]`",
            )),
        };
    }
    if let Some((host, _)) = text.split_once(':') {
        let help = format!("{}; the port belongs to the listener", just(host));
        return Err(Wrong::new(format!("the host `{shown}` has a port"), help));
    }
    if text.chars().any(char::is_uppercase) {
        let help = format!("write `{}`: hosts are compared in lower case", shown.to_lowercase());
        return Err(Wrong::new(format!("the host `{shown}` has capital letters"), help));
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains('*') {
        let help = "write an exact host, `*.example.com` for all hosts below one, or `*` for every host";
        return Err(Wrong::new(
            format!("the host `{shown}` has a `*` at another place than the whole first label"),
            help,
        ));
    }
    if let Err(why) = dns_name(name) {
        let help = "write a host such as `fraud.example.com`, `*.example.com` or `*`";
        return Err(Wrong::new(format!("`{shown}` is not a host: {why}"), help));
    }
    Ok(match text.strip_prefix('*') {
        Some(suffix) => Host::Suffix(suffix.to_owned()),
        None => Host::Exact(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        assert_eq!(host("*"), Ok(Host::Any));
        assert_eq!(host("*.example.com"), Ok(Host::Suffix(".example.com".into())));
        assert_eq!(host("fraud_v1.local"), Ok(Host::Exact("fraud_v1.local".into())));
        assert_eq!(host("[2001:DB8::1]"), Ok(Host::Exact("[2001:db8::1]".into())));
    }

    #[test]
    fn nothing_else_is_a_host() {
        for bad in [
            "", "a.", ".a", "a..b", "*a.b", "a.*.b", "**", "*.", "a b", "http://a", "a/b", "a:80", "A.b",
            "[::x]", "é.com",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
