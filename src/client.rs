//! HTTP clients, and the one provider of cryptography that all TLS of this process uses.
//!
//! rustls wants to be told its provider once. ring is the only one in the build: a second would have to be chosen
//! at run time, and a choice can be forgotten.

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
