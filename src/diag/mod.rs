//! What we tell people about their files: a code, a place, a sentence, and what to do.
//!
//! A user's mistake is a value, not an error: `config` collects all of them, `cli` prints them, `control` shows
//! them beside the gateway. Every code has a page in `docs/errors/`.

mod code;
mod render;

pub use code::Code;
pub use render::{Style, render};

use serde::Serialize;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; something in it is probably not what was meant.
    Warning,
}

/// One complaint about one place of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub code: Code,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// One sentence that names the thing, without a full stop.
    pub message: String,
    /// What to do, as an imperative.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The same without the line that it quotes.
    #[must_use]
    pub fn without_line(&self) -> Self {
        Self { place: Place { text: String::new(), offset: 0, ..self.place.clone() }, ..self.clone() }
    }
}

/// A place in a file, for people and for editors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as the user knows it.
    pub file: Arc<str>,
    /// From 1; 0 when the whole file is meant.
    pub line: usize,
    /// From 1, in characters; 0 when the whole file is meant.
    pub column: usize,
    /// How many characters of the line are meant; at least 1 when there is a column.
    pub length: usize,
    /// The line itself, without its end, or nothing for those who may not see it; of a very long one the part around the place, with `…` where it is cut.
    pub text: String,
    /// How many characters of the line come before `text`; 0 unless the line is very long.
    pub offset: usize,
}

impl Place {
    /// A whole file.
    pub fn file(file: Arc<str>) -> Self {
        Self { file, line: 0, column: 0, length: 0, text: String::new(), offset: 0 }
    }
}
