//! Serin: an Envoy control plane for releasing machine-learning models safely.

pub mod config;
pub mod diag;
pub mod model;
pub mod names;
pub mod weight;
