//! What keeps strangers from both ports: certificates, tokens, or that nobody else can reach them.

use super::{Error, Options};
use crate::access::{self, Tokens};
use crate::admin::Access;
use crate::control::run::Outputs;
use crate::model::Settings;
use crate::mtls::{Credentials, Files, Unusable};
use std::net::SocketAddr;
use std::sync::Arc;

/// What is asked of those who come by HTTP, and the work of remembering them.
pub(super) fn asked_at_the_door(
    outputs: &Outputs,
    insecure_admin: bool,
) -> (Access, Option<impl Future<Output = ()> + Send + use<>>) {
    let (door, sessions) = outputs.tokens.clone().map(access::run::start).unzip();
    (Access { door, insecure_admin, tls: outputs.http_credentials.is_some() }, sessions)
}

/// What keeps strangers from the HTTP port.
pub(super) struct Entrance {
    pub(super) tokens: Option<Tokens>,
    pub(super) credentials: Option<Credentials>,
}

/// Tokens and TLS, or that nobody else can reach the port.
pub(super) fn entrance(settings: &Settings, options: &Options) -> Result<Entrance, Error> {
    let address = settings.http;
    let lacks = match (&settings.tokens_file, &settings.http_tls) {
        _ if address.ip().is_loopback() => None,
        (Some(_), Some(_)) => None,
        (None, Some(_)) => Some("a `tokensFile`"),
        (Some(_), None) => Some("a certificate under `http.tls`"),
        (None, None) => Some("a `tokensFile`, and a certificate under `http.tls`"),
    };
    if let Some(lacks) = lacks {
        return Err(Error::Open { address, lacks });
    }
    if options.insecure_admin {
        if settings.tokens_file.is_some() {
            return Err(Error::TokensAndInsecure);
        }
        tracing::warn!(
            "everyone on this machine may steer rollouts and change gateway files over HTTP (--insecure-admin)"
        );
    }
    let tokens = settings.tokens_file.as_ref().map(|path| {
        let unusable = |why| Error::Tokens { path: path.clone(), why };
        let bytes = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
        let (tokens, wrong) = Tokens::read(&bytes);
        wrong.into_iter().next().map_or(Ok(tokens), |why| Err(unusable(why)))
    });
    let files = settings.http_tls.as_ref().map(Files::from);
    let credentials = files.map(|files| credentials(&files).map_err(|e| Error::Credentials("HTTP", e)));
    Ok(Entrance { tokens: tokens.transpose()?, credentials: credentials.transpose()? })
}

/// What keeps strangers from the port of the protocol: certificates, or that nobody else can reach it.
pub(super) fn protection(settings: &Settings, options: &Options) -> Result<Option<Credentials>, Error> {
    let insecure_xds = options.insecure_xds;
    if let Some(files) = &settings.xds_tls {
        if insecure_xds {
            return Err(Error::PlainAndTls);
        }
        return credentials(&files.into()).map(Some).map_err(|e| Error::Credentials("xDS", e));
    }
    if !insecure_xds || settings.xds.ip().is_loopback() {
        refuse_exposed(settings.xds, "xDS", ", give `xds.tls` certificates, or say --insecure-xds")?;
        return Ok(None);
    }
    tracing::warn!(address = %settings.xds, "xDS is served in plain text to other machines (--insecure-xds)");
    for (name, _) in settings.listeners.iter().filter(|(_, listener)| listener.tls.is_some()) {
        tracing::error!(
            "the private key of listener {name} travels over the network in plain text (--insecure-xds)"
        );
    }
    Ok(None)
}

fn credentials(files: &Files) -> Result<Credentials, Unusable> {
    Credentials::load(files, |path| {
        std::fs::read(path).map(Arc::from).map_err(|e| format!("cannot be read: {e}"))
    })
}

fn refuse_exposed(address: SocketAddr, what: &'static str, hint: &'static str) -> Result<(), Error> {
    if address.ip().is_loopback() { Ok(()) } else { Err(Error::Exposed { address, what, hint }) }
}
