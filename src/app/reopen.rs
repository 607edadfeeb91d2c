//! A store that could not be opened at the start is tried again, each time a little later, until it can be.

use crate::control::Event;
use crate::store::run::Handle;
use std::time::Duration;
use tokio::sync::mpsc;

/// The first wait, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Tries until the store is open and the loop knows what it holds, or until only a person can help it. It never ends by
/// itself: the end of a task is a failure of the whole.
pub(super) async fn run(store: Handle, events: mpsc::Sender<Event>) {
    let mut wait = WAITS.0;
    loop {
        tokio::time::sleep(wait).await;
        match store.open().await {
            Ok(restored) => {
                // Nobody listens any more only when everything stops.
                let _ = events.send(Event::Restored(restored)).await;
                break;
            }
            // The log has said why.
            Err(why) if !why.is_temporary() => break,
            Err(_) => wait = after(wait),
        }
    }
    std::future::pending::<()>().await;
}

fn after(wait: Duration) -> Duration {
    (wait * 2).min(WAITS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_an_end() {
        let waits: Vec<u64> =
            std::iter::successors(Some(WAITS.0), |w| Some(after(*w))).take(7).map(|w| w.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
