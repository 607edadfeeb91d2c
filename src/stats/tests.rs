//! Laws of the whole procedure, on invented reports and on simulated traffic.

use super::*;
use crate::simulate::{Behaviour, Burst, Disturbance, Drift, End, Plan, Scenario, Stop, Traffic, run};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn scenario(canary: Behaviour) -> Scenario {
    Scenario {
        canary,
        later: None,
        primary: Behaviour::default(),
        requests_per_second: 50.0,
        report_every: 2.0,
        bounds: log_linear(-3, 2),
        disturbance: Disturbance::default(),
        asked: BTreeMap::new(),
    }
}

fn settings() -> Settings {
    Settings { bounds: log_linear(-3, 2), ..Settings::default() }
}

/// Reports of any size, each right after the last one, or with a gap.
fn reports() -> impl Strategy<Value = Vec<Report>> {
    let arm = (0_u32..80, 0_u32..80, 0_u32..20, 100_usize..130).prop_map(|(n, bad, active, bucket)| Counts {
        requests: n.into(),
        errors: bad.min(n).into(),
        started: Some(f64::from(n) + f64::from(active) / 4.0),
        active: active.into(),
        latency: [(bucket, f64::from(n / 2)), (bucket + 9, f64::from(n / 3))].into(),
    });
    let report = (0_u8..8, arm.clone(), arm);
    prop::collection::vec(report, 1..60).prop_map(|all| {
        let mut now = 0.0;
        let one = |(gap, canary, primary)| {
            let from = if gap == 0 { now + 3.0 } else { now };
            now = from + 2.0;
            Report { from, to: now, canary, primary, ..Report::default() }
        };
        all.into_iter().map(one).collect()
    })
}

fn decisions(settings: &Settings, reports: &[Report], restart: bool) -> Vec<Decision> {
    let mut analysis = Analysis::new(settings, 0.0, 0.3);
    let one = |report| {
        if restart {
            let text = serde_json::to_string(&analysis).unwrap();
            let restored: Analysis = serde_json::from_str(&text).unwrap();
            assert_eq!(restored, analysis);
            analysis = restored;
        }
        analysis.observe(settings, report).unwrap()
    };
    reports.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_reports_give_the_same_bits(reports in reports()) {
        let (one, other) = (decisions(&settings(), &reports, false), decisions(&settings(), &reports, false));
        prop_assert!(one.iter().zip(&other).all(|(a, b)| a.evidence.to_bits() == b.evidence.to_bits()));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn to_store_and_restore_changes_nothing(reports in reports()) {
        prop_assert_eq!(decisions(&settings(), &reports, false), decisions(&settings(), &reports, true));
    }

    #[test]
    fn without_the_primary_errors_say_nothing(reports in reports()) {
        let alone: Vec<Report> =
            reports.into_iter().map(|r| Report { primary: Counts::default(), ..r }).collect();
        let nothing = event::Event::default();
        for decision in decisions(&settings(), &alone, false) {
            prop_assert!((decision.harm[&Test::Errors] - nothing.harm.wealth()).abs() < 1e-15);
            prop_assert!((decision.safety[&Test::Errors] - nothing.safety.wealth()).abs() < 1e-15);
        }
    }
}

#[test]
fn without_traffic_there_is_no_evidence() {
    let settings = settings();
    let quiet = |t: f64| Report { from: t, to: t + 2.0, ..Report::default() };
    let nothing: Vec<Report> = (0..500).map(|n| quiet(2.0 * f64::from(n))).collect();
    for decision in decisions(&settings, &nothing, false) {
        assert_eq!((decision.action, decision.why), (Action::Wait, Some(Test::Errors)));
        assert!(decision.evidence.abs() < 1e-12 && decision.safety.values().all(|g| g.abs() < 1e-12));
    }
}

#[test]
fn a_quiet_report_closes_blocks_and_no_more() {
    let settings = Settings::default();
    let mut analysis = Analysis::new(&settings, 0.0, 0.5);
    let few = Counts { requests: 2.0, ..Counts::default() };
    let report = Report { from: 0.0, to: 2.0, canary: few.clone(), primary: few, ..Report::default() };
    let safety = |d: &Decision| d.safety[&Test::Errors];
    assert!(safety(&analysis.observe(&settings, &report).unwrap()).abs() < 1e-12, "the block is still open");
    let quiet = |t| Report { from: t, to: t + 9.0, ..Report::default() };
    let closed = analysis.observe(&settings, &quiet(2.0)).unwrap();
    assert!(safety(&closed) > 0.0, "it is closed by its age");
    let later = analysis.observe(&settings, &quiet(11.0)).unwrap();
    assert_eq!((later.harm, later.safety), (closed.harm, closed.safety));
}

#[test]
fn healthy_canaries_are_hardly_ever_rolled_back() {
    let burst = Some(Burst { size: 20, every: 60.0, sticky: false });
    let drift = Some(Drift { errors: 0.5, latency: 0.15, time: 120.0, day: 3600.0 });
    let disturbed = Scenario {
        disturbance: Disturbance { burst, drift, outage: None },
        // Few requests in long reports, so that a thousand rollouts take seconds without optimization.
        requests_per_second: 10.0,
        report_every: 5.0,
        bounds: Vec::new(),
        ..scenario(Behaviour::default())
    };
    let plan =
        Plan { steps: vec![Stop { weight: 0.5, pause: 60.0 }], bake: 0.0, deadline: 300.0, least_rate: 0.0 };
    let settings = Settings::default();
    let ends = (0..1000).map(|seed| run(&settings, &plan, &disturbed, seed).unwrap().end);
    let bad = ends.filter(|end| *end == End::RolledBack).count();
    assert!(bad <= 5, "{bad} of 1000");
}

#[test]
fn total_failure_is_rolled_back_after_two_or_three_blocks() {
    for seed in 0..40 {
        let scenario = scenario(Behaviour { errors: 1.0, ..Behaviour::default() });
        let (mut traffic, settings) = (Traffic::new(&scenario, seed), settings());
        let mut analysis = Analysis::new(&settings, 0.0, 0.05);
        let mut blocks = 0;
        loop {
            let report = traffic.next(0.05);
            // About 100 requests in a report are more than a block wants, as soon as the canary has one.
            blocks += i32::from(report.canary.requests > 0.0);
            let decision = analysis.observe(&settings, &report).unwrap();
            if decision.action == Action::Rollback {
                break;
            }
            assert!(blocks < 4, "seed {seed}: {}", analysis.sentence(&settings, &decision));
        }
        assert!((2..=3).contains(&blocks), "seed {seed}: {blocks} blocks");
    }
}

#[test]
fn a_rollback_stays_whatever_comes() {
    let settings = Settings::default();
    let report = |t: f64, errors: f64| {
        let canary = Counts { requests: 50.0, errors, ..Counts::default() };
        let primary = Counts { requests: 50.0, ..Counts::default() };
        Report { from: t, to: t + 2.0, canary, primary, ..Report::default() }
    };
    let mut analysis = Analysis::new(&settings, 0.0, 0.5);
    let bad = (0..5).map(|n| analysis.observe(&settings, &report(2.0 * f64::from(n), 50.0)).unwrap()).last();
    assert_eq!(bad.unwrap().action, Action::Rollback);
    for n in 5..600 {
        let decision = analysis.observe(&settings, &report(2.0 * f64::from(n), 0.0)).unwrap();
        assert_eq!(decision.action, Action::Rollback);
    }
}

#[test]
fn impossible_reports_change_nothing_and_say_why() {
    let settings = settings();
    let good = Report {
        to: 2.0,
        canary: Counts { requests: 10.0, ..Counts::default() },
        primary: Counts { requests: 10.0, ..Counts::default() },
        ..Report::default()
    };
    let mut analysis = Analysis::new(&settings, 0.0, 0.5);
    let before = analysis.clone();
    let mut refused = |change: fn(&mut Report), words: &str| {
        let mut report = good.clone();
        change(&mut report);
        let why = analysis.observe(&settings, &report).unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
        assert_eq!(analysis, before);
    };
    refused(|r| r.canary.errors = 11.0, "`canary.err` is 11, more than the 10 of `canary.n`");
    refused(|r| r.primary.errors = -1.0, "`primary.err` is -1, which is not a count");
    refused(|r| r.primary.requests = f64::NAN, "`primary.n` is NaN");
    refused(|r| r.canary.active = f64::INFINITY, "`canary.active` is inf");
    refused(|r| r.canary.started = Some(-2.0), "`canary.started` is -2");
    refused(
        |r| assert_eq!(r.canary.latency.insert(3, 11.0), None),
        "`canary.hist` is 11, more than the 10 of `canary.n`",
    );
    refused(
        |r| assert_eq!(r.canary.latency.insert(9999, 1.0), None),
        "has the bucket 9999, but the last one is 450",
    );
    refused(|r| r.to = 0.0, "has no length");
    refused(|r| r.shadow = Some(Pairs { pairs: 1.0, mismatch: 2.0 }), "`shadow.mismatch` is 2");
    refused(|r| assert_eq!(r.user.insert("drift".into(), 1.5), None), "`user.drift` is 1.5");
    assert!(analysis.observe(&settings, &good).is_ok());
}

#[test]
fn other_settings_apply_to_the_next_report() {
    let wide = Settings { min_match: Some(0.99), user: [("drift".to_owned(), 0.2)].into(), ..settings() };
    let scenario = scenario(Behaviour::default());
    let mut traffic = Traffic::new(&scenario, 3);
    let mut analysis = Analysis::new(&settings(), 0.0, 0.3);
    let first = analysis.observe(&settings(), &traffic.next(0.3)).unwrap();
    let second = analysis.observe(&wide, &traffic.next(0.3)).unwrap();
    assert_eq!(second.harm.len(), first.harm.len() + 2);
    // What was there goes on; what is new begins with nothing.
    assert!(second.safety[&Test::Errors] > first.safety[&Test::Errors]);
    assert!(second.safety[&Test::Shadow].abs() < 1e-12);
    let third = analysis.observe(&settings(), &traffic.next(0.3)).unwrap();
    assert_eq!(third.harm.len(), first.harm.len());
    // Where little is enough, the same state rolls back.
    let easy = Settings { alpha: 0.999, rtol: 0.0, atol: 0.0, ..settings() };
    let mut bad = traffic.next(0.3);
    bad.canary.errors = bad.canary.requests;
    let mut strict = analysis.clone();
    assert_ne!(strict.observe(&settings(), &bad).unwrap().action, Action::Rollback);
    assert_eq!(analysis.observe(&easy, &bad).unwrap().action, Action::Rollback);
}

#[test]
fn evidence_says_what_each_step_asks_for() {
    let settings = Settings { min_match: Some(0.99), ..settings() };
    let asked = |weight| {
        let analysis = Analysis::new(&settings, 0.0, weight);
        let evidence = analysis.evidence(&settings);
        assert!((evidence.iter().map(|e| e.share).sum::<f64>() - 1.0).abs() < 1e-12);
        let asked = evidence.into_iter().filter(|e| e.safety_needed.is_some());
        asked.map(|e| e.test.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(asked(0.25), "errors p95 p99 stall shadow");
    assert_eq!(asked(1.0), "ceiling", "at all traffic no primary predicts beside it");
}

#[test]
fn constants_out_of_range_are_refused_by_name() {
    assert_eq!(Settings::default().check(), Ok(()));
    assert_eq!(settings().check(), Ok(()));
    let wrong = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.check().unwrap_err().name
    };
    assert_eq!(wrong(|s| s.alpha = 0.0), "alpha");
    assert_eq!(wrong(|s| s.beta = f64::NAN), "beta");
    assert_eq!(wrong(|s| s.design_effect = 0.5), "designEffect");
    assert_eq!(wrong(|s| s.min_match = Some(1.0)), "minMatch");
    assert_eq!(wrong(|s| s.weights.stall = 0.0), "weights.stall");
    assert_eq!(wrong(|s| s.bounds = vec![1.0, 1.0]), "bounds");
    assert_eq!(wrong(|s| s.quantiles = vec![Quantile::P50]), "goQuantiles");
    assert_eq!(wrong(|s| assert_eq!(s.tau_of.insert(Quantile::P90, 0.2), None)), "tauOf");
    assert_eq!(wrong(|s| assert_eq!(s.user.insert("drift".into(), 1.0), None)), "user");
}
