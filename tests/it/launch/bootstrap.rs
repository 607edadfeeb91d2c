//! The bootstraps in `envoy/` are what the commands in its README print, and Envoy accepts each of them.

use crate::real::validate;
use clap::Parser;
use serin::cli::bootstrap::{self, BootstrapArgs};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Parser)]
#[command(name = "serin bootstrap")]
struct Line {
    #[command(flatten)]
    args: BootstrapArgs,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy")
}

/// What the README says: name of the file, and the text that its command prints.
fn printed() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap().replace("\\\n", " ");
    let commands = readme.lines().filter_map(|l| l.trim().strip_prefix("serin bootstrap"));
    commands
        .filter_map(|l| l.split_once("> envoy/"))
        .map(|(flags, file)| {
            let line = Line::try_parse_from(["serin bootstrap"].into_iter().chain(flags.split_whitespace()));
            (file.trim().to_owned(), bootstrap::run(line.unwrap().args).unwrap())
        })
        .collect()
}

#[test]
fn each_file_is_what_its_command_prints() {
    let printed = printed();
    if std::env::var_os("BLESS").is_some() {
        for (file, text) in &printed {
            std::fs::write(folder().join(file), text).unwrap();
        }
    }
    for (file, text) in &printed {
        let there = std::fs::read_to_string(folder().join(file)).unwrap_or_default();
        assert!(
            there == *text,
            "envoy/{file} is not what its command in envoy/README.md prints: run `make bless`"
        );
    }
    let commands: BTreeSet<_> = printed.into_iter().map(|(file, _)| file).collect();
    let entries = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = entries.filter(|f| f != "README.md").collect();
    assert_eq!(files, commands, "every file has its command");
    assert_eq!(files.len(), 5);
}

#[tokio::test]
async fn envoy_accepts_each_file() {
    let tls = certificates();
    for (_, text) in printed() {
        validate(&text.replace("/etc/envoy/tls", tls.path().to_str().unwrap())).await;
    }
}

#[tokio::test]
async fn envoy_accepts_every_other_choice() {
    for flags in [
        &["--sotw"][..],
        &["--xds", "localhost:18000", "--id", "no", "--cluster", "a: b # c"],
        &["--xds", "[::1]:18000", "--admin", "[::1]:0"],
        &["--admin", "unix:/run/a b.sock", "--max-connections", "1", "--max-heap", "4294967295"],
    ] {
        let line = Line::parse_from([&["serin bootstrap"], flags].concat());
        validate(&bootstrap::run(line.args).unwrap()).await;
    }
    let tls = certificates();
    let file = |name: &str| tls.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("envoy.pem"), file("envoy.key"));
    let address = [
        "serin bootstrap",
        "--xds",
        "10.0.0.7:18000",
        "--tls-ca",
        &ca,
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    validate(&bootstrap::run(Line::parse_from(address).args).unwrap()).await;
}

/// A certificate that signs itself, in all the places of `envoy/README.md`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["edge.example.com".to_owned()]).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", made.cert.pem());
    write("envoy.pem", made.cert.pem());
    write("envoy.key", made.signing_key.serialize_pem());
    folder
}
