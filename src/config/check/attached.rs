//! What a gateway file refers to: its bytes, or why there are none.

use super::{Surroundings, Wrong};
use crate::config::source::MAX_FILE;
use crate::config::{Attachment, Reference, raw, spelling};
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

/// What a gateway file refers to.
pub(crate) fn references(raw: &raw::Gateway, document: &Path) -> BTreeSet<Reference> {
    let upstreams = raw.upstreams.iter().flat_map(|all| all.values()).flatten();
    let certificates = upstreams.filter_map(|upstream| match upstream {
        raw::Upstream::Object(object) => object.tls.as_ref()?.ca_file.as_deref(),
        raw::Upstream::Url(_) => None,
    });
    let certificates = certificates.filter(|f| !f.is_empty()).map(|f| Reference::file(document, f));
    let secrets = raw.authentication.iter().flat_map(|a| {
        let users = a.basic_auth.as_ref().and_then(|b| b.users_file.as_ref());
        let keys = a.access_key.as_ref().and_then(|k| k.keys_file.as_ref());
        let jwks = a.jwt.as_ref().and_then(|j| j.jwks_file.as_ref());
        let client = a.oauth2.as_ref().and_then(|o| o.client_secret_file.as_ref());
        [users, keys, jwks, client]
    });
    certificates.chain(secrets.flatten().filter_map(|c| reference(c, document))).collect()
}
