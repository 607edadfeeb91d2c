//! Files to model: text in, a checked gateway or all the complaints about it out.
//!
//! ```text
//! bytes --yaml--> located tree --shape--> tree of the right shape --serde--> raw structs --check--> model
//! ```
//!
//! Every stage reports what it finds, repairs it, and hands on, so that one run shows every mistake of a file,
//! each at its place and each once. Only broken syntax ends a file early. Nothing here does I/O: files come in
//! as [`Document`]s, and what they refer to as [`Attachment`]s.
//!
//! Laws: the same input gives the same output; any bytes give diagnostics and never a panic; a gateway comes out
//! exactly when no diagnostic is an error.
//!
//! A new field needs a line in `raw`, a function in `check`, and a line in `docs/file-format.md`.

mod check;
mod conflict;
mod discovery;
mod edit;
mod pair;
mod pem;
mod problems;
mod raw;
mod read;
mod reference;
mod secrets;
mod shape;
mod source;
mod spelling;
mod tree;
mod trust;
mod validity;
mod yaml;

pub(crate) use check::parse_duration;
pub use conflict::{Claimant, conflicts, conflicts_among};
pub use discovery::{discovery_url, read_metadata};
pub use edit::merge::{from_json, merge};
pub use edit::{EditError, set_weights, weights};
pub use pair::{Half, NoPair, pair};
pub use read::Read;
pub use reference::{Attachment, Reference, Withheld};
pub use secrets::SecretEditError;
pub use secrets::jwks::check_jwks;
pub use secrets::keys::add_key;
pub use secrets::users::set_user;
pub use source::MAX_FILE;
pub use validity::Validity;

use crate::diag::{Code, Diagnostic, Place};
use crate::model::{Gateway, Listener, PrometheusServer, Routing, Settings, StoreAt};
use crate::names::{GatewayName, ListenerName};
use check::Surroundings;
use problems::{At, Problems, has_error};
use serde::de::DeserializeOwned;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tree::{Data, Node};

/// A file, as its reader found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// As the user knows it, relative to the watched directory: `fraud.yaml` or `team/a.yaml`.
    pub path: Arc<str>,
    /// What is in it.
    pub content: Content,
}

/// What is in a file, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes.
    Text(Arc<[u8]>),
    /// It has this many bytes, more than [`MAX_FILE`], and was not read.
    TooLarge(u64),
    /// Reading failed, for this reason.
    Unreadable(String),
}

/// What gateway files are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The listeners of the settings.
    pub listeners: &'a BTreeMap<ListenerName, Listener>,
    /// What the documents refer to, as [`Read::references`] gives it.
    pub attached: &'a BTreeMap<Reference, Attachment>,
    /// What the settings say of the layout of routes.
    pub routing: Routing,
    /// What the settings say of Prometheus. Its files are among the attached.
    pub prometheus: Option<&'a PrometheusServer>,
}

/// What became of one gateway file.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The name, if that much is right.
    pub name: Option<GatewayName>,
    /// The gateway, exactly when no diagnostic is an error.
    pub gateway: Option<Arc<Gateway>>,
    /// Its place with nobody let in, when the gateway cannot be used, is known to be for some only, and says where it is.
    pub closed: Option<Arc<Gateway>>,
    /// In the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// As [`Read::references`] gives them, and the files of the settings that it depends on.
    pub references: BTreeSet<Reference>,
    /// Where it says its name; the whole file when it does not.
    pub place_of_name: Place,
    /// Where it says what requests it takes: its path, else its hosts, else its name.
    pub place_of_route: Place,
}

/// Reads and checks one gateway file.
pub fn load(document: &Document, context: &Context<'_>) -> Loaded {
    Read::new(document.clone()).load(context)
}

/// What a gateway file itself refers to.
pub fn references(document: &Document) -> BTreeSet<Reference> {
    Read::new(document.clone()).references()
}

fn loaded(read: &Read, context: &Context<'_>) -> Loaded {
    let path = &read.document().path;
    let whole = Place::file(path.clone());
    let nothing = |diagnostics| Loaded {
        name: None,
        gateway: None,
        closed: None,
        diagnostics,
        references: BTreeSet::new(),
        place_of_name: whole.clone(),
        place_of_route: whole.clone(),
    };
    let parsed = match read.parsed() {
        Ok(parsed) => parsed,
        Err(diagnostic) => return nothing(vec![*diagnostic]),
    };
    let mut problems = Problems::after(&parsed.source, parsed.found.clone());
    let Some((tree, raw)) = &parsed.content else { return nothing(problems.into_diagnostics()) };
    let file = Path::new(&**path);
    let Context { listeners, attached, routing, prometheus } = *context;
    let around = Surroundings { file, listeners, attached, routing, prometheus };
    let root = At::root(tree);
    let check::Checked { name, gateway, closed } = check::gateway(raw, &root, &around, &mut problems);
    let place = |key: &str| root.at(key).is_there().then(|| problems.place(root.at(key).span()));
    let place_of_name = place("name").unwrap_or_else(|| whole.clone());
    let place_of_route =
        ["path", "host", "hosts"].into_iter().find_map(place).unwrap_or_else(|| place_of_name.clone());
    // A metric that asks the server of the settings is checked again when its files change.
    let asks = |metric: &raw::Metric| metric.prometheus.is_some();
    let asks = raw.rollout.iter().flat_map(|r| &r.metrics).flatten().flatten().any(asks);
    let of_settings = prometheus.filter(|_| asks).into_iter().flat_map(PrometheusServer::files);
    let of_settings = of_settings.map(|path| Reference::File(path.clone()));
    let diagnostics = problems.into_diagnostics();
    let gateway = gateway.filter(|_| !has_error(&diagnostics));
    let closed = closed.filter(|_| gateway.is_none());
    Loaded {
        name,
        gateway: gateway.map(Arc::new),
        closed: closed.map(Arc::new),
        diagnostics,
        references: check::references(raw, file).into_iter().chain(of_settings).collect(),
        place_of_name,
        place_of_route,
    }
}

/// The name that a gateway file says, if that much can be read.
pub fn name_of(bytes: &[u8]) -> Option<GatewayName> {
    let document = Document { path: "".into(), content: Content::Text(bytes.into()) };
    let source = Source::new(&document).ok()?;
    let tree = yaml::parse(&mut Problems::new(&source)).ok()??;
    match &tree.get("name")?.value.data {
        Data::Text(name) => GatewayName::new(name).ok(),
        _ => None,
    }
}

/// Reads and checks `serin.yaml`: the settings with warnings, or the errors.
///
/// Relative paths are meant from the folder of the document, and come joined with it; so is the default of
/// `gateways`.
pub fn settings(document: &Document) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = Source::new(document).map_err(|diagnostic| vec![*diagnostic])?;
    let mut problems = Problems::new(&source);
    let empty = Node {
        span: 0..0,
        data: Data::Map(tree::Entries::new()),
        style: tree::Style::Block,
        bad: false,
        incomplete: false,
    };
    let checked = yaml::parse(&mut problems).ok().and_then(|tree| {
        let (tree, raw) = shaped(tree.unwrap_or(empty), raw::settings_schema(), &mut problems)?;
        check::settings(&raw, &At::root(&tree), Path::new(&*document.path), &mut problems)
    });
    let diagnostics = problems.into_diagnostics();
    match checked {
        Some(settings) if !has_error(&diagnostics) => Ok((settings, diagnostics)),
        _ => Err(diagnostics),
    }
}

/// Where a store is, as a flag or a variable says it: `sqlite:` and a file, or the URL of a database. Or what is wrong, and what to do.
pub fn store_at(text: &str) -> Result<StoreAt, String> {
    check::store_at(text)
}

/// A duration as a flag says it, such as `30m`. Or what is wrong, and what to do.
pub fn duration(text: &str) -> Result<Duration, String> {
    check::duration(text)
}

/// JSON Schema (draft 2020-12) of the gateway file, for editors.
pub fn schema() -> serde_json::Value {
    raw::gateway_schema().clone()
}

fn read_gateway(problems: &mut Problems<'_>) -> Option<(Node, raw::Gateway)> {
    let Some(tree) = yaml::parse(problems).ok()? else {
        let help = "the smallest gateway file has `apiVersion`, `name` and `upstreams`";
        problems.at(Code::Empty, None, "the file is empty", help);
        return None;
    };
    shaped(tree, raw::gateway_schema(), problems)
}

/// Gives a tree its shape and reads it into structs.
fn shaped<T: DeserializeOwned>(
    mut tree: Node,
    schema: &'static serde_json::Value,
    problems: &mut Problems<'_>,
) -> Option<(Node, T)> {
    shape::check(&mut tree, schema, problems);
    if tree.bad {
        return None;
    }
    match serde_yaml::from_value(tree.to_value()) {
        Ok(raw) => Some((tree, raw)),
        Err(error) => {
            // The schema is made from the structs, so this is a bug of ours; it still has to be said.
            debug_assert!(false, "the schema and the structs disagree: {error}");
            problems.at(
                Code::WrongType,
                None,
                format!("the file has a wrong shape: {error}"),
                "compare it with the reference of the file format",
            );
            None
        }
    }
}

/// A path that a file mentions, from where the file itself is named.
fn resolve(file: &Path, written: &str) -> PathBuf {
    let written = written.strip_prefix("./").unwrap_or(written);
    file.parent().unwrap_or(Path::new("")).join(written)
}

#[cfg(test)]
mod tests;
