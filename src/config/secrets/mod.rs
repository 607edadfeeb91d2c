//! The files that hold secrets: what their lines mean, and how one line is changed.
//!
//! Nothing that is said about such a file repeats what is in it, not even a name: what stands before the colon
//! of a broken line may be a password.

pub(super) mod headers;
pub(super) mod jwks;
pub(super) mod keys;
pub(super) mod users;

use crate::diag::{Code, Severity};

/// As many lines as a message names.
const MAX_LINES: usize = 5;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) what: String,
    pub(super) help: &'static str,
}

impl Fault {
    fn error(code: Code, what: impl Into<String>, help: &'static str) -> Self {
        Self { severity: Severity::Error, code, what: what.into(), help }
    }
}

/// Each fault once, with the numbers of its lines, in the order in which they first come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(Vec<(Fault, Vec<usize>)>);

impl Faults {
    fn add(&mut self, line: usize, fault: Fault) {
        match self.0.iter_mut().find(|(known, _)| *known == fault) {
            Some((_, lines)) => lines.push(line),
            None => self.0.push((fault, vec![line])),
        }
    }

    /// Each fault and a sentence about it; `origin` is the file as messages name it.
    pub(super) fn told<'f>(&'f self, origin: &'f str) -> impl Iterator<Item = (&'f Fault, String)> {
        self.0
            .iter()
            .map(move |(fault, lines)| (fault, format!("{} of {origin}: {}", named(lines), fault.what)))
    }
}

/// `line 3`, or `lines 3, 5 and 7 more`.
fn named(lines: &[usize]) -> String {
    let some: Vec<_> = lines.iter().take(MAX_LINES).map(ToString::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    match lines.len().saturating_sub(MAX_LINES) {
        0 => format!("{word} {}", some.join(", ")),
        more => format!("{word} {} and {more} more", some.join(", ")),
    }
}

/// The lines that say something, by their numbers, without their ends: neither blank ones nor comments.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let all = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    all.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// Whether a text is one word of visible ASCII, as headers carry it without any doubt.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A name before the colon: of a user or a client.
fn is_name(text: &str) -> bool {
    is_visible(text) && text.len() <= 255 && !text.contains(':') && !text.starts_with('#')
}

/// A text with one more line, which ends as the others do.
fn with_line(text: &str, line: &str) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    format!("{text}{gap}{line}{end}")
}

/// What is wrong with a name that a person gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretEditError {
    /// A user or a client.
    #[error(
        "a name has 1 to 255 letters, digits and signs of ASCII, without a colon or a space, and does not begin with `#`"
    )]
    Name,
}
