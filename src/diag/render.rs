//! Diagnostics as text for a terminal, in the form that people know from compilers.
//!
//! What comes from the user's file is escaped: neither a control character nor a change of writing direction
//! may reach the terminal from there.

use super::{Diagnostic, Place, Severity};
use std::borrow::Cow;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Whether to use the colours of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For files, pipes and tests.
    Plain,
    /// With ANSI escapes.
    Colour,
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

impl Style {
    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// All of them, one after the other with an empty line between; each ends with a line end.
pub fn render(diagnostics: &[Diagnostic], style: Style) -> String {
    diagnostics.iter().map(|d| one(d, style)).collect::<Vec<_>>().join("\n")
}

fn one(diagnostic: &Diagnostic, style: Style) -> String {
    let Diagnostic { severity, code, place, message, help } = diagnostic;
    let (colour, word) = match severity {
        Severity::Error => (RED, "error"),
        Severity::Warning => (YELLOW, "warning"),
    };
    let head = style.paint(colour, &format!("{word}[{code}]"));
    let mut out = format!("{head}{}\n", style.paint(BOLD, &format!(": {}", escape(message))));
    let indent = place.line.max(1).to_string().len() + 1;
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{:indent$}{} {}", "", style.paint(BLUE, "-->"), escape(&place.file));
    if place.line > 0 {
        let _ = write!(out, ":{}:{}", place.line, place.column);
        out.push('\n');
        excerpt(&mut out, place, indent, colour, style);
    } else {
        out.push('\n');
    }
    if let Some(help) = help {
        let (mark, word) = (style.paint(BLUE, "="), style.paint(BOLD, "help:"));
        let _ = writeln!(out, "{:indent$} {mark} {word} {}", "", escape(help));
    }
    out
}

/// The line and a caret under each character that is meant.
fn excerpt(out: &mut String, place: &Place, indent: usize, colour: &str, style: Style) {
    let before = place.column.saturating_sub(1 + place.offset);
    let split = |n: usize| place.text.char_indices().nth(n).map_or(place.text.len(), |(i, _)| i);
    let (start, end) = (split(before), split(before + place.length));
    let pad = escape(&place.text[..start]).width();
    let carets = escape(&place.text[start..end]).width().max(1);
    let bar = style.paint(BLUE, "|");
    let _ = writeln!(out, "{:indent$} {bar}", "");
    let line = style.paint(BLUE, &format!("{:>indent$}", place.line));
    let _ = writeln!(out, "{}", format!("{line} {bar} {}", escape(&place.text)).trim_end());
    let _ = writeln!(out, "{:indent$} {bar} {:pad$}{}", "", "", style.paint(colour, &"^".repeat(carets)));
}

/// Tabs as four spaces; other characters that act instead of being seen as escapes.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if acts(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn or hide text (Unicode UAX #9, and zero-width ones).
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    fn diagnostic(text: &str, column: usize, length: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: Code::TrafficSum,
            place: Place { file: "a.yaml".into(), line: 12, column, length, text: text.into(), offset: 0 },
            message: "wrong".into(),
            help: Some("do it right".into()),
        }
    }

    #[test]
    fn carets_stand_under_wide_characters_and_tabs() {
        let plain = render(&[diagnostic("\tモデル: 値", 7, 1)], Style::Plain);
        let expected = "error[T001]: wrong\n   --> a.yaml:12:7\n    |\n 12 |     モデル: 値\n    |             ^^\n    = help: do it right\n";
        assert_eq!(plain, expected);
    }

    #[test]
    fn nothing_of_the_file_acts_on_the_terminal() {
        let text = render(&[diagnostic("a: \u{1b}[2J\u{202e}x", 4, 3)], Style::Plain);
        assert!(text.contains(r"a: \u{1b}[2J\u{202e}x"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_whole_file_has_no_excerpt_and_colours_only_add() {
        let whole = Diagnostic { place: Place::file("a.yaml".into()), ..diagnostic("", 0, 0) };
        assert_eq!(
            render(std::slice::from_ref(&whole), Style::Plain),
            "error[T001]: wrong\n  --> a.yaml\n   = help: do it right\n"
        );
        let coloured = render(&[whole], Style::Colour);
        assert!(coloured.starts_with("\x1b[1;31merror[T001]\x1b[0m"), "{coloured}");
    }
}
