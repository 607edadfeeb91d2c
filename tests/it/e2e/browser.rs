//! A login in Chromium: what a real browser makes of the cookies and redirects.

use super::chromium::Chromium;
use super::login::{callback, gateway};
use super::provider::Provider;
use super::stage::{Stage, free_port, toy};
use serde_json::{Value, json};
use serin::app::Options;

#[tokio::test]
async fn people_log_in_with_a_real_browser() {
    let (model, provider, port) = (toy("v1").await, Provider::start(free_port()).await, free_port());
    let client = provider.register(&callback(port, "app")).await;
    let text = gateway("app", &model, &provider.issuer, &client.id);
    let files = [("app.yaml", text.as_str()), ("app.secret", &client.secret)];
    let stage = Stage::on(port, &files, Options::default()).await;
    let envoy = stage.envoy().await;
    super::login::becomes(&stage, "/app", 401).await;

    let mut chromium = Chromium::start().await;
    let page = stage.url("/app?x=1");
    chromium.call("Page.navigate", json!({ "url": page })).await;
    chromium.arrives(&format!("{}/oauth2/authorize", provider.issuer)).await;
    assert_eq!(model.requests(), 0);
    chromium
        .evaluate("document.querySelector('[name=sub]').value = 'alice'; document.querySelector('form button').click()")
        .await;
    let seen: Value = serde_json::from_str(&chromium.arrives(&page).await).unwrap();
    assert_eq!(seen["headers"]["x-user"], "alice", "{seen}");
    assert!(seen["headers"].get("cookie").is_none(), "{seen}");
    assert_eq!(chromium.evaluate("document.cookie").await, "", "no script reads the login");

    chromium.call("Page.navigate", json!({ "url": stage.url("/app/oauth2/signout") })).await;
    chromium.arrives(&format!("{}/oauth2/end_session", provider.issuer)).await;
    let before = model.requests();
    chromium.call("Page.navigate", json!({ "url": page })).await;
    chromium.arrives(&format!("{}/oauth2/authorize", provider.issuer)).await;
    assert_eq!(model.requests(), before);
    stage.end([envoy]).await;
}
