//! The shape of the files, as they are written: the single source of truth for keys and types.
//!
//! Each struct is one object of a file. Everything is optional here: what must be there is in the schema that
//! is derived from these structs, and `shape` checks a file against it before it gets here. Doc comments become
//! the descriptions that editors show, so they speak to users.

mod affinity;
mod authentication;
mod gateway;
mod matches;
mod metric;
mod rollout;
mod scalar;
mod schema;
mod settings;
mod shadow;
mod told;
mod upstream;

pub(super) use affinity::{SessionAffinity, SessionAffinityObject};
pub(super) use authentication::{
    AccessKey, Authentication, BasicAuth, ClaimValue, Content, Jwt, OAuth2, OneOrMore,
};
pub(super) use gateway::{DirectAccess, Gateway};
pub(super) use matches::{Match, Patterns, StringMatch};
pub(super) use metric::{Amount, Codes, Metric, Prometheus, Webhook};
pub(super) use rollout::{OnFailure, Rollout, Step, StepObject, StepPause};
pub(super) use scalar::{Duration, Percent};
pub(super) use schema::{gateway as gateway_schema, settings as settings_schema};
pub(super) use settings::{Listener, ListenerTls, MutualTls, PrometheusServer, Routing, ServerTls, Settings};
pub(super) use shadow::{Compare, Shadow, Tolerance};
pub(super) use told::{Format, Notify, Occasion};
pub(super) use upstream::{HealthCheck, HealthCheckObject, Protocol, Tls, Upstream, UpstreamObject};
