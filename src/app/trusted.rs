//! The authorities that this machine trusts, for Envoys to trust at the token endpoints of logins.
//!
//! Envoy has none of its own. Those that Serin itself trusts when it asks a provider for its endpoints are the right ones,
//! and no Envoy needs a file.

use crate::model::Pem;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// In PEM; nothing when the machine has none.
pub(super) fn authorities() -> Option<Pem> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("an authority of this machine is passed over: {error}");
    }
    if found.certs.is_empty() {
        tracing::warn!("this machine trusts no authorities; `oauth2` with https cannot let anybody in");
        return None;
    }
    let mut text = String::new();
    for certificate in &found.certs {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in BASE64_STANDARD.encode(certificate).as_bytes().chunks(64) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    Some(Pem::new(text.into_bytes()))
}
