//! Which replicas are there, and how far their files differ: in the API, on the command line and on the pages.

use super::app;
use crate::cli::serin;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, let_pass};
use crate::postgres::Server;
use crate::protocol::client::{gateway, soon, write};
use crate::real::{DEADLINE, eventually};
use crate::ui::access::keeps_nobody_out;
use serde_json::Value;
use serin::app::App;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two questions of these tests.
const LOOK: Duration = Duration::from_millis(50);

async fn replicas(app: &App) -> Value {
    reqwest::get(format!("http://{}/api/v1/replicas", app.http)).await.unwrap().json().await.unwrap()
}

/// Waits until a replica shows that all are there, and that so many gateways of the other one differ.
async fn differing(app: &App, wanted: u64) -> Value {
    let wait = async {
        loop {
            let page = replicas(app).await;
            let all = page["replicas"].as_array().unwrap();
            let counts: Vec<_> = all.iter().map(|one| one["differing"]["count"].as_u64()).collect();
            // What is shown without the database is from before.
            let is_new = page["failure"].is_null() && all.iter().all(|one| one["silent"] == false);
            if is_new
                && all.len() == 2
                && counts.iter().all(Option::is_some)
                && counts.iter().max() == Some(&Some(wanted))
            {
                return page;
            }
            let_pass(LOOK).await;
        }
    };
    soon("it is shown", wait).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_files_differ_is_shown_everywhere() {
    const MANY: usize = 300;
    serin::client::choose_provider();
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for folder in &folders {
        for i in 0..MANY {
            let name = format!("g{i:03}");
            write(folder.path(), &format!("{name}.yaml"), &gateway(&name, 95));
        }
    }
    write(folders[1].path(), "more.yaml", &gateway("more", 95));
    let leader = app(folders[0].path(), &server, free_port()).await;
    eventually("it leads", || leader.view.load().leads).await;
    let alone = replicas(&leader).await;
    assert_eq!(alone["replicas"].as_array().unwrap().len(), 1, "{alone}");
    let follower = app(folders[1].path(), &server, free_port()).await;
    let names = [&leader, &follower].map(|app| app.http.to_string());
    for app in [&leader, &follower] {
        let page = differing(app, 1).await;
        let all = page["replicas"].as_array().unwrap();
        let of = |i: usize| {
            let name = |one: &&Value| one["name"].as_str().unwrap().starts_with(&names[i]);
            all.iter().find(name).unwrap()
        };
        assert_eq!((&of(0)["leads"], &of(1)["leads"]), (&true.into(), &false.into()), "{page}");
        assert_eq!((&of(0)["gateways"], &of(1)["gateways"]), (&MANY.into(), &(MANY + 1).into()), "{page}");
        assert_eq!(of(0)["differing"]["count"], 0, "{page}");
        assert_eq!(of(1)["differing"]["names"], serde_json::json!(["more"]), "{page}");
        let answers: Vec<_> = all.iter().filter(|one| one["answers"] == true).collect();
        assert_eq!((answers.len(), &answers[0]["name"]), (1, &page["name"]), "{page}");
        assert!(all.iter().all(|one| one["silent"] == false && one["since"].is_string()), "{page}");
        assert!(all.iter().all(|one| one["version"] == env!("CARGO_PKG_VERSION")), "{page}");
        // On the command line and on the pages.
        let url = format!("http://{}", app.http);
        let said = tokio::task::block_in_place(|| serin(&["get", "--server", &url]).good());
        let line = format!(
            "{} has other files than the leader, of 1 gateways: more\n",
            of(1)["name"].as_str().unwrap()
        );
        assert!(said.contains(&line), "{said}");
        let mut chromium = Chromium::start().await;
        chromium.go(&format!("{url}/settings")).await;
        chromium.sees("document.querySelector('main').textContent.includes('1 differ: more')").await;
        chromium.sees("document.querySelector('main').textContent.includes('(this one)')").await;
        keeps_nobody_out(&mut chromium, "several control planes").await;
        assert_eq!(chromium.complaints(), [""; 0]);
    }

    // One edit is one row, however many there are.
    let rows = || -> BTreeMap<String, String> {
        let rows = server.ask("SELECT replica || '/' || gateway, xmin FROM serin.copies");
        rows.lines().map(|line| line.split_once('|').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
    };
    let before = rows();
    assert_eq!(before.len(), 2 * MANY + 1);
    write(folders[1].path(), "g007.yaml", &gateway("g007", 60));
    let page = differing(&leader, 2).await;
    let all = page["replicas"].as_array().unwrap();
    assert!(all.iter().any(|one| one["differing"]["names"] == serde_json::json!(["g007", "more"])), "{page}");
    let after = rows();
    let changed: Vec<_> = after.iter().filter(|(name, xmin)| before.get(*name) != Some(xmin)).collect();
    assert!(changed.len() == 1 && changed[0].0.ends_with("/g007"), "{changed:?}");

    // The same files again, and nobody differs.
    write(folders[1].path(), "g007.yaml", &gateway("g007", 95));
    std::fs::remove_file(folders[1].path().join("more.yaml")).unwrap();
    for app in [&leader, &follower] {
        let page = differing(app, 0).await;
        let all = page["replicas"].as_array().unwrap();
        assert!(all.iter().all(|one| one["gateways"] == MANY), "{page}");
    }

    // Without the database it says what it knows.
    tokio::task::block_in_place(|| server.down());
    let cut = async {
        loop {
            let page = replicas(&follower).await;
            let all = page["replicas"].as_array().unwrap();
            if page["failure"].is_string() && all.iter().any(|one| one["silent"] == true) {
                assert!(all.iter().any(|one| one["answers"] == true && one["silent"] == false), "{page}");
                return;
            }
            let_pass(LOOK).await;
        }
    };
    soon("nothing is heard of the other one", cut).await;
    tokio::task::block_in_place(|| server.up());
    differing(&follower, 0).await;

    // Who leaves in good order is not there any more.
    leader.stop().await;
    let left = async {
        loop {
            let page = replicas(&follower).await;
            if page["replicas"].as_array().unwrap().len() == 1 && page["leads"] == true {
                return page;
            }
            let_pass(LOOK).await;
        }
    };
    // At the latest when it was silent for half a minute, if the database was not there for it to say so.
    let page = tokio::time::timeout(DEADLINE * 2, left).await.expect("one is left");
    assert_eq!(page["replicas"][0]["leads"], true, "{page}");
    follower.stop().await;
}
