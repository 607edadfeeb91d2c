//! The whole: files, control plane, a real Envoy, real requests.
#![cfg(test)]

mod affinity;
mod asked;
mod auth;
mod browser;
pub(crate) mod chromium;
mod closed;
mod compare;
mod comparers;
mod demo;
mod disk;
mod edits;
mod features;
mod first;
mod isolation;
pub(crate) mod login;
mod login_tls;
mod mtls;
mod outage;
pub(crate) mod pki;
mod plays;
pub(crate) mod provider;
mod proxyless;
pub(crate) mod python;
mod replicas;
mod rollout;
mod scoped;
mod shadow;
mod split;
pub(crate) mod stage;
mod steering;
mod steps;
mod streams;
mod switches;
mod telemetry;
mod tls;
mod verbs;
