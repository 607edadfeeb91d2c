//! Files that Serin cannot change, as those of a `ConfigMap`: every control that would change one is off, and says why.

use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::gateway;
use serin::app::{App, Options};
use std::os::unix::fs::symlink;

const WHY: &str = "mounted from a ConfigMap";

#[tokio::test]
async fn files_of_a_config_map_are_looked_at_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("..2026_1")).unwrap();
    let release = "apiVersion: serin/v1\nname: release\npath: /release\nupstreams: { v1: http://127.0.0.1:1, v2: http://127.0.0.1:2 }\n\
                   rollout: { primary: v1, canary: v2, steps: [10, 50] }\n";
    for (name, text) in [("split.yaml", gateway("split", 95)), ("release.yaml", release.to_owned())] {
        std::fs::write(path("..2026_1").join(name), text).unwrap();
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    symlink("..2026_1", path("..data")).unwrap();
    let settings = settings(folder.path(), free_port(), None);
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    app.ready().await;
    let mut chromium = Chromium::start().await;
    let off = |words: &str| {
        format!(
            "(() => {{ const b = [...document.querySelectorAll('main button, main a')].find((b) => b.textContent === '{words}'); \
             return b?.getAttribute('aria-disabled') === 'true' && b.title.includes('{WHY}') \
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
        chromium.go(&url(&app, page)).await;
        for words in controls {
            chromium.sees(&off(words)).await;
        }
        let fields = "[...document.querySelectorAll('main form input, main textarea')].every((f) => f.matches(':disabled') || f.readOnly)";
        assert_eq!(chromium.evaluate(fields).await, true, "{page}");
    }
    chromium.go(&url(&app, "/settings")).await;
    chromium.sees(&format!("document.querySelector('main').textContent.includes('{WHY}')")).await;
    // A release is steered without its file.
    chromium.go(&url(&app, "/gateways/release")).await;
    chromium
        .sees("document.querySelector('[data-key=verb-pause]')?.getAttribute('aria-disabled') === null")
        .await;
    assert_eq!(chromium.complaints(), [""; 0]);
    app.stop().await;
}
