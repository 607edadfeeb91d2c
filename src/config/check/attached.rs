//! What a gateway file refers to: its bytes, or why there are none.

use super::{Surroundings, Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::source::MAX_FILE;
use crate::config::{Attachment, Reference, Withheld, raw, spelling};
use crate::diag::{Code, Severity};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What was read.
pub(super) struct Found<'a> {
    pub(super) bytes: &'a Arc<[u8]>,
    /// Whether every user of the machine may read it.
    pub(super) exposed: bool,
}

/// A file as messages name it.
pub(super) fn file(path: &str) -> String {
    format!("the file `{}`", spelling::shorten(path))
}

/// What was found; `origin` is its name in messages, `less` what to do when it is too large.
pub(super) fn find<'a>(
    origin: &str,
    reference: &Reference,
    around: &Surroundings<'a>,
    less: &str,
) -> Result<Found<'a>, Wrong> {
    let too_large = |size: u64| {
        Err(Wrong::new(format!("{origin} has {size} bytes; at most {MAX_FILE} are read"), less.to_owned()))
    };
    match (around.attached.get(reference), reference) {
        (Some(Attachment::Bytes { bytes, .. }), _) if bytes.len() as u64 > MAX_FILE => {
            too_large(bytes.len() as u64)
        }
        (Some(Attachment::Bytes { bytes, exposed }), _) => Ok(Found { bytes, exposed: *exposed }),
        (Some(Attachment::TooLarge(size)), _) => too_large(*size),
        (Some(Attachment::Withheld(why)), _) => Err(withheld(origin, *why)),
        (Some(Attachment::Unreadable(why)), _) => {
            Err(Wrong::new(format!("{origin} cannot be read: {why}"), "let the user that runs Serin read it"))
        }
        (Some(Attachment::Missing) | None, Reference::File(_)) => Err(Wrong::new(
            format!("{origin} does not exist"),
            "write its path relative to this gateway file, or an absolute one",
        )),
        (Some(Attachment::Missing) | None, Reference::Environment(_)) => Err(Wrong::new(
            format!("{origin} is not set"),
            "set it where Serin is started, and restart Serin",
        )),
    }
}

/// What somebody is told who has to leave it to others.
fn withheld(origin: &str, why: Withheld) -> Wrong {
    let (kind, message, help) = match why {
        Withheld::Viewer => (
            (Severity::Warning, Code::NotLookedAt),
            format!(
                "{origin} was not looked at: the gateway does not refer to it, and only operators may try others"
            ),
            "ask an operator, or run `serin validate` where the file is",
        ),
        Withheld::Outside => (
            (Severity::Error, Code::LeadsOut),
            format!("{origin} cannot be brought in through the API"),
            "name a file below the folder of the gateway file, without `..`, or refer to this one in the file itself, by hand",
        ),
    };
    Wrong { kind: Some(kind), ..Wrong::new(message, help) }
}

/// What a file or a variable is known by; nothing when it can be neither.
pub(super) fn reference(raw: &raw::Content, document: &Path) -> Option<Reference> {
    match raw {
        raw::Content::File(path) => (!path.is_empty()).then(|| Reference::file(document, path)),
        raw::Content::Variable(variable) => {
            let name = variable.env.as_deref()?;
            let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (!name.is_empty() && name.chars().all(good)).then(|| Reference::Environment(name.to_owned()))
        }
    }
}

/// Who may see a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Only its owner and Serin.
    Secret,
    /// Everyone.
    Public,
}

/// The text of a file or a variable, and its name in messages.
pub(super) struct Content<'a> {
    pub(super) text: &'a str,
    pub(super) origin: String,
}

/// The text that a gateway file refers to. Nothing after a complaint.
pub(super) fn content<'a>(
    raw: &raw::Content,
    at: &At<'_>,
    around: &Surroundings<'a>,
    privacy: Privacy,
    problems: &mut Problems<'_>,
) -> Option<Content<'a>> {
    let (origin, at) = match raw {
        raw::Content::File(path) => (file(path), at.clone()),
        raw::Content::Variable(variable) => {
            (format!("the variable `{}`", spelling::shorten(variable.env.as_deref()?)), at.at("env"))
        }
    };
    let Some(reference) = reference(raw, around.file) else {
        let (message, help) = match raw {
            raw::Content::File(_) => {
                ("the path of the file is empty".to_owned(), "name a file, relative to this gateway file")
            }
            raw::Content::Variable(_) => {
                (format!("{origin} cannot be set by anybody"), "use letters, digits and underscores")
            }
        };
        problems.error(Code::SecretFile, &at, message, help);
        return None;
    };
    let less = "keep only what this gateway needs";
    let found = report(find(&origin, &reference, around, less), Code::SecretFile, &at, problems)?;
    if let raw::Content::File(path) = raw
        && found.exposed
        && privacy == Privacy::Secret
    {
        let message = format!("every user of the machine may read {origin}");
        problems.warning(Code::SecretExposed, &at, message, format!("run `chmod o-r {path}`"));
    }
    let Ok(text) = std::str::from_utf8(found.bytes) else {
        let message = format!("{origin} is not text in UTF-8");
        problems.error(Code::SecretFile, &at, message, "write it anew with an editor or with serin");
        return None;
    };
    Some(Content { text, origin })
}

/// What a gateway file refers to.
pub(crate) fn references(raw: &raw::Gateway, document: &Path) -> BTreeSet<Reference> {
    let upstreams = raw.upstreams.iter().flat_map(|all| all.values()).flatten();
    let tls = upstreams.filter_map(|upstream| match upstream {
        raw::Upstream::Object(object) => object.tls.as_ref(),
        raw::Upstream::Url(_) => None,
    });
    let certificates = tls.flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]).flatten();
    let certificates = certificates.filter(|f| !f.is_empty()).map(|f| Reference::file(document, f));
    let secrets = raw.authentication.iter().flat_map(|a| {
        let users = a.basic_auth.as_ref().and_then(|b| b.users_file.as_ref());
        let keys = a.access_key.as_ref().and_then(|k| k.keys_file.as_ref());
        let jwks = a.jwt.as_ref().and_then(|j| j.jwks_file.as_ref());
        let client = a.oauth2.as_ref().and_then(|o| o.client_secret_file.as_ref());
        [users, keys, jwks, client]
    });
    let metrics = raw.rollout.iter().flat_map(|r| &r.metrics).flatten().flatten();
    let servers = metrics.flat_map(|metric| {
        let prometheus = metric.prometheus.as_ref().and_then(|p| match p {
            raw::Prometheus::Object(object) => Some((&object.headers_file, &object.ca_file)),
            raw::Prometheus::Query(_) => None,
        });
        let webhook = metric.webhook.as_ref().and_then(|w| match w {
            raw::Webhook::Object(object) => Some((&object.headers_file, &object.ca_file)),
            raw::Webhook::Url(_) => None,
        });
        prometheus.into_iter().chain(webhook)
    });
    let servers = servers.flat_map(|(headers, ca)| {
        let ca = ca.as_deref().filter(|f| !f.is_empty()).map(|f| Reference::file(document, f));
        headers.iter().filter_map(|c| reference(c, document)).chain(ca)
    });
    let told = raw.notify.iter().flatten().flatten().filter_map(|n| n.webhook.as_ref());
    let secrets = secrets.flatten().chain(told).filter_map(|c| reference(c, document));
    certificates.chain(secrets).chain(servers).collect()
}
