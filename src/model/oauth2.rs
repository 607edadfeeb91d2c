//! Login by a browser: OAuth 2.0 (RFC 6749) with PKCE (RFC 7636), and OpenID Connect where the provider has it.

use super::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How people log in at a provider before they use a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who knows the people.
    pub provider: Provider,
    /// What the provider calls this gateway.
    pub client_id: String,
    /// By which the gateway proves to the provider that it is itself.
    pub client_secret: Secret,
    /// What people are asked to allow; at least one, each once.
    pub scopes: Vec<String>,
    /// The domain whose hosts share the login; `None`: each host has its own.
    pub cookie_domain: Option<String>,
    /// The audiences of which a signed token must have one to pass without a login, at least one; `None`: no token
    /// does.
    pub bearer: Option<Vec<String>>,
    /// Request headers (lower case) and the claims that they tell the model.
    pub claim_headers: BTreeMap<String, String>,
    /// Signs and encrypts the cookies of this gateway; `None`: not known yet, and nobody can be let in.
    pub session_secret: Option<Secret>,
}

impl OAuth2 {
    /// Where people log in, as far as it is known.
    pub fn endpoints(&self) -> Option<&Endpoints> {
        match &self.provider {
            Provider::Endpoints(endpoints) => Some(endpoints),
            Provider::Discovered { metadata, .. } => metadata.as_ref().map(|m| &m.endpoints),
        }
    }

    /// Whether tokens have to be verified, which takes the provider's public keys.
    pub fn verifies_tokens(&self) -> bool {
        self.bearer.is_some() || !self.claim_headers.is_empty()
    }
}

/// Where a provider says what has to be known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// In the gateway file.
    Endpoints(Endpoints),
    /// At a fixed place below its issuer (OpenID Connect Discovery 1.0), from where Serin fetches it.
    Discovered {
        /// A URL; also the claim `iss` of every token.
        issuer: String,
        /// What was there; `None`: nothing was fetched yet, and nobody can be let in.
        metadata: Option<Arc<Metadata>>,
        /// The public keys, if they are wanted and were fetched.
        keys: Option<Arc<str>>,
    },
}

/// What a provider says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where people log in.
    pub endpoints: Endpoints,
    /// Where its public keys are.
    pub jwks_uri: String,
}

/// Where people log in and out, and where Envoy exchanges what they bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// A URL; browsers are sent there to log in.
    pub authorization: String,
    /// Envoy itself asks there.
    pub token: TokenEndpoint,
    /// A URL; browsers are sent there when they have signed out of the gateway.
    pub end_session: Option<String>,
}

/// Where a code is exchanged for a token (RFC 6749 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// The whole URL.
    pub uri: String,
    /// A DNS name or an address, as in the URL but without brackets.
    pub host: String,
    /// The one in the URL, or that of its scheme.
    pub port: u16,
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// Whether the client secret goes into the body of the request, in place of HTTP Basic (RFC 6749 section 2.3.1).
    pub secret_in_body: bool,
}
