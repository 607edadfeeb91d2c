//! The real Envoy that tests run, and waiting for things to come true.
//!
//! It is found as `serin up` finds it: `SERIN_ENVOY`, PATH, the cache, or a fresh installation. Without one the
//! tests fail: a green run always means that Envoy agreed.
#![cfg(test)]

use serin::cli::envoy::EnvoyArgs;
use serin::launch::EnvoyBinary;
use serin::store::Sqlite;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Long enough for a loaded machine; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The Envoy of all tests.
pub(crate) async fn envoy() -> &'static EnvoyBinary {
    static ENVOY: OnceCell<EnvoyBinary> = OnceCell::const_new();
    let find = || async {
        let args = EnvoyArgs { envoy: std::env::var_os("SERIN_ENVOY").map(PathBuf::from) };
        match args.find().envoy().await {
            Ok(envoy) => envoy,
            Err(error) => panic!("these tests want a real Envoy: {error}"),
        }
    };
    ENVOY.get_or_init(find).await
}

/// Asks Envoy whether it would start with this bootstrap; fails with its words if not, or if it calls something
/// in it deprecated.
pub(crate) async fn validate(bootstrap: &str) {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), bootstrap).unwrap();
    let mut run = tokio::process::Command::new(&envoy().await.path);
    run.args(["--mode", "validate", "--disable-hot-restart", "--config-path"]).arg(file.path());
    let run = run.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "Envoy refuses\n{bootstrap}\n{}", said.lines().next().unwrap_or_default());
    assert!(!said.contains("eprecated"), "{said}");
}

/// Waits for a condition; fails with its name after [`DEADLINE`].
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "not in {DEADLINE:?}: {what}");
}

/// Opens a store whose control plane has stopped.
pub(crate) fn reopen(store: &Path) -> Sqlite {
    Sqlite::open(store).unwrap()
}
