//! What every page tells that is about no gateway in particular: that Serin has no place for one more page, and alarms.

use super::access::keeps_nobody_out;
use super::url;
use super::watch::Events;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::{folder, gateway, start, stop};
use serin::app::{App, Options};
use serin::model::{Settings, StoreAt};

const BANNER: &str = "document.getElementById('banner').textContent";
const ALARMS: &str = "document.getElementById('alarms').textContent";

#[tokio::test]
async fn a_page_without_a_place_says_so_and_gets_one_when_there_is() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    // Some script on this machine has all places of this machine.
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Events::open(&app, "").await);
    }
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/")).await;
    chromium.sees("document.getElementById('link').dataset.is === 'full'").await;
    chromium.sees(&format!("{BANNER}.startsWith('Serin answers, but')")).await;
    chromium.sees("document.querySelector('.empty').textContent === 'Nothing was read yet.'").await;
    keeps_nobody_out(&mut chromium, "no place").await;
    // Serin is there, and says it where nothing has to be followed.
    chromium.go(&url(&app, "/settings")).await;
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.go(&url(&app, "/gateways/a")).await;
    chromium.sees("document.getElementById('link').dataset.is === 'full'").await;
    drop(open);
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.sees(&format!("{BANNER} === '' && !!document.querySelector('.numbers')")).await;
    stop(app).await;
}

#[tokio::test]
async fn every_page_shows_alarms_as_long_as_they_last() {
    let folder = tempfile::tempdir().unwrap();
    let (gateways, kept) = (folder.path().join("gateways"), folder.path().join("kept"));
    std::fs::create_dir(&gateways).unwrap();
    std::fs::write(gateways.join("a.yaml"), gateway("a", 95)).unwrap();
    // A link to itself cannot be listed by anybody, root among them.
    let hide = || {
        std::fs::rename(&gateways, &kept).unwrap();
        std::os::unix::fs::symlink(&gateways, &gateways).unwrap();
    };
    let show = || {
        std::fs::remove_file(&gateways).unwrap();
        std::fs::rename(&kept, &gateways).unwrap();
    };
    hide();
    let app = App::start(settings(&gateways, free_port(), None), Options::default()).await.unwrap();
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/")).await;
    let alarmed = format!("{ALARMS}.startsWith('The directory of gateway files cannot be listed')");
    // There may be gateways, so the page does not say that there are none.
    chromium.sees(&alarmed).await;
    chromium.sees("document.getElementById('link').dataset.is === 'live'").await;
    chromium.sees("document.querySelector('.empty').textContent.startsWith('It is not known which gateways there are')").await;
    keeps_nobody_out(&mut chromium, "a list that is not known").await;
    chromium.go(&url(&app, "/settings")).await;
    chromium.sees("document.querySelector('.facts .pill')?.textContent === 'Not ready'").await;
    chromium.sees("document.querySelector('.card .notice').textContent.includes('the directory of gateway files cannot be listed')").await;
    keeps_nobody_out(&mut chromium, "settings before the files are read").await;
    show();
    chromium.sees("document.querySelector('.facts .pill')?.textContent === 'Ready'").await;
    chromium.sees("document.querySelector('.card .notice').textContent === ''").await;
    chromium.go(&url(&app, "/")).await;
    chromium.sees(&format!("{ALARMS} === '' && document.querySelectorAll('tbody tr').length === 1")).await;
    // What is the same stays as it is, and is not read aloud again.
    hide();
    chromium.go(&url(&app, "/settings")).await;
    chromium.sees(&alarmed).await;
    let asked =
        "performance.getEntriesByType('resource').filter((r) => r.name.endsWith('/api/v1/alarms')).length";
    let before =
        chromium.evaluate(&format!("window.alarm = document.querySelector('#alarms p'); {asked}")).await;
    chromium.sees(&format!("{asked} > {before} + 1")).await;
    assert_eq!(chromium.evaluate("window.alarm === document.querySelector('#alarms p')").await, true);
    show();
    for page in ["/", "/gateways/a", "/gateways/a/edit", "/new", "/gateways/%zz", "/proxies", "/settings"] {
        hide();
        chromium.go(&url(&app, page)).await;
        chromium.sees(&alarmed).await;
        show();
        chromium.sees(&format!("{ALARMS} === ''")).await;
    }
    // What cannot be listed cannot be read either.
    let mut complaints = chromium.complaints();
    complaints.retain(|complaint| !complaint.contains("/api/v1/gateways"));
    assert_eq!(complaints, [""; 0]);
    app.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_is_an_alarm_and_its_journal_is_not_empty() {
    const RELEASE: &str = "apiVersion: serin/v1\nname: fraud\nupstreams: { v1: http://127.0.0.1:1, v2: http://127.0.0.1:2 }\n\
                           rollout: { primary: v1, canary: v2, steps: [10, 50] }\n";
    let (folder, keep) = (folder(&[("fraud", RELEASE.to_owned())]), tempfile::tempdir().unwrap());
    let away = keep.path().join("away");
    let store = Some(StoreAt::Sqlite(away.join("serin.db")));
    let settings = Settings { store, ..settings(folder.path(), free_port(), None) };
    let app = App::start(settings, Options::default()).await.unwrap();
    app.ready().await;
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/gateways/fraud")).await;
    chromium.sees(&format!("{ALARMS}.startsWith('What happens cannot be kept')")).await;
    let journal = "document.querySelector('[aria-labelledby=journal]').textContent";
    chromium.sees(&format!("{journal}.includes('The journal cannot be read: ')")).await;
    chromium
        .sees(
            "document.querySelector('.sentence')?.textContent.startsWith('Its release is known to the store alone') === true",
        )
        .await;
    assert_eq!(chromium.evaluate("document.querySelector('.verbs')").await, serde_json::Value::Null);
    keeps_nobody_out(&mut chromium, "without a store").await;
    std::fs::create_dir(&away).unwrap();
    // Both on the page that stayed open.
    chromium.sees(&format!("{ALARMS} === ''")).await;
    chromium.sees(&format!("!{journal}.includes('cannot be read')")).await;
    chromium.sees("!!document.querySelector('[data-key=verb-abort]')").await;
    assert_eq!(chromium.complaints(), [""; 0]);
    app.stop().await;
}
