//! What a gateway is: validated, plain and immutable.
//!
//! Nothing here knows YAML, Envoy or a socket. A value of these types is right by construction of
//! `config`, which alone makes them, so `translate` cannot fail. An ML model is an [`Upstream`] here: one
//! deployed version behind a name; "model" as a room means the model of gateways.

mod affinity;
mod auth;
mod compare;
mod gateway;
mod metric;
mod oauth2;
mod rollout;
mod secret;
mod session;
mod settings;
mod shadow;
mod switches;
mod told;
mod upstream;

pub use affinity::SessionAffinity;
pub use auth::{AccessKey, Authentication, BasicAuth, ClaimValue, Jwks, Jwt, Key, KeySource, User};
pub use compare::{Compare, Comparison, JsonPath, Segment, Side, Tolerance, is_short};
pub use gateway::{Condition, DirectAccess, Gateway, Host, Match, Pattern};
pub use metric::{Fact, Limits, MetricSource, Number, Provided, Query, QueryPart, Remote};
pub use oauth2::{Endpoints, Metadata, OAuth2, Provider, TokenEndpoint};
pub use rollout::{BuiltIn, ErrorRate, Metrics, OnFailure, Quantile, Rollout, ShadowFirst, Step, StepPause};
pub use secret::{Certificate, Pem, Secret};
pub use session::SessionKey;
pub use settings::{
    AltName, CertificateFiles, Database, DatabaseTls, Listener, ListenerTls, MutualTls, PrometheusServer,
    Routing, ServerTls, Settings, StoreAt,
};
pub use shadow::Shadow;
pub use switches::{Switch, Switches};
pub use told::{Format, Notify, Occasion};
pub use upstream::{Endpoint, HealthCheck, Protocol, Tls, Upstream};
