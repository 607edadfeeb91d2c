//! Serin: an Envoy control plane for releasing machine-learning models safely.

pub mod cli;
pub mod launch;
pub mod model;
pub mod names;
pub mod weight;
