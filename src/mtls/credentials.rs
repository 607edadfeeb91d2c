//! From the bytes of two or three files to what a handshake needs.

use crate::model::{MutualTls, ServerTls};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// Who signs the certificates that clients must show; `None`: they show none.
    clients: Option<PathBuf>,
    setting: &'static str,
    protocol: &'static [u8],
}

impl Files {
    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.clients)
    }

    /// The key of `serin.yaml` that names them.
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

/// Of the port of the protocol, which is spoken over HTTP/2.
impl From<&MutualTls> for Files {
    fn from(tls: &MutualTls) -> Self {
        let [certificate, key, clients] = tls.files().map(Clone::clone);
        Self { certificate, key, clients: Some(clients), setting: "xds.tls", protocol: b"h2" }
    }
}

/// Of the port for people.
impl From<&ServerTls> for Files {
    fn from(tls: &ServerTls) -> Self {
        let (certificate, key) = (tls.cert_file.clone(), tls.key_file.clone());
        Self { certificate, key, clients: None, setting: "http.tls", protocol: b"http/1.1" }
    }
}

/// Our certificate with its key, and whose certificates we take. Equal when the files are.
#[derive(Clone)]
pub struct Credentials {
    bytes: Vec<Arc<[u8]>>,
    config: Arc<ServerConfig>,
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, a file of `{setting}`, {why}", file.display())]
pub struct Unusable {
    /// The key of `serin.yaml` that names it.
    pub setting: &'static str,
    /// Which file to look at.
    pub file: PathBuf,
    /// What is wrong, as in "is not there".
    pub why: String,
}

impl Credentials {
    /// Takes the files as `read` finds them; it says in the words of [`Unusable::why`] what keeps it from reading.
    pub fn load(files: &Files, read: impl Fn(&Path) -> Result<Arc<[u8]>, String>) -> Result<Self, Unusable> {
        let at = |file: &Path| {
            let (file, setting) = (file.to_path_buf(), files.setting);
            move |why| Unusable { setting, file, why }
        };
        let (certificate, key) = (files.certificate.as_path(), files.key.as_path());
        let bytes: Vec<Arc<[u8]>> =
            files.paths().map(|file| read(file).map_err(at(file))).collect::<Result<_, _>>()?;
        let [chain, private, ..] = &bytes[..] else { return Err(at(key)("is not there".to_owned())) };
        // Named rather than taken from the process: nobody else's choice of a provider changes ours.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(chain).map_err(at(certificate))?;
        let private = PrivateKeyDer::from_pem_slice(private)
            .map_err(|_| "holds no private key in PEM".to_owned())
            .map_err(at(key))?;
        let clients = files.clients.as_deref().zip(bytes.get(2));
        let verifier = clients.map(|(ca, bytes)| verifier(bytes, &provider).map_err(at(ca))).transpose()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| at(certificate)(e.to_string()))?;
        let config = match verifier {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, private).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => {
                at(key)(format!("does not go with the certificate in {}", certificate.display()))
            }
            other => at(key)(format!("holds a key that cannot be used: {other}")),
        })?;
        config.alpn_protocols = vec![files.protocol.to_vec()];
        // Each connection shows its certificate anew: one that expired must not live on in a ticket.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { bytes, config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Credentials {}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_| "is not sound PEM".to_owned())?;
    if all.is_empty() { Err("holds no certificate in PEM".to_owned()) } else { Ok(all) }
}

fn verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|e| format!("holds a certificate that cannot be used: {e}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::collections::BTreeMap;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let files = MutualTls {
            cert_file: "cert".into(),
            key_file: "key".into(),
            client_ca_file: "ca".into(),
            allow: None,
        };
        let pair = || {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["a".to_owned()]).unwrap();
            (cert.pem(), signing_key.serialize_pem())
        };
        let ((cert, key), (_, other)) = (pair(), pair());
        let good = BTreeMap::from([("cert", cert.clone()), ("key", key), ("ca", cert)]);
        let load = |texts: &BTreeMap<&str, String>| {
            Credentials::load(&Files::from(&files), |path| match texts.get(path.to_str().unwrap()) {
                Some(text) => Ok(text.as_bytes().into()),
                None => Err("is not there".to_owned()),
            })
        };
        assert!(load(&good).unwrap() == load(&good).unwrap());
        let with = |file: &'static str, text: &str| {
            let mut texts = good.clone();
            texts.insert(file, text.to_owned());
            load(&texts).unwrap_err()
        };
        let broken = "-----BEGIN CERTIFICATE-----\n***\n-----END CERTIFICATE-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (file, text, why) in [
            ("cert", "", "holds no certificate"),
            ("cert", broken, "is not sound PEM"),
            ("key", "x", "holds no private key"),
            ("key", &other, "does not go with the certificate in cert"),
            ("ca", "", "holds no certificate"),
            ("ca", no_certificate, "cannot be used"),
        ] {
            let unusable = with(file, text);
            assert_eq!(unusable.file, Path::new(file));
            assert!(unusable.why.contains(why), "{unusable}");
        }
        let mut texts = good.clone();
        texts.remove("key");
        assert_eq!(load(&texts).unwrap_err().to_string(), "key, a file of `xds.tls`, is not there");
    }
}
