//! A value that one task publishes and any number of tasks read: the newest one, never a queue of them.

use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// The newest value, for readers that only look ([`Latest::load`]) and for those that wait ([`Latest::subscribe`]).
///
/// Until the first [`Latest::publish`] the value is a placeholder; [`Subscriber::published`] waits for a real one.
pub struct Latest<T> {
    value: ArcSwap<T>,
    generation: watch::Sender<u64>,
}

impl<T> Latest<T> {
    /// Begins with a placeholder, at generation 0.
    pub fn new(placeholder: T) -> Arc<Self> {
        Arc::new(Self { value: ArcSwap::from_pointee(placeholder), generation: watch::Sender::new(0) })
    }

    /// The newest value.
    pub fn load(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// How many values were published.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Replaces the value, then wakes everyone who waits.
    pub fn publish(&self, value: T) {
        self.value.store(Arc::new(value));
        self.generation.send_modify(|g| *g += 1);
    }

    /// For waiting.
    pub fn subscribe(self: &Arc<Self>) -> Subscriber<T> {
        Subscriber { generation: self.generation.subscribe(), latest: Arc::clone(self) }
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latest(generation {})", self.generation())
    }
}

/// Waits for new values. One that reads slowly skips values, and never misses the newest.
#[derive(Debug)]
pub struct Subscriber<T> {
    latest: Arc<Latest<T>>,
    generation: watch::Receiver<u64>,
}

impl<T> Subscriber<T> {
    /// The newest value, which then counts as seen.
    pub fn load(&mut self) -> Arc<T> {
        self.generation.mark_unchanged();
        self.latest.load()
    }

    /// Whether anything was published at all.
    pub fn is_published(&self) -> bool {
        self.latest.generation() > 0
    }

    /// Waits for a value that was not seen. `false`: there will be no more.
    pub async fn changed(&mut self) -> bool {
        self.generation.changed().await.is_ok()
    }

    /// Waits until anything was published at all. `false`: nothing ever will be.
    pub async fn published(&self) -> bool {
        // On a copy, so that what is waited for here still counts as new.
        self.is_published() || self.generation.clone().wait_for(|g| *g > 0).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_sees_the_newest_value_once() {
        let latest = Latest::new(0);
        let mut reader = latest.subscribe();
        for n in 1..=3 {
            latest.publish(n);
        }
        assert!(reader.published().await && reader.changed().await);
        assert_eq!(*reader.load(), 3);
        drop(latest.subscribe());
        latest.publish(4);
        assert!(reader.changed().await);
        assert_eq!((*reader.load(), latest.generation()), (4, 4));
    }
}
