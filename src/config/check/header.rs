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
    if token(text) {
        return Ok(lower);
    }
    let help = "use letters, digits and hyphens, such as `x-tester`";
    Err(Wrong::new(format!("`{shown}` is not the name of a header"), help))
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
    fn headers_are_tokens_in_lower_case_without_a_meaning_of_their_own() {
        assert_eq!(name("X-Tester").as_deref(), Ok("x-tester"));
        for bad in ["", "a b", "a:", ":path", "Host", ":authority", "é"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
