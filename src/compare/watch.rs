//! What streams need to know of the gateways that are compared, and where they count what they lose.

use super::difference::Reason;
use crate::model::Comparison;
use crate::names::GatewayName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The gateways that are compared.
pub(super) type Watch = BTreeMap<GatewayName, Arc<Gateway>>;

/// One of them.
#[derive(Debug)]
pub(super) struct Gateway {
    /// The longest body that is compared.
    pub(super) longest: usize,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    memory: AtomicU64,
    behind: AtomicU64,
}

impl Gateway {
    pub(super) fn new(comparison: &Comparison) -> Self {
        Self {
            longest: usize::try_from(comparison.compare.max_bytes).unwrap_or(usize::MAX),
            timeout: comparison.timeout,
            memory: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }

    /// There was no memory for an answer.
    pub(super) fn lose_for_memory(&self) {
        self.memory.fetch_add(1, Ordering::Relaxed);
    }

    /// There was no place in the queue, or for one more stream.
    pub(super) fn lose_for_speed(&self) {
        self.behind.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> [(Reason, u64); 2] {
        [(Reason::Memory, &self.memory), (Reason::Behind, &self.behind)]
            .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }
}
