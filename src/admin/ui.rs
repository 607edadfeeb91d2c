//! The pages for people: files that are part of the binary. They know nothing that the API does not tell everyone who
//! may ask it, so they are served to everyone.
//!
//! There is no build step: what is in `ui/` is what a browser gets. Scripts are modules that import each other by
//! relative paths, and nothing is loaded from anywhere else, which the policy of every page says.

use super::Sources;
use super::problem::Problem;
use crate::resource::Version;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What a page may load and do (<https://www.w3.org/TR/CSP3/>): no inline script or style, nothing of other hosts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Pages of the one document; what is on them, the script reads from their path.
const PAGES: [&str; 7] =
    ["/", "/gateways/{name}", "/gateways/{name}/edit", "/new", "/proxies", "/settings", "/login"];

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("ui/", $name)))),*]
    };
}

const DOCUMENT: &str = include_str!("ui/index.html");

/// Below `/ui/`.
const FILES: &[(&str, &str)] = files! {
    "app.js"
    "css/base.css"
    "css/forms.css"
    "css/gateway.css"
    "css/list.css"
    "css/parts.css"
    "css/tokens.css"
    "icon.svg"
    "lib/alarms.js"
    "lib/api.js"
    "lib/dom.js"
    "lib/format.js"
    "lib/link.js"
    "lib/live.js"
    "lib/roles.js"
    "lib/router.js"
    "lib/session.js"
    "lib/theme.js"
    "pages/edit.js"
    "pages/gateway.js"
    "pages/gateways.js"
    "pages/login.js"
    "pages/proxies.js"
    "pages/settings.js"
    "parts/agreement.js"
    "parts/authentication.js"
    "parts/button.js"
    "parts/chart.js"
    "parts/charts.js"
    "parts/check.js"
    "parts/code.js"
    "parts/dialog.js"
    "parts/differences.js"
    "parts/document.js"
    "parts/editor.js"
    "parts/evidence.js"
    "parts/field.js"
    "parts/form.js"
    "parts/frame.js"
    "parts/journal.js"
    "parts/latencies.js"
    "parts/numbers.js"
    "parts/phase.js"
    "parts/problems.js"
    "parts/shadow.js"
    "parts/slider.js"
    "parts/split.js"
    "parts/steps.js"
    "parts/traffic.js"
    "parts/verbs.js"
};

pub(super) fn routes() -> Router<Sources> {
    let pages = PAGES.into_iter().fold(Router::new(), |router, page| router.route(page, get(document)));
    pages.route("/ui/{*name}", get(file))
}

async fn document(headers: HeaderMap) -> Response {
    answer(&headers, "text/html; charset=utf-8", DOCUMENT)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(n, _)| *n == name);
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("the pages have no file {name}"));
    let (name, text) = found.ok_or_else(missing)?;
    Ok(answer(&headers, kind(name), text))
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "image/svg+xml",
    }
}

/// A file, or that the reader has it already. It is asked for each time, so that a new Serin shows its own pages.
fn answer(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{}\"", Version::of(text.as_bytes()));
    let protection = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|t| t.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|t| t.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, protection, [(header::ETAG, tag)]).into_response();
    }
    (protection, [(header::ETAG, tag), (header::CONTENT_TYPE, kind.to_owned())], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn walk(folder: &Path, out: &mut BTreeSet<String>, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                walk(&entry.path(), out, &format!("{name}/"));
            } else {
                out.insert(name);
            }
        }
    }

    #[test]
    fn each_file_is_served_and_asked_for() {
        let mut there = BTreeSet::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/ui"), &mut there, "");
        there.remove("index.html");
        let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, there);
        // What nobody imports, nobody needs.
        let texts: String = FILES.iter().map(|(_, text)| *text).chain([DOCUMENT]).collect();
        for name in served {
            let last = name.rsplit('/').next().unwrap();
            assert!(texts.contains(&format!("/{last}\"")), "nobody asks for {name}");
        }
    }

    #[test]
    fn nothing_is_of_another_host_and_no_data_becomes_markup() {
        for (name, text) in FILES.iter().chain(&[("index.html", DOCUMENT)]) {
            let text = text.replace("http://www.w3.org/", "");
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import"]
            {
                assert!(!text.contains(word), "{name} has {word}");
            }
            for other in ["src=\"http", "href=\"http", "url(http", "from \"http", "src=\"//"] {
                assert!(!text.contains(other), "{name} loads from another host");
            }
            if name.ends_with("html") {
                assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onclick"));
            }
        }
    }
}
