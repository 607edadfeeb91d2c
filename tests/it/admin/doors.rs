//! Who comes in by HTTP, and who stays outside.

use super::problem;
use crate::protocol::client::{folder, gateway, soon, write};
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_MATCH, ORIGIN, RETRY_AFTER, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use serin::access::{Role, line};
use serin::app::{App, Error, Options};
use serin::model::{ServerTls, Settings};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A control plane to which Ann gives orders and at which Bob looks.
pub(super) struct House {
    pub(super) folder: Arc<TempDir>,
    pub(super) app: App,
}

pub(super) const ANN: &str = "serin_ann";
pub(super) const BOB: &str = "serin_bob";

fn people() -> String {
    let line = |name, role, token| line(name, role, token).unwrap();
    format!("{}\n{}\n", line("ann", Role::Operator, ANN), line("bob", Role::Viewer, BOB))
}

pub(super) fn settings(gateways: &Path) -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings { gateways: gateways.to_path_buf(), xds: any, http: any, ..Settings::default() }
}

impl House {
    pub(super) async fn new(files: &[(&str, String)]) -> Self {
        let folder = folder(files);
        write(folder.path(), "tokens", &people());
        let tokens_file = Some(folder.path().join("tokens"));
        let settings = Settings { tokens_file, ..settings(folder.path()) };
        let app = App::start(settings, Options::default()).await.unwrap();
        soon("files are read", app.ready()).await;
        Self { folder, app }
    }

    pub(super) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        Client::new().request(method, format!("http://{}/api/v1/{path}", self.app.http))
    }

    pub(super) fn ann(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask(method, path).bearer_auth(ANN)
    }

    async fn session(&self, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// The cookie of a new session.
    pub(super) async fn login(&self, token: &str) -> String {
        let login = self.ask(Method::POST, "session").json(&json!({ "token": token }));
        let answer = login.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.app.http)
    }
}

/// Each request that changes something, and would succeed: method, page, type of the body, body, and whether it is about
/// one version of a file.
const CHANGES: &[(&str, &str, &str, &str, bool)] = &[
    (
        "PUT",
        "gateways/a",
        "application/yaml",
        "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://b }\n",
        true,
    ),
    ("PATCH", "gateways/a", "application/merge-patch+json", "{\"path\": \"/b\"}", true),
    ("PUT", "gateways/a/traffic", "application/json", "{\"v1\": 40, \"v2\": 60}", true),
    ("DELETE", "gateways/a", "", "", true),
    ("PUT", "switches/shadow", "application/json", "{\"on\": false}", false),
    ("POST", "gateways/a/actions/promote", "application/json", "{}", false),
    ("POST", "gateways/a/actions/abort", "application/json", "{}", false),
    ("POST", "gateways/a/actions/pause", "application/json", "{}", false),
    ("POST", "gateways/a/actions/resume", "application/json", "{}", false),
    ("POST", "gateways/a/actions/retry", "application/json", "{}", false),
    ("POST", "gateways/a/actions/set-weight", "application/json", "{\"weight\": 50}", false),
    ("POST", "gateways/a/actions/undo", "application/json", "{}", false),
];

#[tokio::test]
async fn only_who_may_changes_anything() {
    let text = gateway("a", 95);
    let house = House::new(&[("a", text.clone())]).await;
    let tag = house.ann(Method::GET, "gateways/a/file").send().await.unwrap().headers()[ETAG].clone();
    let (ann, bob) = (house.login(ANN).await, house.login(BOB).await);
    for (method, path, media_type, body, of_file) in CHANGES {
        let change = |headers: &[(reqwest::header::HeaderName, &str)]| {
            let mut request = house.ask(method.parse().unwrap(), path).body(*body);
            if !media_type.is_empty() {
                request = request.header(CONTENT_TYPE, *media_type);
            }
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            request
        };
        let current = tag.to_str().unwrap();
        let origin = house.origin();
        for (case, headers, status) in [
            ("nobody", vec![], StatusCode::UNAUTHORIZED),
            ("a stranger", vec![(AUTHORIZATION, "Bearer serin_eve")], StatusCode::UNAUTHORIZED),
            ("another scheme", vec![(AUTHORIZATION, "Basic YW5uOng=")], StatusCode::UNAUTHORIZED),
            ("an old cookie", vec![(COOKIE, "serin-session=x"), (ORIGIN, &origin)], StatusCode::UNAUTHORIZED),
            ("a viewer", vec![(AUTHORIZATION, "Bearer serin_bob")], StatusCode::FORBIDDEN),
            ("a viewer's session", vec![(COOKIE, &bob), (ORIGIN, &origin)], StatusCode::FORBIDDEN),
            ("another site", vec![(COOKIE, &ann), (ORIGIN, "http://evil.example")], StatusCode::FORBIDDEN),
            ("a sandbox", vec![(COOKIE, &ann), (ORIGIN, "null")], StatusCode::FORBIDDEN),
            ("no site", vec![(COOKIE, &ann)], StatusCode::FORBIDDEN),
            (
                "another site with a token",
                vec![(AUTHORIZATION, "Bearer serin_ann"), (ORIGIN, "http://evil.example")],
                StatusCode::FORBIDDEN,
            ),
        ] {
            let answer = change(&headers).header(IF_MATCH, current).send().await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path} by {case}");
            let challenged = answer.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(challenged, status == StatusCode::UNAUTHORIZED, "{method} {path} by {case}");
            problem(answer, status).await;
        }
        let ann = (AUTHORIZATION, "Bearer serin_ann");
        if *of_file {
            let stale = change(&[ann.clone(), (IF_MATCH, "\"stale\"")]).send().await.unwrap();
            problem(stale, StatusCode::PRECONDITION_FAILED).await;
            let unsaid = change(std::slice::from_ref(&ann)).send().await.unwrap();
            problem(unsaid, StatusCode::PRECONDITION_REQUIRED).await;
        }
        if !media_type.is_empty() {
            let other =
                house.ann(method.parse().unwrap(), path).header(CONTENT_TYPE, "text/plain").body(*body);
            problem(
                other.header(IF_MATCH, current).send().await.unwrap(),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            )
            .await;
        }
        assert_eq!(std::fs::read_to_string(house.folder.path().join("a.yaml")).unwrap(), text);
    }
    house.app.stop().await;
}

#[tokio::test]
async fn reading_wants_a_token_and_probes_do_not() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    for page in
        ["gateways", "gateways/a", "gateways/a/file", "gateways/a/traffic", "events", "proxies", "config/a"]
    {
        problem(house.ask(Method::GET, page).send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
        for token in [ANN, BOB] {
            let answer = house.ask(Method::GET, page).bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{page}");
        }
    }
    for (path, kept) in [
        ("api/v1/gateways", "private, no-cache"),
        ("api/v1/gateways/none", "private, no-cache"),
        ("api/v1/nothing", "private, no-cache"),
        ("api/v1/session", "no-store"),
        ("api/v1/gateways/a/file", "no-store"),
        ("api/v1/config/a", "no-store"),
        ("metrics", "private, no-cache"),
    ] {
        let ask = || Client::new().get(format!("http://{}/{path}", house.app.http));
        for answer in [ask().bearer_auth(BOB).send().await.unwrap(), ask().send().await.unwrap()] {
            let headers = answer.headers();
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            if answer.status() == StatusCode::UNAUTHORIZED {
                assert_eq!(headers["cache-control"], "private, no-cache", "{path}");
            } else {
                assert_eq!(headers["cache-control"], kept, "{path}");
            }
        }
    }
    let validate = |token: Option<&str>| {
        let request =
            house.ask(Method::POST, "validate").header(CONTENT_TYPE, "application/yaml").body("x: 1");
        token.into_iter().fold(request, RequestBuilder::bearer_auth).send()
    };
    problem(validate(None).await.unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(validate(Some(BOB)).await.unwrap().status(), StatusCode::OK);
    let plain = |path: &str| Client::new().get(format!("http://{}{path}", house.app.http));
    problem(plain("/metrics").send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(plain("/metrics").bearer_auth(BOB).send().await.unwrap().status(), StatusCode::OK);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(plain(path).send().await.unwrap().status(), StatusCode::OK);
    }
    house.app.stop().await;
}

#[tokio::test]
async fn a_session_is_for_browsers_and_ends() {
    let house = House::new(&[("a", gateway("a", 95))]).await;
    let session = house.session(house.ask(Method::GET, "session")).await;
    let reason = "changes are for those who show the token of an operator";
    let editing = json!({ "allowed": false, "reason": reason });
    assert_eq!(session, json!({ "name": null, "role": null, "loginNeeded": true, "editing": editing }));

    let (ann, bob) = (house.login(ANN).await, house.login(BOB).await);
    let with = |cookie: &str| house.ask(Method::GET, "session").header(COOKIE, cookie);
    let session = house.session(with(&ann)).await;
    let editing = json!({ "allowed": true, "reason": null });
    assert_eq!(
        session,
        json!({ "name": "ann", "role": "operator", "loginNeeded": false, "editing": editing })
    );
    let session = house.session(with(&bob)).await;
    assert_eq!((&session["role"], &session["editing"]["allowed"]), (&json!("viewer"), &json!(false)));

    // A change by a page of ours, in Ann's name.
    let origin = house.origin();
    let tag = house.ann(Method::GET, "gateways/a/traffic").send().await.unwrap().headers()[ETAG].clone();
    let weights = json!({ "v1": 60, "v2": 40 });
    let change = house.ask(Method::PUT, "gateways/a/traffic").header(COOKIE, &ann).header(IF_MATCH, tag);
    let changed = change.header(ORIGIN, &origin).json(&weights).send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);

    // Logging out ends one session, taking out a token all of it.
    let forged =
        house.ask(Method::DELETE, "session").header(COOKIE, &ann).header(ORIGIN, "http://evil.example");
    problem(forged.send().await.unwrap(), StatusCode::FORBIDDEN).await;
    let out = house.ask(Method::DELETE, "session").header(COOKIE, &ann).header(ORIGIN, &origin);
    let out = out.send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(out.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(house.session(with(&ann)).await["name"], Value::Null);
    assert_eq!(house.session(with(&bob)).await["name"], "bob");
    let only_ann = people().lines().next().unwrap().to_owned();
    write(house.folder.path(), "tokens", &only_ann);
    soon("bob is out", async {
        while house.session(with(&bob)).await["name"] != Value::Null {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let read = house.ask(Method::GET, "gateways").bearer_auth(BOB).send().await.unwrap();
    problem(read, StatusCode::UNAUTHORIZED).await;
    assert_eq!(house.ann(Method::GET, "gateways").send().await.unwrap().status(), StatusCode::OK);
    house.app.stop().await;
}

#[tokio::test]
async fn who_guesses_tokens_waits() {
    let house = House::new(&[]).await;
    let login = |token: &str| house.ask(Method::POST, "session").json(&json!({ "token": token }));
    let forged = login(ANN).header(ORIGIN, "http://evil.example").send().await.unwrap();
    problem(forged, StatusCode::FORBIDDEN).await;
    let plain = house.ask(Method::POST, "session").body("token=x").send().await.unwrap();
    problem(plain, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    for _ in 0..10 {
        problem(login("guess").send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    }
    let refused = login("guess").send().await.unwrap();
    let wait: u64 = refused.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    problem(refused, StatusCode::TOO_MANY_REQUESTS).await;
    // Who guesses shuts nobody out.
    assert_eq!(login(ANN).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    house.app.stop().await;
}

#[tokio::test]
async fn without_tokens_orders_come_from_this_machine_or_from_nobody() {
    let folder = folder(&[("a", gateway("a", 95))]);
    for insecure_admin in [false, true] {
        let options = Options { insecure_admin, ..Options::default() };
        let app = App::start(settings(folder.path()), options).await.unwrap();
        soon("files are read", app.ready()).await;
        let house = House { folder: Arc::clone(&folder), app };
        let session = house.session(house.ask(Method::GET, "session")).await;
        let role = if insecure_admin { "operator" } else { "viewer" };
        assert_eq!((&session["name"], &session["role"]), (&Value::Null, &json!(role)));
        assert_eq!(session["editing"]["allowed"], insecure_admin);
        assert_eq!(session["loginNeeded"], false);
        let file = house.ask(Method::GET, "gateways/a/file").send().await.unwrap();
        let tag = file.headers()[ETAG].clone();
        let change = || {
            let weights = json!({ "v1": 95, "v2": 5 });
            house.ask(Method::PUT, "gateways/a/traffic").header(IF_MATCH, &tag).json(&weights)
        };
        let rebound = change().header(HOST, "evil.example").send().await.unwrap();
        problem(rebound, StatusCode::FORBIDDEN).await;
        // A page whose own name leads here is of one origin with us, and so must not read either.
        let plain = |path: &str, host: &str| {
            Client::new().get(format!("http://{}{path}", house.app.http)).header(HOST, host).send()
        };
        for page in [
            "/api/v1/gateways",
            "/api/v1/watch",
            "/api/v1/session",
            "/api/v1/openapi.json",
            "/metrics",
            "/",
            "/x",
        ] {
            for host in ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1"] {
                problem(plain(page, host).await.unwrap(), StatusCode::FORBIDDEN).await;
            }
            let here = plain(page, "localhost:18080").await.unwrap();
            assert_ne!(here.status(), StatusCode::FORBIDDEN, "{page}");
        }
        let validate =
            house.ask(Method::POST, "validate").header(CONTENT_TYPE, "application/yaml").body("x: 1");
        problem(validate.header(HOST, "evil.example").send().await.unwrap(), StatusCode::FORBIDDEN).await;
        for probe in ["/healthz", "/readyz"] {
            assert_eq!(plain(probe, "10.0.0.1").await.unwrap().status(), StatusCode::OK, "{probe}");
        }
        let forged = change().header(ORIGIN, "http://evil.example").send().await.unwrap();
        problem(forged, StatusCode::FORBIDDEN).await;
        let status = if insecure_admin { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(change().send().await.unwrap().status(), status);
        house.app.stop().await;
    }
}

#[tokio::test]
async fn a_port_for_other_machines_wants_tokens_and_tls() {
    let folder = folder(&[]);
    let path = |name: &str| folder.path().join(name);
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(folder.path(), "http.crt", &pair.cert.pem());
    write(folder.path(), "http.key", &pair.signing_key.serialize_pem());
    write(folder.path(), "tokens", &people());
    let tls = Some(ServerTls { cert_file: path("http.crt"), key_file: path("http.key") });
    let tokens = Some(path("tokens"));
    let open = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let with =
        |http, http_tls, tokens_file| Settings { http, http_tls, tokens_file, ..settings(folder.path()) };
    let refused = async |settings, insecure_admin| {
        let options = Options { insecure_admin, ..Options::default() };
        let refused: Error = App::start(settings, options).await.unwrap_err();
        refused.to_string()
    };
    for (http_tls, tokens_file, lacks) in [
        (None, None, "`http.tls`"),
        (tls.clone(), None, "`tokensFile`"),
        (None, tokens.clone(), "`http.tls`"),
    ] {
        let why = refused(with(open, http_tls, tokens_file), true).await;
        assert!(why.contains("from other machines") && why.contains(lacks), "{why}");
    }
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let why = refused(with(here, None, tokens.clone()), true).await;
    assert!(why.contains("leave out one of the two"), "{why}");
    write(folder.path(), "wrong", "ann\n");
    for (file, what) in [("missing", "No such file"), ("wrong", "line 1 does not have four parts")] {
        let why = refused(with(here, None, Some(path(file))), false).await;
        assert!(why.contains(what) && why.contains(file), "{why}");
    }

    let app = App::start(with(open, tls, tokens), Options::default()).await.unwrap();
    soon("files are read", app.ready()).await;
    let certificate = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let client = || Client::builder().tls_certs_only([certificate.clone()]).build().unwrap();
    let url = format!("https://localhost:{}/api/v1/session", app.http.port());
    let there = client().get(&url).header(HOST, "serin.example").send().await.unwrap();
    assert_eq!(there.status(), StatusCode::OK, "with tokens, under any name");
    let login = client().post(&url).json(&json!({ "token": ANN })).send().await.unwrap();
    let set = login.headers()[SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-serin-session=") && set.ends_with("; Secure"), "{set}");
    let value = set.split(['=', ';']).nth(1).unwrap();
    for (name, role) in [("__Host-serin-session", json!("operator")), ("serin-session", Value::Null)] {
        let session = client().get(&url).header(COOKIE, format!("{name}={value}")).send().await.unwrap();
        assert_eq!(session.json::<Value>().await.unwrap()["role"], role, "{name}");
    }
    let session: Value = client().get(&url).bearer_auth(ANN).send().await.unwrap().json().await.unwrap();
    assert_eq!(session["name"], "ann");
    // The command line knows both.
    let (server, ca, token) = (url.split("/api").next().unwrap(), path("http.crt"), path("ann.token"));
    std::fs::write(&token, format!("{ANN}\n")).unwrap();
    let words = ["get", "--server", server, "--server-ca", ca.to_str().unwrap()];
    assert!(serin(&words).await.err.contains("this page is for those who show a token"));
    let run = serin(&[&words[..], &["--token-file", token.to_str().unwrap()]].concat()).await;
    assert_eq!(run.code, 0, "{}", run.err);
    let plain = Client::new().get(format!("http://localhost:{}/healthz", app.http.port())).send().await;
    assert!(plain.is_err());

    // A renewed certificate counts for new connections.
    let next = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(folder.path(), "http.key", &next.signing_key.serialize_pem());
    write(folder.path(), "http.crt", &next.cert.pem());
    let renewed = reqwest::Certificate::from_pem(next.cert.pem().as_bytes()).unwrap();
    let renewed = Client::builder().tls_certs_only([renewed]).build().unwrap();
    soon("the new certificate is shown", async {
        while renewed.get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    app.stop().await;
}

/// The command, which waits for a server of this thread.
async fn serin(words: &[&str]) -> crate::cli::Run {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let run = move || crate::cli::serin(&words.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}
