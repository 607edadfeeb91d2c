//! `serin validate`: checks gateway files as the server would, without one.

use super::output::{Format, Output};
use super::settings::SettingsArgs;
use super::{Failure, Outcome, environment, wrong};
use crate::config::{self, Content, Context, Document, Loaded};
use crate::control::Changes;
use crate::diag::{Code, Diagnostic, Place, Severity};
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
    let mut diagnostics = Vec::new();
    let mut has_broken_settings = false;
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
        let settings = match args.settings.settings_of(path, out) {
            Ok(settings) => settings,
            // It was said what is wrong with them; the other files are looked at all the same.
            Err(Failure::Input(None)) => {
                has_broken_settings = true;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let Files { loaded, unlisted } = load(path, &settings)?;
        files += loaded.len();
        diagnostics.extend(unlisted);
        diagnostics.extend(complaints(&loaded));
    }
    if !out.data(args.output, &diagnostics)? {
        out.diagnostics(&diagnostics);
        if diagnostics.is_empty() && !has_broken_settings {
            out.note(&format!("{files} file{}: no problems", if files == 1 { "" } else { "s" }));
        }
    }
    let has_errors = has_broken_settings || diagnostics.iter().any(|d| d.severity == Severity::Error);
    if has_errors { Err(Failure::Input(None)) } else { Ok(()) }
}

/// All complaints about some files, also those that only their meeting shows.
fn complaints(loaded: &BTreeMap<Arc<str>, Loaded>) -> Vec<Diagnostic> {
    let usable: Vec<&Loaded> = loaded.values().filter(|l| l.gateway.is_some()).collect();
    let mut all: Vec<Diagnostic> = loaded.values().flat_map(|l| l.diagnostics.iter().cloned()).collect();
    all.extend(config::conflicts(usable).into_iter().map(|(_, diagnostic)| diagnostic));
    all
}

/// What was found at a path of the command line.
pub(super) struct Files {
    /// By paths below the directory.
    pub(super) loaded: BTreeMap<Arc<str>, Loaded>,
    /// A complaint about each directory that cannot be listed: of the files in it nothing is known.
    pub(super) unlisted: Vec<Diagnostic>,
}

/// The gateway files of a directory or one file, with what they refer to. Paths in complaints are those of the
/// command line, so that editors find them.
pub(super) fn load(path: &Path, settings: &Settings) -> Result<Files, Failure> {
    let (directory, only) = if is_directory(path)? { (path, None) } else { split(path)? };
    let (changes, unlisted) = read(directory, only.as_deref(), settings);
    let prometheus = settings.prometheus.as_ref();
    let attached = &changes.attached;
    let context = Context { listeners: &settings.listeners, attached, routing: settings.routing, prometheus };
    let shown = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let loaded = changes
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
        .collect();
    Ok(Files { loaded, unlisted })
}

/// Everything that a server would read of a directory; or complaints about those that cannot be listed: what is not
/// seen is not nothing.
pub fn read_directory(directory: &Path, settings: &Settings) -> Result<Changes, Vec<Diagnostic>> {
    let (changes, unlisted) = read(directory, None, settings);
    if unlisted.is_empty() { Ok(changes) } else { Err(unlisted) }
}

fn read(path: &Path, only: Option<&Path>, settings: &Settings) -> (Changes, Vec<Diagnostic>) {
    let directory = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let only = only.map(|name| directory.join(name));
    // What metrics want that ask the Prometheus of the settings; nothing else of them is looked at here.
    let files: BTreeSet<PathBuf> = settings.prometheus.iter().flat_map(|p| p.files().cloned()).collect();
    let watched = Watched { directory, files: files.clone() };
    let mut scanner = Scanner::new(watched).with_environment(environment());
    let changes = match &only {
        Some(file) => scanner.scan_files(std::iter::once(file).chain(&files).map(PathBuf::as_path)),
        None => scanner.scan(),
    };
    // `join` of nothing would end with a slash.
    let place = |below: &str| if below.is_empty() { path.to_path_buf() } else { path.join(below) };
    let unlisted = scanner.unlisted();
    let complaints = unlisted.each().map(|(below, why)| Diagnostic {
        severity: Severity::Error,
        code: Code::Unreadable,
        place: Place::file(place(below).to_string_lossy().into()),
        message: format!("this directory cannot be listed: {why}"),
        help: Some(
            "let the user that runs this read and search it, as `chmod u+rx` lets its owner".to_owned(),
        ),
    });
    (changes, complaints.collect())
}

/// Whether it is a directory; an error when that cannot be seen.
fn is_directory(path: &Path) -> Result<bool, Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(wrong(format!(
            "cannot look at {}: {e}; let the user that runs this search the directories above it",
            path.display()
        ))),
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
