//! One of several Serins that starts without the store serves what it remembers, and decides nothing.

use super::*;
use crate::store::{self, Seat};
use std::collections::BTreeMap;

#[test]
fn what_is_remembered_is_served_until_the_store_says_what_is_kept() {
    let mut kept = Kept::new("steps: [50]");
    kept.healthy();
    kept.keep();
    let before = kept.snapshot();
    let states = kept.store.load().unwrap().states;
    let now = kept.play.now;
    let good = [("fraud.yaml".into(), release("steps: [50]").into())].into();
    let world = World::new(Settings::default()).with_last_good(good);
    let world = world.with_rollouts(Ok(states), Vec::new(), now);
    kept.play = Play { world: world.with_others(now).with_recalled("no way", now), ..Play::new() };
    kept.play.write("fraud.yaml", release("steps: [50]"));
    assert!(kept.play.world.take_documents_aside().is_empty(), "it is remembered");
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Progressing), 5000), "as before");
    assert_eq!(versions(&before), versions(&kept.snapshot()), "so that Envoys are sent nothing");
    assert!(kept.play.world.view().is_recalled);
    let alarms = kept.play.told.iter().filter(|(kind, _)| *kind == NoteKind::Alarm);
    assert!(alarms.clone().any(|(_, said)| said.contains("knew them last")), "{:?}", kept.play.told);
    kept.play.event(Event::Seat(Seat::Cut { why: "no way".into() }));
    for _ in 0..60 {
        kept.second(2_000.0, 2_000.0);
    }
    assert_eq!((kept.keep(), kept.weight()), (0, 5000), "no rollout moves, not even down");
    // Another one has taken the canary back meanwhile, as is heard when the store is there again.
    let all = store::Kept { all: true, states: BTreeMap::new(), ..store::Kept::default() };
    kept.play.event(Event::Kept(all));
    assert_eq!(kept.weight(), 0);
    assert!(!kept.play.world.view().is_recalled);
    let told = kept.play.world.take_documents();
    assert_eq!(
        told.keys().map(|path| &**path).collect::<Vec<_>>(),
        ["fraud.yaml"],
        "the store may not know it"
    );
}

/// While replicas are replaced, the older ones read what a newer one has written.
#[test]
fn a_field_of_a_newer_serin_is_passed_over() {
    let mut kept = Kept::new("steps: [50]");
    kept.healthy();
    kept.keep();
    let mut states = kept.store.load().unwrap().states;
    let (_, state) = states.values_mut().next().unwrap();
    let written = state.clone();
    state["ofANewerSerin"] = 1.into();
    state["stage"]["ofANewerSerin"] = 1.into();
    assert_ne!(*state, written);
    let world = World::new(Settings::default()).with_rollouts(Ok(BTreeMap::new()), Vec::new(), kept.play.now);
    kept.play = Play { world: world.with_others(kept.play.now), ..Play::new() };
    kept.play.write("fraud.yaml", release("steps: [50]"));
    assert_eq!(kept.weight(), 0);
    let states = states.into_iter().map(|(name, state)| (name, Some(state))).collect();
    kept.play.event(Event::Kept(store::Kept { all: true, states, ..store::Kept::default() }));
    assert_eq!(kept.weight(), 5000);
}

#[test]
fn who_follows_says_what_is_good_once_to_itself_and_once_to_the_store() {
    let mut play = Play::new();
    let world = World::new(Settings::default()).with_rollouts(Ok(BTreeMap::new()), Vec::new(), play.now);
    play.world = world.with_others(play.now);
    play.files(&[("a.yaml", Some(gateway("a"))), ("b.yaml", Some(gateway("b")))]);
    assert_eq!(play.world.take_documents_aside().len(), 2);
    assert_eq!(play.world.take_documents_aside().len(), 0);
    play.write("a.yaml", split("a", 10));
    let aside = play.world.take_documents_aside();
    assert_eq!(aside, [("a.yaml".into(), Some(split("a", 10).into()))].into());
    play.write("b.yaml", split("b", 20));
    let told = play.world.take_documents();
    let newest =
        [("a.yaml".into(), Some(split("a", 10).into())), ("b.yaml".into(), Some(split("b", 20).into()))];
    assert_eq!(told, newest.into(), "who leads next writes the newest of all");
    assert_eq!((play.world.take_documents().len(), play.world.take_documents_aside().len()), (0, 0));
}
