//! The authorities that this machine trusts, for Envoys to trust at the token endpoints of logins.
//!
//! Envoy has none of its own. Those that Serin itself trusts when it asks a provider for its endpoints are the right ones,
//! and no Envoy needs a file.

use crate::model::Pem;

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
    Some(Pem::of_certificates(&found.certs))
}
