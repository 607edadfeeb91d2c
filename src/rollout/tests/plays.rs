//! Whole releases.

use super::*;

#[test]
fn a_good_canary_goes_all_the_way() {
    let mut play = Play::new(plan());
    assert_eq!((play.state.phase, play.state.weight), (Phase::Waiting, Weight::NONE));
    play.input(&Input::Healthy(0));
    assert_eq!(play.state.phase, Phase::Waiting, "nobody is healthy");
    play.input(&Input::Healthy(2));
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, percent("5")));
    play.until(Phase::Promoted, 1000.0, (0.001, 0.001));
    assert_eq!(play.state.weight, Weight::ALL);
    let weights: Vec<String> = play.state.weights.iter().map(|w| w.weight.to_string()).collect();
    assert_eq!(weights, ["0", "5", "50", "100"]);
    let kinds: Vec<_> =
        play.kinds().into_iter().filter(|k| !matches!(*k, "holding" | "progressing")).collect();
    assert_eq!(kinds, ["started", "advanced", "advanced", "advanced", "baking", "promoted"]);
    let promoted = &play.told.last().unwrap().message;
    assert!(promoted.starts_with("v2 is promoted: canary error rate 0.10%"), "{promoted}");
    assert!(promoted.ends_with("now write `primary: v2`, by which no traffic moves"), "{promoted}");
    // Nothing moves it any more.
    let before = play.state.clone();
    play.second(1000.0, (1.0, 0.0));
    play.input(&Input::Healthy(0));
    assert_eq!(play.state, before);
}

#[test]
fn a_bad_canary_is_taken_off_within_seconds() {
    let mut play = Play::begun(plan());
    let seconds = play.until(Phase::RolledBack, 50.0, (1.0, 0.005));
    assert!(seconds <= 4, "{seconds} s");
    assert_eq!(play.state.weight, Weight::NONE);
    let Entry { message, before, after, .. } = play.told.last().unwrap();
    assert!(message.starts_with("all traffic goes to v1; v2 had 5 %: canary error rate 100.0%"), "{message}");
    let v2 = UpstreamName::new("v2").unwrap();
    let share = |weights: &Option<std::collections::BTreeMap<_, Weight>>| weights.as_ref().unwrap()[&v2];
    assert_eq!((share(before), share(after)), (percent("5"), Weight::NONE));
}

#[test]
fn harm_counts_at_every_weight_and_in_every_phase() {
    for phase in [Phase::Progressing, Phase::Baking, Phase::Paused] {
        let mut play = Play::begun(plan());
        if phase == Phase::Paused {
            play.order(Verb::Pause).unwrap();
        }
        play.until(phase, 1000.0, (0.0, 0.0));
        play.until(Phase::RolledBack, 1000.0, (0.5, 0.0));
        assert_eq!(play.state.weight, Weight::NONE, "{phase}");
    }
}

#[test]
fn harm_pauses_when_the_file_says_so() {
    let mut play = Play::begun(Plan { on_failure: OnFailure::Pause, ..plan() });
    play.until(Phase::Paused, 50.0, (1.0, 0.0));
    assert_eq!(play.state.weight, percent("5"));
    let told = play.told.len();
    play.second(50.0, (1.0, 0.0));
    assert_eq!(play.told.len(), told, "it is said once");
    // A person who goes on all the same is believed, until there is new evidence.
    play.order(Verb::Resume).unwrap();
    play.second(50.0, (1.0, 0.0));
    assert_eq!(play.state.phase, Phase::Progressing);
    play.until(Phase::Paused, 50.0, (1.0, 0.0));
}

#[test]
fn without_requests_nothing_happens_until_the_deadline() {
    let mut play = Play::begun(plan());
    let seconds = play.until(Phase::Paused, 0.0, (0.0, 0.0));
    assert_eq!(seconds, 600);
    assert_eq!(play.state.weight, percent("5"));
    assert_eq!(play.kinds(), ["started", "advanced", "holding", "paused"]);
    assert!(
        play.state.sentence.contains("it has waited for 10 min, the deadline"),
        "{}",
        play.state.sentence
    );
}

#[test]
fn evidence_alone_does_not_advance_before_its_time() {
    let mut play = Play::begun(plan());
    for _ in 0..9 {
        play.second(100_000.0, (0.0, 0.0));
        assert_eq!(play.state.weight, percent("5"));
    }
    play.second(100_000.0, (0.0, 0.0));
    assert_eq!(play.state.weight, percent("50"));
}

#[test]
fn an_outage_of_both_sides_holds() {
    let mut play = Play::begun(plan());
    for _ in 0..120 {
        play.second(1000.0, (0.5, 0.5));
    }
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, percent("5")));
    assert!(play.state.sentence.contains("on hold (outage)"), "{}", play.state.sentence);
    play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
}

#[test]
fn silence_holds_and_its_time_does_not_count() {
    let mut play = Play::begun(plan());
    for _ in 0..5 {
        play.second(1000.0, (0.0, 0.0));
    }
    play.pass(Duration::from_secs(100));
    play.input(&Input::Tick);
    assert_eq!(play.state.phase, Phase::Holding);
    assert!(play.state.sentence.ends_with("no Envoy has reported for 100 s"), "{}", play.state.sentence);
    play.second(1000.0, (0.0, 0.0));
    assert_eq!((play.state.phase, play.state.stage.watched), (Phase::Progressing, 6_000));
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let (mut one, mut other) = (Play::begun(plan()), Play::begun(plan()));
    for second in 0..2_000 {
        if second == 7 {
            // Ten hours, in the middle of a step. Nobody knows when the next report began, so it does not count.
            other.now = other.now.minus(Duration::from_hours(10));
            other.second(1000.0, (0.001, 0.001));
        }
        for play in [&mut one, &mut other] {
            play.second(1000.0, (0.001, 0.001));
        }
        let at = |play: &Play| (play.state.phase, play.state.weight, play.state.stage.watched);
        assert_eq!(at(&one), at(&other), "second {second}");
    }
    assert_eq!(one.state.phase, Phase::Promoted);
}

#[test]
fn an_outage_is_forgotten_at_the_next_step() {
    let mut play = Play::begun(plan());
    for _ in 0..60 {
        play.second(1000.0, (0.5, 0.5));
    }
    assert!(play.state.sentence.contains("on hold (outage)"), "{}", play.state.sentence);
    // Somebody goes on all the same, to where there is nobody left to compare with.
    play.order(Verb::SetWeight(Weight::ALL)).unwrap();
    play.order(Verb::Resume).unwrap();
    play.until(Phase::Promoted, 1000.0, (0.0, 0.0));
}

#[test]
fn a_manual_step_waits_for_a_word() {
    let mut manual = plan();
    manual.steps[1].pause = StepPause::Manual;
    let mut play = Play::begun(manual);
    play.until(Phase::Paused, 1000.0, (0.0, 0.0));
    assert_eq!(play.state.weight, percent("50"));
    assert_eq!(play.kinds()[2..], ["advanced", "paused"]);
    for _ in 0..100 {
        play.second(1000.0, (0.0, 0.0));
    }
    assert_eq!(play.state.weight, percent("50"));
    play.order(Verb::Promote { full: false }).unwrap();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Progressing, Weight::ALL));
}

#[test]
fn a_report_that_cannot_be_true_holds() {
    let mut play = Play::begun(plan());
    let from = play.now;
    play.pass(Duration::from_secs(1));
    let canary = Counts { requests: 1.0, errors: 2.0, ..Counts::default() };
    play.input(&Input::Report(Report {
        from,
        to: play.now,
        canary,
        primary: Counts::default(),
        user: std::collections::BTreeMap::new(),
        shadow: None,
    }));
    assert_eq!(play.state.phase, Phase::Holding);
    assert!(play.state.sentence.contains("cannot be true"), "{}", play.state.sentence);
}

#[test]
fn a_state_is_stored_and_found_again() {
    let mut play = Play::begun(plan());
    for second in 0..200 {
        play.second(1000.0, (0.01, 0.01));
        let stored = serde_json::to_string(&play.state).unwrap();
        let found: State = serde_json::from_str(&stored).unwrap();
        assert_eq!(found, play.state, "second {second}");
        assert!(stored.len() < 20_000, "{}", stored.len());
    }
}

/// The plan with a metric of the user, which is asked with every report.
fn with_metric(is_dry: bool) -> Plan {
    let mut plan = plan();
    plan.settings.user.insert("drift".into(), 0.2);
    if is_dry {
        plan.settings.dry_run.insert(stats::Test::User("drift".into()));
    }
    plan
}

#[test]
fn a_metric_of_the_user_decides_as_any_other() {
    let mut play = Play::begun(with_metric(false));
    play.user = [("drift".to_owned(), 1.0)].into();
    let seconds = play.until(Phase::RolledBack, 500.0, (0.01, 0.01));
    assert!((5..20).contains(&seconds), "{seconds}");
    assert!(play.state.sentence.contains("canary user:drift 100.0%"), "{}", play.state.sentence);
    // Without answers it does not go on, however well everything else is.
    let mut play = Play::begun(with_metric(false));
    for _ in 0..120 {
        play.second(500.0, (0.01, 0.01));
    }
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, percent("5")));
    assert!(play.state.sentence.contains("user:drift"), "{}", play.state.sentence);
    play.user = [("drift".to_owned(), 0.0)].into();
    for _ in 0..60 {
        play.second(500.0, (0.01, 0.01));
    }
    assert!(play.state.weight > percent("5"), "{}", play.state.sentence);
}

#[test]
fn a_dry_run_is_shown_and_decides_nothing() {
    let mut play = Play::begun(with_metric(true));
    play.user = [("drift".to_owned(), 1.0)].into();
    play.until(Phase::Baking, 500.0, (0.01, 0.01));
    let evidence = play.state.evidence.as_ref().unwrap().analysis.evidence(&play.plan.settings);
    let drift = evidence.iter().find(|e| e.test == stats::Test::User("drift".into())).unwrap();
    assert!(drift.harm > drift.harm_needed && drift.safety_needed.is_none(), "{drift:?}");
    // Errors too, when the file says so.
    let mut dry = plan();
    dry.settings.dry_run = [stats::Test::Errors, stats::Test::Ceiling].into();
    let mut play = Play::begun(dry);
    play.until(Phase::Promoted, 500.0, (0.5, 0.01));
}

#[test]
fn what_decides_shares_all_of_alpha() {
    let share = |is_dry: bool| {
        let play = Play::begun(with_metric(is_dry));
        let evidence = play.state.evidence.as_ref().unwrap().analysis.evidence(&play.plan.settings);
        let of = |test: &stats::Test| evidence.iter().find(|e| e.test == *test).map(|e| e.share).unwrap();
        (of(&stats::Test::Errors), of(&stats::Test::User("drift".into())))
    };
    // Errors 4, ceiling 2, stall 1, drift 1.
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    let (errors, drift) = share(false);
    assert!(close(errors, 4.0 / 8.0) && close(drift, 1.0 / 8.0), "{errors} {drift}");
    let (errors, drift) = share(true);
    assert!(close(errors, 4.0 / 7.0) && close(drift, 1.0 / 8.0), "{errors} {drift}");
}

#[test]
fn too_few_requests_hold_a_step_and_are_no_harm() {
    let wants = |dry| Plan { request_rate: Some(30.0), is_request_rate_dry: dry, ..plan() };
    let mut play = Play::begun(wants(false));
    play.until(Phase::Holding, 500.0, (0.0, 0.0));
    for _ in 0..100 {
        play.second(500.0, (0.0, 0.0));
    }
    assert_eq!((play.state.phase, play.state.weight), (Phase::Holding, percent("5")));
    let sentence = &play.state.sentence;
    assert!(sentence.contains("it gets 25.00 requests a second, and `request-rate` wants 30"), "{sentence}");
    for _ in 0..100 {
        play.second(1000.0, (0.0, 0.0));
    }
    assert!(play.state.weight > percent("5"), "{}", play.state.sentence);
    let mut play = Play::begun(wants(true));
    play.until(Phase::Baking, 500.0, (0.0, 0.0));
}
