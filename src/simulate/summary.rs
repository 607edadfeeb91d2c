//! Many simulated rollouts, summed up.

use super::plan::{End, Plan, Run, Stop, run};
use super::traffic::Scenario;
use crate::stats::{Rejected, Settings, Test};
use serde::Serialize;
use std::collections::BTreeMap;

/// What to expect of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// How many rollouts were simulated.
    pub runs: u32,
    /// How many passed every step.
    pub promoted: u32,
    /// How many were rolled back.
    pub rolled_back: u32,
    /// How many waited at a step until its deadline.
    pub paused: u32,
    /// The steps of the plan.
    pub steps: Vec<Step>,
    /// How long those took that were promoted, in seconds.
    pub promotion: Option<Spread>,
    /// Of those that were rolled back: after how many seconds.
    pub rollback: Option<Spread>,
    /// Of those: how many requests the canary had got.
    pub requests: Option<Spread>,
    /// Of those: how many requests had failed on it or were never answered.
    pub hurt: Option<Spread>,
    /// Which test was to blame, and how often.
    pub blamed: BTreeMap<Test, u32>,
    /// Metrics that others measure, with the seconds between two answers. All answers were taken as good.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_as_good: BTreeMap<String, f64>,
    /// What people would have read at the end of the first run.
    pub example: String,
}

/// One step of many rollouts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The canary's share of the traffic, from 0 to 1.
    pub weight: f64,
    /// How many rollouts passed it.
    pub passed: u32,
    /// How many seconds these took for it; `None` when none passed.
    pub seconds: Option<Spread>,
}

/// The middle of some numbers, and what nine in ten do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Spread {
    /// By nearest ranks; `None` without numbers.
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().checked_sub(1)?;
        let rank = |tenths: usize| numbers[(numbers.len() * tenths).div_ceil(10).clamp(1, last + 1) - 1];
        Some(Self { median: rank(5), p90: rank(9) })
    }
}

/// Simulates a plan `runs` times; the seed of each run follows from `seed`.
pub fn forecast(
    settings: &Settings,
    plan: &Plan,
    scenario: &Scenario,
    runs: u32,
    seed: u64,
) -> Result<Forecast, Rejected> {
    let one = |n: u32| run(settings, plan, scenario, seed.wrapping_mul(1_000_003).wrapping_add(n.into()));
    let all = (0..runs).map(one).collect::<Result<Vec<Run>, _>>()?;
    let ended = |end: End| all.iter().filter(move |run| run.end == end);
    let count = |end| ended(end).fold(0, |n, _| n + 1);
    let spread = |end, of: fn(&Run) -> f64| Spread::of(ended(end).map(of).collect());
    let step = |(place, stop): (usize, &Stop)| {
        let seconds: Vec<f64> = all.iter().filter_map(|run| run.steps.get(place).copied()).collect();
        let passed = seconds.iter().fold(0, |n, _| n + 1);
        Step { weight: stop.weight, passed, seconds: Spread::of(seconds) }
    };
    let mut blamed = BTreeMap::new();
    for test in all.iter().filter_map(|run| run.blamed.clone()) {
        *blamed.entry(test).or_default() += 1;
    }
    Ok(Forecast {
        runs,
        promoted: count(End::Promoted),
        rolled_back: count(End::RolledBack),
        paused: count(End::Paused),
        steps: plan.steps.iter().enumerate().map(step).collect(),
        promotion: spread(End::Promoted, |run| run.seconds),
        rollback: spread(End::RolledBack, |run| run.seconds),
        requests: spread(End::RolledBack, |run| run.requests),
        hurt: spread(End::RolledBack, |run| run.hurt),
        blamed,
        taken_as_good: scenario.asked.clone(),
        example: all.first().map(|run| run.sentence.clone()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_nearest_ranks() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0]), Some(Spread { median: 3.0, p90: 3.0 }));
        let ten = (1..=10).rev().map(f64::from).collect();
        assert_eq!(Spread::of(ten), Some(Spread { median: 5.0, p90: 9.0 }));
    }
}
