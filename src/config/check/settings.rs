//! The settings.

use super::address::dns_name;
use super::{Wrong, name, remote, report, store};
use crate::config::problems::{At, Problems};
use crate::config::{raw, resolve, spelling};
use crate::diag::Code;
use crate::model::{
    AltName, CertificateFiles, Listener, ListenerTls, MutualTls, PrometheusServer, Routing, ServerTls,
    Settings,
};
use crate::names::ListenerName;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything that the file says, with the defaults for what it does not say.
pub(crate) fn settings(
    raw: &raw::Settings,
    root: &At<'_>,
    file: &Path,
    problems: &mut Problems<'_>,
) -> Option<Settings> {
    let default = Settings::default();
    let at = root.at("gateways");
    let gateways = match &raw.gateways {
        Some(text) => path(text, file, &at, problems),
        None => Some(resolve(file, &default.gateways.to_string_lossy())),
    };
    let address = raw.xds.as_ref().and_then(|xds| xds.address.as_deref());
    let xds = server(address, default.xds, &root.at("xds"), problems);
    let tls = raw.xds.as_ref().and_then(|xds| xds.tls.as_ref());
    let xds_tls = tls.map(|tls| mutual_tls(tls, file, &root.at("xds").at("tls"), problems));
    let address = raw.http.as_ref().and_then(|http| http.address.as_deref());
    let http = server(address, default.http, &root.at("http"), problems);
    if let (Some(xds), Some(http)) = (xds, http)
        && meet((xds.ip(), xds.port()), (http.ip(), http.port()))
    {
        let written = if raw.http.is_some() { "http" } else { "xds" };
        let message = format!("`xds` on {xds} and `http` on {http} want the same port");
        let help = "give each of the two a port of its own";
        problems.error(Code::SamePort, &root.at(written).at("address"), message, help);
    }
    let at = root.at("http").at("tls");
    let http_tls = match raw.http.as_ref().and_then(|http| http.tls.as_ref()) {
        None if at.is_there() => return None,
        None => None,
        Some(tls) => Some(server_tls(tls, file, &at, problems)?),
    };
    let at = root.at("tokensFile");
    let tokens_file = match &raw.tokens_file {
        None if at.is_there() => return None,
        None => None,
        Some(text) => Some(path(text, file, &at, problems)?),
    };
    let listeners = match &raw.listeners {
        Some(all) => listeners(all, file, &root.at("listeners"), problems),
        None => default.listeners,
    };
    let xds_tls = match xds_tls {
        None => None,
        Some(tls) => Some(tls?),
    };
    let routing = match raw.routing {
        None | Some(raw::Routing::Plain) => Routing::Plain,
        Some(raw::Routing::Scoped) => Routing::Scoped,
    };
    let store = match &raw.store {
        None => None,
        Some(text) => match store::store(text, file) {
            Ok(at) => Some(at),
            // Its line is not shown, since a password may stand in it.
            Err((code, wrong)) if text.starts_with("postgres") => {
                problems.at(code, None, format!("`store`: {}", wrong.message), wrong.help);
                return None;
            }
            Err((code, wrong)) => return report(Err(wrong), code, &root.at("store"), problems),
        },
    };
    let prometheus = match &raw.prometheus {
        None if root.at("prometheus").is_there() => return None,
        None => None,
        Some(server) => Some(prometheus(server, file, &root.at("prometheus"), problems)?),
    };
    Some(Settings {
        gateways: gateways?,
        xds: xds?,
        xds_tls,
        http: http?,
        http_tls,
        tokens_file,
        listeners,
        routing,
        store,
        prometheus,
    })
}

fn prometheus(
    raw: &raw::PrometheusServer,
    file: &Path,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<PrometheusServer> {
    let url = report(remote::url(raw.url.as_deref()?), Code::PrometheusUrl, &at.at("url"), problems);
    let mut optional = |written: &Option<String>, key: &str| match written {
        None => (!at.at(key).is_there()).then_some(None),
        Some(text) => path(text, file, &at.at(key), problems).map(Some),
    };
    let headers_file = optional(&raw.headers_file, "headersFile");
    let ca_file = optional(&raw.ca_file, "caFile");
    let url = url?;
    if raw.headers_file.is_some() && !remote::is_safe(&url) {
        let message = "the headers travel in plain text, and anybody on the way could read them";
        let help = "write the URL with `https://`, if the server speaks it";
        problems.warning(Code::PlainSecret, &at.at("url"), message, help);
    }
    Some(PrometheusServer { url, headers_file: headers_file?, ca_file: ca_file? })
}

fn server(
    written: Option<&str>,
    default: SocketAddr,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<SocketAddr> {
    let Some(text) = written else { return Some(default) };
    let wrong = |_| {
        let message = format!("`{}` is not an IP address with a port", spelling::shorten(text));
        Wrong::new(
            message,
            format!("write it as `{default}`, or `0.0.0.0:{}` for every interface", default.port()),
        )
    };
    report(text.parse().map_err(wrong), Code::SocketAddress, &at.at("address"), problems)
}

fn mutual_tls(
    raw: &raw::MutualTls,
    file: &Path,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<MutualTls> {
    let mut path = |written: &Option<String>, key| path(written.as_deref()?, file, &at.at(key), problems);
    let cert_file = path(&raw.cert_file, "certFile");
    let key_file = path(&raw.key_file, "keyFile");
    let client_ca_file = path(&raw.client_ca_file, "clientCaFile");
    let at = at.at("allow").at("san");
    let allow = raw.allow.as_ref().map(|allow| allowed(allow.san.as_deref()?, &at, problems));
    let allow = match allow {
        None => None,
        Some(allow) => Some(allow?),
    };
    Some(MutualTls { cert_file: cert_file?, key_file: key_file?, client_ca_file: client_ca_file?, allow })
}

fn server_tls(
    raw: &raw::ServerTls,
    file: &Path,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<ServerTls> {
    let mut path = |written: &Option<String>, key| path(written.as_deref()?, file, &at.at(key), problems);
    let (cert_file, key_file) = (path(&raw.cert_file, "certFile"), path(&raw.key_file, "keyFile"));
    Some(ServerTls { cert_file: cert_file?, key_file: key_file? })
}

fn allowed(names: &[String], at: &At<'_>, problems: &mut Problems<'_>) -> Option<Vec<AltName>> {
    if names.is_empty() {
        let help = "name at least one, or remove `allow` to let in each Envoy that has a certificate";
        problems.error(Code::AltName, at, "`san` is empty, so no Envoy could connect", help);
    }
    let checked: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, text)| report(alt_name(text), Code::AltName, &at.item(i), problems))
        .collect();
    checked.into_iter().collect()
}

/// What a certificate may have as subject alternative name: an address, a URI or a DNS name.
fn alt_name(text: &str) -> Result<AltName, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(AltName::Ip(address));
    }
    let wrong = |why: String| {
        let message = format!("no certificate has the name `{}`: {why}", spelling::shorten(text));
        let help = "write a DNS name, `*.` and a DNS name, a URI such as `spiffe://example.com/edge`, or an IP address";
        Wrong::new(message, help)
    };
    if let Some((scheme, rest)) = text.split_once(':') {
        let sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && !rest.is_empty()
            && text.bytes().all(|b| b.is_ascii_graphic());
        return if sound { Ok(AltName::Uri(text.to_owned())) } else { Err(wrong("it is no URI".to_owned())) };
    }
    let below = text.strip_prefix("*.");
    let name = below.unwrap_or(text).to_ascii_lowercase();
    dns_name(&name).map_err(wrong)?;
    Ok(if below.is_some() { AltName::DnsBelow(name) } else { AltName::Dns(name) })
}

fn listeners(
    all: &indexmap::IndexMap<String, Option<raw::Listener>>,
    file: &Path,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> BTreeMap<ListenerName, Listener> {
    if all.is_empty() {
        let help = "write at least one, such as `default: { port: 8080 }`, or remove the line";
        problems.error(Code::NoListener, at, "`listeners` is empty, so no gateway could be reached", help);
    }
    let mut checked: BTreeMap<ListenerName, Listener> = BTreeMap::new();
    for (key, raw) in all {
        let subject = (Code::ListenerName, "a listener", key.as_str());
        let name = name(ListenerName::new(key), subject, &at.key(key), problems);
        let here = at.at(key);
        let Some(listener) = raw.as_ref().and_then(|raw| listener(raw, file, &here, problems)) else {
            continue;
        };
        let bind = (listener.address, listener.port);
        if let Some((other, _)) = checked.iter().find(|(_, l)| meet(bind, (l.address, l.port))) {
            let message = format!("the listener `{other}` has the port {} already", listener.port);
            problems.error(Code::SamePort, &here.at("port"), message, "give each listener a port of its own");
        }
        checked.extend(name.map(|name| (name, listener)));
    }
    checked
}

fn listener(raw: &raw::Listener, file: &Path, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Listener> {
    let address = raw.address.as_deref().map_or(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), |text| {
        let wrong = |_| {
            let message = format!("`{}` is not an IP address", spelling::shorten(text));
            Wrong::new(message, "write it as `0.0.0.0` for every interface, and the port under `port`")
        };
        report(text.parse().map_err(wrong), Code::ListenerAddress, &at.at("address"), problems)
    });
    let tls = raw.tls.as_ref().map(|tls| listener_tls(tls, file, &at.at("tls"), problems));
    let tls = match tls {
        None => None,
        Some(tls) => Some(tls?),
    };
    Some(Listener { address: address?, port: raw.port?, tls })
}

/// One certificate, or a list of them.
fn listener_tls(
    raw: &raw::ListenerTls,
    file: &Path,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<ListenerTls> {
    let mut path = |written: &Option<String>, at: &At<'_>| path(written.as_deref()?, file, at, problems);
    let (cert_at, key_at, list_at) = (at.at("certFile"), at.at("keyFile"), at.at("certificates"));
    let (cert_file, key_file) = (path(&raw.cert_file, &cert_at), path(&raw.key_file, &key_at));
    let single = ["certFile", "keyFile"].into_iter().find(|key| at.at(key).is_there());
    let (place, message, help) = match (single, list_at.is_there()) {
        (Some(key), true) => {
            let message = format!("`certificates` and `{key}` exclude each other");
            (at.key(key), message, "move it into the list: the first certificate is the default")
        }
        (None, true) => {
            let list = raw.certificates.as_ref()?;
            if list.is_empty() {
                let help = "write at least one, as in `[{ certFile: tls/edge.crt, keyFile: tls/edge.key }]`";
                let message = "`certificates` is empty, so no client could connect";
                problems.error(Code::ListenerCertificates, &list_at, message, help);
                return None;
            }
            let checked: Vec<_> = list
                .iter()
                .enumerate()
                .map(|(i, raw)| {
                    let (raw, at) = (raw.as_ref()?, list_at.item(i));
                    let cert_file = path(&raw.cert_file, &at.at("certFile"));
                    let key_file = path(&raw.key_file, &at.at("keyFile"));
                    Some(CertificateFiles { cert_file: cert_file?, key_file: key_file? })
                })
                .collect();
            return Some(ListenerTls { certificates: checked.into_iter().collect::<Option<_>>()? });
        }
        (_, false) if cert_at.is_there() && key_at.is_there() => {
            let files = CertificateFiles { cert_file: cert_file?, key_file: key_file? };
            return Some(ListenerTls { certificates: vec![files] });
        }
        (Some("certFile"), false) => {
            let message = "the certificate is there, and its key is not".to_owned();
            (at.clone(), message, "add `keyFile: tls/edge.key`")
        }
        (Some(_), false) => {
            let message = "the key is there, and its certificate is not".to_owned();
            (at.clone(), message, "add `certFile: tls/edge.crt`")
        }
        (None, false) => {
            let message = "the listener has no certificate".to_owned();
            (
                at.clone(),
                message,
                "add `certFile` and `keyFile`, or a list of such pairs under `certificates`",
            )
        }
    };
    problems.error(Code::ListenerCertificates, &place, message, help);
    None
}

/// A path relative to the settings file.
fn path(text: &str, file: &Path, at: &At<'_>, problems: &mut Problems<'_>) -> Option<PathBuf> {
    let checked = if text.is_empty() {
        Err(Wrong::new("the path is empty", "write a path relative to this file, or an absolute one"))
    } else {
        Ok(resolve(file, text))
    };
    report(checked, Code::EmptyPath, at, problems)
}

/// Whether two sockets want the same port of one interface. Port 0 is any free one.
fn meet(a: (IpAddr, u16), b: (IpAddr, u16)) -> bool {
    a.1 == b.1 && a.1 != 0 && (a.0 == b.0 || a.0.is_unspecified() || b.0.is_unspecified())
}
