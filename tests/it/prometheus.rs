//! The real Prometheus that tests ask.
//!
//! `SERIN_PROMETHEUS`, one on PATH, or the package `prometheus` of Debian or Ubuntu, unpacked once into the cache of this
//! user, without root. Without one the tests fail: a green run always means that Prometheus agreed.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::sync::OnceCell;

const HELP: &str = "these tests want a real Prometheus: install one so that `prometheus` is on PATH, or say where it is \
                    with SERIN_PROMETHEUS; on Debian and Ubuntu a way to the packages is enough";

/// The program.
pub(crate) async fn prometheus() -> &'static Path {
    static FOUND: OnceCell<PathBuf> = OnceCell::const_new();
    FOUND.get_or_init(|| async { tokio::task::spawn_blocking(find).await.unwrap() }).await
}

fn find() -> PathBuf {
    if let Some(said) = std::env::var_os("SERIN_PROMETHEUS") {
        return said.into();
    }
    let runs = |path: &Path| {
        let mut command = Command::new(path);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let on_path = PathBuf::from("prometheus");
    if runs(&on_path) {
        return on_path;
    }
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let cached = cache.join("serin/prometheus");
    let program = cached.join("usr/bin/prometheus");
    if !runs(&program) {
        unpack(&cached);
        assert!(runs(&program), "{} does not run; {HELP}", program.display());
    }
    program
}

/// Unpacks the package beside, and then renames it into place: several test runs may do so at once.
fn unpack(into: &Path) {
    let parent = into.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let beside = tempfile::tempdir_in(parent).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let run = Command::new(program).args(arguments).current_dir(beside.path()).output();
        let run = run.unwrap_or_else(|e| panic!("{program}: {e}; {HELP}"));
        assert!(run.status.success(), "{program}: {}; {HELP}", String::from_utf8_lossy(&run.stderr));
    };
    // Lists of packages of its own: those of the machine may be missing or old.
    let own = |of: &str| beside.path().join(of).to_str().unwrap().to_owned();
    for folder in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(own(folder)).unwrap();
    }
    let (lists, cache) = (format!("Dir::State::Lists={}", own("lists")), format!("Dir::Cache={}", own("")));
    let options = ["-o", &lists, "-o", &cache, "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="];
    run("apt-get", &[&options[..], &["--quiet", "update"]].concat());
    run("apt-get", &[&options[..], &["download", "prometheus"]].concat());
    let files = std::fs::read_dir(beside.path()).unwrap().map(|e| e.unwrap().path());
    let package = files.into_iter().find(|p| p.extension().is_some_and(|e| e == "deb")).expect(HELP);
    run("dpkg-deb", &["-x", package.to_str().unwrap(), "unpacked"]);
    if let Err(error) = std::fs::rename(beside.path().join("unpacked"), into) {
        assert!(into.exists(), "{error}");
    }
}
