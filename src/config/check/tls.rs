//! TLS to an upstream.

use super::address::{Url, dns_name};
use super::{Surroundings, Wrong, attached, report};
use crate::config::problems::{At, Problems};
use crate::config::{Half, Reference, pair, pem, raw, spelling};
use crate::diag::Code;
use crate::model::{Certificate, Pem, Tls};

/// The TLS of an upstream; nothing when it has none, and after a complaint.
pub(super) fn tls(
    raw: &raw::UpstreamObject,
    url: Option<&Url>,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Tls> {
    let here = at.at("tls");
    let Some(tls) = &raw.tls else {
        if url.is_some_and(|url| url.https) && !here.is_there() {
            without_tls(&at.at("url"), problems);
        }
        return None;
    };
    if url.is_some_and(|url| !url.https) {
        let help = "write the URL with `https://`, or remove `tls`";
        problems.error(
            Code::Tls,
            &at.key("tls"),
            "`tls` does not go with a URL that begins with `http://`",
            help,
        );
    }
    let server_name = server_name(tls, url, at, problems);
    let file = tls.ca_file.as_deref()?;
    let ca = report(authorities(file, around), Code::CertificateFile, &here.at("caFile"), problems);
    let client = client(tls, &here, around, problems);
    Some(Tls { ca: ca?, server_name: server_name?, client: client.ok()? })
}

/// Somebody was told what is wrong.
struct Complained;

/// What Envoy shows to the server, which may be nothing.
fn client(
    raw: &raw::Tls,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Result<Option<Certificate>, Complained> {
    match (at.at("certFile").is_there(), at.at("keyFile").is_there()) {
        (false, false) => return Ok(None),
        (true, true) => {}
        (true, false) => {
            let help = "add `keyFile` with its private key, or remove `certFile`";
            let message = "`certFile` is of no use without `keyFile`";
            problems.error(Code::ClientCertificate, &at.key("certFile"), message, help);
            return Err(Complained);
        }
        (false, true) => {
            let help = "add `certFile` with the certificate of this key, or remove `keyFile`";
            let message = "`keyFile` is of no use without `certFile`";
            problems.error(Code::ClientCertificate, &at.key("keyFile"), message, help);
            return Err(Complained);
        }
    }
    let (certificate, key) = (raw.cert_file.as_deref(), raw.key_file.as_deref());
    let (Some(certificate), Some(key)) = (certificate, key) else { return Err(Complained) };
    let mut find = |text, key| report(pem_file(text, around), Code::ClientCertificate, &at.at(key), problems);
    let (chain, private) = (find(certificate, "certFile"), find(key, "keyFile"));
    let (Some(chain), Some(private)) = (chain, private) else { return Err(Complained) };
    if private.exposed {
        let message = format!("every user of the machine may read {}", attached::file(key));
        problems.warning(Code::SecretExposed, &at.at("keyFile"), message, format!("run `chmod o-r {key}`"));
    }
    let checked = pair(chain.bytes, private.bytes).map_err(|no| match no.half {
        Half::Certificate => ("certFile", certificate, no),
        Half::Key => ("keyFile", key, no),
    });
    match checked {
        Ok(certificate) => Ok(Some(certificate)),
        Err((key, file, no)) => {
            let message = format!("{} {}", attached::file(file), no.what);
            problems.error(Code::ClientCertificate, &at.at(key), message, no.help);
            Err(Complained)
        }
    }
}

/// An `https://` URL that says nothing about its certificate.
pub(super) fn without_tls(at: &At<'_>, problems: &mut Problems<'_>) {
    let message = "an `https://` URL needs `tls`, or the server could be anybody";
    let help = "name the certificate authority, as in `tls: { caFile: secrets/ca.pem }`; \
                for a public one the system's bundle, often /etc/ssl/certs/ca-certificates.crt";
    problems.error(Code::Tls, at, message, help);
}

fn server_name(
    tls: &raw::Tls,
    url: Option<&Url>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let here = at.at("tls").at("serverName");
    if let Some(text) = &tls.server_name {
        let wrong = |why| {
            let message = format!("`{}` cannot be the name in a certificate: {why}", spelling::shorten(text));
            Wrong::new(message, "write the DNS name for which the server has a certificate")
        };
        return report(dns_name(text).map_err(wrong), Code::ServerName, &here, problems)
            .map(|()| text.to_ascii_lowercase());
    }
    if let Some(url) = url
        && url.endpoint.ip().is_none()
    {
        return Some(url.endpoint.host.clone());
    }
    // A broken URL has been complained about already, and might have had a name.
    if url.is_some() || at.at("endpoints").is_there() {
        let message = "the name in the server's certificate is not known";
        let help = "add `serverName` under `tls`: only the URL of a DNS name says it by itself";
        problems.error(Code::ServerName, &at.key("tls"), message, help);
    }
    None
}

/// What is in a PEM file that a gateway file names.
fn pem_file<'a>(file: &str, around: &Surroundings<'a>) -> Result<attached::Found<'a>, Wrong> {
    if file.is_empty() {
        let help = "name a PEM file, relative to this gateway file";
        return Err(Wrong::new("the path of the file is empty", help));
    }
    found(&attached::file(file), &Reference::file(around.file, file), around)
}

fn found<'a>(
    origin: &str,
    reference: &Reference,
    around: &Surroundings<'a>,
) -> Result<attached::Found<'a>, Wrong> {
    attached::find(origin, reference, around, "keep only the certificates that are needed")
}

/// The authorities of a server's certificate, in a PEM file that a gateway file names.
pub(super) fn authorities(file: &str, around: &Surroundings<'_>) -> Result<Pem, Wrong> {
    certificates(&attached::file(file), &pem_file(file, around)?)
}

/// The same, in a file that the settings name; `origin` is its name in messages.
pub(super) fn authorities_in(
    origin: &str,
    reference: &Reference,
    around: &Surroundings<'_>,
) -> Result<Pem, Wrong> {
    certificates(origin, &found(origin, reference, around)?)
}

fn certificates(origin: &str, found: &attached::Found<'_>) -> Result<Pem, Wrong> {
    pem::only_certificates(found.bytes).map_err(|no| Wrong::new(format!("{origin} {}", no.what), no.help))
}
