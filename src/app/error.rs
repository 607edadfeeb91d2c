//! Why the control plane cannot run.

use crate::mtls::Unusable;
use crate::store;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken, or the address is not ours.
    #[error(
        "cannot listen on {address} for {what}; is another serin running there? choose another with `{flag}`"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// "xDS" or "HTTP".
        what: &'static str,
        /// The option that changes it.
        flag: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Everyone on the network could read and feed the configuration.
    #[error(
        "{address} can be reached from other machines, and {what} is plain text; use a loopback address{hint}"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// "xDS" or "HTTP".
        what: &'static str,
        /// The way out, if there is one.
        hint: &'static str,
    },
    /// Plain text and certificates were both asked for.
    #[error("`xds.tls` asks for certificates and --insecure-xds for plain text; leave out one of the two")]
    PlainAndTls,
    /// Everyone on the network could come in by the HTTP port, or read what passes there.
    #[error(
        "{address} can be reached from other machines, so `http` wants {lacks}; or use a loopback address"
    )]
    Open {
        /// The address.
        address: SocketAddr,
        /// What is not in the settings.
        lacks: &'static str,
    },
    /// Everyone may come in, and only some may.
    #[error(
        "`tokensFile` is for those who show a token, and --insecure-admin for everyone; leave out one of the two"
    )]
    TokensAndInsecure,
    /// The tokens are not there, or cannot be read.
    #[error("{}, the `tokensFile`, cannot be used: {why}", path.display())]
    Tokens {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No handshake would succeed.
    #[error("{0} cannot be served with TLS")]
    Credentials(&'static str, #[source] Unusable),
    /// The directory cannot be watched.
    #[error("cannot start to read {0}")]
    Source(String, #[source] std::io::Error),
    /// Another Serin decides about the same rollouts.
    #[error(transparent)]
    Store(store::Error),
    /// The key of logins is not there and cannot be made, or is none.
    #[error("the key from which logins are signed cannot be used")]
    SessionKey(#[source] std::io::Error),
    /// The descriptors for reflection are broken: a bug.
    #[error("gRPC reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
}
