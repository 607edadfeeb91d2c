//! The text of one file, and where a range of its bytes is for people.

use super::{Content, Document};
use crate::diag::{Code, Diagnostic, Place, Severity};
use std::ops::Range;
use std::sync::Arc;

/// The largest file that is read, in bytes: a hundred times the largest honest one.
pub const MAX_FILE: u64 = 1 << 20;

/// The longest part of a line that a [`Place`] shows, in characters.
const MAX_SHOWN: usize = 160;

/// A file as text, without a byte order mark.
pub(super) struct Source {
    path: Arc<str>,
    text: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
}

impl Source {
    /// Takes the text of a document, or says why there is none.
    pub(super) fn new(document: &Document) -> Result<Self, Box<Diagnostic>> {
        let whole = |code, message: String, help: &str| {
            let (place, help) = (Place::file(document.path.clone()), Some(help.to_owned()));
            Box::new(Diagnostic { severity: Severity::Error, code, place, message, help })
        };
        let too_large = |size: u64| {
            let message = format!("the file has {size} bytes; at most {MAX_FILE} are read");
            whole(Code::TooLarge, message, "describe one gateway in each file, and keep data elsewhere")
        };
        let bytes = match &document.content {
            Content::Text(bytes) if bytes.len() as u64 > MAX_FILE => {
                return Err(too_large(bytes.len() as u64));
            }
            Content::Text(bytes) => bytes,
            Content::TooLarge(size) => return Err(too_large(*size)),
            Content::Unreadable(why) => {
                let message = format!("the file cannot be read: {why}");
                return Err(whole(Code::Unreadable, message, "let the user that runs Serin read this file"));
            }
        };
        let (good, bad) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(e) => (
                std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
                bytes.get(e.valid_up_to()),
            ),
        };
        let source = Self::of_text(document.path.clone(), good);
        let end = source.text.len();
        if let Some(byte) = bad {
            let message = format!("the byte 0x{byte:02x} is not text in UTF-8");
            return Err(source
                .error(Code::Encoding, end..end, message, "save the file with the encoding UTF-8")
                .into());
        }
        if let Some(i) = source.text.bytes().position(|b| b == 0) {
            let message = "a NUL byte is in the text".to_owned();
            return Err(source
                .error(
                    Code::Encoding,
                    i..i + 1,
                    message,
                    "save the file as plain text with the encoding UTF-8",
                )
                .into());
        }
        Ok(source)
    }

    /// A text that is known to be one.
    pub(super) fn of_text(path: Arc<str>, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = vec![0];
        let bytes = text.as_bytes();
        for (i, b) in bytes.iter().enumerate() {
            if *b == b'\n' || (*b == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                lines.push(i + 1);
            }
        }
        Self { path, text: text.to_owned(), lines }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// What is written at a place; empty outside the text.
    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The index of the line in which a byte is.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// The bytes of a line without its end.
    pub(super) fn line_span(&self, line: usize) -> Range<usize> {
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        start..start + self.text[start..end].trim_end_matches(['\r', '\n']).len()
    }

    /// Where a span is, for people. Of a span over several lines the part in the first one counts.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let line = self.line(start);
        let whole = self.line_span(line);
        let start = start.min(whole.end);
        let end = self.text.floor_char_boundary(span.end.clamp(start, whole.end));
        let before = self.text[whole.start..start].chars().count();
        let length = self.text[start..end].chars().count().max(1);
        let (text, offset) = shown(&self.text[whole], before, length);
        Place { file: self.path.clone(), line: line + 1, column: before + 1, length, text, offset }
    }

    fn error(&self, code: Code, span: Range<usize>, message: String, help: &str) -> Diagnostic {
        let help = Some(help.to_owned());
        Diagnostic { severity: Severity::Error, code, place: self.place(span), message, help }
    }
}

/// The part of a line to show around a place, and how many characters are cut off before it.
fn shown(line: &str, before: usize, length: usize) -> (String, usize) {
    let total = line.chars().count();
    if total <= MAX_SHOWN {
        return (line.to_owned(), 0);
    }
    // The caret in view, with a third of the view before it.
    let start = before.saturating_sub(MAX_SHOWN.saturating_sub(length).max(MAX_SHOWN / 3) / 2);
    let start = start.min(total - MAX_SHOWN);
    let mut text: Vec<char> = line.chars().skip(start).take(MAX_SHOWN).collect();
    if start > 0 {
        text[0] = '…';
    }
    if start + MAX_SHOWN < total {
        text[MAX_SHOWN - 1] = '…';
    }
    (text.into_iter().collect(), start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of_text("a.yaml".into(), text)
    }

    #[test]
    fn lines_end_in_every_way_that_yaml_knows() {
        let source = source("a\nb\r\nc\rd");
        let at = |byte: usize| {
            let p = source.place(byte..byte + 1);
            (p.line, p.column, p.text)
        };
        assert_eq!(at(0), (1, 1, "a".into()));
        assert_eq!(at(2), (2, 1, "b".into()));
        assert_eq!(at(5), (3, 1, "c".into()));
        assert_eq!(at(7), (4, 1, "d".into()));
    }

    #[test]
    fn columns_count_characters_and_a_byte_order_mark_is_none() {
        let source = source("\u{feff}é: x");
        let place = source.place(4..5);
        assert_eq!((place.column, place.length), (4, 1));
    }

    #[test]
    fn of_a_very_long_line_the_part_around_the_place_is_kept() {
        let source = source(&format!("{}HERE{}", "x".repeat(5000), "y".repeat(5000)));
        let place = source.place(5000..5004);
        assert_eq!(place.text.chars().count(), MAX_SHOWN);
        let from = place.column - 1 - place.offset;
        assert_eq!(place.text.chars().skip(from).take(4).collect::<String>(), "HERE");
        assert!(place.text.starts_with('…') && place.text.ends_with('…'));
    }
}
