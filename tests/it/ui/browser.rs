//! What people see and do, in a real Chromium, with a real Envoy where there is traffic.

use super::access::keeps_nobody_out;
use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{Stage, canary, free_port, settings, toy};
use crate::protocol::client::{folder, gateway, shown, start, stop};
use serin::app::{App, Options};
use serin::launch::Until;
use serin::model::Settings;
use std::net::{Ipv4Addr, SocketAddr};

/// A release that waits for somebody's word at its first step.
fn release(v1: &str, v2: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: fraud\ndescription: Card fraud scoring\npath: /predict\ntimeout: 2s\n\
         upstreams: {{ v1: {v1}, v2: {v2} }}\nrollout: {{ primary: v1, canary: v2, pause: 10m, \
         steps: [{{ weight: 10, pause: manual }}, 50], metrics: [{{ name: error-rate }}] }}\n"
    )
}

const CLICK: &str = "globalThis.click = (words) => { const found = [...document.querySelectorAll('button, a')].find((b) => b.textContent === words && b.checkVisibility());  if (found) { found.focus(); found.click(); } };";

#[tokio::test]
async fn people_find_and_steer_a_release() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let files = [
        ("fraud.yaml", release(&v1.url(), &v2.url())),
        ("other.yaml", canary("other", "/other", &v1, &v2, ("90", "10"))),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let options = Options { insecure_admin: true, ..Options::default() };
    let stage = Stage::with(&files, options).await;
    let envoy = stage.envoy().await;
    let load = stage.load("/predict", Some(60.0), Until::Stopped);
    let mut chromium = Chromium::start().await;
    chromium.looks(1280, false).await;

    // The list, searched by keyboard.
    chromium.go(&url(&stage.app, "/")).await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 2").await;
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.evaluate("document.getElementById('search').focus()").await;
    chromium.call("Input.insertText", serde_json::json!({ "text": "scoring" })).await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 1").await;
    chromium.sees("location.search === '?q=scoring'").await;
    chromium.evaluate("document.querySelector('tbody a').focus(); window.mark = 'the same page'").await;
    chromium.press("Enter", 13).await;

    // The gateway: where it stands, charts that move, evidence.
    chromium.sees("document.querySelector('h1').textContent === 'fraud'").await;
    chromium.sees("document.querySelector('.pill').dataset.phase === 'Paused'").await;
    chromium
        .sees("document.querySelector('.chart .line.v1')?.getAttribute('d').includes('L') === true")
        .await;
    chromium.sees("document.querySelectorAll('.evidence li').length === 3").await;
    chromium.sees("document.querySelector('.numbers tbody').textContent.includes('/s')").await;

    // A verb, with a question that says what will happen; escape takes it back.
    let ask = format!("{CLICK} click('Set weight')");
    chromium.evaluate(&ask).await;
    chromium.sees("document.querySelector('dialog').open").await;
    chromium.press("Escape", 27).await;
    chromium
        .sees("!document.querySelector('dialog') && document.activeElement.textContent === 'Set weight'")
        .await;
    chromium.evaluate(&ask).await;
    chromium
        .sees("document.querySelector('dialog .says').textContent.includes('Then the release is paused')")
        .await;
    chromium
        .evaluate("var d = document.querySelector('dialog'); d.querySelector('[name=weight]').value = '20'; d.querySelector('[name=reason]').value = 'a look at it'; d.querySelector('[type=submit]').click()")
        .await;
    stage.serves_weight("fraud", "v2", 20.0).await;
    chromium.sees("!document.querySelector('dialog')").await;
    chromium.sees("document.querySelector('.split.large').getAttribute('aria-label') === 'v1 80\u{a0}%, v2 20\u{a0}%'").await;
    chromium.sees("document.querySelector('.journal').textContent.includes('a look at it')").await;

    // Back to an older revision.
    chromium.sees("document.querySelectorAll('[data-key^=undo]').length === 2").await;
    chromium.evaluate("document.querySelector('[data-key^=undo]').click()").await;
    chromium.sees("document.querySelector('dialog .says').textContent.includes('Back to 10')").await;
    chromium.evaluate("document.querySelector('dialog [type=submit]').click()").await;
    stage.serves_weight("fraud", "v2", 10.0).await;
    chromium.sees("document.querySelector('.split.large').getAttribute('aria-label') === 'v1 90\u{a0}%, v2 10\u{a0}%'").await;
    assert_eq!(chromium.evaluate("window.mark").await, "the same page", "nothing was loaded again");

    // An edit by hand is seen at once as well; so is a mistake, at its place.
    chromium.evaluate(&format!("{CLICK} click('Gateways')")).await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 2").await;
    stage.replace("other.yaml", "apiVersion: serin/v1\nname: other\npath: nowhere\n");
    chromium.sees("[...document.querySelectorAll('.pill')].some((p) => p.dataset.phase === 'Invalid')").await;
    chromium.evaluate(&format!("{CLICK} click('other')")).await;
    chromium.sees("document.querySelector('.problems pre').textContent.includes('path: nowhere')").await;
    assert_eq!(chromium.complaints(), [""; 0]);
    load.stop().await;
    stage.end([envoy]).await;
}

#[tokio::test]
async fn whoever_may_only_look_is_told_why() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let stage = Stage::new(&[("fraud.yaml", &release(&v1.url(), &v2.url()))]).await;
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&stage.app, "/gateways/fraud")).await;
    chromium.sees("!!document.querySelector('[data-key=verb-abort]')").await;
    chromium
        .sees("document.querySelector('[data-key=verb-abort]').getAttribute('aria-disabled') === 'true'")
        .await;
    chromium.sees("document.querySelector('[data-key=verb-abort]').title.includes('--insecure-admin')").await;
    chromium.evaluate("document.querySelector('[data-key=verb-abort]').click()").await;
    assert_eq!(chromium.evaluate("document.querySelector('dialog')").await, serde_json::Value::Null);
    chromium.go(&url(&stage.app, "/gateways/fraud/edit")).await;
    chromium.sees("document.querySelector('[data-key=save]').getAttribute('aria-disabled') === 'true'").await;
    stage.end([]).await;
}

#[tokio::test]
async fn a_control_plane_that_goes_away_is_told_and_found_again() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let port = free_port();
    let settings = Settings {
        http: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        ..settings(folder.path(), free_port(), None)
    };
    let begin = || App::start(settings.clone(), Options::default());
    let app = begin().await.unwrap();
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/")).await;
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 1").await;
    assert_eq!(chromium.complaints(), [""; 0]);
    chromium.evaluate("window.mark = 'the same page'").await;
    stop(app).await;
    chromium
        .sees("document.getElementById('banner').textContent.startsWith('Serin does not answer since')")
        .await;
    chromium
        .sees("getComputedStyle(document.querySelector('table.gateways')).filter === 'grayscale(1)'")
        .await;
    keeps_nobody_out(&mut chromium, "nobody answers").await;
    crate::protocol::client::write(folder.path(), "b.yaml", &gateway("b", 50));
    let app = begin().await.unwrap();
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.sees("document.getElementById('banner').textContent === ''").await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 2").await;
    assert_eq!(chromium.evaluate("window.mark").await, "the same page");

    // A path that means nothing is a page that is missing.
    chromium.go(&url(&app, "/gateways/%zz")).await;
    chromium.sees("document.querySelector('h1')?.textContent === 'There is no such page'").await;

    // What another store tells is all there is, though the page stayed open.
    chromium.go(&url(&app, "/gateways/a")).await;
    for weight in [10, 20, 30] {
        crate::protocol::client::write(folder.path(), "a.yaml", &gateway("a", weight));
        shown(&app, "a", |g| {
            g.gateway.as_ref().is_some_and(|g| g.upstreams[0].weight.hundredths() == weight * 100)
        })
        .await;
    }
    chromium.sees("document.querySelectorAll('.journal li').length === 3").await;
    stop(app).await;
    chromium.sees("document.getElementById('link').dataset.is === 'lost'").await;
    keeps_nobody_out(&mut chromium, "a gateway of which nobody tells any more").await;
    let app = begin().await.unwrap();
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.sees("document.querySelectorAll('.journal li').length === 0").await;

    // Nothing is ready of which nobody tells.
    chromium.go(&url(&app, "/settings")).await;
    chromium.sees("document.querySelector('.facts .pill')?.textContent === 'Ready'").await;
    stop(app).await;
    chromium.sees("document.querySelector('.facts').textContent.includes('Not known')").await;
    assert_eq!(chromium.evaluate("document.querySelector('.facts .pill')").await, serde_json::Value::Null);
    keeps_nobody_out(&mut chromium, "settings of which nobody tells any more").await;
}

#[tokio::test]
async fn a_thousand_gateways_are_searched_and_sorted() {
    let files: Vec<(String, String)> =
        (0..1000).map(|i| (format!("g{i:04}"), gateway(&format!("g{i:04}"), 1 + i % 99))).collect();
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = folder(&files);
    let app = start(folder.path()).await;
    let mut chromium = Chromium::start().await;
    chromium.looks(390, true).await;
    chromium.go(&url(&app, "/?sort=share")).await;
    chromium.sees("document.querySelector('.chip .number')?.textContent === '1,000'").await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 100").await;
    // The largest share that is not the larger one.
    chromium.sees("document.querySelector('tbody a').textContent === 'g0049'").await;
    chromium.evaluate("document.querySelector('[data-key=more]').click()").await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 200").await;
    chromium.evaluate("const s = document.getElementById('search'); s.value = 'g0777'; s.dispatchEvent(new Event('input'))").await;
    chromium.sees("document.querySelectorAll('tbody tr').length === 1").await;
    assert_eq!(
        chromium.evaluate("document.documentElement.scrollWidth").await,
        390,
        "nothing is wider than a phone"
    );
    keeps_nobody_out(&mut chromium, "one of a thousand").await;
    crate::protocol::client::write(folder.path(), "g0777.yaml", &gateway("g0777", 31));
    chromium.sees("document.querySelector('tbody .figure').textContent === '31\u{a0}%'").await;
    assert_eq!(chromium.complaints(), [""; 0]);
    stop(app).await;
}

#[tokio::test]
async fn a_gateway_is_made_changed_and_deleted_by_forms() {
    let folder = folder(&[]);
    let settings = settings(folder.path(), free_port(), None);
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    app.ready().await;
    let file = || std::fs::read_to_string(folder.path().join("fraud.yaml")).unwrap_or_default();
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/")).await;
    chromium.sees("document.querySelector('.empty h2')?.textContent === 'No gateways yet'").await;
    keeps_nobody_out(&mut chromium, "no gateways").await;
    chromium.evaluate(&format!("{CLICK} click('Proxies')")).await;
    chromium.sees("document.querySelector('.empty h2')?.textContent === 'No Envoy is connected'").await;
    keeps_nobody_out(&mut chromium, "no proxies").await;
    chromium.evaluate(&format!("{CLICK} click('Gateways')")).await;
    chromium.sees("document.querySelector('h1').textContent === 'Gateways'").await;
    chromium.evaluate(&format!("{CLICK} click('New gateway')")).await;
    chromium.sees("document.querySelector('h1').textContent === 'New gateway'").await;
    let setter = "globalThis.fill = (name, value) => { const f = document.querySelector(`[name=${name}]`); f.value = value; f.dispatchEvent(new Event('input', { bubbles: true })); };";
    chromium.evaluate(&format!("{setter} {CLICK} fill('name', 'fraud'); fill('path', '/predict'); fill('primaryUrl', 'http://10.0.0.1:80'); click('Create a canary'); fill('canaryUrl', 'not a url')")).await;
    chromium.sees("document.querySelector('.complaints .error') !== null").await;
    chromium.evaluate("fill('canaryUrl', 'http://10.0.0.2:80')").await;
    chromium.sees("document.querySelector('.complaints .fine') !== null").await;
    chromium.evaluate("document.querySelector('[data-key=save]').click()").await;
    chromium.sees("location.pathname === '/gateways/fraud'").await;
    chromium.sees("document.querySelector('.split.large')?.getAttribute('aria-label') === 'v1 95\u{a0}%, v2 5\u{a0}%'").await;
    assert!(file().contains("traffic: { v1: 95, v2: 5 }"), "{}", file());

    // The slider writes the weights and nothing else.
    let before = file();
    chromium
        .sees("document.querySelector('[data-key=weights]')?.getAttribute('aria-disabled') === null")
        .await;
    chromium.evaluate("document.querySelector('[data-key=weights]').click(); fill('share', '30'); document.querySelector('dialog [type=submit]').click()").await;
    chromium.sees("document.querySelector('.split.large').getAttribute('aria-label') === 'v1 70\u{a0}%, v2 30\u{a0}%'").await;
    assert_eq!(file(), before.replace("95", "70").replace("v2: 5", "v2: 30"));

    // The file itself: a mistake is marked at its line and not written.
    chromium.evaluate(&format!("{CLICK} click('Edit as YAML')")).await;
    chromium.sees("document.querySelector('textarea')?.value.includes('name: fraud')").await;
    chromium.evaluate("var area = document.querySelector('textarea'), good = area.value; area.value = good.replace('/predict', 'nowhere'); area.dispatchEvent(new Event('input'))").await;
    chromium.sees("document.querySelector('.gutter .error')?.textContent === '3'").await;
    chromium
        .evaluate("area.value = good.replace('/predict', '/score'); area.dispatchEvent(new Event('input'))")
        .await;
    chromium.sees("document.querySelector('.gutter .error') === null").await;
    chromium.evaluate("document.querySelector('[data-key=save]').click()").await;
    chromium.sees("document.querySelector('.facts')?.textContent.includes('/score')").await;
    assert!(file().contains("path: /score"), "{}", file());

    chromium.evaluate(&format!("{CLICK} click('Edit')")).await;
    chromium.sees("document.querySelector('[data-key=delete]') !== null").await;
    chromium.evaluate("document.querySelector('[data-key=delete]').click(); document.querySelector('dialog [type=submit]').click()").await;
    chromium.sees("location.pathname === '/'").await;
    assert_eq!((file().as_str(), chromium.complaints()), ("", vec![]));
    stop(app).await;
}
