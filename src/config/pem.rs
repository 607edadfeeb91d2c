//! Certificates from a PEM file of a user, and nothing else that may be in it: Envoys and everyone who may look are shown
//! certificates, and a private key is often kept in the same file.

use crate::model::Pem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a file is no list of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoCertificates {
    /// How a sentence about this file ends.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) help: &'static str,
}

/// The certificates of a PEM file (RFC 7468), at least one; other sections are passed over.
pub(super) fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, NoCertificates> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
    match certificates {
        Err(_) => {
            Err(NoCertificates { what: "is not sound PEM", help: "copy the file again from its source" })
        }
        Ok(none) if none.is_empty() => Err(NoCertificates {
            what: "holds no certificate",
            help: "name a PEM file with `-----BEGIN CERTIFICATE-----`",
        }),
        Ok(certificates) => Ok(certificates),
    }
}

/// The certificates of a file that has to hold nothing else. What comes back is written anew from them, so that no comment
/// and no section that only looks like text goes on with them.
pub(super) fn only_certificates(file: &[u8]) -> Result<Pem, NoCertificates> {
    let found = certificates(file)?;
    if labels(file).any(|label| label != b"CERTIFICATE") {
        return Err(NoCertificates {
            what: "holds more than certificates",
            help: "keep only what stands between `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----`; \
                   a private key there would be shown to others",
        });
    }
    Ok(Pem::of_certificates(&found))
}

/// What each section says it is.
fn labels(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = file.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter_map(|line| line.strip_prefix(b"-----BEGIN ")).map(|rest| {
        let rest = rest.trim_ascii_end();
        rest.strip_suffix(b"-----").unwrap_or(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn nothing_but_certificates_goes_on() {
        let section = |label| format!("-----BEGIN {label}-----\nBBBB\n-----END {label}-----\n");
        let pem = only_certificates(format!("# mine\n{CERTIFICATE}\r\nsubject=x\n{CERTIFICATE}").as_bytes());
        assert_eq!(pem.unwrap().expose(), CERTIFICATE.repeat(2).as_bytes());
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "X509 CRL", "X"]
        {
            let other = section(label);
            for file in [format!("{CERTIFICATE}{other}"), format!("{other}{CERTIFICATE}")] {
                let refused = only_certificates(file.as_bytes()).unwrap_err();
                assert_eq!(refused.what, "holds more than certificates", "{label}");
            }
        }
        let unended = format!("{CERTIFICATE}  -----BEGIN PRIVATE KEY-----\nBBBB\n");
        assert!(only_certificates(unended.as_bytes()).is_err());
    }
}
