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

fn with(side: &Side, endpoints: &[&str]) -> Side {
    Side { endpoints: endpoints.iter().map(ToString::to_string).collect(), ..side.clone() }
}

#[test]
fn rolled_back_canary_stays_so_whatever_is_edited_beside_it() {
    let primaries = [
        with(&side("v1", "1.4"), &["v1:8080", "v1:8081"]),
        side("v1", "1.5"),
        with(&side("v1", "1.4"), &["elsewhere:80"]),
        side("v0", "1.0"),
    ];
    for primary in primaries {
        let mut play = Play::begun(plan());
        play.until(Phase::Progressing, 50.0, (0.0, 0.0));
        play.order(Verb::Abort).unwrap();
        let revision = play.state.revision;
        play.plan.identity.primary = primary.clone();
        play.adopt();
        play.input(&Input::Healthy(1));
        assert_eq!((play.state.phase, play.state.weight), (Phase::RolledBack, Weight::NONE), "{primary:?}");
        assert_eq!((play.state.revision, &play.state.identity.primary), (revision, &primary));
        // Its own servers may come and go.
        play.plan.identity.canary.endpoints.push("v2:8081".to_owned());
        play.adopt();
        play.input(&Input::Healthy(2));
        assert_eq!(play.state.phase, Phase::RolledBack);
        // Another release meanwhile does not make it better.
        play.plan.identity.canary = side("v3", "3.0");
        play.adopt();
        assert_eq!(play.state.phase, Phase::Waiting);
        play.plan.identity.canary = side("v2", "2.0");
        play.adopt();
        assert_eq!(play.state.phase, Phase::RolledBack);
        play.order(Verb::Retry).unwrap();
        assert_eq!(play.state.phase, Phase::Waiting);
        play.adopt();
        assert_eq!(play.state.phase, Phase::Waiting, "`retry` is not forgotten");
    }
}

#[test]
fn scaling_of_either_version_keeps_step_and_evidence() {
    for is_canary in [false, true] {
        let mut play = Play::begun(plan());
        play.until(Phase::Baking, 1000.0, (0.0, 0.0));
        let before = play.state.clone();
        let sides = &mut play.plan.identity;
        let scaled = if is_canary { &mut sides.canary } else { &mut sides.primary };
        scaled.endpoints.push("another:8080".to_owned());
        let name = scaled.name.clone();
        play.adopt();
        assert_eq!(
            (play.state.phase, play.state.weight, &play.state.evidence),
            (before.phase, before.weight, &before.evidence)
        );
        assert_eq!(
            (play.state.began, play.state.stage, &play.state.weights),
            (before.began, before.stage, &before.weights)
        );
        let told = &play.told.last().unwrap().message;
        assert!(told.contains(&format!("the endpoints of {name} were edited")), "{told}");
        assert_eq!(&play.state.sentence, told);
        let revision = play.state.revision;
        play.adopt();
        assert_eq!(play.state.revision, revision, "it is told once");
        play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
    }
}

#[test]
fn another_primary_holds_the_canary_at_its_weight_and_asks_for_new_evidence() {
    for primary in [side("v1", "1.5"), with(&side("v1", "1.4"), &["elsewhere:80"]), side("v0", "1.0")] {
        let mut play = Play::begun(plan());
        play.until(Phase::Holding, 10.0, (0.0, 0.0));
        while play.state.weight == percent("5") {
            play.second(1000.0, (0.0, 0.0));
        }
        assert_eq!(play.state.weight, percent("50"));
        play.second(1000.0, (0.0, 0.0));
        play.plan.identity.primary = primary;
        play.adopt();
        assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, percent("50")));
        let evidence = play.state.evidence.as_ref().unwrap();
        assert!(evidence.analysis.stage_requests() < 0.5 && evidence.origin == play.now);
        assert_eq!(play.state.stage, Stage::new(play.now));
        play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
    }
}

#[test]
fn another_primary_at_all_traffic_keeps_what_was_learnt_of_the_one_before() {
    let mut play = Play::begun(plan());
    play.until(Phase::Baking, 1000.0, (0.0, 0.0));
    let before = play.state.clone();
    play.plan.identity.primary = side("v1", "1.5");
    play.adopt();
    assert_eq!(
        (play.state.phase, play.state.weight, &play.state.evidence),
        (Phase::Baking, Weight::ALL, &before.evidence)
    );
    let told = &play.told.last().unwrap().message;
    assert!(told.contains("the primary is v1 (fraud 1.5) now: v2 has all traffic"), "{told}");
    play.until(Phase::RolledBack, 1000.0, (0.04, 0.0));
}

#[test]
fn what_a_pause_waits_for_is_said_also_after_an_edit() {
    let mut play = Play::begun(plan());
    play.until(Phase::Progressing, 50.0, (0.0, 0.0));
    play.order(Verb::Pause).unwrap();
    let before = play.state.clone();
    play.plan.identity.canary.endpoints.push("another:8080".to_owned());
    play.adopt();
    assert!(play.told.last().unwrap().message.contains("the endpoints of v2 were edited"));
    assert_eq!((play.state.phase, &play.state.sentence), (Phase::Paused, &before.sentence));
}

#[test]
fn one_edit_may_scale_and_ask_less() {
    let mut manual = plan();
    manual.steps[0].pause = StepPause::Manual;
    let mut play = Play::begun(manual);
    assert_eq!(play.state.phase, Phase::Paused);
    play.plan = plan();
    play.plan.identity.primary.endpoints.push("v1:8081".to_owned());
    let revision = play.state.revision;
    play.adopt();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
    assert_eq!(
        (play.state.revision, &play.kinds()[play.kinds().len() - 2..]),
        (revision + 2, &["progressing", "resumed"][..])
    );
}

#[test]
fn promoted_canary_keeps_all_traffic_while_the_old_primary_is_edited() {
    let mut play = Play::begun(plan());
    play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
    play.plan.identity.primary.endpoints.push("v1:8081".to_owned());
    play.adopt();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Promoted, Weight::ALL));
}

#[test]
fn rolled_back_canary_is_known_by_each_server_that_it_had() {
    for back_at in ["v2:8080", "v2:8081"] {
        let mut play = Play::begun(plan());
        play.until(Phase::RolledBack, 50.0, (1.0, 0.0));
        let v2 = side("v2", "2.0");
        for endpoints in [&["v2:8080", "v2:8081"][..], &["v2:8081"]] {
            play.plan.identity.canary = with(&v2, endpoints);
            play.adopt();
            assert_eq!(play.state.phase, Phase::RolledBack);
        }
        other(&mut play, "3.0");
        assert_eq!(play.state.phase, Phase::Waiting);
        play.plan.identity.canary = with(&v2, &[back_at]);
        play.adopt();
        assert_eq!(play.state.phase, Phase::RolledBack, "{back_at}");
        // `retry` is of the version, wherever it runs.
        play.order(Verb::Retry).unwrap();
        other(&mut play, "3.0");
        for endpoint in ["v2:8080", "v2:8081"] {
            play.plan.identity.canary = with(&v2, &[endpoint]);
            play.adopt();
            assert_eq!(play.state.phase, Phase::Waiting, "{endpoint}");
        }
    }
}
