//! Addresses of servers: `host:port`, and URLs that say no more than that.

use super::Wrong;
use crate::config::spelling::shorten;
use crate::model::Endpoint;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a URL of an upstream says.
#[derive(Debug, PartialEq)]
pub(super) struct Url {
    pub(super) https: bool,
    pub(super) endpoint: Endpoint,
}

/// Reads `http://host:port` or `https://host:port`.
pub(super) fn url(text: &str) -> Result<Url, Wrong> {
    let shown = shorten(text);
    let wrong = |what: &str, help: String| Err(Wrong::new(format!("the URL `{shown}` {what}"), help));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("has no scheme", format!("write `http://{}`", shown.trim_start_matches('/')));
    };
    let (https, port) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => {
            let help = "write `http://host:port` or `https://host:port`; for gRPC add `protocol: grpc`";
            return wrong(&format!("has the scheme `{}`", shorten(scheme)), help.to_owned());
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        // The text is not repeated: it may be a secret.
        let help = "remove what stands before the `@`: secrets have no place in a URL";
        return Err(Wrong::new("the URL has a user name or a password", help));
    }
    if !tail.is_empty() && tail != "/" {
        let what = if tail.starts_with('/') { "has a path" } else { "has a query or a fragment" };
        let help = format!(
            "write `{scheme}://{}`, and what the upstream sees as path under `rewrite`",
            shorten(authority)
        );
        return wrong(what, help);
    }
    match endpoint(authority, Some(port)) {
        Ok(endpoint) => Ok(Url { https, endpoint }),
        Err(why) => wrong(&format!("does not name a server: {why}"), format!("write `{scheme}://host:port`")),
    }
}

/// Reads `host:port`, `address:port` or `[address]:port`; says why it is none.
pub(super) fn endpoint(text: &str, default_port: Option<u16>) -> Result<Endpoint, String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or("the `[` is never closed")?;
        let address: Ipv6Addr =
            inner.parse().map_err(|_| format!("`{}` is not an IPv6 address", shorten(inner)))?;
        let port = if after.is_empty() {
            None
        } else {
            Some(after.strip_prefix(':').ok_or("after `]` comes no `:port`")?)
        };
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err("an IPv6 address needs brackets before its port, as in [2001:db8::1]:8080".to_owned());
        }
        dns_name(host)?;
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        Some(text) => {
            port_number(text).ok_or_else(|| format!("`{}` is not a port from 1 to 65535", shorten(text)))?
        }
        None => default_port.ok_or("the port is missing")?,
    };
    Ok(Endpoint { host, port })
}

/// Digits only: `+80` is a number for Rust.
fn port_number(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|port| *port > 0)
}

/// Checks an IPv4 address or a DNS name; underscores are fine, as the names of containers have them.
pub(super) fn dns_name(text: &str) -> Result<(), String> {
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if let Some(c) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        return Err(if c == ' ' {
            "it has a space".to_owned()
        } else {
            format!("it has the character {c:?}")
        });
    }
    if text.len() > 253 {
        return Err(format!("it has {} characters, 253 are allowed", text.len()));
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err("a part between dots is empty".to_owned());
        }
        if label.len() > 63 {
            return Err("a part between dots has more than 63 characters".to_owned());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part between dots begins or ends with a hyphen".to_owned());
        }
    }
    if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("it looks like an IPv4 address, which has four numbers up to 255".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_printed_alike() {
        for text in ["a:1", "fraud-v1.svc:8080", "10.0.0.6:8080", "[2001:db8::1]:443", "my_service:65535"] {
            assert_eq!(endpoint(text, None).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_endpoints() {
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "::1",
            "[::1]",
            "[::1:1",
            "[a]:1",
            "10.0.0:1",
            "10.0.0.256:1",
            "a b:1",
            "-a:1",
        ] {
            assert!(endpoint(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_say_where_and_nothing_else() {
        let url = |text| url(text).map(|u| (u.https, u.endpoint.to_string()));
        assert_eq!(url("http://a:1"), Ok((false, "a:1".into())));
        assert_eq!(url("https://A.example.com/"), Ok((true, "a.example.com:443".into())));
        assert_eq!(url("http://[::1]"), Ok((false, "[::1]:80".into())));
        for bad in [
            "",
            "a:1",
            "//a",
            "http://",
            "http:///x",
            "grpc://a",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "http://a:x",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
