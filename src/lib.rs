//! Serin: an Envoy control plane for releasing machine-learning models safely.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod diag;
pub mod latest;
pub mod launch;
pub mod model;
pub mod names;
pub mod observe;
pub mod resource;
pub mod snapshot;
pub mod source;
pub mod translate;
pub mod weight;
pub mod xds;
