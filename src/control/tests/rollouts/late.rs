//! A store that could not be opened at the start, and is there later.

use super::*;
use crate::control::{By, Throw};
use crate::model::Switch;
use crate::store::Restored;

#[test]
fn a_store_that_comes_late_gives_back_what_it_has() {
    let mut kept = Kept::new("steps: [50]");
    kept.healthy();
    kept.keep();
    assert_eq!(kept.weight(), 5000);
    let found = kept.store.load().unwrap();
    // The next start finds no store.
    let world = World::new(Settings::default());
    kept.play.world = world.with_rollouts(Err("no folder".to_owned()), Vec::new(), kept.play.now);
    kept.play.write("fraud.yaml", release("steps: [50]"));
    kept.play.write("new.yaml", release("steps: [50]").replace("name: fraud", "name: new\npath: /new"));
    kept.healthy();
    assert_eq!((kept.weight(), kept.keep()), (0, 0), "the primary alone, and nothing is decided");
    assert_eq!(kept.play.world.deadline(), None, "nothing is tried in vain");
    let documents = kept.play.world.take_documents().len();
    let mut found = found;
    found.switches = [("shadow".into(), false)].into();
    assert!(kept.play.event(Event::Restored(found)));
    assert!(!kept.play.world.view().switches.shadow, "as it was left");
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Progressing), 5000), "as before");
    assert_eq!(kept.play.told.last().unwrap().0, NoteKind::Repaired);
    assert_eq!(kept.play.world.take_documents().len(), documents, "the store is told all files");
    // The other one begins, and both go on.
    assert_eq!(kept.keep(), 1);
    assert_eq!(kept.play.gateway("new").phase, Phase::Of(rollout::Phase::Waiting));
    for _ in 0..60 {
        kept.second(2_000.0, 0.0);
        kept.keep();
    }
    assert_eq!((kept.phase(), kept.weight()), (Phase::Of(rollout::Phase::Promoted), 10_000));
}

#[test]
fn a_release_that_ended_while_there_was_no_store_ends_when_it_is_back() {
    let mut kept = Kept::new("steps: [50]");
    let found = kept.store.load().unwrap();
    let world = World::new(Settings::default());
    kept.play.world = world.with_rollouts(Err("no folder".to_owned()), Vec::new(), kept.play.now);
    kept.play.write("fraud.yaml", split("fraud", 30));
    kept.play.event(Event::Restored(found));
    assert_eq!(kept.keep(), 1);
    assert_eq!(kept.store.load().unwrap().states.len(), 0, "the file owns the weights");
    assert_eq!(kept.weight(), 7000);
}

#[test]
fn a_switch_that_was_thrown_while_there_was_no_store_stays_and_is_kept() {
    let mut world = World::new(Settings::default());
    let (asker, mut answer) = Asker::new();
    let by = By { actor: "ada".into(), reason: None };
    world.apply(
        Event::Throw(Throw { switch: Switch::Shadow, on: false, by, asker, ticket: None }),
        Timestamp(1),
    );
    assert!(!answer.try_recv().unwrap().unwrap().shadow);
    assert_eq!(world.take_switches(), [("shadow".into(), false)].into());
    assert_eq!(world.take_switches(), std::collections::BTreeMap::new(), "once");
    let switches = [("shadow".into(), true)].into();
    world.apply(Event::Restored(Restored { switches, ..Restored::default() }), Timestamp(2));
    assert!(!world.view().switches.shadow);
    assert_eq!(world.take_switches(), [("shadow".into(), false)].into());
}
