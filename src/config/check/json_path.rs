//! The way to a part of a JSON document: `$.outputs[0].data`.
//!
//! A subset of RFC 9535: names, indexes and wildcards. What the RFC has beyond it is refused by name, so that nobody
//! looks for a slip of the keyboard.

use super::Wrong;
use crate::config::spelling;
use crate::model::{JsonPath, Segment, is_short};

/// More steps lead nowhere: no document is deeper.
const MOST_SEGMENTS: usize = 32;

/// A path as it is written.
pub(super) fn json_path(text: &str) -> Result<JsonPath, Wrong> {
    let wrong = |why: String| {
        let message = format!("`{}` is no path: {why}", spelling::shorten(text));
        Wrong::new(message, "write the way from the root, such as `$.predictions` or `$.outputs[0].data[*]`")
    };
    let Some(mut rest) = text.trim().strip_prefix('$') else {
        return Err(wrong("it does not begin with `$`".into()));
    };
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let (segment, after) = segment(rest).map_err(&wrong)?;
        segments.push(segment);
        rest = after;
        if segments.len() > MOST_SEGMENTS {
            return Err(wrong(format!("it has more than {MOST_SEGMENTS} steps")));
        }
    }
    Ok(JsonPath(segments))
}

fn segment(rest: &str) -> Result<(Segment, &str), String> {
    if rest.starts_with("..") {
        return Err("`..` is not supported, since it looks everywhere".into());
    }
    if let Some(rest) = rest.strip_prefix(".*") {
        return Ok((Segment::All, rest));
    }
    if let Some(rest) = rest.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        return if is_short(name) {
            Ok((Segment::Name(name.into()), after))
        } else if name.is_empty() {
            Err("a name is missing after a dot".into())
        } else {
            Err(format!(
                "write `['{}']` for a name with other signs than letters, digits and `_`",
                spelling::shorten(name)
            ))
        };
    }
    let Some(inner) = rest.strip_prefix('[') else {
        return Err(format!("a step begins with `.` or `[`, not with `{}`", spelling::shorten(rest)));
    };
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, after) = quoted(&inner[1..], quote)?;
        let after = after.strip_prefix(']').ok_or("a `]` is missing after a name")?;
        return Ok((Segment::Name(name), after));
    }
    let (inner, after) = inner.split_once(']').ok_or("a `[` has no `]`")?;
    match inner.trim() {
        "*" => Ok((Segment::All, after)),
        filter if filter.starts_with('?') => Err("filters are not supported".into()),
        several if several.contains([':', ',']) => {
            Err("slices and lists of indexes are not supported".into())
        }
        index => match index.parse() {
            Ok(index) => Ok((Segment::Index(index), after)),
            Err(_) => {
                Err(format!("`[{}]` is neither an index nor a name in quotes", spelling::shorten(index)))
            }
        },
    }
}

/// A text up to its quote, and what comes after that.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | '\'' | '"'))) => name.push(c),
                _ => return Err("in a name, `\\` stands before a quote or another `\\`".into()),
            },
            c if c == quote => return Ok((name, &text[at + 1..])),
            c => name.push(c),
        }
    }
    Err("a quote has no end".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ways_are_read_as_the_standard_writes_them() {
        for (text, shown) in [
            ("$", "$"),
            ("$.predictions", "$.predictions"),
            ("$['a b'][0].x[-1]", "$['a b'][0].x[-1]"),
            ("$.outputs.*[*]", "$.outputs[*][*]"),
            (r#"$["it's"]"#, r"$['it\'s']"),
            ("$.ümlaut_1", "$.ümlaut_1"),
        ] {
            assert_eq!(json_path(text).map(|p| p.to_string()).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn others_say_why() {
        for (text, why) in [
            ("predictions", "does not begin"),
            ("$..a", "`..`"),
            ("$.", "missing after a dot"),
            ("$.a-b", "write `['a-b']`"),
            ("$[?(@.a)]", "filters"),
            ("$[0:2]", "slices"),
            ("$[a]", "neither an index"),
            ("$[0", "no `]`"),
            ("$['a]", "no end"),
            ("$['a'", "missing after a name"),
            ("$a", "begins with"),
            ("$['\\n']", "stands before"),
        ] {
            let wrong = json_path(text).unwrap_err();
            assert!(wrong.message.contains(why), "{text}: {}", wrong.message);
        }
        assert!(json_path(&format!("${}", "[0]".repeat(33))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(names in prop::collection::vec(".{0,6}", 0..5), index in any::<i64>()) {
            let segments = names.into_iter().map(Segment::Name).chain([Segment::Index(index), Segment::All]);
            let path = JsonPath(segments.collect());
            prop_assert_eq!(json_path(&path.to_string()), Ok(path));
        }

        #[test]
        fn no_text_breaks_it(text in "\\$?[.\\[\\]'\"*a0\\\\ü-]{0,12}") {
            let _ = json_path(&text);
        }
    }
}
