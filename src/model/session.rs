//! The one key of an installation from which the keys of all logins are made.

use super::Secret;
use crate::names::GatewayName;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use ring::hmac;
use std::fmt;

/// 32 random bytes, the same for all Envoys and after every restart: whoever has them can let anybody in.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; Self::LENGTH]);

impl SessionKey {
    /// In bytes.
    pub const LENGTH: usize = 32;

    /// Takes bytes from a good source of randomness.
    pub fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// For the one place that keeps it.
    pub fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The secret of one gateway's logins, from which neither the key nor the secret of another gateway can be found.
    /// One step of HKDF-Expand with SHA-256 (RFC 5869 section 2.3); the key is random, so it needs no extraction
    /// (section 3.3).
    pub fn of_gateway(&self, gateway: &GatewayName) -> Secret {
        let info = format!("serin/v1 oauth2 session {gateway}\u{1}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), info.as_bytes());
        Secret::new(BASE64_STANDARD_NO_PAD.encode(tag))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[session key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_hkdf() {
        let gateway = GatewayName::new("fraud").unwrap();
        let prk = ring::hkdf::Prk::new_less_safe(ring::hkdf::HKDF_SHA256, &[7; 32]);
        let info = [b"serin/v1 oauth2 session fraud".as_slice()];
        let mut expected = [0; 32];
        prk.expand(&info, ring::hkdf::HKDF_SHA256).unwrap().fill(&mut expected).unwrap();
        let made = SessionKey::new([7; 32]).of_gateway(&gateway);
        assert_eq!(made.expose(), BASE64_STANDARD_NO_PAD.encode(expected));
    }

    #[test]
    fn each_gateway_and_each_installation_has_its_own() {
        let [a, b] = ["a", "b"].map(|name| GatewayName::new(name).unwrap());
        let [one, other] = [[1; 32], [2; 32]].map(SessionKey::new);
        assert_ne!(one.of_gateway(&a), one.of_gateway(&b));
        assert_ne!(one.of_gateway(&a), other.of_gateway(&a));
        assert!(!format!("{one:?} {:?}", one.of_gateway(&a)).contains(one.of_gateway(&a).expose()));
    }
}
