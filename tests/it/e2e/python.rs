//! Python that others wrote packages for, in fixed versions. They are installed once, into the cache where the Envoy of
//! these tests lies too. All it takes is Python 3 with pip.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Python with the packages of a list (`name==version` in each line, the one that counts first).
#[derive(Debug)]
pub(crate) struct Python {
    requirements: &'static str,
    folder: OnceCell<PathBuf>,
}

impl Python {
    pub(crate) const fn with(requirements: &'static str) -> Self {
        Self { requirements, folder: OnceCell::const_new() }
    }

    /// Python that is about to run; it ends when its process is dropped. Installs the packages when they are not there.
    pub(crate) async fn command(&self) -> Command {
        let folder = self.folder.get_or_init(|| self.install()).await;
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", folder).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn install(&self) -> PathBuf {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = variable("XDG_CACHE_HOME")
            .or_else(|| Some(variable("HOME")?.join(".cache")))
            .expect("HOME or XDG_CACHE_HOME says where the cache is");
        // Compiled parts are for one version of Python.
        let tag = run(&["-c", "import sys; print(sys.implementation.cache_tag)"]).await;
        let package = self.requirements.lines().next().unwrap().replace("==", "-");
        let home = cache.join("serin");
        let folder = home.join(format!("{package}-{}", tag.trim()));
        if folder.is_dir() {
            return folder;
        }
        std::fs::create_dir_all(&home).unwrap();
        let work = tempfile::Builder::new().prefix(".install-").tempdir_in(&home).unwrap();
        let (list, packages) = (work.path().join("requirements.txt"), work.path().join("packages"));
        std::fs::write(&list, self.requirements).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let quiet =
            ["--disable-pip-version-check", "--no-input", "--quiet", "--only-binary=:all:", "--no-deps"];
        let pip = [&["-m", "pip", "install"], &quiet[..]].concat();
        run(&[&pip[..], &["--target", &path(&packages), "-r", &path(&list)]].concat()).await;
        // Somebody else may have been faster; theirs is as good.
        if let Err(error) = std::fs::rename(&packages, &folder) {
            assert!(folder.is_dir(), "{}: {error}", folder.display());
        }
        folder
    }
}

async fn run(arguments: &[&str]) -> String {
    let run = Command::new("python3").args(arguments).stdin(Stdio::null()).output().await;
    let run = run.expect("these tests want Python 3");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "python3 {}: {said}", arguments.join(" "));
    String::from_utf8(run.stdout).unwrap()
}
