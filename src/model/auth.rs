//! Who may use a gateway. Everything secret in here is masked from birth.

use super::{OAuth2, Secret};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How a gateway finds out who is calling. It covers all of the gateway's routes alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Open to everyone.
    #[default]
    None,
    /// User and password, by HTTP Basic (RFC 7617).
    Basic(BasicAuth),
    /// A key that stands for a client.
    AccessKey(AccessKey),
    /// A signed token (RFC 7519) of a known issuer.
    Jwt(Jwt),
    /// A login by a browser.
    OAuth2(Box<OAuth2>),
    /// Closed to everyone: who may come in is known to be limited, and not known to whom. No file says so; it stands
    /// in when what a file says cannot be told to Envoy, because the other choice would be an open gateway.
    Closed,
}

impl Authentication {
    /// The word of gateway files and the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic(_) => "basicAuth",
            Self::AccessKey(_) => "accessKey",
            Self::Jwt(_) => "jwt",
            Self::OAuth2(_) => "oauth2",
            Self::Closed => "closed",
        }
    }
}

/// The users of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// Names unique, in the order of the file; none: nobody comes in.
    pub users: Vec<User>,
    /// What a browser shows when it asks.
    pub realm: String,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Without a colon.
    pub name: String,
    /// The part of the htpasswd line behind the colon: `{SHA}` and the base64 of a SHA-1, the one form Envoy takes.
    pub hash: Secret,
}

/// The keys of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Keys unique, in the order of the file; none: nobody comes in.
    pub keys: Vec<Key>,
    /// Where a request carries its key.
    pub source: KeySource,
    /// The request header that tells the model which client it is; lower case.
    pub client_header: String,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whom it stands for; passed on to the model. Several keys may stand for one client.
    pub client: String,
    /// The key itself.
    pub key: Secret,
}

/// Where a request carries its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In `x-api-key`, else in `Authorization: Bearer`.
    Default,
    /// In this header; lower case.
    Header(String),
    /// In this query parameter.
    Query(String),
    /// In this cookie.
    Cookie(String),
}

/// Tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// The claim `iss` of every token.
    pub issuer: String,
    /// The issuer's public keys.
    pub jwks: Jwks,
    /// One of these is in the claim `aud` of every token; empty: any audience.
    pub audiences: Vec<String>,
    /// Request headers (lower case) and the claims that they tell the model.
    pub claim_headers: BTreeMap<String, String>,
    /// Claims and the values of which a token must have one. A name with dots is also a path into nested claims.
    pub require: BTreeMap<String, Vec<ClaimValue>>,
}

/// What a claim may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimValue {
    /// The very text.
    Text(String),
    /// A whole number that every JSON parser keeps: at most 2^53 from zero (RFC 8259 section 6).
    Number(i64),
    /// True or false.
    Truth(bool),
}

impl fmt::Display for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

/// Where an issuer's public keys (RFC 7517) are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// Here: a JSON Web Key Set with at least one key.
    Inline(Arc<str>),
    /// At this URL; fetched by Serin and handed to Envoy.
    Uri {
        /// Where.
        uri: String,
        /// What was there; `None`: nothing was fetched yet, and nobody can be let in.
        keys: Option<Arc<str>>,
    },
}
