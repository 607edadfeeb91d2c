//! Nobody is kept out by how the pages are built: axe finds no violation of WCAG 2.2 A and AA, in either theme, on a
//! desktop and on a phone. It comes from a package of Python, into the cache.

use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::python::Python;
use crate::e2e::stage::{Stage, canary, toy};
use serin::app::Options;

static AXE: Python = Python::with("axe-playwright-python==0.1.8\n");

/// What the script of axe says.
async fn axe() -> String {
    let say = "import axe_playwright_python as p, pathlib; print(pathlib.Path(p.__path__[0], 'axe.min.js').read_text())";
    let run = AXE.command().await.args(["-c", say]).output().await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

const RUN: &str = "(async () => {
  const found = await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] });
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const more = wide > 0 ? [`${wide} pixels too wide`] : [];
  const each = (v) => v.nodes.map((n) => `${v.id}: ${n.html} ${n.any.map((a) => a.message).join(' ')}`);
  return { passed: found.passes.length, found: [...found.violations.flatMap(each), ...more] };
})()";

#[tokio::test]
async fn no_page_keeps_anybody_out() {
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let long = "recommendations-for-returning-customers-in-the-second-quarter-1";
    let upstream = "a-name-of-a-version-that-is-as-long-as-names-can-be-2026-11-21";
    let files = [
        (
            "fraud.yaml",
            format!(
                "apiVersion: serin/v1\nname: fraud\ndescription: Card fraud scoring\nlabels: {{ team: risk }}\npath: /predict\n\
                 upstreams: {{ v1: {}, v2: {} }}\nrollout: {{ primary: v1, canary: v2, steps: [10, 50] }}\n",
                v1.url(),
                v2.url()
            ),
        ),
        ("split.yaml", canary("split", "/split", &v1, &v2, ("90", "10"))),
        ("wrong.yaml", canary("wrong", "/wrong", &v1, &v2, ("90", "20"))),
        ("long.yaml", canary(long, "/long", &v1, &v2, ("90", "10")).replace("v2", upstream)),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let options = Options { insecure_admin: true, ..Options::default() };
    let stage = Stage::with(&files, options).await;
    let envoy = stage.envoy().await;
    stage.sees("the canary has traffic", "fraud", |g| g.is_some_and(|g| g["phase"] != "Waiting")).await;
    let axe = axe().await;
    let mut chromium = Chromium::start().await;
    let long = format!("/gateways/{long}");
    // A page, how one knows that it is there, and what is done first.
    let pages = [
        ("/", "document.querySelectorAll('tbody tr').length === 4", ""),
        ("/?q=nothing-like-this", "!!document.querySelector('.empty h2')", ""),
        (
            "/gateways/fraud",
            "!!document.querySelector('.evidence, .steps') && !!document.querySelector('.numbers')",
            "",
        ),
        (
            "/gateways/fraud",
            "!!document.querySelector('[data-key=verb-abort]')",
            "document.querySelector('[data-key=verb-set-weight]').click()",
        ),
        ("/gateways/split", "!!document.querySelector('.numbers')", ""),
        ("/gateways/wrong", "!!document.querySelector('.problems')", ""),
        (&long, "!!document.querySelector('.numbers')", ""),
        ("/gateways/none", "!!document.querySelector('.empty h2')", ""),
        (
            "/new",
            "!!document.querySelector('.preview .code')",
            "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Create a canary').click()",
        ),
        ("/gateways/split/edit", "!!document.querySelector('main .chips, main .empty h2')", ""),
        ("/proxies", "!!document.querySelector('.proxies .pill')", ""),
        ("/settings", "!!document.querySelector('.facts dd')", ""),
        ("/login", "!!document.querySelector('#token')", ""),
    ];
    let mut complaints = Vec::new();
    for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        chromium.looks(width, is_dark).await;
        for (path, there, first) in pages {
            chromium.go(&url(&stage.app, path)).await;
            chromium
                .sees(&format!(
                    "document.readyState === 'complete' && !!document.querySelector('h1') && {there}"
                ))
                .await;
            chromium.evaluate(first).await;
            chromium.evaluate(&axe).await;
            let report = chromium.evaluate(RUN).await;
            assert!(
                report["passed"].as_u64().is_some_and(|passed| passed > 5),
                "axe looks at {path}: {report}"
            );
            let found = report["found"].as_array().unwrap();
            complaints.extend(found.iter().map(|found| format!("{path} {width} dark={is_dark}: {found}")));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    stage.end([envoy]).await;
}
