//! `serin validate`: checks gateway files as the server would, without one.

use super::output::{Format, Output};
use super::settings::SettingsArgs;
use super::{Failure, Outcome, environment, wrong};
use crate::config::{self, Content, Context, Document, Loaded};
use crate::control::Changes;
use crate::diag::{Diagnostic, Severity};
use crate::model::Settings;
use crate::source::{Scanner, Watched};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// Gateway files, or directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
}

pub(super) fn run(args: &ValidateArgs, out: &Output) -> Outcome {
    let settings = args.settings.settings(out)?;
    let mut diagnostics = Vec::new();
    let mut files = 0;
    for path in &args.paths {
        let is_settings = path.file_name().is_some_and(|n| n == "serin.yaml");
        if is_settings {
            files += 1;
            let document = Document { path: path.to_string_lossy().into(), content: content(path)? };
            diagnostics
                .extend(config::settings(&document).map_or_else(|errors| errors, |(_, warnings)| warnings));
            continue;
        }
        let loaded = load(path, &settings)?;
        files += loaded.len();
        diagnostics.extend(complaints(&loaded));
    }
    if !out.data(args.output, &diagnostics)? {
        out.diagnostics(&diagnostics);
        if diagnostics.is_empty() {
            out.note(&format!("{files} file{}: no problems", if files == 1 { "" } else { "s" }));
        }
    }
    if diagnostics.iter().any(|d| d.severity == Severity::Error) { Err(Failure::Input(None)) } else { Ok(()) }
}

/// All complaints about some files, also those that only their meeting shows.
fn complaints(loaded: &BTreeMap<Arc<str>, Loaded>) -> Vec<Diagnostic> {
    let usable: Vec<&Loaded> = loaded.values().filter(|l| l.gateway.is_some()).collect();
    let mut all: Vec<Diagnostic> = loaded.values().flat_map(|l| l.diagnostics.iter().cloned()).collect();
    all.extend(config::conflicts(usable).into_iter().map(|(_, diagnostic)| diagnostic));
    all
}

/// The gateway files of a directory or one file, with what they refer to. Paths in complaints are those of the
/// command line, so that editors find them.
pub(super) fn load(path: &Path, settings: &Settings) -> Result<BTreeMap<Arc<str>, Loaded>, Failure> {
    let (directory, only) = if path.is_dir() { (path, None) } else { split(path)? };
    let changes = read(directory, only.as_deref(), settings);
    let prometheus = settings.prometheus.as_ref();
    let attached = &changes.attached;
    let context = Context { listeners: &settings.listeners, attached, routing: settings.routing, prometheus };
    let shown = |name: &str| directory.join(name).to_string_lossy().into_owned();
    Ok(changes
        .documents
        .into_iter()
        .filter_map(|(name, read)| Some((name, read?)))
        .map(|(name, read)| {
            let mut loaded = read.load(&context);
            let path: Arc<str> = shown(&name).into();
            for diagnostic in &mut loaded.diagnostics {
                diagnostic.place.file = Arc::clone(&path);
            }
            loaded.place_of_name.file = Arc::clone(&path);
            loaded.place_of_route.file = Arc::clone(&path);
            (name, loaded)
        })
        .collect())
}

/// Everything that a server would read of a directory.
pub fn read_directory(directory: &Path, settings: &Settings) -> Changes {
    read(directory, None, settings)
}

fn read(directory: &Path, only: Option<&Path>, settings: &Settings) -> Changes {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let only = only.map(|name| directory.join(name));
    // What metrics want that ask the Prometheus of the settings; nothing else of them is looked at here.
    let files: BTreeSet<PathBuf> = settings.prometheus.iter().flat_map(|p| p.files().cloned()).collect();
    let watched = Watched { directory, files: files.clone() };
    let mut scanner = Scanner::new(watched).with_environment(environment());
    match &only {
        Some(file) => scanner.scan_files(std::iter::once(file).chain(&files).map(PathBuf::as_path)),
        None => scanner.scan(),
    }
}

/// The directory and the name of a file.
fn split(path: &Path) -> Result<(&Path, Option<PathBuf>), Failure> {
    let missing =
        || wrong(format!("{} is neither a gateway file (*.yaml, *.yml) nor a directory", path.display()));
    let extension = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let name = path.file_name().filter(|_| extension && path.is_file()).ok_or_else(missing)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, Some(name.into())))
}

fn content(path: &Path) -> Result<Content, Failure> {
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot read {}: {e}", path.display())))?;
    Ok(Content::Text(bytes.into()))
}
