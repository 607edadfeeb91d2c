//! Envoy and its surroundings, for people who want everything running in one command.
//!
//! [`Find`] gets an Envoy binary, [`Bootstrap`] writes what it starts with, [`Envoy`] runs one as a child that
//! cannot outlive us. [`Toy`] plays a model server and [`Load`] plays its clients, for the demo, tests and
//! benches. Nothing here is needed to serve Envoys that others run, and the environment is read by `cli` alone.
//!
//! ```no_run
//! # async fn sketch(find: serin::launch::Find) -> Result<(), serin::launch::Error> {
//! use serin::launch::{Bootstrap, Envoy, EnvoyOptions};
//! let binary = find.envoy().await?;
//! let bootstrap = Bootstrap { id: "edge-1".into(), ..Bootstrap::default() }.to_string();
//! let mut envoy = Envoy::start(&binary, &bootstrap, &EnvoyOptions::default()).await?;
//! envoy.ready(std::time::Duration::from_secs(10)).await?;
//! envoy.stop().await?;
//! # Ok(()) }
//! ```

mod bootstrap;
mod child;
mod envoy;
mod error;
mod install;
mod load;
mod log;
mod report;
mod toy;

pub use bootstrap::{Admin, Bootstrap, Mtls, Variant};
pub use child::{Envoy, EnvoyOptions};
pub use envoy::{EnvoyBinary, Find, Origin};
pub use error::Error;
pub use install::Pin;
pub use load::{Load, LoadOptions, Until, VersionIn};
pub use log::LogTo;
pub use report::{Answers, Latencies, Report};
pub use toy::{Toy, ToyOptions, VERSION_HEADER};

/// The version of Envoy that Serin is tested with.
pub const ENVOY_VERSION: &str = "1.40.0";
