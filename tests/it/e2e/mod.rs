//! The whole: files, control plane, a real Envoy, real requests.
#![cfg(test)]

mod auth;
mod browser;
mod demo;
mod edits;
mod features;
mod isolation;
mod login;
mod login_tls;
mod mtls;
mod outage;
mod provider;
mod split;
mod stage;
mod streams;
mod tls;
