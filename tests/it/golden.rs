//! Golden cases of translation: gateway files and the Envoy resources that become of them.
//!
//! Every gateway file of `examples/` is a case, and every `tests/golden/<case>/gateway.yaml`. What `serin translate`
//! prints is `tests/golden/<case>/<file>.envoy.yaml`; where an example has several gateways, what Envoys are told of
//! all of them together is `<node.cluster>.routes.yaml`, and what applications are told that use gRPC without a proxy is
//! `grpc.proxyless.yaml`. `BLESS=1` rewrites them; read each before you commit it.

use crate::examples::{Case, cases, entries, examples, gateways, project};
use crate::real::validate;
use serde_json::{Value, json};
use serin::cli::read_directory;
use serin::clock;
use serin::config::{self, Content, Document};
use serin::control::{Event, World};
use serin::model::Settings;
use serin::resource::{Kind, Resource};
use serin::snapshot::{Fleet, Snapshot, dump};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

#[test]
fn each_case_translates_as_expected() {
    let mut expected: BTreeMap<PathBuf, String> =
        cases().into_iter().map(|case| (case.golden.clone(), translate(&case, &[]))).collect();
    for example in examples() {
        let (folder, fleet) = (project("tests/golden").join(example.file_name().unwrap()), fleet(&example));
        if gateways(&example).len() > 1 {
            for (audience, routes) in told(&fleet) {
                expected.insert(folder.join(format!("{audience}.routes.yaml")), routes);
            }
        }
        let proxyless = yaml(fleet.grpc.resources());
        if !proxyless.is_empty() {
            expected.insert(folder.join("grpc.proxyless.yaml"), proxyless);
        }
    }
    assert!(expected.len() >= 20, "only {} goldens", expected.len());

    let bless = std::env::vars_os().any(|(key, _)| key == "BLESS");
    let mut wrong = Vec::new();
    for (golden, text) in &expected {
        if bless {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(golden, text).unwrap();
        }
        let there = std::fs::read_to_string(golden).unwrap_or_default();
        if there != *text {
            let diff = similar::TextDiff::from_lines(&there, text).unified_diff().to_string();
            wrong.push(format!("{}:\n{diff}", golden.display()));
        }
    }
    let stale: Vec<_> = goldens().difference(&expected.into_keys().collect()).cloned().collect();
    assert!(stale.is_empty(), "nothing becomes these files any more: {stale:?}");
    assert!(wrong.is_empty(), "not as expected; `make bless` and review:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn envoy_accepts_each_case() {
    for case in cases() {
        let mut bootstrap: Value = serde_yaml::from_str(&translate(&case, &["--bootstrap"])).unwrap();
        add_certificates(&mut bootstrap);
        validate(&bootstrap.to_string()).await;
    }
}

/// What `serin translate` prints, without a complaint: of a copy that only we may read, since git keeps no such mode
/// and Serin warns of secrets that everyone may read.
fn translate(case: &Case, flags: &[&str]) -> String {
    let copy = tempfile::tempdir().unwrap();
    for file in entries(case.file.parent().unwrap()).iter().filter(|f| f.is_file()) {
        let to = copy.path().join(file.file_name().unwrap());
        std::fs::copy(file, &to).unwrap();
        std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.arg("translate").args(flags).arg(copy.path().join(case.file.file_name().unwrap()));
    if let Some(settings) = &case.settings {
        command.arg("--config").arg(settings);
    }
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.is_empty(), "{}: {said}", case.name);
    String::from_utf8(run.stdout).unwrap()
}

/// What clients are told of an example.
fn fleet(example: &Path) -> Fleet {
    let directory = gateways(example)[0].parent().unwrap().to_path_buf();
    let settings = settings(example);
    let mut world = World::new(settings.clone());
    world.apply(Event::Files(read_directory(&directory, &settings).unwrap()), clock::now());
    world.fleet()
}

/// The route configurations that Envoys are told, by `node.cluster`.
fn told(fleet: &Fleet) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        fleet.named.iter().map(|(n, s)| (n.to_string(), routes(s))).collect();
    all.insert("everyone".into(), routes(&fleet.everyone));
    all.retain(|_, text| !text.is_empty());
    all
}

/// What the `serin.yaml` of an example says; the default where it has none.
fn settings(example: &Path) -> Settings {
    let content = std::fs::read(example.join("serin.yaml")).unwrap_or_default();
    let document = Document { path: "serin.yaml".into(), content: Content::Text(content.into()) };
    config::settings(&document).unwrap().0
}

fn routes(snapshot: &Snapshot) -> String {
    yaml(snapshot.resources().filter(|r| matches!(r.kind(), Kind::ScopedRoute | Kind::Route)))
}

fn yaml<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> String {
    resources.map(|r| serde_yaml::to_string(&dump(r).unwrap()).unwrap()).collect()
}

fn goldens() -> BTreeSet<PathBuf> {
    let folders = entries(&project("tests/golden"));
    let files = folders.iter().flat_map(|folder| entries(folder));
    let is_golden =
        |name: &str| [".envoy.yaml", ".routes.yaml", ".proxyless.yaml"].iter().any(|end| name.ends_with(end));
    files.filter(|f| f.file_name().and_then(|n| n.to_str()).is_some_and(is_golden)).collect()
}

/// Envoy wants every secret that something names; `translate` knows neither keys nor whom this machine trusts.
fn add_certificates(bootstrap: &mut Value) {
    let made = rcgen::generate_simple_self_signed(["fraud.example.com".to_owned()]).unwrap();
    let names: Vec<Value> = bootstrap["static_resources"]["listeners"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|listener| {
            listener
                .pointer("/filter_chains/0/transport_socket/typed_config/common_tls_context")?
                .pointer("/tls_certificate_sds_secret_configs/0/name")
                .cloned()
        })
        .collect();
    let secrets = bootstrap["static_resources"]["secrets"].as_array_mut().unwrap();
    secrets.extend(names.into_iter().map(|name| {
        json!({ "name": name, "tls_certificate": {
            "certificate_chain": { "inline_string": made.cert.pem() },
            "private_key": { "inline_string": made.signing_key.serialize_pem() },
        }})
    }));
    secrets.push(json!({ "name": "ca/system", "validation_context": {
        "trusted_ca": { "inline_string": made.cert.pem() }
    }}));
}
