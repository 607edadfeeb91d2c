//! What a gateway is: validated, plain and immutable.
//!
//! Nothing here knows YAML, Envoy or a socket. A value of these types is right by construction of
//! `config`, which alone makes them, so `translate` cannot fail. An ML model is an [`Upstream`] here: one
//! deployed version behind a name; "model" as a room means the model of gateways.

mod auth;
mod gateway;
mod oauth2;
mod secret;
mod session;
mod settings;
mod upstream;

pub use auth::{AccessKey, Authentication, BasicAuth, Jwks, Jwt, Key, KeySource, User};
pub use gateway::{Condition, DirectAccess, Gateway, Host, Match, Pattern};
pub use oauth2::{Endpoints, Metadata, OAuth2, Provider, TokenEndpoint};
pub use secret::{Pem, Secret};
pub use session::SessionKey;
pub use settings::{AltName, Listener, ListenerTls, MutualTls, Settings};
pub use upstream::{Endpoint, HealthCheck, Protocol, Tls, Upstream};
