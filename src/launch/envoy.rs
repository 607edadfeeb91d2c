//! Finds an Envoy: the one that was named, one on PATH, the cached one, or a freshly installed one.
//!
//! A named Envoy is used or refused, never replaced by another. Whatever is found has been run once and said its
//! version: `envoy` is also the name of an unrelated tool.

use super::install::{self, Pin};
use super::{ENVOY_VERSION, Error};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A program that does not say its version in this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to look for Envoy.
#[derive(Clone, Debug, Default)]
pub struct Find {
    /// Named by the user: nothing else is tried.
    pub explicit: Option<PathBuf>,
    /// The value of `PATH`: where Envoy, and Python to install it, are looked for.
    pub search: Option<OsString>,
    /// Our own cache directory; Envoy is in `envoy-<version>/envoy` below it.
    pub cache: Option<PathBuf>,
    /// What to install; `None`: nothing is pinned for this platform.
    pub pin: Option<Pin>,
}

/// An Envoy that runs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyBinary {
    /// The file.
    pub path: PathBuf,
    /// What `--version` says, such as `1.40.0`.
    pub version: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an Envoy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by the user.
    Named,
    /// Found on PATH.
    Path,
    /// Installed by us earlier.
    Cached,
    /// Installed by us just now.
    Installed,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "named",
            Self::Path => "on PATH",
            Self::Cached => "cached",
            Self::Installed => "just installed",
        })
    }
}

impl Find {
    /// Gets an Envoy; installs one when there is none, which downloads about 35 MB.
    pub async fn envoy(&self) -> Result<EnvoyBinary, Error> {
        let found = self.locate().await?;
        tracing::info!(path = %found.path.display(), version = %found.version, "Envoy found: {}", found.origin);
        if minor(&found.version) != minor(ENVOY_VERSION) {
            tracing::warn!("Serin is tested with Envoy {ENVOY_VERSION}, this one is {}", found.version);
        }
        Ok(found)
    }

    async fn locate(&self) -> Result<EnvoyBinary, Error> {
        if let Some(path) = &self.explicit {
            return examine(path.clone(), Origin::Named).await;
        }
        // One on PATH is taken for the version that Serin is tested with, and for no older one that is asked for.
        let is_any = self.pin.as_ref().is_none_or(|pin| pin.version == ENVOY_VERSION);
        for path in self.on_path().filter(|_| is_any) {
            match examine(path, Origin::Path).await {
                Ok(found) => return Ok(found),
                Err(other) => tracing::info!("passed over: {other}"),
            }
        }
        let cache = self.cache.as_ref().ok_or(Error::NoCache)?;
        let pin = self.pin.as_ref().ok_or_else(|| Error::Unsupported {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        })?;
        let home = cache.join(format!("envoy-{}", pin.version));
        let path = home.join("envoy");
        if path.is_file() {
            match examine(path.clone(), Origin::Cached).await {
                Ok(found) if found.version == pin.version => return Ok(found),
                Ok(found) => tracing::warn!("the cached Envoy is {}, it is replaced", found.version),
                Err(broken) => tracing::warn!("the cached Envoy is replaced: {broken}"),
            }
        }
        install::install(pin, &home, self.search.as_deref()).await?;
        examine(path, Origin::Installed).await
    }

    /// The files on PATH that could be Envoy. Relative parts of PATH are left out: what they mean depends on
    /// where one stands.
    fn on_path(&self) -> impl Iterator<Item = PathBuf> {
        let folders: Vec<PathBuf> = self.search.iter().flat_map(std::env::split_paths).collect();
        folders.into_iter().filter(|f| f.is_absolute()).map(|f| f.join("envoy")).filter(|f| f.is_file())
    }
}

/// `1.40` of `1.40.3`.
fn minor(version: &str) -> Option<&str> {
    version.rsplit_once('.').map(|(minor, _)| minor)
}

async fn examine(path: PathBuf, origin: Origin) -> Result<EnvoyBinary, Error> {
    let version = version(&path).await?;
    Ok(EnvoyBinary { path, version, origin })
}

/// Runs `--version`, which proves too that the file runs here.
pub(super) async fn version(path: &Path) -> Result<String, Error> {
    let not = |reason: String| Error::NotEnvoy { path: path.to_path_buf(), reason };
    let run = Command::new(path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let run = tokio::time::timeout(PATIENCE, run)
        .await
        .map_err(|_| not("it does not say its version".into()))?
        .map_err(|e| not(format!("it cannot be run: {e}")))?;
    let said = String::from_utf8_lossy(&run.stdout);
    match read_version(&said) {
        Some(version) => Ok(version.to_owned()),
        None if run.status.success() => Err(not("its --version is not that of Envoy".into())),
        None => Err(not(format!("--version ends with {}: {}", run.status, last_line(&run.stderr)))),
    }
}

/// Reads `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn read_version(said: &str) -> Option<&str> {
    let (_, build) = said.split_once("version: ")?;
    let version = build.trim().split('/').nth(1)?;
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

fn last_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().last().unwrap_or("nothing was said").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_second_part_of_the_build() {
        let said = "\n/usr/bin/envoy  version: 9e558093/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(read_version(said), Some("1.40.0"));
        assert_eq!(read_version("Laravel Envoy 2.8.2"), None);
        assert_eq!(read_version("version: nonsense"), None);
        assert_eq!(minor("1.40.3"), Some("1.40"));
    }
}
