//! A real Chromium, driven by its own protocol over a pipe (<https://chromedevtools.github.io/devtools-protocol/>),
//! whose messages end with a zero. `chromium.sh` finds it, or unpacks it once.

use super::stage::let_pass;
use crate::real::DEADLINE;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Chromium with one page. Dropping it ends it.
pub(crate) struct Chromium {
    _process: Child,
    _profile: TempDir,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    count: u64,
    complaints: Vec<String>,
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
    pub(crate) async fn start() -> Self {
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
        let (session, complaints) = (String::new(), Vec::new());
        let mut chromium =
            Self { _process: process, _profile: profile, to, from, session, count: 0, complaints };
        let page = chromium.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let wish = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = chromium.call("Target.attachToTarget", wish).await;
        attached["sessionId"].as_str().unwrap().clone_into(&mut chromium.session);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            chromium.call(domain, json!({})).await;
        }
        chromium
    }

    pub(crate) async fn call(&mut self, method: &str, parameters: Value) -> Value {
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
                    // A page that is left meanwhile gives no value.
                    let is_left = said["error"]["message"] == "Inspected target navigated or closed";
                    assert!(said["error"].is_null() || is_left, "{method}: {said}");
                    return said["result"].clone();
                }
                self.complaints.extend(complaint(&said));
            }
        };
        tokio::time::timeout(DEADLINE, answer).await.unwrap_or_else(|_| panic!("{method} is not answered"))
    }

    /// What went wrong in pages since this was asked last: exceptions, violations of policies, what could not be loaded.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Goes to a page.
    pub(crate) async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    /// The value of an expression in the page; of a promise, what it comes to.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let wish = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", wish).await;
        // While a page is left, expressions fail; who waits asks again.
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn sees(&mut self, expression: &str) {
        let wait = async {
            while self.evaluate(expression).await != true {
                let_pass(Duration::from_millis(30)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            let text = self.evaluate("document.body.innerText").await;
            panic!("never: {expression}\n{text}\n{:?}", self.complaints);
        }
    }

    /// Waits for a page at this URL that is there as a whole; gives its text.
    pub(crate) async fn arrives(&mut self, url: &str) -> String {
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

    /// Presses a key, as a person does.
    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            let mut wish = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "rawKeyDown" && !text.is_empty() {
                wish["type"] = json!("keyDown");
                wish["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", wish).await;
        }
    }

    /// How large the window is, and whether the system is dark.
    pub(crate) async fn looks(&mut self, width: u32, is_dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let theme = if is_dark { "dark" } else { "light" };
        let wish = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.call("Emulation.setEmulatedMedia", wish).await;
    }
}

fn complaint(said: &Value) -> Option<String> {
    let of = &said["params"];
    match said["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(of["exceptionDetails"].to_string()),
        "Log.entryAdded" if of["entry"]["level"] == "error" => {
            let entry = &of["entry"];
            Some(format!("{} {}", entry["text"].as_str()?, entry["url"].as_str().unwrap_or_default()))
        }
        "Runtime.consoleAPICalled" if of["type"] == "error" => Some(of["args"].to_string()),
        _ => None,
    }
}
