//! HTTP clients, and the one provider of cryptography that all TLS of this process uses.
//!
//! rustls wants to be told its provider once. ring is the only one in the build: a second would have to be chosen
//! at run time, and a choice can be forgotten.

use std::time::Duration;

/// Chooses the provider, if nobody has yet. Whoever makes TLS possible calls this first.
pub fn choose_provider() {
    // It fails when one was chosen already, which can only be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// For an HTTP client of the caller's own making.
pub fn builder() -> reqwest::ClientBuilder {
    choose_provider();
    reqwest::Client::builder()
}

/// Clients for servers that files name: without redirects, since a file names who is trusted, and to this machine past
/// any proxy.
#[derive(Clone, Debug)]
pub struct Clients {
    remote: reqwest::Client,
    local: reqwest::Client,
    timeout: Duration,
}

impl Clients {
    /// With this time for the whole of one request.
    pub fn new(timeout: Duration) -> reqwest::Result<Self> {
        let bounded = || builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        Ok(Self { remote: bounded().build()?, local: bounded().no_proxy().build()?, timeout })
    }

    /// The client for a URL; `ca`, in PEM, signs the certificate of its server in place of whom the system trusts.
    pub fn for_url(&self, url: &str, ca: Option<&[u8]>) -> reqwest::Result<reqwest::Client> {
        let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let is_here = host.is_some_and(|host| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        let Some(ca) = ca else { return Ok(if is_here { self.local.clone() } else { self.remote.clone() }) };
        let authorities = reqwest::Certificate::from_pem_bundle(ca)?;
        let client = builder().timeout(self.timeout).redirect(reqwest::redirect::Policy::none());
        let client = client.tls_certs_only(authorities);
        if is_here { client.no_proxy().build() } else { client.build() }
    }
}

/// Why a request came to nothing: the innermost cause is what people can act on. Never with the URL, which may be a
/// secret.
pub fn reason(error: reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("there was no answer within {timeout:?}");
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
