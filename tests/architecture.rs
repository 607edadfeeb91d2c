//! The house rules: who may know whom, and how a file looks. In one crate no compiler guards the borders, so this does.
//!
//! It sees names, not meaning: `use`, paths, and the words inside macros. A re-export could hide an edge, hence the
//! rule that no room re-exports another.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// A room of `src` or a file in one, the rooms that it may use, and the crates. `std` and `thiserror` are free to
/// all. A row for a file stands in place of its room's; a room's row is for all its other files.
const HOUSE: &[(&str, &str, &str)] = &[
    // Words and numbers.
    ("names", "", "serde"),
    ("weight", "names", "serde"),
    ("clock", "", "jiff serde"),
    ("latest", "", "arc_swap tokio"),
    ("client", "", "reqwest rustls"),
    ("replace", "config", "rustix tempfile"),
    ("diag", "", "serde unicode_width"),
    ("stats", "", "serde"),
    ("simulate", "stats", "serde"),
    ("simulate/file.rs", "model weight", ""),
    ("simulate/vectors.rs", "stats", "serde serde_json"),
    // What is decided: no runtime, no file, no socket.
    ("model", "names weight", ""),
    ("model/secret.rs", "", "base64"),
    ("model/session.rs", "names", "base64 ring"),
    (
        "config",
        "diag model names weight",
        "base64 indexmap regex regex_syntax serde serde_json serde_yaml strsim url",
    ),
    ("config/pair.rs", "model", "rustls"),
    ("config/pem.rs", "model", "rustls_pki_types"),
    ("config/validity.rs", "clock", "x509_parser"),
    ("config/yaml.rs", "diag", "granit_parser"),
    ("config/yaml/syntax.rs", "diag", "granit_parser"),
    ("config/raw/affinity.rs", "", "schemars serde"),
    ("config/raw/authentication.rs", "", "indexmap schemars serde serde_json"),
    ("config/raw/gateway.rs", "", "indexmap schemars serde serde_json"),
    ("config/raw/matches.rs", "", "indexmap schemars serde"),
    ("config/raw/metric.rs", "", "schemars serde serde_json"),
    ("config/raw/told.rs", "", "schemars serde serde_json"),
    ("config/raw/rollout.rs", "", "schemars serde serde_json"),
    ("config/raw/scalar.rs", "", "schemars serde"),
    ("config/raw/schema.rs", "", "schemars serde_json"),
    ("config/raw/settings.rs", "", "indexmap schemars serde"),
    ("config/raw/shadow.rs", "", "schemars serde"),
    ("config/raw/upstream.rs", "", "schemars serde"),
    ("resource", "", "blake3 bytes envoy_types prost prost_reflect"),
    ("translate", "model names resource weight", "bytes envoy_types prost"),
    ("translate/ownership.rs", "names resource", "serde_json"), // reads what was dumped
    ("snapshot", "resource", ""),
    ("snapshot/set.rs", "resource", "bytes imbl"),
    ("snapshot/dump.rs", "resource", "prost_reflect serde_json"),
    // Who may come in by HTTP: pure, but for the task that remembers.
    ("access", "clock", ""),
    ("access/tokens.rs", "", "base64 serde sha2"),
    ("access/run.rs", "clock latest", "tokio"),
    // The protocol: state machines without a socket, and one file with all of it.
    ("xds", "resource snapshot", "bytes envoy_types"),
    ("xds/registry.rs", "clock resource snapshot translate", "arc_swap"),
    (
        "xds/server.rs",
        "clock latest resource snapshot",
        "axum bytes envoy_types futures_util http http_body prost tokio tokio_stream tonic tracing",
    ),
    // Who comes in on the port of the protocol.
    ("mtls", "latest model xds", "futures_util rustls tokio tokio_rustls tracing"),
    ("mtls/connection.rs", "xds", "tokio tonic"),
    ("mtls/credentials.rs", "model", "rustls"),
    ("mtls/names.rs", "model", "rustls webpki"),
    // May this canary take more traffic?
    ("rollout", "clock model names stats weight", "serde"),
    // What survives a restart.
    ("store", "clock model names weight", "rusqlite serde serde_json"),
    ("store/cache.rs", "clock", "tracing"),
    ("store/cache/file.rs", "clock names", "rusqlite serde_json tracing"),
    ("store/lease.rs", "", ""),
    ("store/run.rs", "clock latest", "tokio tracing"),
    ("store/postgres.rs", "clock model", "tokio tokio_postgres tracing"),
    ("store/postgres/journal.rs", "clock names weight", "serde_json tokio_postgres"),
    ("store/postgres/lease.rs", "names", "serde_json tokio_postgres"),
    ("store/postgres/measured.rs", "names", "tokio_postgres"),
    ("store/postgres/link.rs", "model", "tokio tokio_postgres"),
    ("store/postgres/schema.rs", "", "tokio_postgres"),
    (
        "store/postgres/tls.rs",
        "model",
        "rustls rustls_native_certs rustls_pki_types tokio tokio_postgres tokio_rustls",
    ),
    ("store/postgres/orders.rs", "", "tokio_postgres"),
    ("store/postgres/roster.rs", "clock", "tokio_postgres"),
    ("store/peers.rs", "clock latest model", "tokio tracing"),
    ("store/replica.rs", "clock model", "tokio tracing"),
    ("store/exchange.rs", "clock latest model names", "tokio tracing"),
    ("store/roster.rs", "clock", ""),
    // What Envoys measured: pure, but for the service and the task that owns the numbers.
    ("telemetry", "clock names stats translate", "indexmap"),
    ("telemetry/part.rs", "clock names stats", "serde serde_json"),
    ("telemetry/run.rs", "clock latest", "tokio"),
    ("telemetry/sink.rs", "clock xds", "axum bytes tokio tonic tracing"),
    // Do the answers of a shadow agree with those that clients get?
    ("compare", "clock model names stats telemetry translate weight", "serde serde_json"),
    ("compare/answer.rs", "names translate", ""),
    ("compare/budget.rs", "", ""),
    ("compare/collector.rs", "", "envoy_types"),
    (
        "compare/receiver.rs",
        "clock latest names translate",
        "axum envoy_types futures_util http prost tokio tonic",
    ),
    ("compare/run.rs", "clock latest", "tokio"),
    ("compare/text.rs", "model", "strsim"),
    // The loop: a pure world, and one file that waits.
    (
        "control",
        "access clock config diag model mtls names resource rollout snapshot stats store translate weight xds",
        "bytes serde serde_json",
    ),
    ("control/command.rs", "config model names rollout", "serde tokio"),
    ("control/handed.rs", "model names rollout store", "serde serde_json tokio"),
    ("control/door.rs", "access clock config", ""),
    ("control/journal.rs", "clock names store", "serde_json"),
    ("control/expiries.rs", "config model", "imbl"),
    ("control/view.rs", "clock diag model names rollout snapshot store translate weight", "imbl serde"),
    ("control/run.rs", "access clock latest mtls rollout snapshot store", "tokio tracing"),
    // Files in. `control` owns the type of the border.
    ("source", "config control", ""),
    ("source/watch.rs", "clock control", "notify tokio tracing"),
    // The doors for people.
    ("admin", "clock compare control latest messages store telemetry xds", "serde tokio"),
    ("admin/access.rs", "access", "axum"),
    ("admin/alarms.rs", "clock control resource store translate xds", "axum serde"),
    ("admin/seats.rs", "", "axum tokio"),
    ("admin/actions.rs", "control names rollout weight", "axum serde serde_json"),
    ("admin/editor.rs", "config replace resource source", "axum rustix tokio"),
    ("admin/files.rs", "config control diag names weight", "axum serde serde_json tokio tracing"),
    ("admin/session.rs", "access", "axum base64 getrandom serde serde_json"),
    ("admin/events.rs", "names store", "axum futures_util serde serde_json tokio"),
    ("admin/replicas.rs", "clock store", "axum serde"),
    ("admin/switches.rs", "control model rollout", "axum serde serde_json"),
    ("admin/api.rs", "clock compare control resource snapshot translate xds", "axum serde serde_json"),
    ("admin/grpc.rs", "control diag resource xds", "futures_util tokio tokio_stream tonic"),
    ("admin/metrics.rs", "clock compare control diag translate", "prometheus_client"),
    ("admin/ui.rs", "resource", "axum"),
    ("admin/watch.rs", "clock control latest names store", "axum futures_util serde serde_json tokio"),
    ("admin/watch/board.rs", "control", "imbl serde serde_json"),
    ("admin/watch/points.rs", "clock telemetry", "serde"),
    ("admin/watch/row.rs", "control diag weight", "serde"),
    ("admin/problem.rs", "diag", "axum serde_json tokio"),
    // Envoy for people; nothing that serves Envoys needs it.
    // The keys of token issuers: the plan is pure, the fetch waits.
    ("issuer", "clock control latest", "tokio tracing"),
    ("issuer/plan.rs", "", ""),
    ("issuer/fetch.rs", "client config control", "reqwest"),
    // Others are asked about canaries, and told what becomes of them.
    ("provider", "clock control latest", "tokio tracing"),
    ("provider/answer.rs", "control model rollout", ""),
    ("provider/fetch.rs", "client control model rollout", "reqwest tokio"),
    ("provider/plan.rs", "control names", ""),
    ("provider/prometheus.rs", "model rollout", "serde serde_json url"),
    ("provider/webhook.rs", "control rollout", "serde serde_json"),
    ("messages", "clock control", "tokio tracing"),
    ("messages/format.rs", "control model", "serde_json"),
    ("messages/queue.rs", "control model names", ""),
    ("messages/send.rs", "client model", "reqwest"),
    (
        "launch",
        "client model telemetry translate",
        "http reqwest rustix serde_json sha2 tempfile tokio tracing",
    ),
    ("launch/toy.rs", "client weight", "axum http serde_json tokio tokio_stream tracing"),
    // Where everything meets.
    (
        "app",
        "admin client clock compare control issuer latest messages model mtls provider snapshot source store telemetry xds",
        "axum futures_util tokio tonic tonic_health tonic_reflection tracing",
    ),
    ("app/comparisons.rs", "clock compare control latest names rollout store", "tokio"),
    ("app/doors.rs", "access admin control model mtls", "tracing"),
    ("app/error.rs", "mtls store", "tonic_reflection"),
    ("app/evidence.rs", "clock compare control latest model rollout store telemetry", "tokio"),
    ("app/feed.rs", "control latest names rollout store telemetry", "tokio"),
    ("app/opening.rs", "clock model store", "tokio tracing"),
    ("app/patient.rs", "", "tokio"),
    ("app/peers.rs", "clock control latest model rollout store", "getrandom imbl tokio tracing"),
    ("app/port.rs", "admin latest mtls", "axum futures_util hyper hyper_util tokio tower tracing"),
    ("app/predictions.rs", "clock compare names rollout store", ""),
    ("app/replicas.rs", "control latest model store", "rustix tokio"),
    ("app/session.rs", "model store", "getrandom tracing"), // the key of all logins, and where it is kept
    ("app/trusted.rs", "model", "rustls_native_certs tracing"),
    ("observe", "", "clap tracing_subscriber"),
    (
        "cli",
        "access admin app clock config control diag latest launch model names observe replace resource rollout simulate snapshot source stats translate weight xds",
        "anyhow base64 clap clap_complete clap_mangen getrandom rustix serde serde_json serde_yaml sha1 similar tempfile tokio tracing",
    ),
    ("cli/client.rs", "client", "anyhow clap reqwest serde_json"),
    ("main", "", ""),
];

/// Longer files want a line `// long because: ...`.
const LONG: usize = 600;

/// Free to all: it only derives.
const FREE: &[&str] = &["thiserror"];

#[test]
fn each_room_knows_only_whom_it_may() {
    let mut complaints = String::new();
    let mut idle: BTreeMap<&str, BTreeSet<String>> = rows().collect();
    for file in Source::all() {
        let Some((place, may)) = row_of(&file) else {
            writeln!(complaints, "{} has no row", file.path).unwrap();
            continue;
        };
        for name in file.uses.difference(&may) {
            writeln!(complaints, "{} may not use `{name}`", file.path).unwrap();
        }
        idle.get_mut(place).unwrap().retain(|name| !file.uses.contains(name));
    }
    // A permission that nobody needs is a door left open.
    for (place, names) in idle {
        for name in names {
            writeln!(complaints, "the row of {place} allows `{name}`, which it does not use").unwrap();
        }
    }
    assert!(complaints.is_empty(), "see HOUSE in tests/architecture.rs:\n{complaints}");
}

#[test]
fn each_row_is_a_place() {
    let places: Vec<&str> = HOUSE.iter().map(|(place, ..)| *place).collect();
    let there = |place: &&&str| {
        let path = src().join(place);
        path.is_file() || path.is_dir() || path.with_extension("rs").is_file()
    };
    let gone: Vec<_> = places.iter().filter(|place| !there(place)).collect();
    assert!(gone.is_empty(), "rows without a place: {gone:?}");
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len(), "a place has two rows");
}

#[test]
fn no_rooms_know_each_other_in_a_circle() {
    let mut knows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in Source::all() {
        let rooms = file.uses.iter().filter_map(|u| u.strip_prefix("crate::")).map(str::to_owned);
        knows.entry(file.room.clone()).or_default().extend(rooms.filter(|r| *r != file.room));
    }
    // Take away, again and again, the rooms that know nobody who is left: a circle stays.
    loop {
        let left: BTreeSet<String> = knows.keys().cloned().collect();
        let before = knows.len();
        knows.retain(|_, rooms| !rooms.is_disjoint(&left));
        if knows.len() == before {
            break;
        }
    }
    assert!(knows.is_empty(), "a circle is among {:?}", knows.keys());
}

#[test]
fn each_file_is_tidy() {
    let mut complaints = String::new();
    for file in Source::all_with_tests() {
        let mut complain = |what: &str| writeln!(complaints, "{}: {what}", file.path).unwrap();
        if !file.text.starts_with("//!") {
            complain("does not begin with `//!`");
        }
        if file.text.lines().count() > LONG && !file.text.contains("// long because: ") {
            complain("is too long");
        }
        if file.uses.contains("crate::*") {
            complain("uses `crate::*`, which hides whom it knows");
        }
        if file.uses.contains("super::") {
            complain("leaves its room by `super`; write `crate::`");
        }
        if file.text.lines().any(|l| l.trim_start().starts_with("pub use crate::")) {
            complain("re-exports another room, which hides whom its users know");
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn a_forbidden_use_is_seen() {
    let seen = |text: &str| Uses::of("room/file.rs", text);
    for (text, name) in [
        ("use crate::xds::Frame;", "crate::xds"),
        ("use crate::{names::A, xds};", "crate::xds"),
        ("fn f() { crate::xds::f() }", "crate::xds"),
        ("fn f(x: tokio::net::TcpStream) {}", "tokio"),
        ("use tokio as t;", "tokio"),
        ("fn f() { let _ = vec![tokio::task::id()]; }", "tokio"),
        ("fn f() { tokio::pin!(x); }", "tokio"),
        ("#[derive(serde::Serialize)] struct A;", "serde"),
        ("use crate::*;", "crate::*"),
        ("use super::super::xds;", "super::"),
    ] {
        assert!(seen(text).contains(name), "{text}: {:?}", seen(text));
    }
    assert!(seen("#[cfg(test)] mod tests { use crate::xds::Frame; }").is_empty());
    assert!(seen("use super::file; mod a { use super::super::file; }").is_empty());
}

/// The rows: place, and what it may use.
fn rows() -> impl Iterator<Item = (&'static str, BTreeSet<String>)> {
    HOUSE.iter().map(|(place, rooms, crates)| {
        let rooms = rooms.split_whitespace().map(|room| format!("crate::{room}"));
        (*place, rooms.chain(crates.split_whitespace().map(str::to_owned)).collect())
    })
}

fn row_of(file: &Source) -> Option<(&'static str, BTreeSet<String>)> {
    let of = |place: &str| rows().find(|(p, _)| *p == place);
    of(&file.path).or_else(|| of(&file.room))
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file of `src`.
struct Source {
    /// Below `src`.
    path: String,
    room: String,
    text: String,
    /// Other rooms as `crate::room`, and crates.
    uses: BTreeSet<String>,
}

impl Source {
    /// Without `lib.rs`, which lists the rooms, and tests, which may use anything.
    fn all() -> impl Iterator<Item = Self> {
        let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
        Self::all_with_tests().filter(move |f| f.path != "lib.rs" && !is_test(&f.path)).map(|mut file| {
            let own = format!("crate::{}", file.room);
            file.uses.retain(|u| *u != own && !FREE.contains(&&**u));
            file
        })
    }

    fn all_with_tests() -> impl Iterator<Item = Self> {
        let mut paths = Vec::new();
        walk(&src(), &mut paths);
        assert!(paths.len() > 50, "only {} files in src", paths.len());
        paths.into_iter().map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(src()).unwrap().to_str().unwrap().to_owned();
            let room = path.split(['/', '.']).next().unwrap().to_owned();
            let uses = Uses::of(&path, &text);
            Self { path, room, text, uses }
        })
    }
}

fn walk(directory: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The dependencies of `Cargo.toml`, as code names them.
fn crates() -> BTreeSet<String> {
    let manifest = include_str!("../Cargo.toml");
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let name = |line: &str| line.split_once(" = ").map(|(name, _)| name.replace('-', "_"));
    dependencies.lines().filter(|l| !l.starts_with('#')).filter_map(name).collect()
}

/// Gathers what a file names.
struct Uses {
    found: BTreeSet<String>,
    crates: BTreeSet<String>,
    /// How many `super` lead to the root of the crate.
    depth: usize,
}

impl Uses {
    fn of(path: &str, text: &str) -> BTreeSet<String> {
        let file = syn::parse_file(text).unwrap();
        let depth = path.trim_end_matches("mod.rs").trim_end_matches('/').split('/').count();
        let mut uses = Self { found: BTreeSet::new(), crates: crates(), depth };
        uses.visit_file(&file);
        uses.found
    }

    fn take(&mut self, names: &[String]) {
        match names {
            [head, next, ..] if head == "crate" => drop(self.found.insert(format!("crate::{next}"))),
            [head, ..] if self.crates.contains(head) => drop(self.found.insert(head.clone())),
            _ if names.iter().take_while(|n| *n == "super").count() >= self.depth => {
                self.found.insert("super::".to_owned());
            }
            _ => {}
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &with(path.ident.to_string())),
            syn::UseTree::Name(name) => self.take(&with(name.ident.to_string())),
            syn::UseTree::Rename(name) => self.take(&with(name.ident.to_string())),
            syn::UseTree::Glob(_) => self.take(&with("*".to_owned())),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, before)),
        }
    }

    /// Macros and attributes are only words to us.
    fn take_words(&mut self, tokens: &impl ToString) {
        let words = tokens.to_string().replace("::", " :: ");
        let mut before = "";
        let mut words = words.split_whitespace().peekable();
        while let Some(word) = words.next() {
            if before != "::" && words.peek() == Some(&"::") {
                let next = words.clone().nth(1).unwrap_or_default();
                self.take(&[word.to_owned(), next.to_owned()]);
            }
            before = word;
        }
    }
}

impl<'a> Visit<'a> for Uses {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let is_test =
            |a: &syn::Attribute| a.meta.require_list().is_ok_and(|l| l.tokens.to_string() == "test");
        if !item.attrs.iter().any(is_test) {
            self.depth += 1;
            visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        // One word alone is a local name that only sounds like a crate.
        if path.segments.len() > 1 {
            self.take(&path.segments.iter().map(|s| s.ident.to_string()).collect::<Vec<_>>());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.take_words(&item.tokens);
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, item: &'a syn::Attribute) {
        if let syn::Meta::List(list) = &item.meta {
            self.take_words(&list.tokens);
        }
        visit::visit_attribute(self, item);
    }
}
