//! The pages for people: how their files are served, what their stream tells, and, in a real Chromium, what people see.

pub(crate) mod access;
mod browser;
mod closed;
mod fresh;
mod login;
mod proxies;
mod shadow;
mod show;
mod told;
pub(crate) mod watch;

use crate::protocol::client::{folder, gateway, soon, start, stop};
use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use serin::app::App;
use std::os::unix::fs::PermissionsExt;
use tokio::process::Command;

/// The address of a page.
fn url(app: &App, path: &str) -> String {
    format!("http://{}{path}", app.http)
}

#[tokio::test]
async fn files_are_served_with_their_policy_and_only_when_they_are_new() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let get = |path: &str| Client::new().get(url(&app, path));
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/gateways/a", "text/html; charset=utf-8"),
        ("/new", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/css/base.css", "text/css; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        let answer = soon(path, get(path).send()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers[CONTENT_TYPE], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let again = get(path).header(IF_NONE_MATCH, &headers[ETAG]).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
    }
    for path in ["/ui/none.js", "/ui/../app.rs", "/gateways", "/ui/"] {
        let answer = soon(path, get(path).send()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json", "{path}");
    }
    stop(app).await;
}

#[tokio::test]
async fn dashboard_opens_the_page_that_is_asked_for() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    // What opens addresses on this system, and here keeps them.
    let (tools, opened) = (tempfile::tempdir().unwrap(), folder.path().join("opened"));
    for name in ["xdg-open", "open"] {
        let tool = tools.path().join(name);
        std::fs::write(&tool, format!("#!/bin/sh\nprintf %s \"$1\" >'{}'\n", opened.display())).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = format!("http://{}", app.http);
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
        command.arg("dashboard").args(words).args(["--server", &server]).env("PATH", tools.path()).output()
    };
    for (words, page) in [(&["a"][..], "/gateways/a"), (&[], "/")] {
        let run = run(words).await.unwrap();
        assert_eq!(String::from_utf8(run.stdout).unwrap(), format!("{server}{page}\n"));
        assert!(run.status.success());
        assert_eq!(std::fs::read_to_string(&opened).unwrap(), format!("{server}{page}"));
    }
    std::fs::remove_file(&opened).unwrap();
    for (words, code) in [(&["--print"][..], 0), (&["none"], 1), (&["No Name"], 1)] {
        assert_eq!(run(words).await.unwrap().status.code(), Some(code), "{words:?}");
    }
    assert!(!opened.exists());
    std::fs::remove_dir_all(tools.path()).unwrap();
    assert_eq!(run(&[]).await.unwrap().status.code(), Some(2), "nothing opens addresses");
    stop(app).await;
}
