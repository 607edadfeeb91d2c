//! A certificate and its private key: whether the two go together, before anybody relies on it.

use super::pem;
use crate::model::{Certificate, Pem};
use rustls::Error;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Which of the two files is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one with the certificate.
    Certificate,
    /// The one with the private key.
    Key,
}

/// Why two files are no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPair {
    /// Where to look.
    pub half: Half,
    /// How a sentence about this file ends.
    pub what: &'static str,
    /// What to do.
    pub help: &'static str,
}

/// Takes the content of two PEM files when Envoy would take them too. Keys that only Envoy knows are left to it.
pub fn pair(chain: &Arc<[u8]>, key: &Arc<[u8]>) -> Result<Certificate, NoPair> {
    let of_key = |what, help| NoPair { half: Half::Key, what, help };
    let certificates = pem::certificates(chain).map_err(|no| {
        let (what, help) = (no.what, no.help);
        NoPair { half: Half::Certificate, what, help }
    })?;
    // One file often holds both halves, and the chain is shown to others: only its certificates go on.
    let shown = Pem::of_certificates(&certificates);
    let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let help = "name a PEM file with `-----BEGIN PRIVATE KEY-----`; Envoy asks nobody for a password";
        of_key("holds no private key that can be read", help)
    })?;
    if let Err(Error::InconsistentKeys(_)) = match default_provider().key_provider.load_private_key(private) {
        // A curve that only Envoy knows.
        Err(_) => Ok(()),
        Ok(private) => CertifiedKey::new(certificates, private).keys_match(),
    } {
        let help = "put the certificate and the key that was made for it there; \
                    a certificate chain begins with the own certificate";
        return Err(of_key("is not the key of the certificate", help));
    }
    Ok(Certificate { chain: shown, key: Pem::new(Arc::clone(key)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    #[test]
    fn only_what_goes_together_is_a_pair() {
        let made = || {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["a".to_owned()]).unwrap();
            (cert.pem(), signing_key.serialize_pem())
        };
        let ((chain, key), (other_chain, other_key)) = (made(), made());
        let pair = |chain: &str, key: &str| {
            super::pair(&chain.as_bytes().into(), &key.as_bytes().into()).map_err(|e| (e.half, e.what))
        };
        assert!(pair(&chain, &key).is_ok());
        assert!(pair(&format!("{chain}{other_chain}"), &key).is_ok(), "the own certificate stands first");
        let both: Arc<[u8]> = format!("{key}{chain}").as_bytes().into();
        let certificate = super::pair(&both, &both).unwrap();
        assert_eq!(
            str::from_utf8(certificate.chain.expose()),
            Ok(&*chain),
            "the key stays in the half that is masked"
        );
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for (chain, key, half, what) in [
            ("", &key, Half::Certificate, "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n***\n", &key, Half::Certificate, "is not sound PEM"),
            (&chain, &String::new(), Half::Key, "holds no private key that can be read"),
            (&chain, &encrypted, Half::Key, "holds no private key that can be read"),
            (&chain, &other_key, Half::Key, "is not the key of the certificate"),
        ] {
            assert_eq!(pair(chain, key).unwrap_err(), (half, what));
        }
        assert_eq!(
            pair(&format!("{other_chain}{chain}"), &key).unwrap_err(),
            (Half::Key, "is not the key of the certificate")
        );
    }
}
