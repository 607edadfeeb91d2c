//! `serin envoy`: gets an Envoy, and says where it is. `up` and `demo` look for theirs in the same way.

use crate::launch::{Find, Pin};
use std::path::PathBuf;

/// Finds an Envoy, or installs the pinned one, and prints its path.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EnvoyArgs {
    /// The Envoy to use [default: the one on PATH, else one that is installed once]
    #[arg(long = "envoy", env = "SERIN_ENVOY", value_name = "FILE")]
    pub envoy: Option<PathBuf>,
}

impl EnvoyArgs {
    /// Where to look, after the environment of this process.
    pub fn find(self) -> Find {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|f| f.is_absolute());
        let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Find {
            explicit: self.envoy,
            search: std::env::var_os("PATH"),
            cache: cache.map(|c| c.join("serin")),
            pin: Pin::here(),
        }
    }
}

/// The path to print.
pub async fn run(args: EnvoyArgs) -> anyhow::Result<String> {
    Ok(args.find().envoy().await?.path.display().to_string())
}
