//! Files that Serin cannot change, as those of a `ConfigMap` or of somebody else: every control that would change one is off,
//! and says why.

use super::access::keeps_nobody_out;
use super::url;
use crate::cli::{rights, without_rights};
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::gateway;
use crate::real::DEADLINE;
use reqwest::StatusCode;
use serin::app::{App, Options};
use std::os::unix::fs::symlink;

const RELEASE: &str = "apiVersion: serin/v1\nname: release\npath: /release\nupstreams: { v1: http://127.0.0.1:1, v2: http://127.0.0.1:2 }\n\
                       rollout: { primary: v1, canary: v2, steps: [10, 50] }\n";

/// Looks at all pages: what would change a file is off and says why, and a release is steered all the same.
async fn looked_at_only(server: &str, why: &str) {
    let mut chromium = Chromium::start().await;
    let off = |words: &str| {
        format!(
            "(() => {{ const b = [...document.querySelectorAll('main button, main a')].find((b) => b.textContent === '{words}'); \
             return b?.getAttribute('aria-disabled') === 'true' && b.title.includes('{why}') \
             && document.getElementById(b.getAttribute('aria-describedby')).textContent === b.title; }})()"
        )
    };
    let edit = ["Delete", "Save"];
    for (page, controls) in [
        ("/", &["New gateway"][..]),
        ("/gateways/split", &["Change weights", "Promote", "Take off", "Edit", "Edit as YAML"]),
        ("/gateways/release", &["Edit", "Edit as YAML"]),
        ("/gateways/split/edit", &edit),
        ("/gateways/split/edit?as=yaml", &edit),
        ("/new", &["Create gateway"]),
    ] {
        chromium.go(&format!("{server}{page}")).await;
        for words in controls {
            chromium.sees(&off(words)).await;
        }
        let fields = "[...document.querySelectorAll('main form input, main textarea')].every((f) => f.matches(':disabled') || f.readOnly)";
        assert_eq!(chromium.evaluate(fields).await, true, "{page}");
        keeps_nobody_out(&mut chromium, &format!("{page}, closed")).await;
    }
    chromium.go(&format!("{server}/settings")).await;
    chromium.sees(&format!("document.querySelector('main').textContent.includes('{why}')")).await;
    // A release is steered without its file.
    chromium.go(&format!("{server}/gateways/release")).await;
    chromium
        .sees("document.querySelector('[data-key=verb-pause]')?.getAttribute('aria-disabled') === null")
        .await;
    assert_eq!(chromium.complaints(), [""; 0]);
}

#[tokio::test]
async fn files_of_a_config_map_are_looked_at_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("..2026_1")).unwrap();
    for (name, text) in [("split.yaml", gateway("split", 95)), ("release.yaml", RELEASE.to_owned())] {
        std::fs::write(path("..2026_1").join(name), text).unwrap();
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    symlink("..2026_1", path("..data")).unwrap();
    let settings = settings(folder.path(), free_port(), None);
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    app.ready().await;
    looked_at_only(&url(&app, ""), "mounted from a ConfigMap").await;
    app.stop().await;
}

#[tokio::test]
async fn pages_that_stay_open_see_that_files_can_be_changed_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("split.yaml"), gateway("split", 95)).unwrap();
    let settings = settings(folder.path(), free_port(), None);
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    app.ready().await;
    let mut chromium = Chromium::start().await;
    let mounted = folder.path().join("..data");
    for (page, words) in [
        ("/", &["New gateway"][..]),
        ("/gateways/split", &["Change weights", "Promote", "Edit", "Edit as YAML"]),
        ("/gateways/split/edit", &["Delete", "Save"]),
        ("/gateways/split/edit?as=yaml", &["Delete", "Save"]),
        ("/new", &["Create gateway"]),
    ] {
        symlink("nowhere", &mounted).unwrap();
        chromium.go(&url(&app, page)).await;
        let find = |words: &str| {
            format!(
                "[...document.querySelectorAll('main button, main a')].find((b) => b.textContent === '{words}')"
            )
        };
        for words in words {
            let off = format!("{}?.title.includes('mounted from a ConfigMap') === true", find(words));
            chromium.sees(&off).await;
        }
        chromium.evaluate("window.mark = 'the same page'").await;
        std::fs::remove_file(&mounted).unwrap();
        for words in words {
            chromium.sees(&format!("{}?.getAttribute('aria-disabled') === null", find(words))).await;
        }
        let fields = "[...document.querySelectorAll('main form input, main textarea')].some((f) => f.matches(':disabled') || f.readOnly)";
        assert_eq!(chromium.evaluate(fields).await, false, "{page}");
        assert_eq!(
            chromium.evaluate("document.querySelector('main .notice')").await,
            serde_json::Value::Null
        );
        assert_eq!(chromium.evaluate("window.mark").await, "the same page", "{page}");
        if page == "/new" {
            // What was begun can be gone on with, though it is not written now.
            chromium
                .evaluate("var field = document.querySelector('[name=name]'); field.value = 'mine'; field.dispatchEvent(new Event('input', { bubbles: true })); field.focus()")
                .await;
            symlink("nowhere", &mounted).unwrap();
            chromium
                .sees("document.querySelector('main .notice')?.textContent.includes('ConfigMap') === true")
                .await;
            let still =
                "!field.matches(':disabled') && document.activeElement === field && field.value === 'mine'";
            assert_eq!(chromium.evaluate(still).await, true);
            keeps_nobody_out(&mut chromium, "a form that cannot be saved now").await;
        }
    }
    assert_eq!(chromium.complaints(), [""; 0]);
    app.stop().await;
}

/// Ends a process that a test began.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn files_in_a_directory_that_serin_may_not_write_are_looked_at_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("split.yaml", gateway("split", 95)), ("release.yaml", RELEASE.to_owned())] {
        std::fs::create_dir_all(path("gateways")).unwrap();
        std::fs::write(path("gateways").join(name), text).unwrap();
        rights(&path("gateways").join(name), 0o444);
    }
    std::fs::create_dir(path("state")).unwrap();
    for (name, open) in [("", 0o755), ("state", 0o777), ("gateways", 0o555)] {
        rights(&path(name), open);
    }
    let http = format!("127.0.0.1:{}", free_port());
    let xds = format!("127.0.0.1:{}", free_port());
    let serve = ["serve", "--gateways", "../gateways", "--http", &http, "--xds", &xds, "--insecure-admin"];
    let mut command = without_rights(folder.path(), &path("state"), &serve);
    let _child = Child(command.stderr(std::process::Stdio::null()).spawn().unwrap());
    let server = format!("http://{http}");
    let ready = async {
        let ready = || reqwest::get(format!("{server}/readyz"));
        while !ready().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ready).await.expect("Serin is ready");
    looked_at_only(&server, "Serin may not write in the directory of gateway files").await;
    assert_eq!(std::fs::read_dir(path("gateways")).unwrap().count(), 2, "nothing was written");
    rights(&path("gateways"), 0o755);
}
