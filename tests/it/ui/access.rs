//! Nobody is kept out by how the pages are built: axe finds no violation of WCAG 2.2 A and AA, in either theme, on a
//! desktop and on a phone. It comes from a package of Python, into the cache.

use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::python::Python;
use crate::e2e::stage::{Stage, canary, toy};
use serin::app::Options;
use tokio::sync::OnceCell;

static AXE: Python = Python::with("axe-playwright-python==0.1.8\n");
static SCRIPT: OnceCell<String> = OnceCell::const_new();

/// The looks in which each state of a page is judged: how wide, and whether it is dark.
const LOOKS: [(u32, bool); 4] = [(1280, false), (1280, true), (390, false), (390, true)];

/// What the script of axe says.
async fn axe() -> &'static str {
    let read = async || {
        let say = "import axe_playwright_python as p, pathlib; print(pathlib.Path(p.__path__[0], 'axe.min.js').read_text())";
        let run = AXE.command().await.args(["-c", say]).output().await.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    SCRIPT.get_or_init(read).await
}

/// What there is against the page that is open, as it is, in each look.
async fn complaints(chromium: &mut Chromium, state: &str) -> Vec<String> {
    let axe = axe().await;
    let mut all = Vec::new();
    for (width, is_dark) in LOOKS {
        chromium.looks(width, is_dark).await;
        chromium.evaluate(axe).await;
        let report = chromium.evaluate(RUN).await;
        assert!(report["passed"].as_u64().is_some_and(|passed| passed > 5), "axe looks at {state}: {report}");
        let found = report["found"].as_array().unwrap().iter();
        all.extend(found.map(|found| format!("{state}, {width} wide, dark: {is_dark}: {found}")));
    }
    all
}

/// Fails unless the page that is open keeps nobody out in the state that it is in.
pub(crate) async fn keeps_nobody_out(chromium: &mut Chromium, state: &str) {
    let found = complaints(chromium, state).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Violations of axe; a page that is wider than the window; text that leaves its box, or is cut and says nowhere what it is;
/// and cards that touch.
const RUN: &str = "(async () => {
  const found = await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
  const each = (v) => v.nodes.map((n) => `${v.id}: ${n.html} ${n.any.map((a) => a.message).join(' ')}`);
  const root = document.documentElement;
  const wide = root.scrollWidth > root.clientWidth ? [`${root.scrollWidth - root.clientWidth} pixels too wide`] : [];
  const seen = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility() && !e.closest('.unseen, thead'));
  const isOver = (e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1;
  const out = seen('p, dd, dt, h1, h2, h3, h4, label, button, .button, .pill').filter(isOver).map((e) => `leaves its box: ${e.outerHTML}`);
  const cut = seen('main *, header *, dialog *')
    .filter((e) => isOver(e) && getComputedStyle(e).overflowX === 'hidden' && !e.title && !e.closest('.split, .editor')).map((e) => `is cut: ${e.outerHTML}`);
  const boxes = seen('.card').map((e) => e.getBoundingClientRect());
  const touch = boxes.flatMap((a) => boxes.filter((b) => Math.abs(a.left - b.left) < 2 && b.top > a.top && b.top - a.bottom < 8 && b.top >= a.bottom - 1))
    .map((b) => `a card touches the one above it at ${b.top}`);
  return { passed: found.passes.length, found: [...found.violations.flatMap(each), ...wide, ...out, ...cut, ...touch] };
})()";

/// What a person does.
const HANDS: &str = "
  const fill = (name, value) => { const f = document.querySelector(`[name=${name}]`); f.value = value; f.dispatchEvent(new Event('input', { bubbles: true })); };
  const click = (words) => [...document.querySelectorAll('button, a')].find((b) => b.textContent === words).click();
  const press = (key) => document.querySelector(`[data-key=${key}]`).click();
  const choose = (mode) => document.querySelector(`[name=mode][value=${mode}]`).click();";

const ASKED: &str = "document.querySelector('dialog')?.open === true";

/// A page, how one knows that it is there, what is done then, and what is seen of that.
const STATES: &[(&str, &str, &str, &str)] = &[
    ("/", "document.querySelectorAll('tbody tr').length === 4", "", "true"),
    ("/?q=nothing-like-this", "!!document.querySelector('.empty h2')", "", "true"),
    (
        "/gateways/fraud",
        "!!document.querySelector('.evidence, .steps') && !!document.querySelector('.numbers')",
        "",
        "true",
    ),
    (
        "/gateways/fraud",
        "!!document.querySelector('[data-key=verb-abort]')",
        "press('verb-set-weight');",
        ASKED,
    ),
    ("/gateways/fraud", "!!document.querySelector('[data-key=verb-abort]')", "press('verb-promote');", ASKED),
    ("/gateways/fraud", "!!document.querySelector('[data-key=verb-abort]')", "press('verb-abort');", ASKED),
    ("/gateways/split", "!!document.querySelector('.numbers')", "", "true"),
    (
        "/gateways/split",
        "document.querySelector('[data-key=weights]')?.getAttribute('aria-disabled') === null",
        "press('weights');",
        ASKED,
    ),
    ("/gateways/wrong", "!!document.querySelector('.problems')", "", "true"),
    ("/gateways/none", "!!document.querySelector('.empty h2')", "", "true"),
    (
        "/new",
        "!!document.querySelector('.preview .code')",
        "click('Create a canary');",
        "!!document.querySelector('main [type=range]')",
    ),
    (
        "/new",
        "!!document.querySelector('.preview .code')",
        "fill('name', 'No Name'); fill('path', 'nowhere'); choose('oauth2'); press('save');",
        "document.querySelectorAll('.field .wrong:not(:empty)').length > 3",
    ),
    (
        "/new",
        "!!document.querySelector('.preview .code')",
        "choose('jwt'); fill('name', 'fraud'); fill('primaryUrl', 'http://10.0.0.1:80'); fill('issuer', 'nobody'); fill('jwksUri', 'nowhere');",
        "!!document.querySelector('.complaints .error')",
    ),
    ("/gateways/split/edit", "!!document.querySelector('main .chips')", "", "true"),
    ("/gateways/split/edit", "!!document.querySelector('main .chips')", "press('delete');", ASKED),
    (
        "/gateways/split/edit",
        "!!document.querySelector('main .chips')",
        "press('save');",
        "!!document.querySelector('main > .refusal:not(:empty)')",
    ),
    (
        "/gateways/split/edit",
        "!!document.querySelector('main .chips')",
        "fill('host', 'no host!'); press('save');",
        "!!document.querySelector('main > .refusal:not(:empty)') && !!document.querySelector('main .complaints .error')",
    ),
    (
        "/gateways/wrong/edit",
        "!!document.querySelector('.gutter .error') && !!document.querySelector('.complaints .error')",
        "",
        "true",
    ),
    ("/gateways/none/edit", "!!document.querySelector('main .empty h2')", "", "true"),
    ("/proxies", "!!document.querySelector('.proxies .pill')", "", "true"),
    ("/settings", "!!document.querySelector('.facts .pill')", "", "true"),
    ("/login", "!!document.querySelector('#token')", "", "true"),
    ("/gateways/%zz", "document.getElementById('link').dataset.is === 'live'", "", "true"),
];

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
    let mut chromium = Chromium::start().await;
    let long = format!("/gateways/{long}");
    let mut found = Vec::new();
    for (path, there, first, then) in
        STATES.iter().chain(&[(&*long, "!!document.querySelector('.numbers')", "", "true")])
    {
        // Widths are set as the page is there; a dialog or a form goes on with what was done in it.
        chromium.looks(1280, false).await;
        chromium.go(&url(&stage.app, path)).await;
        chromium
            .sees(&format!("document.readyState === 'complete' && !!document.querySelector('h1') && {there}"))
            .await;
        chromium.evaluate(&format!("{{ {HANDS} {first} }}")).await;
        chromium.sees(then).await;
        found.extend(complaints(&mut chromium, &format!("{path} {first}")).await);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    stage.end([envoy]).await;
}
