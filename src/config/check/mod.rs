//! What the shape of a file cannot say: from raw structs to the model, with every complaint at its place.
//!
//! Each function takes a raw value and the place where it stands, and gives the checked value or nothing. It
//! looks at everything, also after a mistake. What has been complained about already comes as `None` and is
//! passed over in silence.

mod address;
mod affinity;
mod attached;
mod authentication;
mod compare;
mod duration;
mod gateway;
mod header;
mod health;
mod host;
mod json_path;
mod labels;
mod matches;
mod metrics;
mod path;
mod provided;
mod query;
mod regex;
mod remote;
mod rollout;
mod settings;
mod shadow;
mod shadow_first;
mod store;
mod tls;
mod told;
mod traffic;
mod upstream;

pub(super) use attached::references;
pub(super) use duration::duration;
pub(crate) use duration::parse as parse_duration;
pub(super) use gateway::{Checked, gateway};
pub(super) use settings::settings;
pub(super) use store::store_at;

use super::problems::{At, Problems};
use super::{Attachment, Reference};
use crate::diag::{Code, Severity};
use crate::model::{Listener, PrometheusServer, Routing};
use crate::names::{ListenerName, NameError};
use std::collections::BTreeMap;
use std::path::Path;

/// What a gateway file is checked against.
pub(super) struct Surroundings<'a> {
    /// The file, as in [`super::Document::path`].
    pub(super) file: &'a Path,
    pub(super) listeners: &'a BTreeMap<ListenerName, Listener>,
    pub(super) attached: &'a BTreeMap<Reference, Attachment>,
    pub(super) routing: Routing,
    pub(super) prometheus: Option<&'a PrometheusServer>,
}

/// What is wrong with a text, and what to do.
#[derive(Debug, PartialEq)]
struct Wrong {
    message: String,
    help: String,
    /// What it is in place of what it would be at its place, and how bad.
    kind: Option<(Severity, Code)>,
}

impl Wrong {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), kind: None }
    }
}

/// Reports what is wrong.
fn report<T>(result: Result<T, Wrong>, code: Code, at: &At<'_>, problems: &mut Problems<'_>) -> Option<T> {
    let tell = |wrong: Wrong| match wrong.kind {
        Some((Severity::Warning, code)) => problems.warning(code, at, wrong.message, wrong.help),
        Some((Severity::Error, code)) => problems.error(code, at, wrong.message, wrong.help),
        None => problems.error(code, at, wrong.message, wrong.help),
    };
    result.map_err(tell).ok()
}

/// Reports a text that is no name.
fn name<T>(
    result: Result<T, NameError>,
    (code, what, text): (Code, &str, &str),
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let wrong = |e: NameError| {
        let text = super::spelling::shorten(text);
        let message = format!("`{text}` cannot name {what}: {e}");
        let fixed: String =
            text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let fixed = fixed.trim_matches('-');
        let example = if crate::names::check_label(fixed).is_ok() {
            format!(", such as `{fixed}`")
        } else {
            String::new()
        };
        Wrong::new(message, format!("use 1 to 63 lower-case letters, digits and inner hyphens{example}"))
    };
    report(result.map_err(wrong), code, at, problems)
}
