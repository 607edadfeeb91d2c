//! What one upstream did in one interval at one Envoy, and sums of that.

use super::buckets::Histogram;
use crate::names::{GatewayName, UpstreamName};
use crate::translate::Leg;

/// An upstream of a gateway, asked to answer or as a shadow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cluster {
    /// Whose it is.
    pub gateway: GatewayName,
    /// Unique in its gateway.
    pub upstream: UpstreamName,
    /// What it is asked for.
    pub leg: Leg,
}

/// Numbers of requests of an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Begun.
    pub started: f64,
    /// Whose outcome is known.
    pub completed: f64,
    /// Of the completed: answered 5xx, or failed in any other way.
    pub errors: f64,
    /// Of the completed: answered 4xx.
    pub client_errors: f64,
    /// Of the completed that the upstream answered: by their latency.
    pub latency: Histogram,
    /// Answers that were to be compared, and that Envoy could not send.
    pub unsent: f64,
}

impl Sample {
    /// Adds what was done in another interval, or at another Envoy.
    pub fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.errors += other.errors;
        self.client_errors += other.client_errors;
        self.latency.merge(&other.latency);
        self.unsent += other.unsent;
    }

    /// Whether nothing was done.
    pub fn is_idle(&self) -> bool {
        let outcomes = self.completed + self.errors + self.client_errors + self.latency.total();
        self.started + outcomes + self.unsent <= 0.0
    }

    /// Adds the failures that Envoy counted by the status of gRPC.
    ///
    /// What fails before it reaches the upstream, or at a timeout, is counted twice: as 5xx, and by the status of gRPC
    /// that Envoy then answers. So the larger counts; the smaller is contained in it, unless something between Envoy
    /// and the model answers calls of gRPC with 5xx.
    pub(super) fn with_grpc(&mut self, grpc: &Self) {
        self.errors = self.errors.max(grpc.errors);
        self.client_errors = self.client_errors.max(grpc.client_errors);
    }

    /// Takes out what is too much: no more requests can have failed, or have a latency, than were completed.
    ///
    /// Envoy reads its counters one after the other, and histograms a moment before, while its workers go on. So
    /// the last request of an interval may be completed in one and failed in the next.
    pub(super) fn take_excess(&mut self) -> Self {
        let errors = (self.errors - self.completed).max(0.0);
        self.errors -= errors;
        let client_errors = (self.client_errors - (self.completed - self.errors)).max(0.0);
        self.client_errors -= client_errors;
        let latency = self.latency.take_from_fullest(self.latency.total() - self.completed);
        Self { errors, client_errors, latency, ..Self::default() }
    }
}

/// How things stand at the end of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Requests in flight.
    pub active: f64,
    /// Endpoints.
    pub endpoints: f64,
    /// Endpoints that get requests.
    pub healthy: f64,
}
