//! How often a healthy canary is rolled back, and how soon a bad one is found; beside it, rules with fixed thresholds as
//! other tools document them, on the same traffic. `cargo bench --bench false_alarms`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops at the first trouble"
)]

use serin::simulate::{
    Behaviour, Burst, Disturbance, Drift, End, Outage, Plan, Scenario, Spread, Stop, Traffic, run,
};
use serin::stats::{Counts, Report, Settings, log_linear};
use std::collections::BTreeMap;
use std::ops::Range;

/// Healthy rollouts of each scenario.
const HEALTHY: u32 = 2000;
/// The same for the other rules, whose rates are far from 1 % one way or the other.
const OTHERS: u32 = 200;
/// Rollouts with each bad canary.
const BAD: u32 = 200;
/// A rule's rollout: how it ended, after how many seconds and how many requests of the canary.
type Ended = (End, f64, f64);
/// Decides a rollout on the traffic of a seed.
type Rule = fn(&Scenario, u64) -> Ended;

fn main() {
    let mut most: f64 = 0.0;
    println!("| healthy canary | Serin | Flagger's rule | Argo's rule |\n|---|---|---|---|");
    for (name, scenario) in healthy() {
        let ours = share(&scenario, HEALTHY, serin);
        let (flagger, argo) = (share(&scenario, OTHERS, flagger), share(&scenario, OTHERS, argo));
        most = most.max(ours);
        println!("| {name} | {ours:.2} % | {flagger:.1} % | {argo:.1} % |");
    }
    assert!(most < 1.0, "healthy canaries were rolled back more often than promised");
    println!("\n| bad canary | Serin | Flagger's rule | Argo's rule |\n|---|---|---|---|");
    for (name, scenario) in bad() {
        let of = |rule| found(&scenario, rule);
        println!("| {name} | {} | {} | {} |", of(serin), of(flagger), of(argo));
    }
}

fn scenario(canary: Behaviour, primary: Behaviour) -> Scenario {
    Scenario {
        canary,
        later: None,
        primary,
        requests_per_second: 50.0,
        report_every: 2.0,
        bounds: log_linear(-3, 2),
        disturbance: Disturbance::default(),
        asked: BTreeMap::new(),
    }
}

fn failing(errors: f64) -> Behaviour {
    Behaviour { errors, ..Behaviour::default() }
}

fn healthy() -> Vec<(&'static str, Scenario)> {
    let same = |behaviour| scenario(behaviour, behaviour);
    let with = |disturbance| Scenario { disturbance, ..same(Behaviour::default()) };
    let none = Disturbance::default();
    let burst = |size, every, sticky| Some(Burst { size, every, sticky });
    let outage = Some(Outage { from: 120.0, to: 180.0, errors: 0.5 });
    let drift = Some(Drift { errors: 0.5, latency: 0.15, time: 120.0, day: 3600.0 });
    let all = Disturbance { burst: burst(20, 60.0, false), outage, drift };
    let cold = scenario(Behaviour { cold: 50.0, ..Behaviour::default() }, Behaviour::default());
    vec![
        ("0.5 % errors", same(failing(0.005))),
        ("0.1 % errors", same(failing(0.001))),
        ("1 % errors", same(failing(0.01))),
        ("3 % errors", same(failing(0.03))),
        ("bursts of 20 errors a minute", with(Disturbance { burst: burst(20, 60.0, false), ..none })),
        ("sticky clients: 40 errors in 2 min", with(Disturbance { burst: burst(40, 120.0, true), ..none })),
        ("sticky clients: 5 errors a minute", with(Disturbance { burst: burst(5, 60.0, true), ..none })),
        ("both fail by half for 60 s", with(Disturbance { outage, ..none })),
        ("errors, latency and traffic drift", with(Disturbance { drift, ..none })),
        ("bursts, outage and drift", with(all)),
        ("first 50 requests five times slower", cold),
        ("one request a second", Scenario { requests_per_second: 1.0, ..same(failing(0.005)) }),
    ]
}

fn bad() -> Vec<(&'static str, Scenario)> {
    let normal = Behaviour::default();
    let errors = |from, to| scenario(failing(to), failing(from));
    let slower = |factor: f64| {
        scenario(Behaviour { latency: normal.latency * factor, p99: normal.p99 * factor, ..normal }, normal)
    };
    let late = Scenario { later: Some((failing(0.05), 300.0)), ..scenario(normal, normal) };
    let disturbance = Disturbance {
        burst: Some(Burst { size: 20, every: 60.0, sticky: false }),
        outage: None,
        drift: Some(Drift { errors: 0.5, latency: 0.15, time: 120.0, day: 3600.0 }),
    };
    vec![
        ("errors 1 to 5 %", errors(0.01, 0.05)),
        ("errors 1 to 2 %", errors(0.01, 0.02)),
        ("errors 0.1 to 1 %", errors(0.001, 0.01)),
        ("errors 0.5 to 5 % after 300 s", late),
        ("errors 0.5 to 95 %", errors(0.005, 0.95)),
        ("latency x1.2", slower(1.2)),
        ("latency x1.5", slower(1.5)),
        ("3 % of requests ten times slower", scenario(Behaviour { tail: 0.03, ..normal }, normal)),
        ("20 % of requests never answered", scenario(Behaviour { hangs: 0.2, ..normal }, normal)),
        ("errors 1 to 5 %, drift and bursts", Scenario { disturbance, ..errors(0.01, 0.05) }),
        ("errors 1 to 5 %, 5 requests a second", Scenario { requests_per_second: 5.0, ..errors(0.01, 0.05) }),
    ]
}

/// Our procedure: 5, 25, 50 %, each as soon as the evidence is there, an hour at most.
fn serin(scenario: &Scenario, seed: u64) -> Ended {
    let settings = Settings { bounds: scenario.bounds.clone(), ..Settings::default() };
    let steps = [0.05, 0.25, 0.5].map(|weight| Stop { weight, pause: 0.0 }).into();
    let plan = Plan { steps, bake: 0.0, deadline: 3600.0, least_rate: 0.0 };
    let run = run(&settings, &plan, scenario, seed).expect("reports that can be true");
    (run.end, run.seconds, run.requests)
}

/// As in Flagger's documentation: each minute at least 99 % success and a p99 of at most 500 ms, or the check fails, as it
/// does without a request; 10 failed checks roll back; else 5 % more, up to 50 %.
fn flagger(scenario: &Scenario, seed: u64) -> Ended {
    let (mut weight, mut failed) = (0.05, 0);
    watch(scenario, seed, 60.0, |counts| {
        let good =
            counts.requests > 0.0 && counts.errors <= 0.01 * counts.requests && p99(scenario, counts) <= 0.5;
        failed += i32::from(!good);
        weight += if good { 0.05 } else { 0.0 };
        match () {
            () if failed >= 10 => Err(End::RolledBack),
            () if weight > 0.501 => Err(End::Promoted),
            () => Ok(weight),
        }
    })
}

/// As in the documentation of Argo Rollouts: every five minutes at least 95 % success, more than three failures roll back;
/// 20, 40, 60, 80 % for ten minutes each.
fn argo(scenario: &Scenario, seed: u64) -> Ended {
    let (mut checks, mut failed) = (0, 0);
    // The first measurement is at the first weight.
    watch(scenario, seed, 300.0, |counts| {
        checks += 1;
        failed += i32::from(counts.errors > 0.05 * counts.requests);
        match () {
            () if failed > 3 => Err(End::RolledBack),
            () if checks == 8 => Err(End::Promoted),
            () => Ok([0.2, 0.4, 0.6, 0.8][checks / 2]),
        }
    })
}

/// Runs a rule that looks at the canary alone, once in `every` seconds, and says the next weight or the end.
fn watch(
    scenario: &Scenario,
    seed: u64,
    every: f64,
    mut check: impl FnMut(&Counts) -> Result<f64, End>,
) -> Ended {
    let mut traffic = Traffic::new(scenario, seed);
    // Both begin with what they say to a good first measurement, less one step.
    let mut weight = if every > 100.0 { 0.2 } else { 0.05 };
    let (mut counts, mut requests, mut next) = (Counts::default(), 0.0, every);
    // Nobody waits longer than an hour.
    loop {
        let report: Report = traffic.next(weight);
        counts.requests += report.canary.requests;
        counts.errors += report.canary.errors;
        for (bucket, n) in report.canary.latency {
            *counts.latency.entry(bucket).or_default() += n;
        }
        if scenario.later.is_none_or(|(_, since)| report.from >= since) {
            requests += report.canary.started.unwrap_or(0.0);
        }
        if report.to < next {
            continue;
        }
        next += every;
        match check(&std::mem::take(&mut counts)) {
            Ok(share) => weight = share,
            Err(end) => return (end, report.to, requests),
        }
        if report.to >= 3600.0 {
            return (End::Paused, report.to, requests);
        }
    }
}

fn p99(scenario: &Scenario, counts: &Counts) -> f64 {
    let all: f64 = counts.latency.values().sum();
    let mut below = 0.0;
    let bucket = counts.latency.iter().find(|(_, n)| {
        below += *n;
        below >= 0.99 * all
    });
    bucket.map_or(0.0, |(bucket, _)| scenario.bounds[*bucket])
}

/// Rollouts with seeds of their own, on two processors.
fn rollouts(scenario: &Scenario, seeds: Range<u64>, rule: Rule) -> Vec<Ended> {
    let middle = u64::midpoint(seeds.start, seeds.end);
    std::thread::scope(|threads| {
        let other = threads.spawn(|| (middle..seeds.end).map(|n| rule(scenario, n)).collect::<Vec<_>>());
        let mut all: Vec<Ended> = (seeds.start..middle).map(|n| rule(scenario, n)).collect();
        all.extend(other.join().expect("the other half"));
        all
    })
}

/// The rollouts that were rolled back, in percent.
fn share(scenario: &Scenario, runs: u32, rule: Rule) -> f64 {
    let all = rollouts(scenario, 0..runs.into(), rule);
    let bad = all.iter().filter(|(end, ..)| *end == End::RolledBack).fold(0, |n, _| n + 1);
    100.0 * f64::from(bad) / f64::from(runs)
}

/// How many were rolled back, and the medians of requests and seconds until then.
fn found(scenario: &Scenario, rule: Rule) -> String {
    let onset = scenario.later.map_or(0.0, |(_, since)| since);
    let runs = (0..BAD).map(|n| rule(scenario, 1_000_000 + u64::from(n)));
    let caught: Vec<Ended> =
        runs.filter(|(end, seconds, _)| *end == End::RolledBack && *seconds > onset).collect();
    let share = 100.0 * caught.iter().fold(0.0, |n, _| n + 1.0) / f64::from(BAD);
    let median =
        |of: fn(&Ended) -> f64| Spread::of(caught.iter().map(of).collect()).map_or(0.0, |s| s.median);
    match caught.len() {
        0 => "0 %".to_owned(),
        _ => format!("{share:.0} %, {:.0} requests, {:.0} s", median(|e| e.2), median(|e| e.1) - onset),
    }
}
