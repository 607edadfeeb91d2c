//! One simulated rollout, from the first step to its end.

use super::traffic::{Scenario, Traffic};
use crate::stats::{Action, Analysis, Rejected, Settings, Test};
use serde::Serialize;

/// The steps of a rollout. Times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In their order.
    pub steps: Vec<Stop>,
    /// For how long the last step is watched after it passed.
    pub bake: f64,
    /// The longest wait for evidence at one step.
    pub deadline: f64,
    /// The fewest requests a second that the canary must have had at a step before it may end.
    pub least_rate: f64,
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// The canary's share of the traffic, from 0 to 1.
    pub weight: f64,
    /// The least time here.
    pub pause: f64,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Every step passed.
    Promoted,
    /// The canary was worse.
    RolledBack,
    /// A step did not get enough evidence before the deadline: a person would be asked.
    Paused,
}

/// What one simulated rollout came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// After how many seconds.
    pub seconds: f64,
    /// How long each step took that passed, the bake time excluded.
    pub steps: Vec<f64>,
    /// Requests that the canary got; of one that changes later, since then.
    pub requests: f64,
    /// Those of them that failed or were never answered.
    pub hurt: f64,
    /// Who is to blame for a rollback.
    pub blamed: Option<Test>,
    /// The last decision for a person.
    pub sentence: String,
}

/// Runs a plan on invented traffic. A plan without steps is promoted at once.
pub fn run(settings: &Settings, plan: &Plan, scenario: &Scenario, seed: u64) -> Result<Run, Rejected> {
    let mut traffic = Traffic::new(scenario, seed);
    let mut out = Run {
        end: End::Promoted,
        seconds: 0.0,
        steps: Vec::new(),
        requests: 0.0,
        hurt: 0.0,
        blamed: None,
        sentence: String::new(),
    };
    let mut failed = 0.0;
    let mut analysis: Option<Analysis> = None;
    for (place, Stop { weight, pause }) in plan.steps.iter().enumerate() {
        let began = out.seconds;
        let analysis = match &mut analysis {
            Some(analysis) => {
                analysis.start_stage(settings, began, *weight);
                analysis
            }
            None => analysis.insert(Analysis::new(settings, began, *weight)),
        };
        let last = place + 1 == plan.steps.len();
        let mut here = 0.0;
        // From when on the step passed.
        let mut passed: Option<f64> = None;
        loop {
            let report = traffic.next(*weight);
            let decision = analysis.observe(settings, &report)?;
            let now = report.to;
            out.seconds = now;
            here += report.canary.requests;
            let is_busy = here >= plan.least_rate * (now - began);
            let changed = scenario.later.is_none_or(|(_, since)| report.from >= since);
            out.requests += if changed { report.canary.started.unwrap_or(0.0) } else { 0.0 };
            failed += report.canary.errors;
            out.hurt = failed + traffic.never_answered();
            if decision.action == Action::Rollback {
                out.end = End::RolledBack;
                out.blamed.clone_from(&decision.why);
            } else if passed.is_none()
                && decision.action == Action::Advance
                && now - began >= *pause
                && is_busy
            {
                out.steps.push(now - began);
                passed = Some(now);
            } else if passed.is_none() && now - began >= plan.deadline {
                out.end = End::Paused;
            }
            let baked = passed.is_some_and(|at| !last || now - at >= plan.bake);
            if out.end != End::Promoted || baked {
                out.sentence = analysis.sentence(settings, &decision);
                break;
            }
        }
        if out.end != End::Promoted {
            break;
        }
    }
    Ok(out)
}
