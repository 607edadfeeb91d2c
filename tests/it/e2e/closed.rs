//! What is wrong with who may come in closes its own gateway, says what to do, and concerns no other.

use super::stage::{Stage, free_port, toy};
use crate::real::eventually;
use serde_json::Value;

const KEY: &str = "k-acme-0123456789abcdef";
/// The password is `password`.
const ANN: &str = "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

/// A gateway with something wrong about who may come in.
struct Case {
    name: &'static str,
    /// The value of `authentication`, with `FILE` for the path of the file.
    mode: &'static str,
    /// What is in the file; `None`: it is not there.
    file: Option<&'static str>,
    /// The code of what is said about it, and a part of the help.
    code: &'static str,
    help: &'static str,
    status: u16,
}

const BASIC: &str = "{ basicAuth: { usersFile: FILE } }";
const KEYS: &str = "{ accessKey: { keysFile: FILE } }";
const JWT: &str = "{ jwt: { issuer: i, jwksFile: FILE } }";

const fn case(
    name: &'static str,
    mode: &'static str,
    file: Option<&'static str>,
    (code, help, status): (&'static str, &'static str, u16),
) -> Case {
    Case { name, mode, file, code, help, status }
}

const HASH: (&str, &str, u16) = ("A005", "serin users set", 503);
const NO_FILE: (&str, &str, u16) = ("A002", "write its path", 503);
const NO_USER: (&str, &str, u16) = ("A004", "serin users set", 403);
const NO_KEY: (&str, &str, u16) = ("A007", "serin keys new", 403);
const LINE: (&str, &str, u16) = ("A007", "serin keys new", 503);
const TWICE: (&str, &str, u16) = ("A007", "a key of its own", 503);
const JWKS: (&str, &str, u16) = ("A012", "from the issuer", 503);

const CASES: &[Case] = &[
    case("bcrypt", BASIC, Some("ann:$2y$05$abcdefghijklmnopqrstuv\n"), HASH),
    case("apache-md5", BASIC, Some("ann:$apr1$abc$def\n"), HASH),
    case("crypt-sha512", BASIC, Some("ann:$6$abc$def\n"), HASH),
    case("salted-sha1", BASIC, Some("ann:{SSHA}abc\n"), HASH),
    case("plain", BASIC, Some("ann:tiger\n"), HASH),
    case("one-of-two", BASIC, Some("ann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=\nbob:$2y$05$a\n"), HASH),
    case(
        "user-twice",
        BASIC,
        Some("ann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=\nann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=\n"),
        ("A004", "one line for each user", 503),
    ),
    case("users-missing", BASIC, None, NO_FILE),
    case("users-empty", BASIC, Some(""), NO_USER),
    case("users-comments", BASIC, Some("# ann left\n\n"), NO_USER),
    case("keys-missing", KEYS, None, NO_FILE),
    case("keys-empty", KEYS, Some(""), NO_KEY),
    case("keys-comments", KEYS, Some("# none\n"), NO_KEY),
    case("keys-no-colon", KEYS, Some("acme\n"), LINE),
    case("key-twice", KEYS, Some("acme:0123456789abcdef\nacme:0123456789abcdef\n"), TWICE),
    case("jwks-missing", JWT, None, NO_FILE),
    case("jwks-empty", JWT, Some(""), JWKS),
    case("jwks-broken", JWT, Some("{ \"keys\": ["), JWKS),
    case("jwks-no-key", JWT, Some("{ \"keys\": [] }"), JWKS),
];

fn gateway(name: &str, mode: &str, upstreams: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\nauthentication: {mode}\nupstreams: {upstreams}\n"
    )
}

fn says(gateway: &Value, code: &str, help: &str) -> bool {
    let all = gateway["diagnostics"].as_array().unwrap();
    all.iter().any(|d| d["code"] == code && d["help"].as_str().is_some_and(|said| said.contains(help)))
}

#[tokio::test]
async fn each_mistake_closes_its_gateway_and_no_other() {
    // Whoever falls through a gateway would come to the open one at the root, and be counted.
    let (behind, open) = (toy("behind").await, toy("open").await);
    let (model, root) = (format!("{{ v1: {} }}", behind.url()), format!("{{ v1: {} }}", open.url()));
    let mut files = vec![
        ("root.yaml".to_owned(), gateway("root", "{ none: {} }", &root).replace("path: /root\n", "")),
        ("good.yaml".to_owned(), gateway("good", "{ accessKey: { keysFile: good.keys } }", &root)),
        ("good.keys".to_owned(), format!("acme:{KEY}\n")),
        // What is wrong here is not who may come in.
        ("elsewhere.yaml".to_owned(), gateway("elsewhere", "{ basicAuth: { usersFile: ann } }", "{ v1: 5 }")),
        ("ann".to_owned(), ANN.to_owned()),
    ];
    // Not a file, a link to nowhere, and an issuer that does not answer.
    for (name, mode) in [("folder", BASIC), ("link", KEYS)] {
        files.push((
            format!("{name}.yaml"),
            gateway(name, &mode.replace("FILE", &format!("{name}.secret")), &model),
        ));
    }
    let away = format!("{{ jwt: {{ issuer: i, jwksUri: 'http://127.0.0.1:{}/' }} }}", free_port());
    files.push(("away.yaml".to_owned(), gateway("away", &away, &model)));
    for Case { name, mode, file, .. } in CASES {
        let mode = mode.replace("FILE", &format!("{name}.secret"));
        files.push((format!("{name}.yaml"), gateway(name, &mode, &model)));
        files.extend(file.map(|text| (format!("{name}.secret"), text.to_owned())));
    }
    let all: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let stage = Stage::new(&all).await;
    std::fs::create_dir(stage.path("folder.secret")).unwrap();
    std::os::unix::fs::symlink("nowhere", stage.path("link.secret")).unwrap();
    stage.sees("a folder is no file", "folder", |g| g.is_some_and(|g| says(g, "A002", "let the user"))).await;
    stage.sees("no issuer", "away", |g| g.is_some_and(|g| says(g, "E002", ""))).await;
    stage.sees("another mistake", "elsewhere", |g| g.is_some_and(|g| g["phase"] == "Invalid")).await;
    stage.sees("a link", "link", |g| g.is_some_and(|g| says(g, "A002", "write its path"))).await;
    let envoy = stage.envoy().await;
    stage.taken().await;

    let credentials = [("authorization", "Basic YW5uOnRpZ2Vy"), ("x-api-key", "0123456789abcdef")];
    let others = ["folder", "link", "away", "elsewhere"].map(|name| (name, 503));
    let closed = CASES.iter().map(|case| (case.name, case.status)).chain(others);
    for (name, status) in closed.clone() {
        for headers in [&credentials[..], &[]] {
            assert_eq!(stage.ask(&format!("/{name}"), headers).await.0, status, "{name}");
        }
    }
    for Case { name, code, help, .. } in CASES {
        stage.sees(name, name, |g| g.is_some_and(|g| says(g, code, help))).await;
    }
    assert_eq!((behind.requests(), open.requests()), (0, 0), "a model has heard of someone");
    assert_eq!(stage.ask("/good", &[("x-api-key", KEY)]).await, (200, "open".to_owned()));
    assert_eq!(stage.ask("/", &[]).await, (200, "open".to_owned()));

    // Repaired, each opens again to those whom it names; emptied, it closes at once.
    for (file, text, status) in [
        ("users-empty.secret", ANN, 200),
        ("folder.secret", ANN, 200),
        ("users-empty.secret", "", 403),
        ("users-empty.secret", ANN, 200),
        ("users-empty.secret", "ann\n", 200),
        ("users-empty.secret", "# nobody\n", 403),
        ("users-empty.secret", "ann\n", 403),
    ] {
        let name = file.trim_end_matches(".secret");
        if name == "folder" && stage.path(file).is_dir() {
            std::fs::remove_dir(stage.path(file)).unwrap();
        }
        let version =
            || stage.app.view.load().gateways.get(name).map(|g| serde_json::to_value(&**g).unwrap());
        let before = version();
        stage.replace(file, text);
        eventually("the file is read", || version() != before).await;
        stage.taken().await;
        let right = [("authorization", "Basic YW5uOnBhc3N3b3Jk")];
        let path = format!("/{name}");
        let wanted = async {
            while stage.ask(&path, &right).await.0 != status {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(crate::real::DEADLINE, wanted).await;
        assert!(done.is_ok(), "{file} with {text:?} is not answered {status}");
    }
    stage.end([envoy]).await;
}
