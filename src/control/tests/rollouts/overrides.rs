//! Orders that take traffic off a canary act where they are given, whether or not they can be kept.

use super::*;
use crate::control::{Handed, OverrideView, taken};
use crate::rollout::Phase as At;
use crate::store::{self, Seat};
use std::collections::BTreeMap;

const FULL: &str = "the disk is full";

fn percent(text: &str) -> Weight {
    Weight::parse(text).unwrap()
}

fn follows(leader: &str) -> Event {
    Event::Seat(Seat::Follows { leader: Some(leader.to_owned()) })
}

impl Kept {
    /// One with half of the traffic at the canary.
    fn half() -> Self {
        let mut kept = Self::new("steps: [50, 100]");
        kept.healthy();
        kept.keep();
        assert_eq!(kept.weight(), 5000);
        kept
    }

    /// The store keeps nothing of what is proposed. Says how often it was asked.
    fn fail(&mut self) -> usize {
        let mut asked = 0;
        while let Some(proposal) = self.play.world.take_proposal() {
            self.play.event(Event::Committed(proposal.id, Err(FULL.to_owned())));
            asked += 1;
        }
        asked
    }

    fn unkept(&mut self) -> Option<OverrideView> {
        self.play.world.view().gateways["fraud"].rollout.as_ref().and_then(|rollout| rollout.unkept.clone())
    }

    fn reply(&mut self, mut reply: oneshot::Receiver<Reply>) -> Reply {
        self.answer();
        reply.try_recv().unwrap()
    }

    /// Time passes until the store is asked again.
    fn later(&mut self) {
        self.play.now = self.play.now.plus(Duration::from_secs(3));
        self.play.event(Event::Tick);
    }

    /// How often people were alarmed about an order.
    fn alarms(&self) -> usize {
        let is_it =
            |(kind, text): &&(NoteKind, String)| *kind == NoteKind::Alarm && text.contains("not kept yet");
        self.play.told.iter().filter(is_it).count()
    }
}

#[test]
fn an_order_that_takes_traffic_off_waits_for_no_store() {
    for (verb, weight, phase) in [
        (Verb::Abort, 0, At::RolledBack),
        (Verb::SetWeight(percent("10")), 1000, At::Paused),
        (Verb::Pause, 5000, At::Paused),
    ] {
        let mut kept = Kept::half();
        let reply = kept.order(verb);
        assert_eq!(kept.weight(), weight, "before the store has answered");
        assert_eq!(kept.unkept(), None, "it is under way");
        assert_eq!(kept.fail(), 1);
        let outcome = kept.reply(reply).unwrap();
        assert_eq!((outcome.changed, outcome.kept, outcome.weight.hundredths()), (true, false, weight));
        assert!(
            outcome.message.contains(FULL) && outcome.message.contains("restarted"),
            "{}",
            outcome.message
        );
        let unkept = kept.unkept().unwrap();
        assert_eq!((unkept.verb, unkept.weight.hundredths(), &*unkept.actor), (verb.as_str(), weight, "ann"));

        // Nothing raises it meanwhile, and people are told once.
        for _ in 0..30 {
            kept.second(2_000.0, 0.0);
            kept.fail();
            assert_eq!(kept.weight(), weight);
        }
        assert_eq!(kept.alarms(), 1);

        // The store works again: the order is what is kept next.
        kept.later();
        assert_eq!(kept.keep(), 1);
        assert_eq!((kept.phase(), kept.weight(), kept.unkept()), (Phase::Of(phase), weight, None));
        let entries = kept.store.entries(&store::Query::default()).unwrap();
        assert_eq!(entries.last().map(|e| &*e.entry.actor), Some("ann"));
        kept.later();
        assert_eq!(kept.keep(), 0, "it is given once");
    }
}

#[test]
fn what_raises_a_weight_waits_for_the_store() {
    for verb in [
        Verb::Promote { full: false },
        Verb::Promote { full: true },
        Verb::SetWeight(percent("60")),
        Verb::Resume,
    ] {
        let mut kept = Kept::half();
        if verb == Verb::Resume {
            kept.order(Verb::Pause);
            kept.keep();
        }
        let reply = kept.order(verb);
        assert_eq!(kept.weight(), 5000);
        kept.fail();
        assert_eq!(kept.reply(reply), Err(Refusal::Store(FULL.to_owned())), "{verb:?}");
        assert_eq!((kept.weight(), kept.unkept()), (5000, None));
    }
}

#[test]
fn the_order_that_takes_off_more_counts() {
    let mut kept = Kept::half();
    for (verb, weight, counts) in [
        (Verb::SetWeight(percent("20")), 2000, "set-weight"),
        (Verb::Pause, 2000, "set-weight"),
        (Verb::SetWeight(percent("10")), 1000, "set-weight"),
        (Verb::Abort, 0, "abort"),
        (Verb::SetWeight(percent("0")), 0, "abort"),
        (Verb::Abort, 0, "abort"),
    ] {
        let reply = kept.order(verb);
        kept.fail();
        assert!(kept.reply(reply).is_ok_and(|outcome| !outcome.kept), "{verb:?}");
        assert_eq!((kept.weight(), kept.unkept().map(|u| u.verb)), (weight, Some(counts)), "{verb:?}");
        let more = kept.order(Verb::SetWeight(percent("30")));
        kept.fail();
        assert_eq!(kept.reply(more), Err(Refusal::Store(FULL.to_owned())), "after {verb:?}");
        assert_eq!((kept.weight(), kept.unkept().map(|u| u.verb)), (weight, Some(counts)));
    }
    kept.later();
    kept.keep();
    assert_eq!(kept.phase(), Phase::Of(At::RolledBack));
}

#[test]
fn an_order_that_cannot_be_kept_as_it_was_meant_is_told() {
    let mut kept = Kept::half();
    let (asker, mut reply) = Asker::new();
    let revision = kept.play.world.view().gateways["fraud"].rollout.as_ref().unwrap().revision;
    let order = |if_revision| Order { verb: Verb::Abort, actor: "ann".into(), reason: None, if_revision };
    let command = |order| Command { gateway: fraud(), order, key: None, ticket: None };
    kept.play.event(Event::Command(command(order(Some(revision + 1))), asker));
    assert_eq!(kept.weight(), 5000, "it is made for another revision");
    kept.answer();
    assert!(matches!(reply.try_recv().unwrap(), Err(Refusal::Conflict { .. })));

    // Another canary ends what was said of the one before.
    let reply = kept.order(Verb::Abort);
    kept.fail();
    assert!(kept.reply(reply).is_ok());
    let other = release("steps: [50, 100]").replace("http://b", "http://c");
    kept.play.write("fraud.yaml", other);
    assert_eq!(kept.unkept(), None);
    kept.later();
    kept.keep();
    kept.healthy();
    kept.keep();
    assert_eq!(kept.weight(), 5000, "the new one begins");
}

#[test]
fn a_store_that_was_away_since_the_start_finds_the_order() {
    let mut kept = Kept::half();
    let states = kept.store.load().unwrap().states;
    let lost = Err("the disk is gone".to_owned());
    kept.play.world = World::new(Settings::default()).with_rollouts(lost, Vec::new(), kept.play.now);
    kept.play.write("fraud.yaml", release("steps: [50, 100]"));
    assert_eq!(kept.weight(), 0, "nothing is known");
    let reply = kept.order(Verb::Abort);
    let outcome = kept.reply(reply).unwrap();
    assert!(!outcome.kept && outcome.message.contains("the disk is gone"), "{outcome:?}");
    kept.play.event(Event::Restored(store::Restored { states, ..store::Restored::default() }));
    assert_eq!(kept.weight(), 0, "the canary does not come back");
    kept.play.event(Event::Tick);
    kept.keep();
    assert_eq!((kept.phase(), kept.unkept()), (Phase::Of(At::RolledBack), None));
}

#[test]
fn an_abort_ends_the_copies_for_a_canary_at_once() {
    let mut kept = Kept::new("steps: [50], shadowFirst: { percent: 10, minMatch: 90% }");
    kept.healthy();
    kept.keep();
    let has_shadow =
        |kept: &mut Kept| kept.play.world.view().gateways["fraud"].gateway.as_ref().unwrap().shadow.is_some();
    assert!(has_shadow(&mut kept));
    kept.order(Verb::Abort);
    assert!(!has_shadow(&mut kept), "before the store has answered");
    kept.fail();
    kept.later();
    kept.keep();
    assert!(!has_shadow(&mut kept));
}

/// One of several that follows, and a leader with the same store.
fn two() -> (Kept, Kept) {
    let leader = Kept::half();
    let mut other =
        Kept { play: Play::new(), store: Sqlite::in_memory().unwrap(), others: Others::default() };
    other.play.now = leader.play.now;
    let world =
        World::new(Settings::default()).with_rollouts(Ok(BTreeMap::new()), Vec::new(), other.play.now);
    other.play.world = world.with_others(other.play.now);
    other.play.write("fraud.yaml", release("steps: [50, 100]"));
    (leader, other)
}

/// What the leader has kept reaches the one that follows.
fn tell(leader: &mut Kept, other: &mut Kept) {
    let all = leader.all();
    other.play.event(all);
}

/// The leader carries out what was handed on.
fn carry_out(leader: &mut Kept, handed: Handed) -> Event {
    let (event, pending) = taken(&"b-1".into(), &handed.paper()).unwrap();
    leader.play.event(event);
    leader.keep();
    leader.answer();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(pending.answer()).unwrap();
    handed.answer(&answer).unwrap()
}

#[test]
fn at_one_of_several_an_order_acts_before_the_leader_has_heard_of_it() {
    let (mut leader, mut other) = two();
    tell(&mut leader, &mut other);
    other.play.event(follows("a"));
    assert_eq!(other.weight(), 5000);
    let reply = other.order(Verb::Abort);
    assert_eq!(other.weight(), 0);
    let handed = other.play.world.take_handed().remove(0);
    assert!(handed.is_keyed(), "so that it is known when it is given again");
    let back = carry_out(&mut leader, handed);
    other.play.event(back);
    assert!(other.reply(reply).unwrap().kept);
    assert_eq!((other.weight(), other.unkept()), (0, None), "what is kept has not come yet");
    tell(&mut leader, &mut other);
    assert_eq!((other.phase(), other.weight()), (Phase::Of(At::RolledBack), 0));
    // Somebody tries the canary again.
    leader.order(Verb::Retry);
    leader.keep();
    leader.healthy();
    leader.keep();
    tell(&mut leader, &mut other);
    assert_eq!((leader.weight(), other.weight()), (5000, 5000), "nothing holds it down any more");
}

#[test]
fn an_order_that_the_leader_refuses_acts_no_more() {
    let (mut leader, mut other) = two();
    tell(&mut leader, &mut other);
    other.play.event(follows("a"));
    leader.order(Verb::Promote { full: true });
    leader.keep();
    let reply = other.order(Verb::Pause);
    let handed = other.play.world.take_handed().remove(0);
    let back = carry_out(&mut leader, handed);
    other.play.event(back);
    assert!(matches!(other.reply(reply), Err(Refusal::NotNow { .. })));
    tell(&mut leader, &mut other);
    assert_eq!((other.weight(), other.unkept()), (10_000, None));
}

#[test]
fn without_a_leader_or_a_store_an_order_acts_here_and_is_handed_on_later() {
    for is_cut in [false, true] {
        let (mut leader, mut other) = two();
        tell(&mut leader, &mut other);
        let seat = if is_cut { Seat::Cut { why: "no way".into() } } else { Seat::Follows { leader: None } };
        other.play.event(Event::Seat(seat));
        let reply = other.order(Verb::Abort);
        assert_eq!(other.weight(), 0);
        for handed in other.play.world.take_handed() {
            let back = handed.refuse(Refusal::Elsewhere("nobody leads".into())).unwrap();
            other.play.event(back);
        }
        let outcome = other.reply(reply).unwrap();
        assert!(!outcome.kept && outcome.message.contains("others"), "{}", outcome.message);
        for _ in 0..3 {
            other.later();
            assert!(other.play.world.take_handed().is_empty(), "to whom?");
        }
        // The leader goes on meanwhile.
        leader.order(Verb::SetWeight(percent("80")));
        leader.keep();
        tell(&mut leader, &mut other);
        assert_eq!((other.weight(), other.unkept().map(|u| u.verb)), (0, Some("abort")));
        other.play.event(follows("a"));
        other.play.event(Event::Tick);
        let handed = other.play.world.take_handed().remove(0);
        let back = carry_out(&mut leader, handed);
        other.play.event(back);
        tell(&mut leader, &mut other);
        assert_eq!((other.phase(), other.unkept()), (Phase::Of(At::RolledBack), None));
        other.later();
        assert!(other.play.world.take_handed().is_empty());
    }
}

#[test]
fn who_leads_next_keeps_what_was_ordered_there() {
    let (mut leader, mut other) = two();
    tell(&mut leader, &mut other);
    other.store = leader.store;
    other.play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    let reply = other.order(Verb::SetWeight(percent("20")));
    assert!(!other.reply(reply).unwrap().kept);
    let token = other.store.load().map(|_| 1).unwrap();
    other.play.event(Event::Seat(Seat::Leads { token }));
    other.play.event(Event::Tick);
    let proposal = other.play.world.take_proposal().unwrap();
    assert_eq!(proposal.commit.settled.len(), 1, "with its key");
    other.play.event(Event::Committed(proposal.id, Ok(())));
    assert_eq!((other.phase(), other.weight(), other.unkept()), (Phase::Of(At::Paused), 2000, None));
}
