//! What edits of the file do.

use super::*;

fn other(play: &mut Play, version: &str) {
    play.plan.identity.canary = side("v2", version);
    play.adopt();
}

#[test]
fn another_canary_is_another_release() {
    let mut play = Play::begun(plan());
    play.until(Phase::Baking, 1000.0, (0.0, 0.0));
    other(&mut play, "2.1");
    assert_eq!((play.state.phase, play.state.weight), (Phase::Waiting, Weight::NONE));
    assert_eq!(play.state.evidence, None, "another canary, other evidence");
    assert!(play.state.sentence.starts_with("the file releases something else"), "{}", play.state.sentence);
    play.input(&Input::Healthy(1));
    assert_eq!(play.state.weight, percent("5"));
}

#[test]
fn what_was_rolled_back_stays_without_traffic_until_somebody_says_retry() {
    let mut play = Play::begun(plan());
    play.until(Phase::RolledBack, 50.0, (1.0, 0.0));
    play.adopt();
    play.input(&Input::Healthy(1));
    assert_eq!(play.state.phase, Phase::RolledBack);
    other(&mut play, "2.1");
    assert_eq!(play.state.phase, Phase::Waiting);
    // Back to what was bad.
    other(&mut play, "2.0");
    play.input(&Input::Healthy(1));
    assert_eq!((play.state.phase, play.state.weight), (Phase::RolledBack, Weight::NONE));
    play.order(Verb::Retry).unwrap();
    play.input(&Input::Healthy(1));
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
}

#[test]
fn other_steps_and_limits_count_in_place_and_raise_nothing() {
    let mut play = Play::begun(plan());
    play.until(Phase::Holding, 10.0, (0.0, 0.0));
    let before = play.state.clone();
    play.plan.steps.remove(0);
    play.plan.steps[0].weight = percent("20");
    play.plan.settings.rtol = 0.5;
    play.plan.bake = Duration::ZERO;
    play.adopt();
    assert_eq!(play.state, before);
    while play.state.weight == percent("5") {
        play.second(1000.0, (0.0, 0.0));
    }
    assert_eq!(play.state.weight, percent("20"));
    play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
    assert!(!play.kinds().contains(&"baking"), "there is no time to bake");
}

#[test]
fn a_step_that_asks_nobody_any_more_goes_on() {
    let mut manual = plan();
    manual.steps[0].pause = StepPause::Manual;
    let mut play = Play::begun(manual);
    assert_eq!(play.state.phase, Phase::Paused);
    play.plan = plan();
    play.adopt();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
}

#[test]
fn after_a_release_the_file_takes_over_without_moving_traffic() {
    let mut play = Play::begun(plan());
    play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
    play.plan.identity.primary = side("v2", "2.0");
    play.adopt();
    assert_eq!(play.state.phase, Phase::Stable);
    let (before, after) = (play.told.last().unwrap().before.clone(), play.told.last().unwrap().after.clone());
    let v2 = UpstreamName::new("v2").unwrap();
    assert_eq!((before.unwrap()[&v2], after.unwrap()[&v2]), (Weight::ALL, Weight::ALL));
    // The next one.
    play.plan.identity.canary = side("v3", "3.0");
    play.adopt();
    assert_eq!((play.state.phase, play.state.weights()[&v2]), (Phase::Waiting, Weight::ALL));
}
