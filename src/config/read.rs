//! A gateway file, read as far as it can be without what it refers to.
//!
//! Reading is most of the work of an edit. Who has to know early what a file refers to hands on what it read.

use super::problems::{Found, Problems};
use super::source::Source;
use super::tree::Node;
use super::{Context, Document, Loaded, Reference, check, loaded, raw, read_gateway};
use crate::diag::Diagnostic;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A gateway file, and what was read of it, if somebody did.
#[derive(Clone)]
pub struct Read {
    document: Document,
    parsed: Option<Arc<Parsed>>,
}

/// What is in the text.
pub(super) struct Parsed {
    pub(super) source: Source,
    /// The tree and its fields, if it is a tree at all.
    pub(super) content: Option<(Node, raw::Gateway)>,
    /// What is wrong so far.
    pub(super) found: Found,
}

impl Parsed {
    fn new(document: &Document) -> Result<Self, Box<Diagnostic>> {
        let source = Source::new(document)?;
        let mut problems = Problems::new(&source);
        let content = read_gateway(&mut problems);
        let found = problems.into_found();
        Ok(Self { source, content, found })
    }
}

impl Read {
    /// Reads a gateway file.
    pub fn new(document: Document) -> Self {
        let parsed = Parsed::new(&document).ok().map(Arc::new);
        Self { document, parsed }
    }

    /// The file.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The file alone.
    pub fn into_document(self) -> Document {
        self.document
    }

    /// What a gateway file itself refers to: with the files of the settings, the keys of [`Context::attached`].
    pub fn references(&self) -> BTreeSet<Reference> {
        let Ok(parsed) = self.parsed() else { return BTreeSet::new() };
        let raw = parsed.content.as_ref().map(|(_, raw)| raw);
        raw.map(|raw| check::references(raw, Path::new(&*self.document.path))).unwrap_or_default()
    }

    /// Checks it.
    pub fn load(&self, context: &Context<'_>) -> Loaded {
        loaded(self, context)
    }

    /// What is in it, or why that cannot be said.
    pub(super) fn parsed(&self) -> Result<Arc<Parsed>, Box<Diagnostic>> {
        self.parsed.clone().map_or_else(|| Parsed::new(&self.document).map(Arc::new), Ok)
    }
}

/// To be read when somebody wants to know: what is read takes many times the memory of its text.
impl From<Document> for Read {
    fn from(document: Document) -> Self {
        Self { document, parsed: None }
    }
}

impl PartialEq for Read {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

impl Eq for Read {}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}
