//! What people do in a browser from the first gateway to the end of its canary, with a real Envoy, real files of users and
//! keys, and a real provider.

use super::url;
use crate::cli::command;
use crate::e2e::chromium::Chromium;
use crate::e2e::login::{becomes, callback};
use crate::e2e::provider::{Browser, Provider};
use crate::e2e::stage::{Stage, assert_all_well, free_port, toy};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::StatusCode;
use serin::app::Options;
use serin::launch::Until;
use std::io::Write;
use std::process::Stdio;

/// What a person does with a form.
const HANDS: &str = "
  globalThis.fill = (name, value) => { const f = document.querySelector(`[name=${name}]`); f.value = value; f.dispatchEvent(new Event('input', { bubbles: true })); };
  globalThis.click = (words) => [...document.querySelectorAll('button, a')].find((b) => b.textContent === words).click();
  globalThis.agree = () => document.querySelector('dialog [type=submit]').click();";

/// Makes a gateway with one upstream by the form; `access` fills in who is let in.
async fn create(
    chromium: &mut Chromium,
    stage: &Stage,
    name: &str,
    upstream: &str,
    access: &str,
    shown: &str,
) {
    chromium.go(&url(&stage.app, "/new")).await;
    chromium.sees("document.querySelector('h1')?.textContent === 'New gateway'").await;
    let form = format!(
        "{HANDS} fill('name', '{name}'); fill('host', '127.0.0.1'); fill('path', '/{name}'); fill('primaryUrl', '{upstream}'); {access} document.querySelector('[data-key=save]').click()"
    );
    chromium.evaluate(&form).await;
    chromium.sees(&format!("location.pathname === '/gateways/{name}'")).await;
    chromium
        .sees(&format!("document.querySelector('.facts')?.textContent.includes('{shown}') === true"))
        .await;
    stage.sees("the form's gateway serves", name, |g| g.is_some_and(|g| g["phase"] == "Stable")).await;
}

/// Files of users and keys, as the commands write them; the key of `acme`.
fn secrets(stage: &Stage) -> String {
    let keys = command(stage.folder.path(), &["keys", "new", "keys", "acme"]).output().unwrap();
    let mut users = command(stage.folder.path(), &["users", "set", "users", "ann"]);
    let mut users = users.stdin(Stdio::piped()).spawn().unwrap();
    users.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(users.wait().unwrap().success());
    String::from_utf8(keys.stdout).unwrap()
}

/// Somebody edits the file by hand while the form is open: nothing is lost on either side.
async fn by_hand_meanwhile(chromium: &mut Chromium, stage: &Stage) {
    chromium.evaluate("click('Edit')").await;
    chromium.sees("document.querySelector('[name=description]') !== null").await;
    chromium.evaluate("fill('description', 'by the form')").await;
    let by_hand = format!("{}# by hand\n", std::fs::read_to_string(stage.path("fraud.yaml")).unwrap());
    stage.replace("fraud.yaml", &by_hand);
    chromium.evaluate("click('Save')").await;
    chromium
        .sees("document.querySelector('.refusal[role=alert]').textContent.startsWith('The file was changed meanwhile')")
        .await;
    assert_eq!(chromium.evaluate("document.querySelector('[name=description]').value").await, "by the form");
    assert_eq!(std::fs::read_to_string(stage.path("fraud.yaml")).unwrap(), by_hand);
    // Nothing that was typed goes without a question.
    chromium.evaluate("window.confirm = () => false; click('Load it again')").await;
    assert_eq!(chromium.evaluate("document.querySelector('[name=description]').value").await, "by the form");
    chromium.evaluate("window.confirm = () => true; click('Load it again')").await;
    chromium.sees("document.querySelector('[name=description]')?.value === ''").await;
    chromium.sees("document.querySelector('main > .refusal').textContent === ''").await;
}

#[tokio::test]
async fn gateways_of_all_modes_are_made_and_a_canary_is_led_to_its_end() {
    let (v1, v2, provider) = (toy("v1").await, toy("v2").await, Provider::start(free_port()).await);
    let stage = Stage::with(&[], Options { insecure_admin: true, ..Options::default() }).await;
    let back = callback(stage.port, "login");
    let client = provider.register(&back).await;
    let key = secrets(&stage);
    std::fs::write(stage.path("login.secret"), &client.secret).unwrap();
    let envoy = stage.envoy().await;
    let mut chromium = Chromium::start().await;

    // A gateway of each mode; who shows what it wants comes in, and nobody else.
    let (issuer, id) = (&provider.issuer, &client.id);
    let mode = |mode: &str| format!("document.querySelector('[name=mode][value={mode}]').click();");
    let token = format!("Bearer {}", provider.id_token(&client, &back).await);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("ann:correct horse"));
    for (name, fields, shown, credential, closed) in [
        ("fraud", String::new(), "Open", ("x-any", "thing"), 200),
        (
            "basic",
            format!("{} fill('usersFile', 'users');", mode("basicAuth")),
            "Password",
            ("authorization", &*basic),
            401,
        ),
        (
            "key",
            format!("{} fill('keysFile', 'keys');", mode("accessKey")),
            "Access key",
            ("x-api-key", key.trim()),
            401,
        ),
        (
            "jwt",
            format!(
                "{} fill('issuer', '{issuer}'); fill('jwksUri', '{issuer}/jwks'); fill('audiences', '{id}');",
                mode("jwt")
            ),
            "Token (JWT)",
            ("authorization", &*token),
            401,
        ),
    ] {
        create(&mut chromium, &stage, name, &v1.url(), &fields, shown).await;
        let path = format!("/{name}");
        becomes(&stage, &path, closed).await;
        assert_eq!(stage.ask(&path, &[credential]).await, (200, "v1".to_owned()), "{name}");
    }
    let login = format!(
        "{} fill('issuer', '{issuer}'); fill('clientId', '{id}'); fill('clientSecretFile', 'login.secret');",
        mode("oauth2")
    );
    create(&mut chromium, &stage, "login", &v1.url(), &login, "Login (OAuth 2)").await;
    becomes(&stage, "/login", 401).await;
    let page = Browser::new().log_in(&stage.url("/login")).await;
    assert_eq!((page.status(), page.headers()["x-model-version"].to_str().unwrap()), (StatusCode::OK, "v1"));

    // A canary begins at 5 %; the slider moves it to 25 %; what Envoy does is what the page says.
    chromium.go(&url(&stage.app, "/gateways/fraud/edit")).await;
    chromium.sees("document.querySelector('[name=description]') !== null").await;
    chromium
        .evaluate(&format!(
            "{HANDS} click('Create a canary'); fill('canaryUrl', '{}'); click('Save')",
            v2.url()
        ))
        .await;
    let mut measured = Vec::new();
    for percent in [5.0, 25.0] {
        if percent > 5.0 {
            chromium
                .evaluate(
                    "document.querySelector('[data-key=weights]').click(); fill('share', '25'); agree()",
                )
                .await;
        }
        stage.serves_weight("fraud", "v2", percent).await;
        let words = format!("v1 {}\u{a0}%, v2 {percent}\u{a0}%", 100.0 - percent);
        chromium
            .sees(&format!(
                "document.querySelector('.split.large')?.getAttribute('aria-label') === '{words}'"
            ))
            .await;
        chromium
            .sees("document.querySelector('[data-key=weights]')?.getAttribute('aria-disabled') === null")
            .await;
        let report = stage.load("/fraud", None, Until::Requests(4000)).finished().await;
        assert_all_well(&report);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
        measured.push(report.by_version["v2"].by_status[&200] as f64 / 40.0);
    }
    println!("measured: {measured:?} %");
    // Six standard deviations of 4,000 draws.
    assert!((2.9..=7.1).contains(&measured[0]) && (20.8..=29.2).contains(&measured[1]), "{measured:?} %");

    by_hand_meanwhile(&mut chromium, &stage).await;

    // Whoever looks again can go on; then the canary gets everything.
    chromium.evaluate("window.confirm = () => true; click('fraud')").await;
    chromium
        .sees("document.querySelector('[data-key=promote-traffic]')?.getAttribute('aria-disabled') === null")
        .await;
    chromium.sees("document.querySelector('[aria-labelledby=file]').textContent.includes('# by hand')").await;
    chromium.evaluate("document.querySelector('[data-key=promote-traffic]').click(); agree()").await;
    stage.serves_weight("fraud", "v2", 100.0).await;
    let report = stage.load("/fraud", None, Until::Requests(200)).finished().await;
    assert_all_well(&report);
    assert_eq!(report.by_version.keys().collect::<Vec<_>>(), ["v2"]);
    let text = std::fs::read_to_string(stage.path("fraud.yaml")).unwrap();
    assert!(text.contains("  v1: 0\n  v2: 100\n") && text.ends_with("# by hand\n"), "{text}");
    stage.end([envoy]).await;
}
