//! Releases, played without a clock.

mod edits;
mod first;
mod laws;
mod orders;
mod plays;
mod series;

use super::*;
use crate::clock::Timestamp;
use crate::model::{OnFailure, Step, StepPause};
use crate::names::UpstreamName;
use crate::stats::{self, Counts};
use crate::weight::Weight;
use std::collections::BTreeMap;
use std::time::Duration;

fn percent(text: &str) -> Weight {
    Weight::parse(text).unwrap()
}

fn side(name: &str, version: &str) -> Side {
    Side {
        name: UpstreamName::new(name).unwrap(),
        endpoints: vec![format!("{name}:8080")],
        model: Some("fraud".to_owned()),
        version: Some(version.to_owned()),
    }
}

fn identity() -> Identity {
    Identity { primary: side("v1", "1.4"), canary: side("v2", "2.0") }
}

/// Steps 5, 50 and 100 of ten seconds each, judged by errors and hangs.
fn plan() -> Plan {
    let step = |weight| Step { weight: percent(weight), pause: StepPause::AtLeast(Duration::from_secs(10)) };
    Plan {
        identity: identity(),
        steps: ["5", "50", "100"].map(step).into(),
        bake: Duration::from_secs(10),
        deadline: Duration::from_mins(10),
        on_failure: OnFailure::RollBack,
        shadow_first: None,
        request_rate: None,
        is_request_rate_dry: false,
        client_errors: false,
        provided: Vec::new(),
        settings: stats::Settings { deadline_s: 2.0, min_stage_s: 0.0, ..stats::Settings::default() },
    }
}

/// A rollout with its clock, and everything that was told.
struct Play {
    plan: Plan,
    state: State,
    now: Timestamp,
    told: Vec<Entry>,
    /// What others say with every report.
    user: BTreeMap<String, f64>,
}

impl Play {
    fn new(plan: Plan) -> Self {
        let now = Timestamp(1_790_000_000_000);
        let Transition { state, entries } = adopt(&plan, None, now).unwrap();
        Self { plan, state, now, told: entries, user: BTreeMap::new() }
    }

    /// With a healthy canary at the first step.
    fn begun(asked: Plan) -> Self {
        let mut play = Self::new(asked);
        play.input(&Input::Healthy(1));
        play
    }

    fn take(&mut self, transition: Option<Transition>) {
        let Some(Transition { state, entries }) = transition else { return };
        self.state = state;
        self.told.extend(entries);
    }

    fn input(&mut self, input: &Input) {
        self.take(step(&self.plan, &self.state, input, self.now));
    }

    fn adopt(&mut self) {
        self.take(adopt(&self.plan, Some(&self.state), self.now));
    }

    fn order(&mut self, verb: Verb) -> Result<Outcome, Refusal> {
        let said =
            Order { verb, actor: "ann".to_owned(), reason: Some("trial".to_owned()), if_revision: None };
        let (transition, outcome) = order(&self.plan, &self.state, &said, self.now)?;
        assert_eq!(outcome.changed, transition.is_some());
        self.take(transition);
        assert_eq!((outcome.revision, outcome.phase), (self.state.revision, self.state.phase));
        Ok(outcome)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// A second goes by, in which so many requests came to both sides by weight, of which these shares failed.
    fn second(&mut self, rate: f64, (canary, primary): (f64, f64)) {
        let from = self.now;
        self.pass(Duration::from_secs(1));
        let share = f64::from(self.state.weight.hundredths()) / 10_000.0;
        let input = Input::Report(Report {
            from,
            to: self.now,
            canary: counts(rate * share, canary),
            primary: counts(rate * (1.0 - share), primary),
            user: self.user.clone(),
            shadow: None,
        });
        self.input(&input);
        self.input(&Input::Tick);
    }

    /// Seconds, until a phase is reached; panics when it takes too many.
    fn until(&mut self, phase: Phase, rate: f64, failures: (f64, f64)) -> u64 {
        for seconds in 0..2_000 {
            if self.state.phase == phase {
                return seconds;
            }
            self.second(rate, failures);
        }
        panic!("no {phase}: {} {}", self.state.phase, self.state.sentence);
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.told.iter().map(|e| e.kind.as_str()).collect()
    }
}

fn counts(requests: f64, failures: f64) -> Counts {
    Counts { requests, errors: requests * failures, started: Some(requests), ..Counts::default() }
}
