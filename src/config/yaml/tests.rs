//! What the reader takes, what it refuses, and that its limits hold.

#![expect(clippy::format_push_string, reason = "texts of tests read better as one format")]

use super::*;
use crate::config::source::Source;
use crate::diag::Diagnostic;

fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let source = Source::of_text("a.yaml".into(), text);
    let mut problems = Problems::new(&source);
    let tree = parse(&mut problems).ok().flatten();
    (tree, problems.into_diagnostics())
}

fn only(text: &str) -> (Code, usize, usize) {
    let (_, found) = read(text);
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0].code, found[0].place.line, found[0].place.column)
}

#[test]
fn every_node_knows_its_bytes() {
    let text = "a:\n  b: 'x y' # note\n  c: [1, {d: e}]\nz: é\n";
    let (tree, found) = read(text);
    assert_eq!(found, []);
    let tree = tree.unwrap();
    let slice = |node: &Node| &text[node.span.clone()];
    let a = &tree.get("a").unwrap().value;
    assert_eq!(slice(a), "b: 'x y' # note\n  c: [1, {d: e}]");
    assert_eq!(slice(&a.get("b").unwrap().value), "'x y'");
    assert_eq!(slice(&a.get("c").unwrap().value), "[1, {d: e}]");
    assert_eq!(slice(&tree.get("z").unwrap().value), "é");
    assert_eq!(&text[tree.get("z").unwrap().key_span.clone()], "z");
}

#[test]
fn keys_are_texts_however_they_look() {
    let (tree, found) = read("1: a\ntrue: b\n~: c\n'': d\n");
    assert_eq!(found, []);
    let tree = tree.unwrap();
    for key in ["1", "true", "~", ""] {
        assert!(tree.get(key).is_some(), "{key:?}");
    }
}

#[test]
fn a_second_key_is_found_where_it_stands_also_in_quotes() {
    assert_eq!(only("a: 1\nb: 2\n'a': 3\n"), (Code::DuplicateKey, 3, 1));
    assert_eq!(only("m: { a: 1, a: 2 }\n"), (Code::DuplicateKey, 1, 12));
}

#[test]
fn refusals_do_not_end_the_reading() {
    let (tree, found) = read("a: &x 1\nb: *x\nc: !!str 2\n<<: {}\n? [k]\n: v\nd: 5\n");
    let codes: Vec<_> = found.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::Anchor, Code::Anchor, Code::Tag, Code::Anchor, Code::KeyNotText]);
    let tree = tree.unwrap();
    assert_eq!(tree.get("d").unwrap().value.data, Data::Integer(5));
    assert!(tree.get("b").unwrap().value.bad && tree.get("c").unwrap().value.bad);
    assert!(!tree.get("a").unwrap().value.bad, "an anchor does no harm to its value");
}

#[test]
fn depth_is_limited_for_both_styles() {
    assert_eq!(only(&"[".repeat(100_000)).0, Code::TooComplex);
    assert_eq!(only(&"{a: ".repeat(100_000)).0, Code::TooComplex);
    let block: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<Vec<_>>().concat();
    assert_eq!(only(&block).0, Code::TooComplex);
    assert_eq!(only(&"- ".repeat(1000)).0, Code::TooComplex);
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(read(&deep).1, []);
}

#[test]
fn the_number_of_nodes_is_limited() {
    let (tree, found) = read(&format!("[{}]", "1,".repeat(500_000)));
    assert!(tree.is_none());
    assert_eq!(found[0].code, Code::TooComplex);
    // It stopped at the limit: the place is where the first value too many stands.
    assert_eq!(found[0].place.column, 1 + 2 * MAX_NODES + 1);
}

#[test]
fn an_alias_bomb_does_not_even_tick() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='j').zip('a'..) {
        text += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(","));
    }
    let (_, found) = read(&text);
    assert!(found.iter().all(|d| d.code == Code::Anchor), "{found:?}");
    assert_eq!(found.len(), 10 + 9 * 9);
}

#[test]
fn complaints_are_limited_too() {
    let (_, found) = read(&"a: 1\n".repeat(5000));
    assert!(found.len() < 1000);
    assert_eq!(found.last().unwrap().code, Code::TooManyProblems);
}

#[test]
fn broken_syntax_has_its_place() {
    for (text, line, column) in
        [("a: [1, 2\n", 1, 4), ("a: 'x\n", 1, 4), ("a: b: c\n", 1, 5), ("a: @b\n", 1, 4), ("a: }\n", 1, 4)]
    {
        assert_eq!(only(text), (Code::Syntax, line, column), "{text:?}");
    }
}

#[test]
fn space_comments_and_end_marks_are_no_document() {
    for text in ["", "\n \n", "# only\n", "...\n"] {
        let (tree, found) = read(text);
        assert!(tree.is_none() && found.is_empty(), "{text:?}");
    }
}
