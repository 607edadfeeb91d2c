//! Where the gateway files of `examples/` and `tests/golden/` are, for the suites that go through all of them.
#![cfg(test)]

use std::path::{Path, PathBuf};

/// A gateway file and the case that it belongs to.
pub(crate) struct Case {
    /// The name of the folder.
    pub(crate) name: String,
    /// The gateway file.
    pub(crate) file: PathBuf,
    /// The settings of the example, if it has some.
    pub(crate) settings: Option<PathBuf>,
    /// Where the expected output is.
    pub(crate) golden: PathBuf,
}

/// A path in the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The names in a directory, sorted.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The folders of all examples.
pub(crate) fn examples() -> Vec<PathBuf> {
    entries(&project("examples")).into_iter().filter(|p| p.is_dir()).collect()
}

/// The gateway files of an example; those with settings of their own lie where these say.
pub(crate) fn gateways(example: &Path) -> Vec<PathBuf> {
    let below = example.join("gateways");
    let files = entries(if below.is_dir() { &below } else { example });
    files
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "yaml") && !p.ends_with("serin.yaml"))
        .collect()
}

/// All gateway files of the examples, and of the cases that only tests need.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for example in examples() {
        let settings = Some(example.join("serin.yaml")).filter(|s| s.exists());
        for file in gateways(&example) {
            cases.push(case(&example, file, settings.clone()));
        }
    }
    for folder in entries(&project("tests/golden")) {
        let file = folder.join("gateway.yaml");
        if file.exists() {
            cases.push(case(&folder, file, None));
        }
    }
    cases
}

fn case(folder: &Path, file: PathBuf, settings: Option<PathBuf>) -> Case {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let golden = project("tests/golden").join(&name).join(format!("{stem}.envoy.yaml"));
    Case { name, file, settings, golden }
}
