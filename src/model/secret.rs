//! What must never be seen: masked from birth, and exposed in one place, on its way to Envoy.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::sync::Arc;

/// The content of a PEM file. Never printed: it may hold a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(Arc<[u8]>);

impl Pem {
    /// Takes the bytes of a file.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Writes certificates, given in DER, as RFC 7468 has them: 64 characters a line.
    pub fn of_certificates(certificates: &[impl AsRef<[u8]>]) -> Self {
        let mut text = String::new();
        for certificate in certificates {
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in BASE64_STANDARD.encode(certificate).as_bytes().chunks(64) {
                text.extend(line.iter().copied().map(char::from));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        Self::new(text.into_bytes())
    }

    /// For the one place that hands it to Envoy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[PEM of {} bytes]", self.0.len())
    }
}

/// A certificate and its private key, which go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and those it hangs on.
    pub chain: Pem,
    /// Its private key.
    pub key: Pem,
}

/// A text that nobody may see: it is neither printed nor serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
    /// For the one place that hands it to Envoy.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
