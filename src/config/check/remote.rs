//! Servers that Serin asks or tells something: their URL, the headers that they want, and whom to trust.

use super::attached::{self, Privacy, content};
use super::{Surroundings, Wrong, report, tls};
use crate::config::problems::{At, Problems};
use crate::config::secrets::headers;
use crate::config::{Reference, raw, spelling};
use crate::diag::{Code, Severity};
use crate::model::{PrometheusServer, Remote, Secret};
use std::path::Path;

/// A server as a gateway file names it.
pub(super) struct Written<'a> {
    pub(super) url: &'a str,
    pub(super) url_at: At<'a>,
    pub(super) headers: Option<&'a raw::Content>,
    pub(super) ca: Option<&'a str>,
    /// The map with `headersFile` and `caFile`.
    pub(super) at: At<'a>,
}

/// The server, with what its files hold.
pub(super) fn remote(
    written: &Written<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Remote> {
    let url = report(url(written.url), Code::RemoteUrl, &written.url_at, problems);
    let at = written.at.at("headersFile");
    let headers = match written.headers {
        None => (!at.is_there()).then(Vec::new),
        Some(raw) => content(raw, &at, around, Privacy::Secret, problems)
            .and_then(|content| read_headers(content.text, &content.origin, &at, problems)),
    };
    let at = written.at.at("caFile");
    let ca = match written.ca {
        None => (!at.is_there()).then_some(None),
        Some(file) => report(tls::authorities(file, around), Code::CertificateFile, &at, problems).map(Some),
    };
    let remote = Remote { url: url?, headers: headers?, ca: ca? };
    if !remote.headers.is_empty() && !is_safe(&remote.url) {
        let message = "the headers travel in plain text, and anybody on the way could read them";
        let help = "write the URL with `https://`, if the server speaks it";
        problems.warning(Code::PlainSecret, &written.url_at, message, help);
    }
    Some(remote)
}

/// The server of the settings, with what its files hold. Complaints are about `at`, which wants it.
pub(super) fn of_settings(
    server: &PrometheusServer,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Remote> {
    let origin =
        |path: &Path| format!("{}, of `prometheus` in serin.yaml,", attached::file(&path.to_string_lossy()));
    let headers = match &server.headers_file {
        None => Vec::new(),
        Some(path) => {
            let origin = origin(path);
            let found = attached::find(&origin, &Reference::File(path.clone()), around, "keep only headers");
            let found = report(found, Code::SecretFile, at, problems)?;
            let text = String::from_utf8_lossy(found.bytes);
            read_headers(&text, &origin, at, problems)?
        }
    };
    let ca = match &server.ca_file {
        None => None,
        Some(path) => {
            let pem = tls::authorities_in(&origin(path), &Reference::File(path.clone()), around);
            Some(report(pem, Code::CertificateFile, at, problems)?)
        }
    };
    Some(Remote { url: server.url.clone(), headers, ca })
}

fn read_headers(
    text: &str,
    origin: &str,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<(String, Secret)>> {
    let (headers, faults) = headers::parse(text);
    let mut good = true;
    for (fault, message) in faults.told(origin) {
        good &= fault.severity != Severity::Error;
        problems.error(fault.code, at, message, fault.help);
    }
    if headers.is_empty() && good {
        let message = format!("{origin} has no header");
        problems.error(Code::HeadersFile, at, message, "write lines such as `authorization: Bearer abc`");
        return None;
    }
    good.then_some(headers)
}

/// A URL that says where a server is, and no secret.
pub(super) fn url(text: &str) -> Result<String, Wrong> {
    let help = "write it as `http://host:port` or `https://host/path`";
    let url = url::Url::parse(text).ok().filter(|u| u.has_host() && matches!(u.scheme(), "http" | "https"));
    let Some(url) = url else {
        // A text with an `@` may hold a password.
        let shown =
            if text.contains('@') { String::new() } else { format!(" `{}`", spelling::shorten(text)) };
        return Err(Wrong::new(format!("the text{shown} is not a URL of http or https"), help));
    };
    if !url.username().is_empty() || url.password().is_some() {
        let help = "remove what stands before the `@`, and write it into a `headersFile`";
        return Err(Wrong::new("the URL has a user name or a password", help));
    }
    if url.fragment().is_some() {
        let message = format!("the URL `{}` has a fragment", spelling::shorten(text));
        return Err(Wrong::new(message, "remove the `#` and what follows"));
    }
    Ok(text.to_owned())
}

/// Whether nobody on the way can read what is sent there.
pub(super) fn is_safe(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}
