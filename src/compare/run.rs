//! The task that owns what is compared: waits, takes, publishes. It decides nothing.

use super::answer::Answer;
use super::book::Book;
use super::receiver::Receiver;
use super::watch::Watch;
use super::{Comparisons, Reports};
use crate::clock::{self, Timestamp};
use crate::latest::{Latest, Subscriber};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch as signal;

/// Answers that may wait for the task.
pub const QUEUE: usize = 4096;
/// Reports are new at most so often.
const PUBLISH: Duration = Duration::from_millis(250);
/// What streams lose is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// The task to be.
#[derive(Debug)]
pub struct Task {
    answers: mpsc::Receiver<Answer>,
    wanted: Subscriber<Comparisons>,
    watch: Arc<Latest<Watch>>,
    reports: Arc<Latest<Reports>>,
}

/// The service for Envoys and the task behind it, which compares what is wanted and publishes what it finds. Streams end
/// when `stopped` is true.
pub fn start(
    wanted: Subscriber<Comparisons>,
    reports: Arc<Latest<Reports>>,
    stopped: signal::Receiver<bool>,
) -> (Receiver, Task) {
    let (answers_in, answers) = mpsc::channel(QUEUE);
    let watch = Latest::new(Watch::new());
    let receiver = Receiver::new(answers_in, Arc::clone(&watch), stopped);
    (receiver, Task { answers, wanted, watch, reports })
}

impl Task {
    /// Runs until nobody wants anything compared any more, or no answer can come.
    pub async fn run(mut self) {
        let mut book = Book::default();
        self.watch.publish(book.want(&self.wanted.load(), clock::now()));
        let mut published = Timestamp::default();
        let mut is_published = true;
        loop {
            let publish = (!is_published).then(|| published.plus(PUBLISH));
            let look = (!book.is_empty()).then(|| published.plus(LOOK));
            let wait = until([book.deadline(), publish, look].into_iter().flatten().min());
            tokio::select! {
                more = self.wanted.changed() => {
                    if !more {
                        return;
                    }
                    self.watch.publish(book.want(&self.wanted.load(), clock::now()));
                    is_published = false;
                }
                answer = self.answers.recv() => {
                    let Some(answer) = answer else { return };
                    book.take(answer, clock::now());
                    is_published = false;
                }
                () = wait => {}
            }
            let now = clock::now();
            book.give_up(now);
            if now.since(published) >= PUBLISH {
                if let Some(reports) = book.reports() {
                    self.reports.publish(reports);
                }
                (published, is_published) = (now, true);
            }
        }
    }
}

/// Waits until a moment, or for ever.
async fn until(moment: Option<Timestamp>) {
    match moment {
        // A little late rather than a little early, which would spin.
        Some(moment) => tokio::time::sleep(moment.since(clock::now()) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}
