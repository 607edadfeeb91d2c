//! Names of headers and cookies (RFC 9110 section 5.6.2: tokens), and of query parameters.

use super::Wrong;
use crate::config::spelling::shorten;

const MAX_NAME: usize = 256;

/// A request header that conditions may look at, in lower case.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    let shown = shorten(text);
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "host" | ":authority") {
        return Err(Wrong::new(
            format!("the header `{shown}` chooses the gateway already"),
            "write it under `host`",
        ));
    }
    if lower.starts_with(':') {
        let help = "use `host` and `path`, or the name of an ordinary header";
        return Err(Wrong::new(format!("`{shown}` is a pseudo header of HTTP/2"), help));
    }
    if lower.contains('_') {
        // Some servers take an underscore for a hyphen, so that one header could pose as another.
        let help =
            "write hyphens, such as `x-tester`; Envoy refuses requests with underscores in header names";
        return Err(Wrong::new(format!("the header `{shown}` has an underscore"), help));
    }
    if token(text) {
        return Ok(lower);
    }
    let help = "use letters, digits and hyphens, such as `x-tester`";
    Err(Wrong::new(format!("`{shown}` is not the name of a header"), help))
}

/// A request header that carries an access key, in lower case.
pub(super) fn key(text: &str) -> Result<String, Wrong> {
    let lower = name(text)?;
    if lower == "cookie" {
        return Err(Wrong::new("the header `cookie` holds many things", "name the cookie under `cookie`"));
    }
    free(lower)
}

/// A request header in which the model is told something, in lower case.
pub(super) fn told(text: &str) -> Result<String, Wrong> {
    let lower = name(text)?;
    let taken = matches!(lower.as_str(), "authorization" | "cookie" | "x-request-id" | "x-serin-upstream");
    if taken || lower.starts_with("x-forwarded-") {
        return Err(taken_already(&lower));
    }
    free(lower)
}

/// Not one that HTTP or Envoy lives by.
fn free(lower: String) -> Result<String, Wrong> {
    let taken = matches!(
        lower.as_str(),
        "connection"
            | "content-length"
            | "content-type"
            | "expect"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    );
    if taken || lower.starts_with("x-envoy-") { Err(taken_already(&lower)) } else { Ok(lower) }
}

fn taken_already(lower: &str) -> Wrong {
    let help = "use a name of your own, such as `x-serin-client`";
    Wrong::new(format!("the header `{}` has a meaning of its own", shorten(lower)), help)
}

/// A cookie.
pub(super) fn cookie(text: &str) -> Result<String, Wrong> {
    if token(text) {
        return Ok(text.to_owned());
    }
    let help = "use letters, digits, hyphens and underscores";
    Err(Wrong::new(format!("`{}` is not the name of a cookie", shorten(text)), help))
}

/// A query parameter.
pub(super) fn parameter(text: &str) -> Result<String, Wrong> {
    let good = |c: char| !c.is_control() && !c.is_whitespace() && !"&=#?%+".contains(c);
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    let help = "write the name as it stands between `?` or `&` and `=`, without encoded characters";
    Err(Wrong::new(format!("`{}` is not the name of a query parameter", shorten(text)), help))
}

fn token(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_others_live_by_are_left_alone() {
        assert_eq!(
            (key("Authorization").as_deref(), told("X-User").as_deref()),
            (Ok("authorization"), Ok("x-user"))
        );
        for bad in ["Cookie", "X-Envoy-Retry-On", "Content-Length", "te", ":path", "host"] {
            assert!(key(bad).is_err() && told(bad).is_err(), "{bad}");
        }
        for bad in ["authorization", "X-Forwarded-For", "x-serin-upstream"] {
            assert!(told(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_tokens_in_lower_case_without_a_meaning_of_their_own() {
        assert_eq!(name("X-Tester").as_deref(), Ok("x-tester"));
        for bad in ["", "a b", "a:", ":path", "Host", ":authority", "é"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
