//! Several Serins with one store: who decides, and what the others serve.

use super::*;
use crate::control::{By, Throw};
use crate::model::{Switch, Switches};
use crate::store::{self, Seat};
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
    fn all(&mut self) -> Event {
        let found = self.store.load().unwrap();
        let states = found.states.into_iter().map(|(name, state)| (name, Some(state))).collect();
        Event::Kept(store::Kept { all: true, states, switches: found.switches })
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
    assert_eq!(
        other.world.take_wants().map_or(0, |wants| wants.compared.len()),
        0,
        "nothing is measured for it"
    );
    let (asker, mut reply) = Asker::new();
    let order = Order { verb: Verb::Pause, actor: "ann".to_owned(), reason: None, if_revision: None };
    other.event(Event::Command(Command { gateway: fraud(), order, key: None }, asker));
    other.world.take_answers().into_iter().for_each(|(asker, reply)| asker.answer(reply));
    let said = reply.try_recv().unwrap().unwrap_err().to_string();
    assert!(said.contains("the serin at a leads"), "{said}");

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
        play.event(Event::Throw(Throw { switch: Switch::Shadow, on, by, asker }));
        answer.try_recv().unwrap().map(|switches: Switches| switches.shadow)
    };
    let is = |shadow| {
        let switches = [("shadow".into(), shadow)].into();
        Event::Kept(store::Kept { all: true, switches, ..store::Kept::default() })
    };
    let off = BTreeMap::from([("shadow".into(), false)]);

    assert_eq!(throw(&mut play, false), Ok(false), "nobody leads");
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
    assert_eq!(throw(&mut play, false), Ok(false));
    play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    play.event(follows("b"));
    play.event(is(true));
    assert!(play.world.view().switches.shadow);
    let said = throw(&mut play, false).unwrap_err();
    assert!(said.contains("the serin at b leads"), "{said}");
    assert!(play.world.view().switches.shadow);
    play.event(is(false));
    assert!(!play.world.view().switches.shadow);
}
