//! What is sent when. Pure: times are durations since any fixed moment.
//!
//! Each URL has a queue of its own, so that one that is down holds up no other; in it messages keep their order, and one
//! is under way at a time.

use super::format;
use crate::control::Notice;
use crate::model::{Format, Occasion, Secret};
use crate::names::GatewayName;
use std::collections::VecDeque;
use std::time::Duration;

/// After the first failure; doubled with each further one.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// Attempts at one message: about a quarter of an hour.
const ATTEMPTS: u32 = 20;
/// Messages that wait for one URL. The oldest ones make room.
const WAITING: usize = 100;

/// A message, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) gateway: GatewayName,
    pub(super) occasion: Occasion,
    body: String,
}

impl Message {
    pub(super) fn new(notice: &Notice, format: Format) -> Self {
        Self {
            gateway: notice.gateway.clone(),
            occasion: notice.occasion,
            body: format::body(notice, format),
        }
    }
}

/// Why an attempt came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Another attempt would come to the same.
    pub(super) is_final: bool,
}

/// The queues of all URLs.
#[derive(Debug, Default)]
pub(super) struct Queues(Vec<Queue>);

#[derive(Debug)]
struct Queue {
    url: Secret,
    /// The first one is sent next, or is under way.
    waiting: VecDeque<Message>,
    failures: u32,
    /// `None`: one is under way.
    next: Option<Duration>,
}

impl Queues {
    /// One more message. Gives back one that it took the place of.
    pub(super) fn push(&mut self, url: &Secret, message: Message, now: Duration) -> Option<Message> {
        let Some(queue) = self.0.iter_mut().find(|queue| queue.url == *url) else {
            let (waiting, url) = ([message].into(), url.clone());
            self.0.push(Queue { url, waiting, failures: 0, next: Some(now) });
            return None;
        };
        queue.waiting.push_back(message);
        // The first one may be under way.
        if queue.waiting.len() > WAITING { queue.waiting.remove(1) } else { None }
    }

    /// What to send now: a URL and a body each. It counts as under way from here on.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(Secret, String)> {
        let due = self.0.iter_mut().filter(|queue| queue.next.is_some_and(|at| at <= now));
        due.filter_map(|queue| {
            queue.next = None;
            Some((queue.url.clone(), queue.waiting.front()?.body.clone()))
        })
        .collect()
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.0.iter().filter_map(|queue| queue.next).min()
    }

    /// An attempt is over. Gives back the message when it is given up.
    pub(super) fn done(&mut self, url: &Secret, failure: Option<&Failure>, now: Duration) -> Option<Message> {
        let index = self.0.iter().position(|queue| queue.url == *url)?;
        let queue = &mut self.0[index];
        let mut lost = None;
        match failure {
            None => {
                queue.waiting.pop_front();
                (queue.failures, queue.next) = (0, Some(now));
            }
            Some(failure) => {
                queue.failures += 1;
                let pause = RETRY.saturating_mul(2_u32.saturating_pow(queue.failures - 1)).min(RETRY_MAX);
                queue.next = Some(now + pause);
                if failure.is_final || queue.failures >= ATTEMPTS {
                    lost = queue.waiting.pop_front();
                    queue.failures = 0;
                }
            }
        }
        if queue.waiting.is_empty() {
            self.0.remove(index);
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Message {
        Message {
            gateway: GatewayName::new("fraud").unwrap(),
            occasion: Occasion::Paused,
            body: body.to_owned(),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn down(is_final: bool) -> Failure {
        Failure { why: "refused".into(), is_final }
    }

    fn bodies(due: Vec<(Secret, String)>) -> Vec<String> {
        due.into_iter().map(|(_, body)| body).collect()
    }

    #[test]
    fn order_is_kept_and_attempts_become_rare_before_they_end() {
        let (mut queues, url) = (Queues::default(), Secret::new("http://a"));
        assert_eq!(queues.push(&url, message("1"), at(0)), None);
        assert_eq!(queues.push(&url, message("2"), at(0)), None);
        let (mut now, mut pauses) = (at(0), Vec::new());
        loop {
            assert_eq!(bodies(queues.due(now)), ["1"]);
            assert_eq!((queues.due(now).len(), queues.deadline()), (0, None), "it is under way");
            let lost = queues.done(&url, Some(&down(false)), now);
            let next = queues.deadline().unwrap();
            pauses.push((next.saturating_sub(now)).as_secs());
            now = next;
            if let Some(lost) = lost {
                assert_eq!(lost, message("1"));
                break;
            }
        }
        assert_eq!((pauses.len(), &pauses[..8]), (20, &[1, 2, 4, 8, 16, 32, 60, 60][..]));
        assert_eq!(bodies(queues.due(now)), ["2"]);
        assert_eq!(queues.done(&url, None, now), None);
        assert_eq!(queues.deadline(), None);
    }

    #[test]
    fn one_that_is_down_holds_up_no_other_and_a_refusal_is_final() {
        let mut queues = Queues::default();
        let [a, b] = ["http://a", "http://b"].map(Secret::new);
        for url in [&a, &b] {
            queues.push(url, message("1"), at(0));
            queues.push(url, message("2"), at(0));
        }
        assert_eq!(bodies(queues.due(at(0))), ["1", "1"]);
        queues.done(&a, Some(&down(false)), at(0));
        queues.done(&b, None, at(0));
        assert_eq!(bodies(queues.due(at(0))), ["2"]);
        assert_eq!(queues.done(&b, Some(&down(true)), at(0)), Some(message("2")));
        assert_eq!(bodies(queues.due(at(9))), ["1"]);
    }

    #[test]
    fn too_many_make_room_from_the_oldest_and_never_the_one_under_way() {
        let (mut queues, url) = (Queues::default(), Secret::new("http://a"));
        queues.push(&url, message("0"), at(0));
        assert_eq!(bodies(queues.due(at(0))), ["0"]);
        let lost: Vec<_> = (1..=u32::try_from(WAITING).unwrap() + 1)
            .filter_map(|n| queues.push(&url, message(&n.to_string()), at(0)))
            .collect();
        assert_eq!(lost, [message("1"), message("2")]);
        queues.done(&url, None, at(1));
        assert_eq!(bodies(queues.due(at(1))), ["3"]);
    }
}
