//! Where settings come from: `serin.yaml`, then environment, then flags; the later wins.

use super::output::Output;
use super::{Failure, wrong};
use crate::config::{self, Content, Document};
use crate::model::{Routing, Settings};
use clap::builder::PossibleValuesParser;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file that is read when none is named and it is there.
const DEFAULT: &str = "serin.yaml";

/// The file. Each command takes the groups that have an effect on it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// The settings [default: serin.yaml, if there is one; for files and directories that are named: in their folder or the one above]
    #[arg(short, long, env = "SERIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How routes are divided: `scoped` is for thousands of gateways, with exact hosts [default: plain]
    #[arg(long, env = "SERIN_ROUTING", value_name = "LAYOUT", value_parser = PossibleValuesParser::new(Routing::ALL.map(Routing::as_str)))]
    routing: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DirectoryArgs {
    /// The directory of gateway files
    #[arg(long, env = "SERIN_GATEWAYS", value_name = "DIR")]
    gateways: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PortArgs {
    /// Where to serve xDS
    #[arg(long, env = "SERIN_XDS", value_name = "IP:PORT")]
    pub(super) xds: Option<SocketAddr>,
    /// Where to serve HTTP
    #[arg(long, env = "SERIN_HTTP", value_name = "IP:PORT")]
    http: Option<SocketAddr>,
}

/// Where rollouts and the journal are kept.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Where rollouts and the journal are kept, as `sqlite:` and a file, or the URL of a PostgreSQL database
    /// [default: sqlite:serin.db beside the settings, or where else it can be written]
    #[arg(long, env = "SERIN_STORE", hide_env_values = true, value_name = "STORE")]
    store: Option<String>,
}

impl StoreArgs {
    /// What was said here counts. It is read here and not by clap, which shows what it does not understand, and with
    /// it a password.
    pub(super) fn over(&self, settings: &mut Settings) -> Result<(), Failure> {
        if let Some(store) = &self.store {
            let store = config::store_at(store).map_err(|why| wrong(format!("--store: {why}")))?;
            settings.store = Some(store);
        }
        Ok(())
    }
}

impl SettingsArgs {
    /// A file beside the settings, or in the current folder when there are none.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.config.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).join(name)
    }

    /// Returns whether a settings file was named, or is in the current folder.
    pub(super) fn has_file(&self) -> bool {
        self.config.is_some() || Path::new(DEFAULT).exists()
    }

    /// Reads the settings. Problems of the file are printed.
    pub(super) fn settings(&self, out: &Output) -> Result<Settings, Failure> {
        self.with_default(None, out)
    }

    /// Reads the settings that belong to a gateway file or to a directory of them: those that were named, else a
    /// `serin.yaml` in the folder or in the one above, which a line says, else that of the current folder.
    pub(super) fn settings_of(&self, path: &Path, out: &Output) -> Result<Settings, Failure> {
        let found = if self.config.is_none() { belonging_to(path) } else { None };
        if let Some(file) = &found {
            out.note(&format!("with the settings of {}", file.display()));
        }
        self.with_default(found, out)
    }

    fn with_default(&self, default: Option<PathBuf>, out: &Output) -> Result<Settings, Failure> {
        let default = default.or_else(|| Some(PathBuf::from(DEFAULT)).filter(|f| f.exists()));
        let mut settings = read(self.config.as_deref().or(default.as_deref()), out)?;
        let said = self.routing.as_deref();
        if let Some(routing) = Routing::ALL.into_iter().find(|r| Some(r.as_str()) == said) {
            settings.routing = routing;
        }
        Ok(settings)
    }
}

impl DirectoryArgs {
    /// The directory that was named.
    pub(super) fn named(&self) -> Option<&Path> {
        self.gateways.as_deref()
    }

    /// What was said here counts.
    pub(super) fn over(&self, settings: &mut Settings) {
        if let Some(gateways) = &self.gateways {
            settings.gateways.clone_from(gateways);
        }
    }
}

impl PortArgs {
    /// What was said here counts.
    pub(super) fn over(&self, settings: &mut Settings) {
        settings.xds = self.xds.unwrap_or(settings.xds);
        settings.http = self.http.unwrap_or(settings.http);
    }
}

/// Finds the `serin.yaml` in the folder of a gateway file, or in a directory of them, or one above; not that of the current
/// folder, which counts anyway.
fn belonging_to(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // The parent of `.` or `..` is not a part of its path.
    let above = folder.file_name().and_then(|_| folder.parent()).map_or(folder.join(".."), Path::to_path_buf);
    // Also a link that leads nowhere, of which reading says so.
    let is_there = |file: &PathBuf| file.symlink_metadata().is_ok();
    let found = [folder, &above].map(|folder| folder.join(DEFAULT)).into_iter().find(is_there)?;
    let is_current = || Some(found.canonicalize().ok()? == Path::new(DEFAULT).canonicalize().ok()?);
    (!is_current().unwrap_or(false)).then_some(found)
}

/// The settings of a file, or all defaults. Problems of the file are printed.
pub(super) fn read(file: Option<&Path>, out: &Output) -> Result<Settings, Failure> {
    let document = match file {
        Some(file) => {
            let bytes =
                std::fs::read(file).map_err(|e| wrong(format!("cannot read {}: {e}", file.display())))?;
            Document { path: file.to_string_lossy().into(), content: Content::Text(bytes.into()) }
        }
        // No file is an empty file: everything has a default.
        None => Document { path: DEFAULT.into(), content: Content::Text(Vec::new().into()) },
    };
    match config::settings(&document) {
        Ok((mut settings, warnings)) => {
            out.diagnostics(&warnings);
            // What gateways depend on is known by absolute paths.
            for file in
                settings.prometheus.iter_mut().flat_map(|p| p.headers_file.iter_mut().chain(&mut p.ca_file))
            {
                if let Ok(full) = std::path::absolute(&*file) {
                    *file = full;
                }
            }
            Ok(settings)
        }
        Err(errors) => {
            out.diagnostics(&errors);
            Err(Failure::Input(None))
        }
    }
}
