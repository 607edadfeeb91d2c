//! Who may use a gateway.

mod jwt;
mod oauth2;

use super::attached::{Privacy, content};
use super::{Surroundings, Wrong, header, report};
use crate::config::problems::{At, Problems};
use crate::config::secrets::{Faults, keys, users};
use crate::config::trust::{self, Distrust};
use crate::config::{raw, spelling};
use crate::diag::{Code, Severity};
use crate::model::{AccessKey, Authentication, BasicAuth, Host, KeySource};

/// The header that names the client, unless the file names another.
const DEFAULT_CLIENT_HEADER: &str = "x-serin-client";
/// The first header in which a key is looked for, unless the file names another.
const DEFAULT_KEY_HEADER: &str = "x-api-key";
const MAX_REALM: usize = 200;

/// How callers are known; nothing after a complaint, for a gateway with a mistake here must not be open.
pub(super) fn authentication(
    raw: &raw::Gateway,
    root: &At<'_>,
    hosts: &[Host],
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Authentication> {
    let at = root.at("authentication");
    let Some(modes) = &raw.authentication else {
        return (!at.is_there()).then_some(Authentication::None);
    };
    let name = raw.name.as_deref();
    let all = ["none", "basicAuth", "accessKey", "jwt", "oauth2"];
    let said: Vec<_> = all.into_iter().filter(|mode| at.at(mode).is_there()).collect();
    match said.as_slice() {
        [_] => {
            if let Some(raw) = &modes.basic_auth {
                basic(raw, name, &at.at("basicAuth"), around, problems).map(Authentication::Basic)
            } else if let Some(raw) = &modes.access_key {
                access_key(raw, &at.at("accessKey"), around, problems).map(Authentication::AccessKey)
            } else if let Some(raw) = &modes.jwt {
                jwt::jwt(raw, &at.at("jwt"), around, problems).map(Authentication::Jwt)
            } else if let Some(oauth2) = &modes.oauth2 {
                let checked = oauth2::oauth2(oauth2, (raw, root), hosts, around, problems);
                checked.map(|oauth2| Authentication::OAuth2(Box::new(oauth2)))
            } else {
                modes.none.as_ref().map(|_| Authentication::None)
            }
        }
        [] => {
            let help =
                "write one of `basicAuth`, `accessKey`, `jwt` and `oauth2`, or `none: {}` to let everyone in";
            problems.error(Code::AuthenticationMode, &at, "`authentication` does not say how", help);
            None
        }
        [first, second, ..] => {
            let message = format!("`{first}` and `{second}` exclude each other");
            let help = "keep one of them; for both write two gateways with different hosts or paths";
            problems.error(Code::AuthenticationMode, &at.key(second), message, help);
            None
        }
    }
}

fn basic(
    raw: &raw::BasicAuth,
    gateway: Option<&str>,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<BasicAuth> {
    let realm = match &raw.realm {
        Some(text) => report(realm(text), Code::Realm, &at.at("realm"), problems),
        None if at.at("realm").is_there() => None,
        None => gateway.map(str::to_owned),
    };
    let at = at.at("usersFile");
    let content = content(raw.users_file.as_ref()?, &at, around, Privacy::Secret, problems)?;
    let (users, faults) = users::parse(content.text);
    let good = tell(&faults, &content.origin, &at, problems);
    if users.is_empty() && good {
        let message = format!("{} has no user, so nobody may come in", content.origin);
        problems.warning(Code::UsersFile, &at, message, "add one with `serin users set FILE USER`");
    }
    Some(BasicAuth { users, realm: realm? }).filter(|_| good)
}

/// A text that stands in quotes in a response header.
fn realm(text: &str) -> Result<String, Wrong> {
    let good = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
    if !text.trim().is_empty() && text.len() <= MAX_REALM && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    let help = format!("write 1 to {MAX_REALM} letters, digits, spaces and signs of ASCII, without quotes");
    Err(Wrong::new(format!("`{}` cannot be a realm", spelling::shorten(text)), help))
}

fn access_key(
    raw: &raw::AccessKey,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<AccessKey> {
    let source = key_source(raw, at, problems);
    let client_header = match &raw.client_header {
        Some(text) => report(header::told(text), Code::HeaderName, &at.at("clientHeader"), problems),
        None if at.at("clientHeader").is_there() => None,
        None => Some(DEFAULT_CLIENT_HEADER.to_owned()),
    };
    let (carries, written) = match &source {
        Some(KeySource::Header(key)) => (Some(key.as_str()), "header"),
        Some(KeySource::Default) => (Some(DEFAULT_KEY_HEADER), "clientHeader"),
        Some(KeySource::Query(_) | KeySource::Cookie(_)) | None => (None, "header"),
    };
    if let (Some(key), Some(client)) = (carries, &client_header)
        && key == client
    {
        let message = format!("the header `{key}` cannot carry both the key and the client");
        let help = "name two headers: one in `header`, another in `clientHeader`";
        problems.error(Code::HeaderName, &at.at(written), message, help);
    }
    let at = at.at("keysFile");
    let content = content(raw.keys_file.as_ref()?, &at, around, Privacy::Secret, problems)?;
    let (keys, faults) = keys::parse(content.text, source.as_ref().unwrap_or(&KeySource::Default));
    let good = tell(&faults, &content.origin, &at, problems);
    if keys.is_empty() && good {
        let message = format!("{} has no key, so nobody may come in", content.origin);
        problems.warning(Code::KeysFile, &at, message, "add one with `serin keys new FILE CLIENT`");
    }
    Some(AccessKey { keys, source: source?, client_header: client_header? }).filter(|_| good)
}

fn key_source(raw: &raw::AccessKey, at: &At<'_>, problems: &mut Problems<'_>) -> Option<KeySource> {
    let said: Vec<_> = ["header", "query", "cookie"].into_iter().filter(|k| at.at(k).is_there()).collect();
    match said.as_slice() {
        [] => Some(KeySource::Default),
        [_] => {
            if let Some(text) = &raw.header {
                report(header::key(text), Code::HeaderName, &at.at("header"), problems).map(KeySource::Header)
            } else if let Some(text) = &raw.query {
                let name = header::parameter(text);
                report(name, Code::ConditionName, &at.at("query"), problems).map(KeySource::Query)
            } else {
                let name = header::cookie(raw.cookie.as_deref()?);
                report(name, Code::ConditionName, &at.at("cookie"), problems).map(KeySource::Cookie)
            }
        }
        [first, second, ..] => {
            let message = format!("`{first}` and `{second}` exclude each other");
            let help = "keep the one in which clients send their key";
            problems.error(Code::KeySource, &at.key(second), message, help);
            None
        }
    }
}

/// A URL whose answers are believed; `danger` says what somebody on the way could do, `help` what to write.
fn trusted(text: &str, danger: &str, help: &str) -> Result<url::Url, Wrong> {
    trust::url(text).map_err(|why| match why {
        Distrust::NotUrl => {
            // A text with an `@` may hold a password.
            let shown =
                if text.contains('@') { String::new() } else { format!(" `{}`", spelling::shorten(text)) };
            Wrong::new(format!("the text{shown} is not a URL of http or https"), help)
        }
        Distrust::Password => Wrong::new(
            "the URL has a user name or a password",
            "remove what stands before the `@`: secrets have no place in a URL",
        ),
        Distrust::Fragment => {
            Wrong::new(format!("the URL `{}` has a fragment", spelling::shorten(text)), help)
        }
        Distrust::Clear => Wrong::new(
            format!("the URL `{}` is not safe: {danger}", spelling::shorten(text)),
            "write it with `https://`; `http://` is for this machine only",
        ),
    })
}

/// Says what is wrong with a file, at the place that refers to it. Whether it can be used.
fn tell(faults: &Faults, origin: &str, at: &At<'_>, problems: &mut Problems<'_>) -> bool {
    let mut good = true;
    for (fault, message) in faults.told(origin) {
        match fault.severity {
            Severity::Error => {
                good = false;
                problems.error(fault.code, at, message, fault.help);
            }
            Severity::Warning => problems.warning(fault.code, at, message, fault.help),
        }
    }
    good
}
