//! What pages say of copies: how answers agree, a release that waits for that, and requests without a key.

use super::access::keeps_nobody_out;
use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{Stage, toy};
use serin::launch::{Toy, ToyOptions, Until};
use serin::weight::Weight;

/// A model of which every tenth prediction is another one.
async fn astray() -> Toy {
    let astray = Weight::parse("10").unwrap();
    Toy::start(ToyOptions { version: "next".into(), astray, ..ToyOptions::default() }).await.unwrap()
}

#[tokio::test]
async fn a_report_is_read_at_a_glance() {
    let (v1, next) = (toy("v1").await, astray().await);
    let gateway = |name: &str, rest: &str| {
        format!(
            "apiVersion: serin/v1\nname: {name}\npath: /{name}\ntimeout: 2s\nupstreams: {{ v1: {}, next: {} }}\n{rest}",
            v1.url(),
            next.url()
        )
    };
    let compared = gateway(
        "compared",
        "traffic: { v1: 100 }\nsessionAffinity: { header: x-user-id }\nshadow: { upstream: next, percent: 100, compare: { path: $.prediction, minMatch: 97% } }\n",
    );
    let copied = gateway("copied", "traffic: { v1: 100 }\nshadow: { upstream: next, percent: 100 }\n");
    // So few copies that nothing is known for as long as this takes.
    let first = gateway(
        "first",
        "shadow: { upstream: next, percent: 0, compare: { path: $.prediction } }\nrollout: { primary: v1, canary: next, shadowFirst: { percent: 100, minMatch: 50% }, steps: [{ weight: 10, pause: manual }] }\n",
    );
    let stage =
        Stage::new(&[("compared.yaml", &compared), ("copied.yaml", &copied), ("first.yaml", &first)]).await;
    let envoy = stage.envoy().await;
    stage.taken().await;
    stage.load("/compared", Some(200.0), Until::Requests(600)).finished().await;
    let mut chromium = Chromium::start().await;
    chromium.looks(1280, false).await;
    chromium.go(&url(&stage.app, "/gateways/compared")).await;
    chromium.sees("document.querySelector('.comparisons .pill')?.textContent === 'Too few agree'").await;
    chromium.sees("document.querySelector('.comparisons h3').textContent === 'Against v1'").await;
    chromium
        .sees(
            "document.querySelector('.agreement').getAttribute('aria-label').includes('wanted is 97\u{a0}%')",
        )
        .await;
    chromium.sees("document.querySelector('.kind').textContent.startsWith('Numbers too far apart')").await;
    chromium.sees("document.querySelector('.examples code').textContent === '$.prediction[0]'").await;
    chromium.sees("document.querySelectorAll('.comparisons tbody tr').length === 2").await;
    chromium
        .sees("document.querySelector('.keyless')?.textContent.includes('600 in all, came without their key (header x-user-id)') === true")
        .await;
    keeps_nobody_out(&mut chromium, "the report of a shadow").await;
    chromium.go(&url(&stage.app, "/gateways/copied")).await;
    chromium.sees("document.querySelector('.shadowed')?.textContent.includes('not compared') === true").await;

    chromium.go(&url(&stage.app, "/gateways/first")).await;
    chromium.sees("document.querySelector('.steps .now')?.textContent.startsWith('Shadow') === true").await;
    chromium.sees("document.querySelector('.before')?.textContent.includes('At least 50\u{a0}% should agree') === true").await;
    let load = stage.load("/first", Some(200.0), Until::Stopped);
    chromium.sees("document.querySelector('.steps .now')?.textContent.startsWith('10') === true").await;
    chromium.sees("document.querySelector('.steps .done').textContent.startsWith('Shadow')").await;
    load.stop().await;
    stage.end([envoy]).await;
}
