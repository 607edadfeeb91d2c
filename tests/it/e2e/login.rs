//! Logins by a browser, with a real Envoy and a real provider: who comes in, who does not, and for how long.

use super::provider::{Browser, Provider, Registered};
use super::stage::{Stage, assert_all_well, envoy_on, free_port, let_pass, settings, toy};
use crate::real::DEADLINE;
use serde_json::Value;
use serin::app::{App, Options};
use serin::launch::{Envoy, Load, LoadOptions, Toy, Until, VersionIn};
use std::time::Duration;

/// What most of these tests play with.
struct Play {
    stage: Stage,
    envoy: Envoy,
    model: Toy,
    provider: Provider,
    /// What the provider knows of the gateways `app` and `other`.
    clients: [Registered; 2],
}

/// Of a gateway with this name and path, on this port.
pub(crate) fn callback(port: u16, name: &str) -> String {
    format!("http://127.0.0.1:{port}/{name}/oauth2/callback")
}

pub(crate) fn gateway(name: &str, model: &Toy, issuer: &str, client: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\nhost: 127.0.0.1\npath: /{name}\nrewrite: /echo\ndirectAccess: true\nupstreams: {{ v1: {0}, v2: {0} }}\ntraffic: {{ v1: 100 }}\nmatch: [{{ headers: {{ x-tester: '1' }}, upstream: v2 }}]\nauthentication:\n  oauth2:\n    issuer: {issuer}\n    clientId: {client}\n    clientSecretFile: {name}.secret\n    scopes: [openid, email]\n    acceptBearer: true\n    claimHeaders: {{ x-user: sub, x-mail: email }}\n",
        model.url(),
    )
}

/// Two gateways on one host, each with a login of its own at one provider.
async fn play() -> Play {
    let (model, provider, port) = (toy("v1").await, Provider::start(free_port()).await, free_port());
    let app = provider.register(&callback(port, "app")).await;
    let other = provider.register(&callback(port, "other")).await;
    let stage = Stage::on(
        port,
        &[
            ("app.yaml", &gateway("app", &model, &provider.issuer, &app.id)),
            ("app.secret", &app.secret),
            ("other.yaml", &gateway("other", &model, &provider.issuer, &other.id)),
            ("other.secret", &other.secret),
        ],
        Options::default(),
    )
    .await;
    let envoy = stage.envoy().await;
    for name in ["app", "other"] {
        stage.sees("the provider is found", name, |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
    }
    stage.taken().await;
    becomes(&stage, "/app", 401).await;
    Play { stage, envoy, model, provider, clients: [app, other] }
}

/// Path, request headers, the wanted status.
type Asked<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16);

/// Waits until a program without anything is answered so: Envoy has the secrets.
pub(crate) async fn becomes(stage: &Stage, path: &str, status: u16) {
    let wait = async {
        while stage.ask(path, &[]).await.0 != status {
            let_pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{path} is never {status}"));
}

/// What the model saw.
async fn echo(answer: reqwest::Response) -> Value {
    assert_eq!(answer.status(), 200, "{}", answer.url());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn whoever_logs_in_is_let_in_until_they_sign_out() {
    let Play { stage, envoy, model, provider, clients: _clients } = play().await;
    let browser = Browser::new();
    browser.add_cookie("mine=1", &stage.url("/"));
    // Of a gateway on the same host.
    browser.add_cookie("serin-root-hmac=x; Path=/app", &stage.url("/"));
    let page = stage.url("/app?x=1");
    let first = browser.log_in(&page).await;
    assert_eq!(first.url().as_str(), page, "people come back to the page that they asked for");
    let seen = echo(first).await;
    assert_eq!(model.requests(), 1, "the model hears of nobody before");
    assert_eq!(seen["headers"]["x-user"], "alice");

    // What the model sees: who it is, and not by what they proved it. What a program sends beside the login is no way
    // around it, nor to another name.
    let again = browser.get(&page).header("x-user", "root").header("x-serin-id-token", "root");
    let seen = echo(again.header("authorization", "Basic cm9vdDpyb290").send().await.unwrap()).await;
    let headers = &seen["headers"];
    assert_eq!((&headers["x-user"], &headers["x-mail"]), (&"alice".into(), &"alice@example.com".into()));
    assert_eq!(headers["cookie"], "mine=1", "{seen}");
    for credential in ["authorization", "x-serin-id-token"] {
        assert!(headers.get(credential).is_none(), "{seen}");
    }
    // A program of the page, and the other ways into the gateway.
    let ask = browser.get(&page).header("x-requested-with", "XMLHttpRequest").header("x-tester", "1");
    assert_eq!(echo(ask.send().await.unwrap()).await["headers"]["x-user"], "alice");

    let out = browser.get(&stage.url("/app/oauth2/signout")).send().await.unwrap();
    assert!(
        out.url().as_str().starts_with(&format!("{}/oauth2/end_session", provider.issuer)),
        "{}",
        out.url()
    );
    let before = model.requests();
    let back = browser.get(&page).send().await.unwrap();
    assert!(back.url().as_str().starts_with(&format!("{}/oauth2/authorize", provider.issuer)));
    assert_eq!(model.requests(), before);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn nobody_else_comes_in() {
    let Play { stage, envoy, model, provider, clients: [app, other] } = play().await;
    let browser = Browser::new();
    echo(browser.log_in(&stage.url("/app")).await).await;
    let before = model.requests();
    let cookies = browser.cookies(&stage.url("/app"));
    let with = |name: &str, value: &str| {
        let cookies = cookies.split("; ").map(|cookie| match cookie.split_once('=') {
            Some((n, _)) if n == name => format!("{n}={value}"),
            _ => cookie.to_owned(),
        });
        cookies.collect::<Vec<_>>().join("; ")
    };
    let hmac = cookies.split("; ").find_map(|c| c.strip_prefix("serin-app-hmac=")).unwrap();
    let flipped = hmac.replacen(&hmac[..1], if hmac.starts_with('A') { "B" } else { "A" }, 1);
    let changed = [("hmac", flipped.as_str()), ("expires", "9999999999"), ("id", "e30")]
        .map(|(what, value)| with(&format!("serin-app-{what}"), value));
    let renamed = cookies.replace("serin-app-", "serin-other-");
    let token = provider.id_token(&app, &callback(stage.port, "app")).await;
    let foreign = provider.id_token(&other, &callback(stage.port, "other")).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let broken = bearer(&token.replacen('.', ".e", 1));
    let (token, foreign) = (bearer(&token), bearer(&foreign));

    let refused: Vec<Asked<'_>> = vec![
        // Programs are told, not sent away. The ways past the weights are no ways past the login.
        ("/app", vec![], 401),
        ("/app/deep", vec![("accept", "application/json")], 401),
        ("/app", vec![("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], 401),
        ("/app", vec![("x-tester", "1")], 401),
        ("/app", vec![("x-serin-upstream", "v2")], 401),
        ("/app", vec![("x-serin-upstream", "none")], 401),
        ("//app", vec![], 401),
        ("/app", vec![("host", "127.0.0.1.")], 401),
        // People are sent to log in.
        ("/app", vec![("accept", "text/html")], 302),
        // Cookies that are changed, of another gateway, or of another host.
        ("/app", vec![("cookie", &changed[0])], 401),
        ("/app", vec![("cookie", &changed[1])], 401),
        ("/app", vec![("cookie", &changed[2])], 401),
        ("/other", vec![("cookie", &cookies)], 401),
        ("/other", vec![("cookie", &renamed)], 401),
        ("/app", vec![("cookie", &cookies), ("host", "127.0.0.1:1")], 401),
        // Tokens that are none, or not for this gateway. With one, cookies do not count.
        ("/app", vec![("authorization", &broken)], 401),
        ("/app", vec![("authorization", &broken), ("cookie", &cookies)], 401),
        ("/app", vec![("authorization", "Bearer ")], 401),
        ("/app", vec![("authorization", "bearer x")], 401),
        ("/app", vec![("authorization", &foreign)], 403),
        ("/app", vec![("x-serin-id-token", &token["Bearer ".len()..])], 401),
        // A code that nobody gave.
        ("/app/oauth2/callback", vec![("accept", "text/html")], 401),
        ("/app/oauth2/callback?code=a&state=b", vec![("accept", "text/html")], 401),
    ];
    for (path, headers, status) in &refused {
        assert_eq!(browser.bare(&stage.url(path), headers).await.status(), *status, "{path} {headers:?}");
    }
    assert_eq!(model.requests(), before, "the model has heard of someone");

    let with_cookies = [("cookie", cookies.as_str())];
    echo(browser.bare(&stage.url("/app"), &with_cookies).await).await;
    let as_program = [("authorization", token.as_str()), ("x-user", "root")];
    let seen = echo(browser.bare(&stage.url("/app"), &as_program).await).await;
    assert_eq!(seen["headers"]["x-user"], "alice", "a token passes without a login, and says who it is");
    assert!(seen["headers"].get("authorization").is_none(), "{seen}");
    assert!(seen["headers"].get("cookie").is_none(), "{seen}");
    // Other cookies stay as they are, wherever those of the login stand between them.
    for (sent, told) in [
        (r#"a=1; b="x y""#, r#"a=1; b="x y""#),
        ("serin-a-id=1; a=1; serin-b-id=2; serin-c-id=3; b=2", "a=1; b=2"),
        ("x-serin-a=1; a=serin-b=2", "x-serin-a=1; a=serin-b=2"),
        ("a=1;serin-b=2;c=3", "a=1;c=3"),
        ("a=1; serin-b=2; serin-c=3;", "a=1"),
    ] {
        let asked = [("authorization", token.as_str()), ("cookie", sent)];
        let seen = echo(browser.bare(&stage.url("/app"), &asked).await).await;
        assert_eq!(seen["headers"]["cookie"], told, "{sent}");
    }
    let asked = [("authorization", token.as_str()), ("cookie", "serin-a=1")];
    let seen = echo(browser.bare(&stage.url("/app"), &asked).await).await;
    assert!(seen["headers"].get("cookie").is_none(), "{seen}");
    stage.end([envoy]).await;
}

#[tokio::test]
async fn a_rotated_client_secret_counts_at_once_and_ends_no_login() {
    let Play { stage, envoy, model: _model, provider: _provider, clients: [app, _] } = play().await;
    let browser = Browser::new();
    echo(browser.log_in(&stage.url("/app")).await).await;
    let cookies = browser.cookies(&stage.url("/app"));
    let headers = [(http::header::COOKIE, cookies.parse().unwrap())].into_iter().collect();
    let load = Load::start(LoadOptions {
        url: stage.url("/app"),
        headers,
        rate: Some(400.0),
        until: Until::Stopped,
        version: VersionIn::Json("version".into()),
        connections: 8,
        ..LoadOptions::default()
    })
    .unwrap();
    let logs_in = async |wanted: bool| {
        let wait = async {
            while (Browser::new().log_in(&stage.url("/app")).await.status() == 200) != wanted {
                let_pass(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("logins: never {wanted}"));
    };
    let routes = || stage.app.view.load().fleet.everyone.set(serin::resource::Kind::Route).version();
    let before = routes();
    for _ in 0..10 {
        stage.replace("app.secret", "not-the-secret\n");
        logs_in(false).await;
        stage.replace("app.secret", &format!("{}\n", app.secret));
        logs_in(true).await;
    }
    assert_eq!(routes(), before, "no route was told anew");
    assert_all_well(&load.stop().await);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn logins_outlive_serin_and_its_envoys_with_the_same_key_only() {
    let (model, provider, port) = (toy("v1").await, Provider::start(free_port()).await, free_port());
    let app = provider.register(&callback(port, "app")).await;
    let folder = tempfile::tempdir().unwrap();
    let key = Some(folder.path().join("session.key"));
    let files =
        [("app.yaml", gateway("app", &model, &provider.issuer, &app.id)), ("app.secret", app.secret.clone())];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let options = |session_key| Options { session_key, ..Options::default() };
    let stage = Stage::on(port, &files, options(key.clone())).await;
    let envoy = stage.envoy().await;
    becomes(&stage, "/app", 401).await;
    let browser = Browser::new();
    echo(browser.log_in(&stage.url("/app")).await).await;
    let Stage { folder: gateways, app, .. } = stage;
    envoy.stop().await.unwrap();
    app.stop().await;

    for (key, status) in [(key, 200), (None, 401)] {
        let app = App::start(settings(gateways.path(), port, None), options(key)).await.unwrap();
        app.ready().await;
        let mut envoy = envoy_on(app.xds, "edge").await;
        envoy.ready(DEADLINE).await.unwrap();
        let url = format!("http://127.0.0.1:{port}/app");
        let cookies = browser.cookies(&url);
        let wait = async {
            while browser.bare(&url, &[]).await.status() != 401 {
                let_pass(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the gateway is open for logins");
        assert_eq!(browser.bare(&url, &[("cookie", &cookies)]).await.status(), status);
        envoy.stop().await.unwrap();
        app.stop().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_lets_nobody_in() {
    let (model, ports) = (toy("v1").await, [free_port(), free_port()]);
    let issuer = format!("http://127.0.0.1:{}", ports[0]);
    let open =
        format!("apiVersion: serin/v1\nname: open\nhost: 127.0.0.1\nupstreams: {{ v1: {} }}\n", model.url());
    let files = [
        ("app.yaml", gateway("app", &model, &issuer, "fraud")),
        ("app.secret", "s".to_owned()),
        ("open.yaml", open),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let stage = Stage::on(ports[1], &files, Options::default()).await;
    let envoy = stage.envoy().await;
    let is_missing = |g: &Value| {
        let codes = g["diagnostics"].as_array().unwrap().iter().any(|d| d["code"] == "E003");
        codes && g["phase"] == "Invalid"
    };
    stage.sees("the failure", "app", |g| g.is_some_and(is_missing)).await;
    stage.taken().await;
    assert_eq!(
        (stage.ask("/app", &[]).await.0, stage.ask("/", &[]).await.0, model.requests()),
        (503, 200, 1)
    );

    let provider = Provider::start(ports[0]).await;
    stage.sees("no failure", "app", |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
    becomes(&stage, "/app", 401).await;
    // One that goes away again: what it said counts, and people are still sent there.
    drop(provider);
    let answer = Browser::new().bare(&stage.url("/app"), &[("accept", "text/html")]).await;
    assert_eq!(answer.status(), 302);
    assert!(answer.headers()["location"].to_str().unwrap().starts_with(&issuer));
    stage.end([envoy]).await;
}
