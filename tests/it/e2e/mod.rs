//! The whole: files, control plane, a real Envoy, real requests.
#![cfg(test)]

mod affinity;
mod auth;
mod browser;
pub(crate) mod chromium;
mod closed;
mod demo;
mod edits;
mod features;
mod isolation;
mod login;
mod login_tls;
mod mtls;
mod outage;
mod pki;
mod provider;
mod proxyless;
pub(crate) mod python;
mod rollout;
mod scoped;
mod shadow;
mod split;
pub(crate) mod stage;
mod steering;
mod streams;
mod switches;
mod telemetry;
mod tls;
mod verbs;
