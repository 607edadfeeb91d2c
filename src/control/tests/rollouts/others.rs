//! Several Serins with one store: who decides, and what the others serve.

use super::*;
use crate::control::{By, Handed, Pending, Throw, taken};
use crate::model::{Switch, Switches};
use crate::rollout::{self, Refusal};
use crate::store::{self, Error, Seat};
use std::collections::BTreeMap;

/// One that has heard nothing yet.
fn replica(text: String) -> Play {
    let mut play = Play::new();
    let world = World::new(Settings::default()).with_rollouts(Ok(BTreeMap::new()), Vec::new(), play.now);
    play.world = world.with_others(play.now);
    play.write("fraud.yaml", text);
    play
}

fn follows(leader: &str) -> Event {
    Event::Seat(Seat::Follows { leader: Some(leader.to_owned()) })
}

/// Who gets traffic, in hundredths of a percent, and what of its release people are shown.
fn split(play: &mut Play) -> (Vec<(String, u32)>, Phase) {
    let view = play.world.view();
    let gateway = &view.gateways["fraud"];
    let upstreams = gateway.gateway.as_ref().unwrap().upstreams.iter();
    let parts = upstreams.map(|u| (u.name.clone(), u.weight.hundredths())).filter(|(_, w)| *w > 0);
    (parts.collect(), gateway.phase)
}

fn parts(parts: &[(&str, u32)]) -> Vec<(String, u32)> {
    parts.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

impl Kept {
    /// Everything that is kept, as those who follow read it.
    pub(super) fn all(&mut self) -> Event {
        let found = self.store.load().unwrap();
        let states = found.states.into_iter().map(|(name, state)| (name, Some(state))).collect();
        Event::Kept(store::Kept { all: true, states, switches: found.switches, ..store::Kept::default() })
    }
}

#[test]
fn who_follows_serves_what_is_kept_and_decides_nothing() {
    let mut leader = Kept::new("steps: [50]");
    leader.healthy();
    leader.keep();
    let mut other = replica(release("steps: [50]"));
    assert_eq!(
        split(&mut other),
        (parts(&[("v1", 10_000)]), Phase::Of(rollout::Phase::Stable)),
        "nothing is known"
    );
    other.event(leader.all());
    other.event(follows("a"));
    assert_eq!(
        split(&mut other),
        (parts(&[("v1", 5000), ("v2", 5000)]), Phase::Of(rollout::Phase::Progressing))
    );
    other.event(Event::Healthy([(fraud(), 1)].into()));
    other.wait(Duration::from_hours(1));
    assert!(other.world.take_proposal().is_none());
    let wants = other.world.take_wants().unwrap();
    assert_eq!(
        (wants.compared.len(), wants.questions.len()),
        (1, 0),
        "it measures for the leader, and asks nobody"
    );
    assert!(!wants.duty.counts && wants.duty.stages[&fraud()].revision == 2 && !wants.duty.waits);
    let (asker, mut reply) = Asker::new();
    let order = Order { verb: Verb::Pause, actor: "ann".to_owned(), reason: None, if_revision: None };
    other.event(Event::Command(Command { gateway: fraud(), order, key: None, ticket: None }, asker));
    assert!(other.world.take_answers().is_empty(), "it is not answered here");
    let mut handed = other.world.take_handed();
    assert!(handed.len() == 1 && other.world.take_handed().is_empty(), "{handed:?}");
    let (event, pending) = taken(&"b-1".into(), &handed[0].paper()).unwrap();
    leader.play.event(event);
    leader.keep();
    leader.answer();
    assert_eq!(leader.phase(), Phase::Of(rollout::Phase::Paused), "carried out by the one that leads");
    other.event(handed.remove(0).answer(&answer(pending).unwrap()).unwrap());
    other.world.take_answers().into_iter().for_each(|(asker, reply)| asker.answer(reply));
    assert_eq!(reply.try_recv().unwrap().unwrap().phase, rollout::Phase::Paused);
    leader.order(Verb::Resume);
    leader.keep();
    other.event(leader.all());

    // The other one is gone: it goes on from what was kept.
    other.event(Event::Seat(Seat::Leads { token: 2 }));
    assert_eq!(other.world.view().seat, Some((Seat::Leads { token: 2 }, other.now)));
    assert_eq!(
        split(&mut other),
        (parts(&[("v1", 5000), ("v2", 5000)]), Phase::Of(rollout::Phase::Progressing))
    );
    leader.play = other;
    for _ in 0..60 {
        leader.second(2_000.0, 0.0);
        leader.keep();
    }
    assert_eq!((leader.phase(), leader.weight()), (Phase::Of(rollout::Phase::Promoted), 10_000));
}

#[test]
fn a_replica_that_does_not_know_the_pair_serves_the_safe_state_of_its_own_file() {
    let mut leader = Kept::new("steps: [50]");
    leader.healthy();
    leader.keep();
    let newer =
        release("steps: [50]").replace("v2: http://b", "v3: http://c").replace("canary: v2", "canary: v3");
    let mut other = replica(newer);
    other.event(leader.all());
    other.event(follows("a"));
    assert_eq!(split(&mut other).0, parts(&[("v1", 10_000)]), "v3 has no traffic of v2");
    // A step of the pair that it does not know.
    leader.order(Verb::SetWeight(Weight::parse("60").unwrap()));
    leader.keep();
    other.event(leader.all());
    assert_eq!(split(&mut other).0, parts(&[("v1", 10_000)]));
    assert!(other.world.take_proposal().is_none(), "nor does it begin its own");
    // Its file comes back to that of the leader.
    other.write("fraud.yaml", release("steps: [50]"));
    assert_eq!(split(&mut other).0, parts(&[("v1", 4000), ("v2", 6000)]));
}

#[test]
fn a_switch_holds_until_others_have_led() {
    let mut play = replica(release("steps: [50]"));
    let throw = |play: &mut Play, on| {
        let (asker, mut answer) = Asker::new();
        let by = By { actor: "ada".into(), reason: None };
        play.event(Event::Throw(Throw { switch: Switch::Shadow, on, by, asker, ticket: None }));
        answer.try_recv().ok()?.ok().map(|switches: Switches| switches.shadow)
    };
    let is = |shadow| {
        let switches = [("shadow".into(), shadow)].into();
        Event::Kept(store::Kept { all: true, switches, ..store::Kept::default() })
    };
    let off = BTreeMap::from([("shadow".into(), false)]);

    assert_eq!(throw(&mut play, false), Some(false), "nobody leads");
    play.event(is(true));
    assert!(!play.world.view().switches.shadow, "what is kept is older");
    play.event(Event::Seat(Seat::Leads { token: 4 }));
    assert_eq!(play.world.take_switches(), off, "it is kept as soon as it can be");
    assert_eq!(play.world.take_switches(), BTreeMap::new());

    // Cut off, and nobody knows whether it was kept; nobody else has led meanwhile.
    play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    play.event(is(true));
    play.event(Event::Seat(Seat::Leads { token: 5 }));
    assert!(!play.world.view().switches.shadow);
    assert_eq!(play.world.take_switches(), off, "once more");

    // Somebody led in between and switched it on: token 6 was theirs.
    play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    play.event(is(true));
    play.event(Event::Seat(Seat::Leads { token: 7 }));
    assert!(play.world.view().switches.shadow);
    assert_eq!(play.world.take_switches(), BTreeMap::new());

    // Another one leads, and says where it stands.
    assert_eq!(throw(&mut play, false), Some(false));
    play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    play.event(follows("b"));
    play.event(is(true));
    assert!(play.world.view().switches.shadow);
    assert_eq!(throw(&mut play, false), None, "it is handed on");
    assert!(matches!(&play.world.take_handed()[..], [Handed::Throw(throw)] if !throw.on));
    assert!(play.world.view().switches.shadow);
    play.event(is(false));
    assert!(!play.world.view().switches.shadow);
}

/// What is answered at once to the one who handed an order on.
fn answer(pending: Pending) -> Option<String> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(pending.answer())
}

/// One that leads, with the release of the others.
fn leads(token: u64) -> Kept {
    let mut leader = Kept::new("steps: [50]");
    leader.healthy();
    leader.keep();
    let all = leader.all();
    leader.play = replica(release("steps: [50]"));
    leader.play.event(all);
    leader.play.event(Event::Seat(Seat::Leads { token }));
    leader
}

fn handed(verb: Verb, key: Option<&str>) -> String {
    let order = Order { verb, actor: "ann".to_owned(), reason: None, if_revision: None };
    let key = key.map(str::to_owned);
    Handed::Command(Command { gateway: fraud(), order, key, ticket: None }, Asker::new().0).paper()
}

#[test]
fn the_answer_to_an_order_is_kept_with_what_it_decided() {
    let mut leader = leads(3);
    let (event, pending) = taken(&"b-1".into(), &handed(Verb::Pause, None)).unwrap();
    leader.play.event(event);
    let proposal = leader.play.world.take_proposal().unwrap();
    let [settled] = &proposal.commit.settled[..] else { panic!("{proposal:?}") };
    assert_eq!((settled.ticket.as_deref(), settled.is_keyed, settled.is_binding), (Some("b-1"), false, true));
    assert_eq!(proposal.commit.token, Some(3));
    assert!(settled.answer.contains("Paused"), "{settled:?}");
    // Whether it was kept is not known: nobody is told that it was not, and who leads next looks.
    leader.play.event(Event::Committed(proposal.id, Err("no way".into())));
    leader.answer();
    assert_eq!(answer(pending), None);
    assert!(leader.play.world.take_handed().is_empty());
}

#[test]
fn an_order_that_may_have_been_kept_is_not_said_to_have_changed_nothing() {
    for (event, expected) in [
        (
            (|id| Event::Committed(id, Err("no way".into()))) as fn(u64) -> Event,
            Refusal::Unknown("no way".into()),
        ),
        (|id| Event::Refused(id, Error::Fenced), Refusal::Elsewhere(Error::Fenced.to_string())),
    ] {
        let mut leader = leads(3);
        let mut reply = leader.order(Verb::Promote { full: false });
        let proposal = leader.play.world.take_proposal().unwrap();
        leader.play.event(event(proposal.id));
        leader.answer();
        assert_eq!(reply.try_recv().unwrap(), Err(expected));
        assert!(matches!(leader.play.world.view().seat, Some((Seat::Cut { .. }, _))));
    }
}

#[test]
fn an_order_that_is_late_takes_nothing_else_with_it() {
    let mut leader = leads(3);
    let term = leader.play.world.take_wants().unwrap().duty.term;
    let (event, pending) = taken(&"b-1".into(), &handed(Verb::Pause, None)).unwrap();
    leader.play.event(event);
    let mut given = leader.order(Verb::SetWeight(Weight::parse("40").unwrap()));
    let proposal = leader.play.world.take_proposal().unwrap();
    let mut next = leader.order(Verb::SetWeight(Weight::parse("30").unwrap()));
    leader.play.event(Event::Refused(proposal.id, Error::Late));
    leader.answer();
    assert_eq!(answer(pending), None, "who has handed it on was told already");
    assert!(given.try_recv().is_err(), "it is decided about again");
    let wants = leader.play.world.take_wants().unwrap();
    assert_eq!(wants.duty.term, term + 1, "what others measured is read again");
    assert_eq!(leader.keep(), 1);
    leader.answer();
    assert_eq!(given.try_recv().unwrap().unwrap().weight, Weight::parse("40").unwrap());
    assert_eq!(next.try_recv().unwrap().unwrap().weight, Weight::parse("30").unwrap(), "in their order");
    assert!(matches!(leader.play.world.view().seat, Some((Seat::Leads { token: 3 }, _))));
}

#[test]
fn an_order_that_was_handed_on_waits_for_whoever_leads() {
    let mut other = replica(release("steps: [50]"));
    other.event(follows("a"));
    for paper in [handed(Verb::Abort, None), thrown_off()] {
        let (event, pending) = taken(&"b-1".into(), &paper).unwrap();
        other.event(event);
        assert!(other.world.take_answers().is_empty() && other.world.take_handed().is_empty());
        assert_eq!(answer(pending), None, "it is not handed on twice");
    }
    assert!(other.world.view().switches.shadow);
    // What nobody can keep is refused at once.
    other.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    let (asker, mut reply) = Asker::new();
    let order = Order { verb: Verb::Pause, actor: "ann".to_owned(), reason: None, if_revision: None };
    other.event(Event::Kept(store::Kept { all: true, ..store::Kept::default() }));
    other.event(Event::Command(Command { gateway: fraud(), order, key: None, ticket: None }, asker));
    other.world.take_answers().into_iter().for_each(|(asker, reply)| asker.answer(reply));
    assert_eq!(reply.try_recv().unwrap(), Err(Refusal::Elsewhere("no way".into())));
}

fn thrown_off() -> String {
    let by = By { actor: "ada".into(), reason: None };
    let throw = Throw { switch: Switch::Shadow, on: false, by, asker: Asker::new().0, ticket: None };
    Handed::Throw(throw).paper()
}

#[test]
fn the_answer_to_a_switch_is_kept_with_its_position() {
    let mut leader = leads(3);
    let mut throw = || {
        let (event, pending) = taken(&"b-1".into(), &thrown_off()).unwrap();
        leader.play.event(event);
        (leader.play.world.take_settled(), leader.play.world.take_switches().len(), answer(pending))
    };
    let (settled, switches, first) = throw();
    assert_eq!((settled.len(), switches, first), (1, 1, None), "it is answered by what is kept");
    let (again, switches, second) = throw();
    assert_eq!((again, switches, second), (settled, 1, None), "and so when that was not kept");
}

#[test]
fn a_switch_that_is_met_again_undoes_no_newer_one() {
    let mut leader = leads(3);
    let handed = |leader: &mut Kept, ticket: &str| {
        let (event, pending) = taken(&ticket.into(), &thrown_off()).unwrap();
        leader.play.event(event);
        assert_eq!(answer(pending), None);
        leader.play.world.view().switches.shadow
    };
    assert!(!handed(&mut leader, "b-1"));
    leader.play.world.take_settled();
    // Its answer is not kept yet, and it is switched on here.
    let (asker, mut reply) = Asker::new();
    let by = By { actor: "bob".into(), reason: None };
    leader.play.event(Event::Throw(Throw { switch: Switch::Shadow, on: true, by, asker, ticket: None }));
    assert!(reply.try_recv().unwrap().unwrap().shadow);
    assert!(handed(&mut leader, "b-1"), "it is answered, and not thrown again");
    let settled = leader.play.world.take_settled();
    assert!(settled.len() == 1 && settled[0].answer.contains("true"), "{settled:?}");
    assert_eq!(leader.play.world.take_switches(), [("shadow".into(), true)].into());
    // Another one has led, and does not know of it.
    assert!(!handed(&mut leader, "b-2"));
    leader.play.event(follows("b"));
    assert_eq!(leader.play.world.take_settled(), []);
    assert!(leader.play.world.view().switches.shadow);
    leader.play.event(Event::Seat(Seat::Leads { token: 5 }));
    assert!(!handed(&mut leader, "b-2"), "it waits still");
}

#[test]
fn who_leads_next_knows_the_keys_of_orders() {
    let mut first = leads(3);
    first.play.event(taken(&"b-1".into(), &handed(Verb::Promote { full: false }, Some("k"))).unwrap().0);
    let settled = first.play.world.take_proposal().unwrap().commit.settled.remove(0);
    assert!(settled.is_keyed);
    let mut next = Kept::new("steps: [50]");
    next.play = replica(release("steps: [50]"));
    let replies = vec![(Duration::from_mins(1), settled.paper, settled.answer.clone())];
    let Event::Kept(all) = next.all() else { unreachable!() };
    next.play.event(Event::Kept(store::Kept { replies, ..all }));
    next.play.event(Event::Seat(Seat::Leads { token: 4 }));
    next.keep();
    for (verb, is_same) in [(Verb::Promote { full: false }, true), (Verb::Abort, false)] {
        let (event, pending) = taken(&"c-1".into(), &handed(verb, Some("k"))).unwrap();
        next.play.event(event);
        assert!(next.play.world.take_proposal().is_none(), "it is not carried out again");
        next.answer();
        let said = answer(pending).unwrap();
        assert_eq!(said == settled.answer, is_same, "{said}");
    }
}

#[test]
fn since_when_nobody_leads_is_known() {
    let mut other = replica(release("steps: [50]"));
    let begin = other.now;
    let since = |play: &mut Play| play.world.view().leaderless;
    assert_eq!(since(&mut other), Some(begin), "nobody was heard of yet");
    for seat in
        [Seat::Cut { why: "no way".into() }, Seat::Follows { leader: None }, Seat::Cut { why: "none".into() }]
    {
        other.wait(Duration::from_secs(5));
        other.event(Event::Seat(seat));
        assert_eq!(since(&mut other), Some(begin), "whatever else is different");
    }
    other.event(follows("a"));
    assert_eq!(since(&mut other), None);
    other.wait(Duration::from_secs(5));
    let gone = other.now;
    other.event(Event::Seat(Seat::Follows { leader: None }));
    assert_eq!(since(&mut other), Some(gone));
    other.event(Event::Seat(Seat::Leads { token: 1 }));
    assert_eq!(since(&mut other), None);
    assert_eq!(Kept::new("").play.world.view().leaderless, None, "who is alone needs none");
}
