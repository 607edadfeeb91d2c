//! The one place that prints.

use crate::diag::{Diagnostic, Severity, Style, render};
use std::cell::Cell;
use std::io::{ErrorKind, IsTerminal, Stderr, Stdout, Write};

/// In which form data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// Standard output and standard error. A reader that goes away (`serin get | head`) is not an error; a full disk is.
#[derive(Debug)]
pub(super) struct Output {
    data: Stdout,
    news: Stderr,
    colour: Style,
    colour_errors: Style,
    lost: Cell<bool>,
    /// Whether the last line is one that lives.
    alive: Cell<bool>,
}

impl Output {
    pub(super) fn new() -> Self {
        let style = |terminal| if terminal { Style::Colour } else { Style::Plain };
        let (data, news) = (std::io::stdout(), std::io::stderr());
        let (colour, colour_errors) = (style(data.is_terminal()), style(news.is_terminal()));
        Self { data, news, colour, colour_errors, lost: Cell::new(false), alive: Cell::new(false) }
    }

    /// Data, as it is.
    pub(super) fn text(&self, text: &str) {
        self.end_live();
        self.write(text);
    }

    /// On a terminal, a line that lives: the next one takes its place. It should be shorter than terminals are wide.
    pub(super) fn live(&self, text: &str) {
        if self.is_terminal() {
            self.end_live();
            self.write(text);
            self.alive.set(true);
        }
    }

    fn end_live(&self) {
        if self.alive.replace(false) {
            self.write("\r\x1b[2K"); // ECMA-48: to the begin of the line, and erase it
        }
    }

    fn write(&self, text: &str) {
        let written = (&self.data).write_all(text.as_bytes()).and_then(|()| (&self.data).flush());
        if let Err(error) = written
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.lost.set(true);
            self.note(&format!("cannot write the output: {error}"));
        }
    }

    /// Whether data could not be written.
    pub(super) fn has_lost_data(&self) -> bool {
        self.lost.get()
    }

    /// Data, one line.
    pub(super) fn line(&self, text: &str) {
        self.text(&format!("{text}\n"));
    }

    /// Whether people read the data.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.colour, Style::Colour)
    }

    /// News for people, which are not data.
    pub(super) fn note(&self, text: &str) {
        self.end_live();
        // There is nobody left to tell.
        let _ = writeln!(&self.news, "{text}");
    }

    /// An error with its causes.
    pub(super) fn error(&self, error: &anyhow::Error) {
        let prefix = match self.colour_errors {
            Style::Colour => "\x1b[1;31merror\x1b[0m",
            Style::Plain => "error",
        };
        self.note(&format!("{prefix}: {error:#}"));
    }

    /// Complaints about files, with their lines and a count.
    pub(super) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        if diagnostics.is_empty() {
            return;
        }
        let _ = (&self.news).write_all(render(diagnostics, self.colour_errors).as_bytes());
        let count = |severity, word: &str| {
            let n = diagnostics.iter().filter(|d| d.severity == severity).count();
            (n > 0).then(|| format!("{n} {word}{}", if n == 1 { "" } else { "s" }))
        };
        let counts: Vec<String> = [count(Severity::Error, "error"), count(Severity::Warning, "warning")]
            .into_iter()
            .flatten()
            .collect();
        self.note(&format!("\n{}", counts.join(", ")));
    }

    /// Data in one of the forms for programs; false for a table, which the caller makes.
    pub(super) fn data(&self, format: Format, value: &impl serde::Serialize) -> anyhow::Result<bool> {
        match format {
            Format::Table => return Ok(false),
            Format::Json => self.line(&serde_json::to_string_pretty(value)?),
            Format::Yaml => self.text(&serde_yaml::to_string(value)?),
        }
        Ok(true)
    }

    /// Columns as wide as their content.
    pub(super) fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        self.text(&table(head, rows));
    }
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_content() {
        let rows = [vec!["fraud".into(), "x".into()], vec!["a".into(), "long".into()]];
        assert_eq!(super::table(&["NAME", "B"], &rows), "NAME   B\nfraud  x\na      long\n");
    }
}
