//! The command line.

pub mod bootstrap;
pub mod envoy;
