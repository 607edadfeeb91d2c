//! Who may use a gateway, asked of a real Envoy: the right ones pass, and the model never hears of the others.

use super::provider::{Browser, Provider, Registered};
use super::stage::{Stage, assert_all_well, free_port, let_pass, toy};
use crate::real::{DEADLINE, eventually};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use serin::app::Options;
use serin::launch::{Load, LoadOptions, Toy, Until, VersionIn};
use serin::model::SessionKey;
use serin::names::GatewayName;
use std::time::Duration;

const KEY: &str = "k-acme-0123456789abcdef";
const OTHER_KEY: &str = "k-globex-0123456789abcd";
const PASSWORD: &str = "correct horse";

const SESSION_KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

type Headers = Vec<(&'static str, String)>;

/// An issuer of tokens with one key (RFC 7518 section 3.4, ES256).
pub(super) struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    pub(super) fn jwks(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": x, "y": y }] })
            .to_string()
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        let unsigned = unsigned("ES256", claims);
        let signature = self.pair.sign(&self.random, unsigned.as_bytes()).unwrap();
        format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(algorithm: &str, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(&json!({ "alg": algorithm, "typ": "JWT", "kid": "1" })), part(claims))
}

/// In seconds since 1970, as tokens count.
fn now() -> i64 {
    serin::clock::now().0 / 1000
}

/// Claims that every gateway of these tests takes, changed as said.
pub(super) fn claims(change: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp.test", "aud": "fraud", "sub": "alice", "role": "scorer", "exp": now() + 600,
    });
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn gateway(name: &str, authentication: &str, model: &Toy) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\nrewrite: /echo\ndirectAccess: true\nupstreams: {{ v1: {}, v2: {} }}\ntraffic: {{ v1: 100 }}\nmatch: [{{ headers: {{ x-tester: '1' }}, upstream: v2 }}]\n{authentication}",
        model.url(),
        model.url()
    )
}

pub(super) fn htpasswd(user: &str, password: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    format!("{user}:{{SHA}}{}\n", BASE64_STANDARD.encode(digest))
}

struct Auth {
    stage: Stage,
    model: Toy,
    issuer: Issuer,
    provider: Provider,
    client: Registered,
}

/// One listener, six gateways, of all five modes.
async fn auth() -> Auth {
    let (model, issuer, port) = (toy("v1").await, Issuer::new(), free_port());
    let provider = Provider::start(free_port()).await;
    let client = provider.register(&format!("http://127.0.0.1:{port}/login/oauth2/callback")).await;
    let login = format!(
        "authentication:\n  oauth2:\n    authorizationEndpoint: {0}/oauth2/authorize\n    tokenEndpoint: {0}/oauth2/token\n    clientId: {1}\n    clientSecretFile: client\n",
        provider.issuer, client.id
    );
    let jwt = "authentication:\n  jwt:\n    issuer: https://idp.test\n    jwksFile: jwks.json\n    audiences: [fraud]\n    claimHeaders: { x-user: sub }\n    require: { role: [scorer, admin] }\n";
    let files = [
        ("open.yaml", gateway("open", "", &model)),
        (
            "basic.yaml",
            gateway(
                "basic",
                "authentication: { basicAuth: { usersFile: users, realm: the models } }\n",
                &model,
            ),
        ),
        ("key.yaml", gateway("key", "authentication: { accessKey: { keysFile: keys } }\n", &model)),
        (
            "key2.yaml",
            gateway(
                "key2",
                "authentication: { accessKey: { keysFile: keys2, query: token, clientHeader: x-who } }\n",
                &model,
            ),
        ),
        ("jwt.yaml", gateway("jwt", jwt, &model)),
        ("login.yaml", gateway("login", &login, &model)),
        ("client", client.secret.clone()),
        ("users", htpasswd("ann", PASSWORD)),
        ("keys", format!("acme:{KEY}\n")),
        ("keys2", format!("globex:{OTHER_KEY}\n")),
        ("jwks.json", issuer.jwks()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let session_key = SessionKey::new(SESSION_KEY);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.key");
    std::fs::write(&path, session_key.expose()).unwrap();
    let options = Options { session_key: Some(path), ..Options::default() };
    Auth { stage: Stage::on(port, &files, options).await, model, issuer, provider, client }
}

#[tokio::test]
async fn the_right_ones_pass_and_the_model_never_hears_of_others() {
    let Auth { stage, model, issuer, provider: _provider, .. } = auth().await;
    let envoy = stage.envoy().await;
    let token = |change: Value| format!("Bearer {}", issuer.token(&claims(&change)));
    let stranger = format!("Bearer {}", Issuer::new().token(&claims(&json!({}))));
    let none = format!("Bearer {}.", unsigned("none", &claims(&json!({}))));
    let bearer = format!("Bearer {KEY}");
    let (right, wrong) = (basic("ann", PASSWORD), basic("ann", "wrong"));

    let refused: Vec<(&str, Headers, u16)> = vec![
        ("/basic", vec![], 401),
        ("/basic", vec![("authorization", wrong)], 401),
        ("/basic", vec![("authorization", basic("bob", PASSWORD))], 401),
        ("/basic", vec![("x-api-key", KEY.into())], 401),
        ("/basic", vec![("x-tester", "1".into())], 401),
        ("/basic", vec![("x-serin-upstream", "v2".into())], 401),
        ("/basic", vec![("x-serin-upstream", "none".into())], 401),
        ("/key", vec![], 401),
        ("/key", vec![("x-api-key", "k-acme".into())], 401),
        ("/key", vec![("x-api-key", OTHER_KEY.into())], 401),
        ("/key", vec![("x-serin-upstream", "v2".into())], 401),
        ("/key", vec![("authorization", right.clone())], 401),
        ("/key2?token=no", vec![], 401),
        ("/key2", vec![("x-api-key", OTHER_KEY.into())], 401),
        ("/jwt", vec![], 401),
        ("/jwt", vec![("x-tester", "1".into())], 401),
        ("/jwt", vec![("authorization", token(json!({ "exp": now() - 600 })))], 401),
        // Clocks may differ by 60 s.
        ("/jwt", vec![("authorization", token(json!({ "exp": now() - 65 })))], 401),
        ("/jwt", vec![("authorization", token(json!({ "nbf": now() + 90 })))], 401),
        ("/jwt", vec![("authorization", token(json!({ "exp": null })))], 401),
        ("/jwt", vec![("authorization", token(json!({ "iss": "https://other.test" })))], 401),
        ("/jwt", vec![("authorization", stranger)], 401),
        ("/jwt", vec![("authorization", none)], 401),
        ("/jwt", vec![("authorization", token(json!({ "aud": "other" })))], 403),
        ("/jwt", vec![("authorization", token(json!({ "role": "reader" })))], 403),
        ("/jwt", vec![("authorization", token(json!({ "role": null })))], 403),
        ("/login", vec![], 401),
        ("/login", vec![("x-tester", "1".into())], 401),
        ("/login", vec![("x-serin-upstream", "v2".into())], 401),
        ("/login", vec![("authorization", token(json!({})))], 401),
        ("/login", vec![("x-api-key", KEY.into())], 401),
        ("/login", vec![("cookie", "serin-login-hmac=a; serin-login-expires=9999999999".into())], 401),
    ];
    for (path, headers, status) in &refused {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (seen, answer, _) = stage.fetch(path, &headers).await;
        assert_eq!(seen, *status, "{path} {headers:?}");
        if *path == "/basic" {
            assert_eq!(answer.get("www-authenticate").unwrap(), "Basic realm=\"the models\"");
        }
    }
    assert_eq!(model.requests(), 0, "the model has heard of someone");

    // What the model sees: who it is, and not by what they proved it.
    let key_in_query = format!("/key2?a=1&token={OTHER_KEY}&b=2");
    let passed: Vec<(&str, Headers, &str, Option<&str>)> = vec![
        ("/open", vec![], "x-serin-client", None),
        ("/basic", vec![("authorization", right)], "x-serin-client", Some("ann")),
        ("/key", vec![("x-api-key", KEY.into())], "x-serin-client", Some("acme")),
        ("/key", vec![("authorization", bearer)], "x-serin-client", Some("acme")),
        (&key_in_query, vec![], "x-who", Some("globex")),
        ("/jwt", vec![("authorization", token(json!({})))], "x-user", Some("alice")),
        ("/jwt", vec![("authorization", token(json!({ "exp": now() - 20 })))], "x-user", Some("alice")),
        ("/jwt", vec![("authorization", token(json!({ "role": ["x", "admin"] })))], "x-user", Some("alice")),
        ("/jwt", vec![("authorization", token(json!({ "aud": ["a", "fraud"] })))], "x-user", Some("alice")),
    ];
    for (path, credentials, header, client) in passed {
        let forged = [("x-serin-client", "root"), (header, "root"), ("x-shadow", "root")];
        let headers: Vec<(&str, &str)> =
            forged.into_iter().chain(credentials.iter().map(|(n, v)| (*n, v.as_str()))).collect();
        let (status, _, body) = stage.fetch(path, &headers).await;
        assert_eq!(status, 200, "{path} {credentials:?}");
        let seen: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(seen["headers"][header].as_str(), client, "{path}: {seen}");
        assert!(!body.contains("root"), "{path}: {body}");
        for secret in [KEY, OTHER_KEY, "Bearer", "Basic"] {
            assert!(!body.contains(secret), "{path} shows the model {secret}: {body}");
        }
    }
    let browser = Browser::new();
    let answer = browser.log_in(&stage.url("/login")).await;
    assert_eq!((answer.status().as_u16(), answer.url().path()), (200, "/login"));
    let ask =
        browser.get(&stage.url("/login")).header("x-serin-client", "root").header("authorization", "root");
    let body = ask.send().await.unwrap().text().await.unwrap();
    assert!(!body.contains("root") && !body.contains("serin-login"), "{body}");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_gateway_is_never_more_open_than_its_newest_file() {
    let model = toy("v1").await;
    let plain = |name: &str, rest: &str| format!("apiVersion: serin/v1\nname: {name}\npath: /{name}\n{rest}");
    let one = format!("upstreams: {{ v1: {} }}\n", model.url());
    let locked = "authentication: { accessKey: { keysFile: keys } }\n";
    let root = format!("apiVersion: serin/v1\nname: root\n{one}");
    let stage = Stage::new(&[
        ("root.yaml", &root),
        ("a.yaml", &plain("a", &one)),
        ("b.yaml", &plain("b", &one)),
        // Its keys are not there: its requests must not fall through to the open gateway at the root.
        ("c.yaml", &plain("c", &format!("{one}authentication: {{ accessKey: {{ keysFile: missing }} }}\n"))),
        ("keys", &format!("acme:{KEY}\n")),
    ])
    .await;
    let envoy = stage.strict_envoy().await;
    stage.taken().await;
    for (path, status) in [("/", 200), ("/a", 200), ("/b", 200), ("/c", 503)] {
        assert_eq!(stage.ask(path, &[]).await.0, status, "{path}");
    }

    // Locked, in a version that Envoy refuses: closed, not open as before.
    let refused = "match: [{ headers: { x-a: { regex: '([a-z]{1,40}){1,20}x' } }, upstream: v1 }]\n";
    stage.replace("a.yaml", &plain("a", &format!("{one}{locked}{refused}")));
    stage
        .sees("the refusal", "a", |g| {
            let refused =
                |g: &Value| g["diagnostics"].as_array().unwrap().iter().any(|d| d["code"] == "E001");
            g.is_some_and(|g| refused(g) && g["authentication"] == "closed")
        })
        .await;
    stage.taken().await;
    assert_eq!(stage.ask("/a", &[]).await.0, 503);
    assert_eq!(stage.ask("/b", &[]).await.0, 200);

    // Locked, with a new upstream that takes long to warm up: locked at once.
    let slow = format!(
        "upstreams:\n  v1: {}\n  v2: {{ url: {}, healthCheck: {{ path: /health, interval: 9s, timeout: 9s }} }}\ntraffic: {{ v1: 95, v2: 5 }}\n",
        model.url(),
        model.url()
    );
    stage.replace("b.yaml", &plain("b", &format!("{slow}{locked}")));
    stage.sees("the lock", "b", |g| g.is_some_and(|g| g["authentication"] == "accessKey")).await;
    stage.taken().await;
    assert_eq!(stage.ask("/b", &[]).await.0, 401);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn claims_may_be_numbers_truths_and_nested() {
    let (model, issuer) = (toy("v1").await, Issuer::new());
    let jwt = |require: &str| {
        format!(
            "authentication:\n  jwt: {{ issuer: 'https://idp.test', jwksFile: jwks.json, require: {{ {require} }} }}\n"
        )
    };
    let requires = [
        ("number", "level: [3, 4000000000]"),
        ("truth", "staff: true"),
        ("nested", "realm.access.roles: [scorer, 7]"),
        ("url", "https://a.test/role: scorer"),
        ("text", "level: '3'"),
    ];
    let files: Vec<(String, String)> = requires
        .iter()
        .map(|(name, require)| (format!("{name}.yaml"), gateway(name, &jwt(require), &model)))
        .chain([("jwks.json".to_owned(), issuer.jwks())])
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let stage = Stage::new(&files).await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    for (path, claims_said, status) in [
        ("/number", json!({ "level": 3 }), 200),
        ("/number", json!({ "level": 3.0 }), 200),
        ("/number", json!({ "level": [1, 4_000_000_000_u32] }), 200),
        ("/number", json!({ "level": 4 }), 403),
        ("/number", json!({ "level": "3" }), 403),
        ("/number", json!({}), 403),
        ("/truth", json!({ "staff": true }), 200),
        ("/truth", json!({ "staff": false }), 403),
        ("/truth", json!({ "staff": "true" }), 403),
        ("/nested", json!({ "realm": { "access": { "roles": ["x", "scorer"] } } }), 200),
        ("/nested", json!({ "realm": { "access": { "roles": 7 } } }), 200),
        ("/nested", json!({ "realm.access.roles": "scorer" }), 200),
        ("/nested", json!({ "realm": { "access": { "roles": ["reader"] } } }), 403),
        ("/nested", json!({ "realm": { "access": "scorer" } }), 403),
        ("/url", json!({ "https://a.test/role": "scorer" }), 200),
        ("/url", json!({ "https://a": { "test/role": "scorer" } }), 403),
        ("/text", json!({ "level": "3" }), 200),
        ("/text", json!({ "level": 3 }), 403),
    ] {
        let token = format!("Bearer {}", issuer.token(&claims(&claims_said)));
        assert_eq!(stage.ask(path, &[("authorization", &token)]).await.0, status, "{path} {claims_said}");
    }
    stage.end([envoy]).await;
}

/// Path, request headers, the wanted status.
type Spelling<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16);

#[tokio::test]
async fn other_spellings_are_no_way_in() {
    let Auth { stage, model, issuer, provider: _provider, .. } = auth().await;
    let jwt_host =
        "apiVersion: serin/v1\nname: host\nhost: a.test\nauthentication: { accessKey: { keysFile: keys } }\n";
    stage.replace("host.yaml", &format!("{jwt_host}upstreams: {{ v1: {} }}\n", model.url()));
    stage.sees("the gateway", "host", |g| g.is_some()).await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    let token = issuer.token(&claims(&json!({})));
    let in_query = format!("/jwt?access_token={token}");
    let cases: [Spelling<'_>; 7] = [
        ("/open", vec![("x_serin_client", "root")], 400),
        ("/key", vec![("x-api-key", KEY), ("x_serin_client", "root")], 400),
        ("/", vec![("host", "a.test.")], 401),
        ("/", vec![("host", "A.TEST")], 401),
        ("//key", vec![], 401),
        ("/open/../key", vec![], 401),
        (&in_query, vec![], 401),
    ];
    for (path, headers, status) in cases {
        assert_eq!(stage.ask(path, &headers).await.0, status, "{path} {headers:?}");
    }
    assert_eq!(model.requests(), 0);
    stage.end([envoy]).await;
}

/// A secret that comes and goes while others are in use.
struct Rotation<'a> {
    path: &'a str,
    header: &'static str,
    /// Valid all the time.
    kept: String,
    /// Valid while its file holds `with`, and not while it holds `without`.
    fresh: String,
    file: &'a str,
    with: String,
    without: String,
}

impl Rotation<'_> {
    /// Comes and goes several times under 400 requests a second with what is valid, none of which fails.
    async fn play(&self, stage: &Stage) {
        let header = http::HeaderName::from_static(self.header);
        let load = Load::start(LoadOptions {
            url: stage.url(self.path),
            headers: [(header, http::HeaderValue::from_str(&self.kept).unwrap())].into_iter().collect(),
            rate: Some(400.0),
            until: Until::Stopped,
            version: VersionIn::Json("version".into()),
            connections: 8,
            ..LoadOptions::default()
        })
        .unwrap();
        for _ in 0..5 {
            for (text, status) in [(&self.with, 200), (&self.without, 401)] {
                let start = tokio::time::Instant::now();
                stage.replace(self.file, text);
                self.becomes(stage, status).await;
                println!("{}: {status} after {:?}", self.path, start.elapsed());
                let_pass(Duration::from_millis(100)).await;
            }
        }
        let report = load.stop().await;
        println!("{}: {} requests, {} failed", self.path, report.requests(), report.failed());
        assert_all_well(&report);
    }

    async fn becomes(&self, stage: &Stage, status: u16) {
        let wait = async {
            while stage.ask(self.path, &[(self.header, &self.fresh)]).await.0 != status {
                let_pass(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(DEADLINE, wait).await;
        assert!(done.is_ok(), "{} is never answered {status}", self.path);
    }
}

#[tokio::test]
async fn a_rotated_access_key_is_live_and_fails_nobody_with_a_valid_one() {
    let Auth { stage, model: _model, .. } = auth().await;
    let envoy = stage.envoy().await;
    let fresh = "k-fresh-0123456789".to_owned();
    let with = format!("acme:{KEY}\nacme:{fresh}\n");
    let (kept, without) = (KEY.to_owned(), format!("acme:{KEY}\n"));
    let rotation = Rotation { path: "/key", header: "x-api-key", kept, fresh, file: "keys", with, without };
    rotation.play(&stage).await;
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_rotated_password_is_live_and_fails_nobody_else() {
    let Auth { stage, model: _model, .. } = auth().await;
    let envoy = stage.envoy().await;
    let ann = htpasswd("ann", PASSWORD);
    let rotation = Rotation {
        path: "/basic",
        header: "authorization",
        kept: basic("ann", PASSWORD),
        fresh: basic("bob", "new"),
        file: "users",
        with: format!("{ann}{}", htpasswd("bob", "new")),
        without: format!("{ann}{}", htpasswd("bob", "old")),
    };
    rotation.play(&stage).await;
    assert_eq!(stage.ask("/basic", &[("authorization", &basic("bob", "old"))]).await.0, 200);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_rotated_key_of_an_issuer_is_live_and_fails_no_valid_token() {
    let Auth { stage, issuer, model: _model, .. } = auth().await;
    let envoy = stage.envoy().await;
    let next = Issuer::new();
    let token = |issuer: &Issuer| format!("Bearer {}", issuer.token(&claims(&json!({}))));
    let keys = |issuer: &Issuer| serde_json::from_str::<Value>(&issuer.jwks()).unwrap()["keys"][0].clone();
    let rotation = Rotation {
        path: "/jwt",
        header: "authorization",
        kept: token(&issuer),
        fresh: token(&next),
        file: "jwks.json",
        with: json!({ "keys": [keys(&issuer), keys(&next)] }).to_string(),
        without: issuer.jwks(),
    };
    rotation.play(&stage).await;
    // In the end the new key alone counts, and the tokens of the old one are refused.
    stage.replace("jwks.json", &next.jwks());
    rotation.becomes(&stage, 200).await;
    let old = rotation.kept.as_str();
    assert_eq!(stage.ask("/jwt", &[("authorization", old)]).await.0, 401);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn keys_of_an_issuer_are_fetched_and_until_then_nobody_is_let_in() {
    let (model, issuer) = (toy("v1").await, Issuer::new());
    let port = free_port();
    let jwt = format!(
        "authentication:\n  jwt: {{ issuer: 'https://idp.test', jwksUri: 'http://127.0.0.1:{port}/keys', audiences: [fraud] }}\n"
    );
    let stage = Stage::new(&[
        ("jwt.yaml", &gateway("jwt", &jwt, &model)),
        ("open.yaml", &gateway("open", "", &model)),
    ])
    .await;
    let envoy = stage.envoy().await;
    let token = format!("Bearer {}", issuer.token(&claims(&json!({}))));
    let ask = async || stage.ask("/jwt", &[("authorization", token.as_str())]).await.0;
    stage
        .sees("the failure is shown", "jwt", |g| {
            g.is_some_and(|g| g["diagnostics"][0]["code"] == "E002" && g["phase"] == "Invalid")
        })
        .await;
    stage.taken().await;
    assert_eq!((ask().await, stage.ask("/open", &[]).await.0, model.requests()), (503, 200, 1));

    let jwks = issuer.jwks();
    let router = axum::Router::new().route("/keys", axum::routing::get(move || async move { jwks }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let wait = async {
        while ask().await != 200 {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the keys are fetched when the issuer is there");
    stage.sees("no failure", "jwt", |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
    assert_eq!(stage.ask("/jwt", &[]).await.0, 401);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn no_secret_is_in_any_output() {
    let Auth { stage, model: _model, provider: _provider, client, .. } = auth().await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    // A broken file of keys, whose complaint is about its lines.
    stage.replace("keys2", &format!("globex:{OTHER_KEY}\nglobex:{OTHER_KEY}\nno colon {KEY}\n"));
    stage.sees("the complaint", "key2", |g| g.is_some_and(|g| g["phase"] == "Invalid")).await;
    let mut outputs = Vec::new();
    for page in [
        "api/v1/gateways",
        "api/v1/gateways/key",
        "api/v1/proxies",
        "metrics",
        "api/v1/config/key",
        "api/v1/config/key2",
        "api/v1/config/basic",
        "api/v1/config/jwt",
        "api/v1/config/login",
    ] {
        let text =
            reqwest::get(format!("http://{}/{page}", stage.app.http)).await.unwrap().text().await.unwrap();
        assert!(text.len() > 2, "{page}");
        outputs.push((page.to_owned(), text));
    }
    for file in ["key", "key2", "basic", "jwt", "login"] {
        for command in ["translate", "validate"] {
            let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_serin"))
                .args([command, "--log", "trace"])
                .arg(stage.path(&format!("{file}.yaml")))
                .output()
                .await
                .unwrap();
            outputs.push((
                format!("{command} {file}"),
                String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned(),
            ));
        }
    }
    outputs.push(("config_dump".into(), envoy.admin("/config_dump").await.unwrap().1));
    outputs.push(("debug".into(), format!("{:?}", stage.app)));
    let hash = htpasswd("", PASSWORD).replace(":{SHA}", "").trim().to_owned();
    let session = SessionKey::new(SESSION_KEY).of_gateway(&GatewayName::new("login").unwrap());
    let key = std::str::from_utf8(&SESSION_KEY).unwrap();
    assert!(
        outputs
            .iter()
            .any(|(name, text)| name == "api/v1/config/login" && text.contains("oauth2/login/client"))
    );
    for (name, text) in &outputs {
        for secret in [KEY, OTHER_KEY, &hash, &client.secret, session.expose(), key] {
            assert!(!text.contains(secret), "{name} shows {secret}");
        }
    }
    eventually("the others serve", || stage.app.view.load().gateways.get("key").is_some_and(|g| g.serving))
        .await;
    assert_eq!(stage.ask("/key", &[("x-api-key", KEY)]).await.0, 200);
    assert_eq!(stage.ask(&format!("/key2?token={OTHER_KEY}"), &[]).await.0, 200, "the last good keys count");
    stage.end([envoy]).await;
}
