//! How people and programs see the control plane: HTTP for the one, gRPC for the other, the same facts.
//!
//! Everything here reads published values ([`crate::control::View`], [`crate::xds::Registry`],
//! [`crate::telemetry::Table`]) and changes nothing.

mod api;
pub mod grpc;
mod metrics;
mod numbers;
mod problem;

pub use api::{GatewayList, ProxyList, ProxyView, ResourceView, TypeView, resources_of, router};
pub use numbers::{Difference, GatewayNumbers, Recent, UpstreamNumbers};

use crate::control::View;
use crate::latest::Latest;
use crate::messages::Counters;
use crate::telemetry::Table;
use crate::xds::Registry;
use std::sync::Arc;

/// What handlers read from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Gateways and what Envoys are told.
    pub view: Arc<Latest<View>>,
    /// Connected Envoys.
    pub registry: Arc<Registry>,
    /// What Envoys measured.
    pub table: Arc<Latest<Table>>,
    /// What became of messages to others.
    pub told: Arc<Counters>,
}

impl Sources {
    /// Whether all files were read, so that Envoys are answered.
    fn is_ready(&self) -> bool {
        self.view.generation() > 0
    }
}
