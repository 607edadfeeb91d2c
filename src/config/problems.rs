//! Collecting complaints, each about a place of the tree.

use super::source::Source;
use super::tree::{Data, Node};
use crate::diag::{Code, Diagnostic, Place, Severity};
use std::ops::Range;

/// As many complaints about one file as anybody reads; it also bounds the memory that a hostile file takes.
const MAX_PROBLEMS: usize = 200;

/// Complaints without the text that they are about.
#[derive(Clone, Default)]
pub(super) struct Found {
    shown: Vec<Diagnostic>,
    more: usize,
}

/// All complaints about one file.
pub(super) struct Problems<'s> {
    source: &'s Source,
    found: Found,
}

impl<'s> Problems<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self::after(source, Found::default())
    }

    /// Goes on where somebody else stopped.
    pub(super) fn after(source: &'s Source, found: Found) -> Self {
        Self { source, found }
    }

    /// For [`Problems::after`].
    pub(super) fn into_found(self) -> Found {
        self.found
    }

    pub(super) fn source(&self) -> &'s Source {
        self.source
    }

    /// Complains about bytes; `None`: about the whole file.
    pub(super) fn at(
        &mut self,
        code: Code,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, code, span, message.into(), help.into());
    }

    /// Complains about a node, unless something in it has been complained about: one mistake, one complaint.
    pub(super) fn error(
        &mut self,
        code: Code,
        at: &At<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if !at.is_doubtful() {
            self.push(Severity::Error, code, at.span(), message.into(), help.into());
        }
    }

    /// The same, about something that can be lived with.
    pub(super) fn warning(
        &mut self,
        code: Code,
        at: &At<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if !at.is_doubtful() {
            self.push(Severity::Warning, code, at.span(), message.into(), help.into());
        }
    }

    fn push(
        &mut self,
        severity: Severity,
        code: Code,
        span: Option<Range<usize>>,
        message: String,
        help: String,
    ) {
        if self.is_full() {
            self.found.more += 1;
            return;
        }
        let place = self.place(span);
        self.found.shown.push(Diagnostic { severity, code, place, message, help: Some(help) });
    }

    /// Whether no more complaints are shown, so that no work should go into them.
    pub(super) fn is_full(&self) -> bool {
        self.found.shown.len() >= MAX_PROBLEMS
    }

    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        span.map_or_else(|| Place::file(self.source.path().clone()), |span| self.source.place(span))
    }

    /// In the order of the file.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let Found { mut shown, more } = self.found;
        shown.sort_by(|a, b| {
            (a.place.line, a.place.column, a.code).cmp(&(b.place.line, b.place.column, b.code))
        });
        if more > 0 {
            shown.push(Diagnostic {
                severity: Severity::Error,
                code: Code::TooManyProblems,
                place: Place::file(self.source.path().clone()),
                message: format!("{more} more problems in this file are not shown"),
                help: Some("correct the ones above first".into()),
            });
        }
        shown
    }
}

/// Whether one of them is an error.
pub(super) fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

/// A place of the tree, reached by the names of fields: `At::root(&tree).at("upstreams").at("v2").at("url")`.
///
/// A place that is not in the file stands for the nearest one that is.
#[derive(Clone)]
pub(super) struct At<'t> {
    node: Option<&'t Node>,
    /// The key before the node; of a missing node the span of what it is missing in.
    near: Option<Range<usize>>,
}

impl<'t> At<'t> {
    pub(super) fn root(node: &'t Node) -> Self {
        Self { node: Some(node), near: None }
    }

    /// The value under a key.
    pub(super) fn at(&self, key: &str) -> Self {
        match self.node.and_then(|n| n.get(key)) {
            Some(entry) => Self { node: Some(&entry.value), near: Some(entry.key_span.clone()) },
            None => Self { node: None, near: self.span() },
        }
    }

    /// An item of a list.
    pub(super) fn item(&self, index: usize) -> Self {
        match self.node.map(|n| &n.data) {
            Some(Data::List(items)) if index < items.len() => {
                Self { node: Some(&items[index]), near: Some(items[index].span.clone()) }
            }
            _ => Self { node: None, near: self.span() },
        }
    }

    /// A key itself.
    pub(super) fn key(&self, key: &str) -> Self {
        let entry = self.node.and_then(|n| n.get(key));
        Self { node: None, near: entry.map_or_else(|| self.span(), |e| Some(e.key_span.clone())) }
    }

    /// Whether it is in the file.
    pub(super) fn is_there(&self) -> bool {
        self.node.is_some()
    }

    /// Whether something in it has been complained about.
    pub(super) fn is_doubtful(&self) -> bool {
        self.node.is_some_and(Node::is_doubtful)
    }

    /// Its bytes, or those of its key where that reads better; `None` for the whole file.
    pub(super) fn span(&self) -> Option<Range<usize>> {
        match self.node {
            Some(node) => shown_span(node, self.near.as_ref()),
            None => self.near.clone(),
        }
    }
}

/// A value in one piece is shown itself; an empty one and one by indentation through its key.
pub(super) fn shown_span(node: &Node, key: Option<&Range<usize>>) -> Option<Range<usize>> {
    let by_key = node.span.is_empty() || node.style == super::tree::Style::Block;
    match key {
        Some(key) if by_key => Some(key.clone()),
        // The root: the whole file is meant.
        None if matches!(node.data, Data::Map(_)) && node.style == super::tree::Style::Block => None,
        _ => Some(node.span.clone()),
    }
}
