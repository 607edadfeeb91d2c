//! The crate: its rooms. What they are for is in `docs/ARCHITECTURE.md`, which follows.
#![doc = include_str!("../docs/ARCHITECTURE.md")]

pub mod admin;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod diag;
pub mod issuer;
pub mod latest;
pub mod launch;
pub mod model;
pub mod mtls;
pub mod names;
pub mod observe;
pub mod resource;
pub mod rollout;
pub mod simulate;
pub mod snapshot;
pub mod source;
pub mod stats;
pub mod store;
pub mod translate;
pub mod weight;
pub mod xds;
