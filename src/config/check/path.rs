//! Paths, in the one form in which Envoy compares them.

use super::Wrong;
use crate::config::spelling::shorten;

const MAX_PATH: usize = 1024;

/// A path of whole segments: begins with `/` and does not end with it, unless it is the root.
pub(super) fn path(text: &str) -> Result<String, Wrong> {
    let shown = shorten(text);
    let wrong = |what: &str, help: String| Err(Wrong::new(format!("the path `{shown}` {what}"), help));
    let before = |at: &str| shorten(text.split(at).next().unwrap_or_default().trim_end_matches('/'));
    if text.is_empty() {
        return Err(Wrong::new("the path is empty", "write `/` for every path"));
    }
    if !text.starts_with('/') {
        return wrong("does not begin with `/`", format!("write `/{}`", shown.trim_matches('/')));
    }
    if text.len() > MAX_PATH {
        return wrong("is very long", format!("shorten it to at most {MAX_PATH} characters"));
    }
    if text.contains('?') {
        return wrong(
            "has a query",
            format!("write just `{}`; conditions on the query of requests go under `match`", before("?")),
        );
    }
    if text.contains('#') {
        return wrong("has a fragment, which clients never send", format!("write just `{}`", before("#")));
    }
    if text.contains('*') {
        let help = format!(
            "write `/{}`: a path stands for everything below it",
            before("*").trim_start_matches('/')
        );
        return wrong("has a `*`", help);
    }
    if text.contains('%') {
        return wrong(
            "has a percent-encoded character",
            "use only characters that need no encoding".to_owned(),
        );
    }
    if let Some(c) = text.chars().find(|c| !plain(*c)) {
        let what = if c == ' ' { "has a space".to_owned() } else { format!("has the character {c:?}") };
        return wrong(&what, "use letters, digits, `/` and any of `-._~!$&'()+,;=:@`".to_owned());
    }
    if text.contains("//") {
        return wrong("has an empty segment", "write one `/` between segments".to_owned());
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return wrong(
            "has a segment that goes elsewhere",
            "write the path that is meant, without `.` and `..`".to_owned(),
        );
    }
    if text.len() > 1 && text.ends_with('/') {
        let help = format!(
            "write `{}`: it stands for everything below it, too",
            shorten(text.trim_end_matches('/'))
        );
        return wrong("ends with `/`", help);
    }
    Ok(text.to_owned())
}

/// Whether a character stands for itself in a path (RFC 3986 section 3.3), `*` aside.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()+,;=:@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_whole_segments_are_good() {
        for good in ["/", "/a", "/v2/models/fraud/infer", "/a.b/~c", "/v1/models/m:predict"] {
            assert_eq!(path(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn anything_else_says_what_to_write() {
        let help = |text| path(text).unwrap_err().help;
        assert_eq!(help("predict"), "write `/predict`");
        assert_eq!(help("/a/"), "write `/a`: it stands for everything below it, too");
        assert_eq!(help("/a/*"), "write `/a`: a path stands for everything below it");
        assert_eq!(help("/*"), "write `/`: a path stands for everything below it");
        for bad in
            ["", "//", "/a//b", "/a/../b", "/./a", "/a b", "/a%20b", "/a?b", "/a#b", "/é", "/a\\b", "/{id}"]
        {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
