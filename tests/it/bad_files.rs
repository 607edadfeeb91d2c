//! Golden cases of mistakes: `tests/bad-files/<case>.yaml` and the exact text that its author reads.
//!
//! A case whose name begins with `settings-` is a `serin.yaml`, any other a gateway file, whose secrets are the files
//! of `attached`. `BLESS=1` rewrites the
//! texts; read each of them before you commit it.

use serin::config::{Attachment, Content, Context, Document, Reference, load, settings};
use serin::diag::{Severity, Style, render};
use serin::model::{CertificateFiles, Listener, ListenerTls, PrometheusServer, Routing};
use serin::names::ListenerName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

#[test]
fn each_mistake_is_explained_in_good_english() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad-files");
    let bless = std::env::vars_os().any(|(key, _)| key == "BLESS");
    let names = |extension: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mine = files.filter(|path| path.extension().is_some_and(|e| e == extension));
        mine.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let cases = names("yaml");
    let attached = attached(&folder);
    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = std::fs::read(folder.join(format!("{case}.yaml"))).unwrap();
        let text = explain(case, &bytes, &attached);
        let golden = folder.join(format!("{case}.txt"));
        if bless {
            std::fs::write(&golden, &text).unwrap();
        } else if std::fs::read_to_string(&golden).ok().as_ref() != Some(&text) {
            wrong.push(format!("{case}:\n{text}"));
        }
    }
    let stale: Vec<_> = names("txt").difference(&cases).cloned().collect();
    assert!(stale.is_empty(), "texts without a case: {stale:?}");
    assert!(wrong.is_empty(), "other texts than expected:\n\n{}", wrong.join("\n"));
    assert!(cases.len() >= 45, "only {} cases", cases.len());
}

fn explain(case: &str, bytes: &[u8], attached: &BTreeMap<Reference, Attachment>) -> String {
    let document = Document { path: format!("{case}.yaml").into(), content: Content::Text(bytes.into()) };
    let diagnostics = if case.starts_with("settings-") {
        settings(&document).expect_err(case)
    } else {
        let routing = if case.starts_with("scoped-") { Routing::Scoped } else { Routing::Plain };
        let url = "http://prometheus:9090".to_owned();
        let prometheus = PrometheusServer { url, headers_file: None, ca_file: None };
        let prometheus = (!case.starts_with("rollout-no-server")).then_some(prometheus);
        load(
            &document,
            &Context { listeners: &listeners(), attached, routing, prometheus: prometheus.as_ref() },
        )
        .diagnostics
    };
    assert!(!diagnostics.is_empty(), "{case} has no mistake");
    assert!(diagnostics.iter().all(|d| d.help.is_some()), "{case}: a mistake without help");
    assert!(
        case.starts_with("warning-") || diagnostics.iter().any(|d| d.severity == Severity::Error),
        "{case} only warns"
    );
    let text = render(&diagnostics, Style::Plain);
    assert!(
        !case.starts_with("auth-") || !text.replace("ann:tiger@", "").contains("tiger"),
        "{case} says a secret"
    );
    text
}

/// `default` is open to other machines, `edge` has TLS.
fn listeners() -> BTreeMap<ListenerName, Listener> {
    let files = CertificateFiles { cert_file: "edge.crt".into(), key_file: "edge.key".into() };
    let files = ListenerTls { certificates: vec![files] };
    [("default", None), ("edge", Some(files))]
        .map(|(name, tls)| {
            let listener = Listener { address: Ipv4Addr::UNSPECIFIED.into(), port: 8080, tls };
            (ListenerName::new(name).unwrap(), listener)
        })
        .into()
}

/// What the cases refer to: the files of `attached` as `secrets/<name>`, and what no file can be.
fn attached(folder: &Path) -> BTreeMap<Reference, Attachment> {
    let pair = || {
        let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((certificate, key), (_, other)) = (pair(), pair());
    let files = std::fs::read_dir(folder.join("attached")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap().into();
        (format!("secrets/{name}"), Attachment::Bytes { bytes, exposed: name.starts_with("exposed.") })
    });
    let others = [
        ("secrets/ca.pem", Attachment::private(certificate.as_bytes())),
        ("secrets/client.key", Attachment::private(key.as_bytes())),
        ("secrets/exposed.key", Attachment::Bytes { bytes: key.as_bytes().into(), exposed: true }),
        ("secrets/other.key", Attachment::private(other.as_bytes())),
        ("secrets/missing.pem", Attachment::Missing),
        ("secrets/locked.pem", Attachment::Unreadable("permission denied".to_owned())),
        ("secrets/huge.pem", Attachment::TooLarge(5_000_000)),
    ];
    let others = others.map(|(path, attachment)| (path.to_owned(), attachment));
    files.chain(others).map(|(path, attachment)| (Reference::File(path.into()), attachment)).collect()
}
