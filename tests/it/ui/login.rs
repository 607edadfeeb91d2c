//! Logging in by a browser: who comes in, who may only look, and that a page does not outlive its token.

use super::access::keeps_nobody_out;
use super::url;
use crate::cli::command;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::folder;
use serin::app::{App, Options};
use serin::model::Settings;
use std::path::Path;

const RELEASE: &str = "apiVersion: serin/v1\nname: fraud\nupstreams: { v1: http://127.0.0.1:1, v2: http://127.0.0.1:2 }\n\
                       rollout: { primary: v1, canary: v2, steps: [10, 50] }\n";

/// What `serin tokens new` prints.
fn token(folder: &Path, name: &str, role: &str) -> String {
    let run = command(folder, &["tokens", "new", "tokens", name, "--role", role]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// Writes a token, and presses the button.
async fn show(chromium: &mut Chromium, token: &str) {
    chromium.sees("document.querySelector('.login button')?.disabled === false").await;
    chromium
        .evaluate(&format!(
            "document.querySelector('#token').value = '{token}'; document.querySelector('.login button').click()"
        ))
        .await;
}

/// Whether a control is off, and says why.
fn is_off(selector: &str, why: &str) -> String {
    format!(
        "[...document.querySelectorAll(\"{selector}\")].some((b) => b.getAttribute('aria-disabled') === 'true' && b.title.includes('{why}'))"
    )
}

#[tokio::test]
async fn whoever_shows_a_token_comes_in_until_it_is_taken_away() {
    let (folder, keep) = (folder(&[("fraud", RELEASE.to_owned())]), tempfile::tempdir().unwrap());
    let (ann, bob) = (token(keep.path(), "ann", "operator"), token(keep.path(), "bob", "viewer"));
    let tokens = keep.path().join("tokens");
    let settings =
        Settings { tokens_file: Some(tokens.clone()), ..settings(folder.path(), free_port(), None) };
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    let mut chromium = Chromium::start().await;

    // Every page leads to the login, and back to itself.
    for path in ["/", "/new", "/gateways/fraud/edit", "/gateways/fraud"] {
        chromium.go(&url(&app, path)).await;
        let back = format!(
            "location.pathname === '/login' && new URLSearchParams(location.search).get('back') === '{path}'"
        );
        chromium.sees(&back).await;
    }
    show(&mut chromium, "serin_wrong").await;
    chromium.sees("document.querySelector('#why-not').textContent.startsWith('No such token')").await;
    chromium.sees("document.activeElement.id === 'token' && document.activeElement.getAttribute('aria-invalid') === 'true'").await;
    keeps_nobody_out(&mut chromium, "a wrong token").await;
    show(&mut chromium, &format!(" {ann} ")).await;
    chromium.sees("location.pathname === '/gateways/fraud'").await;
    chromium.sees("document.querySelector('.person').textContent.includes('ann')").await;
    chromium
        .sees("document.querySelector('[data-key=verb-abort]')?.getAttribute('aria-disabled') === null")
        .await;
    assert_eq!(chromium.evaluate("document.cookie").await, "", "no script reads what stands for the token");

    chromium
        .evaluate("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Log out').click()")
        .await;
    chromium.sees("location.pathname === '/login' && !!document.querySelector('#token')").await;
    assert_eq!(chromium.evaluate("fetch('/api/v1/gateways').then((a) => a.status)").await, 401);

    // Who may look sees everything, and why nothing can be pressed.
    show(&mut chromium, &bob).await;
    chromium.sees("location.pathname === '/' && document.querySelectorAll('tbody tr').length === 1").await;
    chromium.sees(&is_off("main button", "bob may look")).await;
    keeps_nobody_out(&mut chromium, "the list for whoever may look").await;
    chromium.evaluate("document.querySelector('tbody a').click()").await;
    for verb in ["abort", "pause", "set-weight"] {
        chromium.sees(&is_off(&format!("[data-key=verb-{verb}]"), "bob may look")).await;
    }
    let refused = "fetch('/api/v1/gateways/fraud/actions/abort', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }).then((a) => a.status)";
    assert_eq!(chromium.evaluate(refused).await, 403, "and Serin refuses it as well");

    // The token goes while the page is open.
    let text = std::fs::read_to_string(&tokens).unwrap();
    let left: Vec<&str> = text.lines().filter(|line| !line.starts_with("bob:")).collect();
    std::fs::write(&tokens, left.join("\n")).unwrap();
    chromium.sees("location.pathname === '/login' && location.search === '?back=%2Fgateways%2Ffraud'").await;
    show(&mut chromium, &bob).await;
    chromium.sees("document.querySelector('#why-not').textContent.startsWith('No such token')").await;
    app.stop().await;
}
