//! The memory that answers may have, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// For all streams of all Envoys, the answers in the queue behind them, and those that wait for their other half.
pub const BYTES: usize = 48 << 20;

/// What is left of it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Holds nothing yet.
    pub fn hold(&self) -> Held {
        Held { bytes: Vec::new(), taken: 0, budget: self.clone() }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Bytes that count against a budget until they are dropped.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    taken: usize,
    budget: Budget,
}

impl Held {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes room for so many more bytes; `false`: there is none.
    #[must_use]
    pub fn reserve(&mut self, more: usize) -> bool {
        let is_there = self.budget.take(more);
        if is_there {
            self.taken += more;
        }
        is_there
    }

    /// Adds bytes for which there is room.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes it counts for: all that came, with what was around them.
    pub fn cost(&self) -> usize {
        self.taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (budget.hold(), budget.hold());
        assert!(a.reserve(6) && !b.reserve(5) && b.reserve(4));
        a.add(b"answer");
        assert_eq!((budget.left(), a.bytes(), a.cost()), (0, &b"answer"[..], 6));
        drop(a);
        assert_eq!(budget.left(), 6);
        drop(b);
        assert_eq!(budget.left(), 10);
    }
}
