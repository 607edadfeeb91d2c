//! From text to tree: the only reader of YAML, with limits that hold before anything is built.
//!
//! Gateway files are the part of YAML that reads the same to everybody. Anchors, aliases, merge keys, tags and
//! directives are refused with a sentence, and so is a key that comes twice. After each of these the reading
//! goes on, so that all of them are found at once; broken syntax and broken limits end it.

mod syntax;

use super::problems::Problems;
use super::spelling::shorten;
use super::tree::{Data, Entries, Entry, Node, Style, resolve};
use crate::diag::Code;
use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle};
use std::ops::Range;

/// How deep lists and maps may be nested.
const MAX_DEPTH: usize = 64;
/// How many values and keys a file may have.
const MAX_NODES: usize = 50_000;

/// The text cannot be read as a whole; the problems say why.
pub(super) struct Unreadable;

/// Reads the first document; `None` when there is nothing but comments and space.
pub(super) fn parse(problems: &mut Problems<'_>) -> Result<Option<Node>, Unreadable> {
    let text = problems.source().text();
    let mut builder = Builder { problems, open: Vec::new(), root: None, nodes: 0, tag: None };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options()) {
        let (event, span) = match event {
            Ok((event, span)) => {
                builder.tag = span.tag_span().map(|tag| bytes(&tag));
                (event, bytes(&span))
            }
            Err(error) => {
                builder.refuse(&error);
                return Err(Unreadable);
            }
        };
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents == 2 {
                let help = "put each document into a file of its own";
                builder.problems.at(
                    Code::SeveralDocuments,
                    Some(span),
                    "a second YAML document begins here",
                    help,
                );
                break;
            }
            continue;
        }
        builder.event(event, span)?;
    }
    Ok(builder.root)
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    options.emit_anchor_events = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options
}

fn bytes(span: &Span) -> Range<usize> {
    // Spans of a text have byte offsets, always.
    span.byte_range().unwrap_or_default()
}

/// A list or a map whose end is not read yet.
enum Open {
    List(Collection, Vec<Node>),
    Map(Collection, Entries, Option<Key>),
}

struct Collection {
    start: usize,
    style: Style,
    /// It is itself refused, for a tag.
    bad: bool,
    /// A key of it was refused.
    incomplete: bool,
}

/// A key that waits for its value.
enum Key {
    Good(String, Range<usize>),
    /// Somebody complained; the value is dropped.
    Refused,
}

struct Builder<'p, 's> {
    problems: &'p mut Problems<'s>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    /// Where the tag of the present event is written.
    tag: Option<Range<usize>>,
}

impl Builder<'_, '_> {
    /// Takes one event.
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Unreadable> {
        match event {
            Event::Scalar(text, style, ..) => {
                let bad = self.tagged();
                let node = scalar(&text, style, span);
                return self.add(if bad { spoiled(node) } else { node });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.alias(&span);
                return self.add(spoiled(Node {
                    span,
                    data: Data::Null,
                    style: Style::Plain,
                    bad: true,
                    incomplete: false,
                }));
            }
            Event::Anchor(..) => {
                let help = "write the value out at each place that needs it; to write a text that begins with `&`, put it in quotes";
                self.problems.at(Code::Anchor, Some(span), "anchors are not used in these files", help);
            }
            Event::SequenceStart(style, ..) => {
                let collection = self.collection(span.start, style);
                self.open.push(Open::List(collection, Vec::new()));
            }
            Event::MappingStart(style, ..) => {
                let collection = self.collection(span.start, style);
                self.open.push(Open::Map(collection, Entries::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(span),
            _ => {}
        }
        Ok(())
    }

    fn collection(&mut self, start: usize, style: StructureStyle) -> Collection {
        let bad = self.tagged();
        let style = match style {
            StructureStyle::Block => {
                self.indentation(start);
                Style::Block
            }
            StructureStyle::Flow => Style::Flow,
        };
        Collection { start, style, bad, incomplete: false }
    }

    /// The parser takes a tab before the very first key for space; nobody else does.
    fn indentation(&mut self, start: usize) {
        let source = self.problems.source();
        let line = source.line_span(source.line(start)).start;
        let before = source.slice(&(line..start));
        if before.contains('\t') && before.trim().is_empty() {
            let (message, help) = syntax::TAB;
            self.problems.at(Code::Syntax, Some(line..start), message, help);
        }
    }

    fn close(&mut self, span: Range<usize>) -> Result<(), Unreadable> {
        let (collection, data, last) = match self.open.pop() {
            Some(Open::List(c, items)) => {
                let last = items.last().map(|n| n.span.end);
                (c, Data::List(items), last)
            }
            Some(Open::Map(c, entries, _)) => {
                let last = entries.last().map(|(_, e)| e.value.span.end.max(e.key_span.end));
                (c, Data::Map(entries), last)
            }
            None => return Ok(()),
        };
        // By indentation, the parser sees the end only where the next thing begins.
        let end = if collection.style == Style::Flow { span.end } else { last.unwrap_or(collection.start) };
        let node = Node {
            span: collection.start..end.max(collection.start),
            data,
            style: collection.style,
            bad: false,
            incomplete: collection.incomplete,
        };
        self.add(if collection.bad { spoiled(node) } else { node })
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node) -> Result<(), Unreadable> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            self.problems.at(Code::TooComplex, Some(node.span), message, "describe one gateway in each file");
            return Err(Unreadable);
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key @ Some(_))) => {
                if let Some(Key::Good(key, key_span)) = key.take() {
                    entries.insert(key, Entry { key_span, value: node });
                }
            }
            Some(Open::Map(..)) => {
                let judged = self.key(node);
                if let Some(Open::Map(collection, _, key)) = self.open.last_mut() {
                    collection.incomplete |= matches!(judged, Key::Refused);
                    *key = Some(judged);
                }
            }
        }
        Ok(())
    }

    /// Judges a key of the innermost map.
    fn key(&mut self, node: Node) -> Key {
        let source = self.problems.source();
        let text = match node.data {
            Data::List(_) | Data::Map(_) => {
                let help = "write the key as a simple text; a text with brackets or braces needs quotes";
                self.problems.at(Code::KeyNotText, Some(node.span), "a list or a map cannot be a key", help);
                return Key::Refused;
            }
            _ if node.bad => return Key::Refused,
            Data::Text(text) => text,
            _ => source.slice(&node.span).to_owned(),
        };
        if text == "<<" && node.style == Style::Plain {
            let help = "write the keys out at each place that needs them";
            self.problems.at(Code::Anchor, Some(node.span), "merge keys are not used in these files", help);
            return Key::Refused;
        }
        if let Some(Open::Map(_, entries, _)) = self.open.last()
            && let Some(first) = entries.get(&text)
        {
            let line = source.line(first.key_span.start) + 1;
            let message = format!("`{}` comes twice here, first in line {line}", shorten(&text));
            self.problems.at(Code::DuplicateKey, Some(node.span), message, "keep one of them");
            return Key::Refused;
        }
        Key::Good(text, node.span)
    }

    /// Refuses the tag of the present event, if it has one.
    fn tagged(&mut self) -> bool {
        let tag = self.tag.take();
        let tagged = tag.is_some();
        if tagged {
            self.problems.at(Code::Tag, tag, syntax::TAG.0, syntax::TAG.1);
        }
        tagged
    }

    fn alias(&mut self, span: &Range<usize>) {
        let written = shorten(self.problems.source().slice(span));
        let message = format!("`{written}` is an alias of YAML, which these files do not use");
        let help = format!("if it is meant as text, put it in quotes: \"{written}\"");
        self.problems.at(Code::Anchor, Some(span.clone()), message, help);
    }

    fn refuse(&mut self, error: &ScanError) {
        let place = error.marker().byte_offset().unwrap_or_default();
        let (code, message, help) = syntax::explain(error, MAX_DEPTH);
        let end =
            self.problems.source().text()[place.min(self.problems.source().text().len())..].chars().next();
        let span = place..place + end.map_or(0, char::len_utf8);
        self.problems.at(code, Some(span), message, help);
    }
}

fn scalar(text: &str, style: ScalarStyle, span: Range<usize>) -> Node {
    let quoted = |style| (Data::Text(text.to_owned()), style);
    let (data, style) = match style {
        ScalarStyle::Plain => (resolve(text), Style::Plain),
        ScalarStyle::SingleQuoted => quoted(Style::SingleQuoted),
        ScalarStyle::DoubleQuoted => quoted(Style::DoubleQuoted),
        _ => quoted(Style::Block),
    };
    Node { span, data, style, bad: false, incomplete: false }
}

fn spoiled(mut node: Node) -> Node {
    node.spoil();
    node
}

#[cfg(test)]
mod tests;
