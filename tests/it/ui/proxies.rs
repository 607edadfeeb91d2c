//! What pages say of Envoys that do not have what they should.

use super::access::keeps_nobody_out;
use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{Stage, at, toy};
use crate::real::{DEADLINE, envoys};
use serin::launch::{Bootstrap, Envoy, EnvoyOptions};
use serin::translate;

#[tokio::test]
async fn an_envoy_that_is_too_old_for_a_gateway_says_so() {
    let v1 = toy("v1").await;
    let text = format!(
        "apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {0}, v2: {0} }}\ntraffic: {{ v1: 100 }}\n\
         match: [{{ cookies: {{ beta: \"1\" }}, upstream: v2 }}]\n",
        v1.url()
    );
    let stage = Stage::new(&[("fraud.yaml", &text)]).await;
    let oldest = &envoys().await[0];
    let release = translate::release(&oldest.version).unwrap();
    let bootstrap = Bootstrap { release, control_plane: at(stage.app.xds), ..Bootstrap::default() };
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(oldest, &bootstrap.to_string(), &options).await.unwrap();
    envoy.ready(DEADLINE).await.unwrap();
    stage.taken().await;
    let mut chromium = Chromium::start().await;
    chromium.looks(1280, false).await;
    chromium.go(&url(&stage.app, "/proxies")).await;
    chromium
        .sees("document.querySelector('.proxies .pill')?.textContent === 'Too old for some gateways'")
        .await;
    chromium
        .sees("document.querySelector('.proxies .problems')?.textContent.includes('It is too old for gateway fraud, which needs Envoy 1.37.') === true")
        .await;
    chromium
        .sees("document.querySelector('#alarms')?.textContent.includes('answers 503 in the place of gateway fraud') === true")
        .await;
    keeps_nobody_out(&mut chromium, "an Envoy that is too old").await;
    chromium.go(&url(&stage.app, "/gateways/fraud")).await;
    chromium
        .sees(
            "document.querySelector('main').textContent.includes('1.37; older ones answer 503 in its place')",
        )
        .await;
    keeps_nobody_out(&mut chromium, "a gateway that needs a newer Envoy").await;
    assert_eq!(chromium.complaints(), [""; 0]);
    stage.end([envoy]).await;
}
