//! A login in Chromium: what a real browser makes of the cookies and redirects.
//!
//! `chromium.sh` finds it, or unpacks it once. It is driven by its own protocol over a pipe
//! (<https://chromedevtools.github.io/devtools-protocol/>), whose messages end with a zero.

use super::login::{callback, gateway};
use super::provider::Provider;
use super::stage::{Stage, free_port, let_pass, toy};
use crate::real::DEADLINE;
use serde_json::{Value, json};
use serin::app::Options;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Chromium with one page. Dropping it ends it.
struct Chromium {
    _process: Child,
    _profile: TempDir,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    count: u64,
}

/// The path of a Chromium.
async fn program() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/chromium.sh");
    let run =
        Command::new("bash").arg(script).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(
        run.status.success(),
        "there is no Chromium, and none could be unpacked: install one, or name one in SERIN_CHROMIUM\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

impl Chromium {
    async fn start() -> Self {
        let program = program().await;
        let profile = tempfile::tempdir().unwrap();
        // Its ends of the pipe are the descriptors 3 and 4. Root has no sandbox.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe \"--user-data-dir=$1\" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut process = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut chromium =
            Self { _process: process, _profile: profile, to, from, session: String::new(), count: 0 };
        let page = chromium.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let wish = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = chromium.call("Target.attachToTarget", wish).await;
        attached["sessionId"].as_str().unwrap().clone_into(&mut chromium.session);
        chromium
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.count += 1;
        let mut wish = json!({ "id": self.count, "method": method, "params": parameters });
        if !self.session.is_empty() {
            wish["sessionId"] = json!(self.session);
        }
        let answer = async {
            self.to.write_all(format!("{wish}\0").as_bytes()).await.unwrap();
            loop {
                let mut bytes = Vec::new();
                self.from.read_until(0, &mut bytes).await.unwrap();
                assert_eq!(bytes.pop(), Some(0), "Chromium has ended");
                let said: Value = serde_json::from_slice(&bytes).unwrap();
                if said["id"] == self.count {
                    assert!(said["error"].is_null(), "{method}: {said}");
                    return said["result"].clone();
                }
            }
        };
        tokio::time::timeout(DEADLINE, answer).await.unwrap_or_else(|_| panic!("{method} is not answered"))
    }

    /// The value of an expression in the page.
    async fn evaluate(&mut self, expression: &str) -> Value {
        let wish = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", wish).await["result"]["value"].clone()
    }

    /// Waits for a page at this URL that is there as a whole; gives its text.
    async fn arrives(&mut self, url: &str) -> String {
        let wait = async {
            loop {
                let page = "[location.href, document.readyState, document.body && document.body.innerText]";
                let page = self.evaluate(page).await;
                if page[1] == "complete" && page[0].as_str().is_some_and(|at| at.starts_with(url)) {
                    return page[2].as_str().unwrap().to_owned();
                }
                let_pass(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never at {url}"))
    }
}

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
