//! When to ask what. Pure: times are durations since any fixed moment.
//!
//! What an answer looks back on never overlaps: the first is asked for one interval after the canary got traffic, and
//! each further one an interval after the one before. No chance is involved, so the same events give the same times.

use crate::control::{Question, Questions};
use crate::names::GatewayName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// After an answer without data. As Argo Rollouts has it.
const RETRY: Duration = Duration::from_secs(10);
/// So many attempts are this quick; then it is the interval again.
const QUICK: u32 = 3;
/// Questions under way, of all gateways together.
const AT_ONCE: usize = 16;

/// What is to be asked, and when.
#[derive(Debug, Default)]
pub(super) struct Plan {
    asked: BTreeMap<(GatewayName, String), State>,
    under_way: BTreeMap<u64, (GatewayName, String)>,
    tickets: u64,
}

#[derive(Debug)]
struct State {
    question: Arc<Question>,
    misses: u32,
    turn: Turn,
}

#[derive(Debug, PartialEq)]
enum Turn {
    /// To be asked at this time.
    At(Duration),
    /// Asked at this time, under this number.
    UnderWay(Duration, u64),
}

impl Plan {
    /// These are to be asked, and no others.
    pub(super) fn want(&mut self, questions: &Questions, now: Duration) {
        self.asked.retain(|key, _| questions.contains_key(key));
        for (key, question) in questions {
            let first = || Turn::At(now + question.metric.interval);
            let state = self.asked.entry(key.clone()).or_insert_with(|| State {
                question: Arc::clone(question),
                misses: 0,
                turn: first(),
            });
            if !is_same(&state.question, question) {
                (state.misses, state.turn) = (0, first());
            }
            state.question = Arc::clone(question);
        }
    }

    /// What to ask now, under a number each. It counts as under way from here on.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(u64, Arc<Question>)> {
        let free = AT_ONCE.saturating_sub(self.under_way.len());
        let mut due: Vec<_> = self
            .asked
            .iter_mut()
            .filter_map(|(key, state)| match state.turn {
                Turn::At(at) if at <= now => Some((at, key, state)),
                Turn::At(_) | Turn::UnderWay(..) => None,
            })
            .collect();
        // Who has waited longest comes first.
        due.sort_by_key(|(at, ..)| *at);
        let mut tickets = Vec::new();
        for (_, key, state) in due.into_iter().take(free) {
            self.tickets += 1;
            state.turn = Turn::UnderWay(now, self.tickets);
            self.under_way.insert(self.tickets, key.clone());
            tickets.push((self.tickets, Arc::clone(&state.question)));
        }
        tickets
    }

    /// When something is due next; `None`: nothing is, before something that is under way is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        let at = |state: &State| match state.turn {
            Turn::At(at) => Some(at),
            Turn::UnderWay(..) => None,
        };
        self.asked.values().filter_map(at).min()
    }

    /// What was asked under this number is over.
    pub(super) fn done(&mut self, ticket: u64, well: bool, now: Duration) {
        let Some(key) = self.under_way.remove(&ticket) else { return };
        let Some(state) = self.asked.get_mut(&key) else { return };
        // Meanwhile another question took its place.
        let Turn::UnderWay(at, _) = state.turn else { return };
        if state.turn != Turn::UnderWay(at, ticket) {
            return;
        }
        let interval = state.question.metric.interval;
        state.misses = if well { 0 } else { state.misses.saturating_add(1) };
        state.turn = Turn::At(match state.misses {
            0 => at + interval,
            1..=QUICK => now + RETRY.min(interval),
            _ => now + interval,
        });
    }
}

/// Whether answers to both belong together: only secrets and limits may differ.
fn is_same(one: &Question, other: &Question) -> bool {
    let key = |q: &Question| (q.began, q.metric.interval);
    key(one) == key(other) && one.canary == other.canary && one.primary == other.primary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::{Limits, MetricSource, Provided, Remote};
    use crate::names::UpstreamName;
    use crate::rollout::Side;

    fn question(gateway: &str, interval: u64, began: i64) -> Question {
        let side = |name: &str| Side {
            name: UpstreamName::new(name).unwrap(),
            endpoints: vec![format!("{name}:80")],
            model: None,
            version: None,
        };
        let remote = Remote { url: "http://a".into(), headers: Vec::new(), ca: None };
        Question {
            gateway: GatewayName::new(gateway).unwrap(),
            metric: Provided {
                name: "drift".into(),
                source: MetricSource::Webhook(remote),
                limits: Limits::default(),
                interval: at(interval),
                dry_run: false,
            },
            canary: side("v2"),
            primary: side("v1"),
            began: Timestamp(began),
        }
    }

    fn questions(all: impl IntoIterator<Item = Question>) -> Questions {
        all.into_iter().map(|q| ((q.gateway.clone(), q.metric.name.clone()), Arc::new(q))).collect()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn windows_never_overlap_and_a_miss_is_tried_again_soon_but_not_for_long() {
        let mut plan = Plan::default();
        plan.want(&questions([question("fraud", 60, 1)]), at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for well in [true, true, false, false, false, false, false, true, true] {
            let next = plan.deadline().unwrap();
            assert_eq!(plan.due(next.saturating_sub(Duration::from_millis(1))).len(), 0);
            pauses.push((next.saturating_sub(now)).as_secs());
            now = next;
            let due = plan.due(now);
            assert_eq!((due.len(), plan.due(now).len(), plan.deadline()), (1, 0, None), "it is under way");
            // The answer takes two seconds.
            plan.done(due[0].0, well, now + at(2));
        }
        assert_eq!(pauses, [60, 60, 60, 12, 12, 12, 62, 62, 60]);
    }

    #[test]
    fn another_release_begins_anew_and_the_answer_to_the_old_one_changes_nothing() {
        let mut plan = Plan::default();
        plan.want(&questions([question("fraud", 60, 1)]), at(0));
        let old = plan.due(at(60))[0].0;
        plan.want(&questions([question("fraud", 60, 2)]), at(61));
        plan.done(old, true, at(62));
        assert_eq!(plan.deadline(), Some(at(121)));
        // The same release with other limits goes on.
        let mut edited = question("fraud", 60, 2);
        edited.metric.dry_run = true;
        plan.want(&questions([edited]), at(100));
        assert!(plan.due(at(121))[0].1.metric.dry_run);
        plan.want(&Questions::new(), at(130));
        assert_eq!(plan.deadline(), None);
    }

    #[test]
    fn only_so_many_are_asked_at_once_and_nobody_waits_for_ever() {
        let many = (0..40).map(|n| question(&format!("g{n}"), 60, 1));
        let mut plan = Plan::default();
        plan.want(&questions(many), at(0));
        let first = plan.due(at(60));
        assert_eq!((first.len(), plan.deadline()), (AT_ONCE, None));
        let mut seen: Vec<GatewayName> = first.iter().map(|(_, q)| q.gateway.clone()).collect();
        for (ticket, _) in first {
            plan.done(ticket, true, at(70));
            seen.extend(plan.due(at(500)).into_iter().map(|(_, q)| q.gateway.clone()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 2 * AT_ONCE, "those who have not been asked come before those who have");
    }
}
