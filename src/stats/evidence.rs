//! The evidence of each test, for people.

use super::analysis::Analysis;
use super::bets::{Null, Tally};
use super::interval::interval;
use super::latency::Threshold;
use super::name::Test;
use super::settings::Settings;
use serde::{Deserialize, Serialize};

/// The confidence of every interval that people see.
pub(super) const LEVEL: f64 = 0.95;

/// What one test knows. Logarithms are natural.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Which question.
    pub test: Test,
    /// What part of `alpha` it may spend.
    pub share: f64,
    /// Evidence of harm over the whole rollout.
    pub harm: f64,
    /// With this much, the test alone rolls back: `ln(1 / (alpha * share))`.
    pub harm_needed: f64,
    /// Evidence of safety at this step.
    pub safety: f64,
    /// How much of it this step asks for: `ln(1 / beta)`; `None`: it does not ask.
    pub safety_needed: Option<f64>,
    /// About how many requests of the canary are missing until then, at the pace so far; `None` for a metric of the
    /// user too.
    pub missing_requests: Option<f64>,
    /// How often it happened on the canary.
    pub canary: Rate,
    /// And on the primary; `None` when the test does not compare, or no request was compared.
    pub primary: Option<Rate>,
    /// The rate that is allowed, when the test does not compare.
    pub limit: Option<f64>,
    /// Above which latency a request is slow, for a test of latency that has begun.
    pub threshold: Option<Threshold>,
}

/// How often something happened, and where the true rate is with 95 % confidence at all looks at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How often it happened.
    pub events: f64,
    /// Among how many requests.
    pub requests: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Rate {
    fn of(tally: Tally) -> Self {
        let Tally { events, requests } = tally;
        let (low, high) = interval(events, requests, LEVEL);
        Self { events, requests, low, high }
    }

    /// Events in a request; `None` without requests.
    pub fn mean(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.events / self.requests)
    }
}

impl Analysis {
    /// What each test knows, in their fixed order.
    pub fn evidence(&self, settings: &Settings) -> Vec<Evidence> {
        settings.tests().map(|test| self.evidence_of(settings, test)).collect()
    }

    /// What one test knows.
    pub(super) fn evidence_of(&self, settings: &Settings, test: Test) -> Evidence {
        let event = self.event(&test);
        let seen = match test {
            Test::Errors | Test::Ceiling => self.totals(),
            _ => event.seen,
        };
        let needed = settings.beta.recip().ln();
        let (harm, safety) = (event.harm.wealth(), event.safety.wealth());
        let asked = self.required(settings).contains(&test);
        let missing = (needed - safety).max(0.0) * self.stage_requests() / safety.max(0.1);
        let share = settings.share(&test);
        Evidence {
            share,
            harm,
            harm_needed: (settings.alpha * share).recip().ln(),
            safety,
            safety_needed: asked.then_some(needed),
            // What users measure are answers, not requests.
            missing_requests: (asked && !matches!(test, Test::User(_))).then_some(missing),
            canary: Rate::of(seen.canary),
            primary: (seen.primary.requests > 0.0).then(|| Rate::of(seen.primary)),
            limit: match self.nulls(settings, &test).tolerance {
                Null::Fixed(limit) => Some(limit),
                Null::Relative { .. } => None,
            },
            threshold: match test {
                Test::Latency(quantile) => self.threshold(quantile),
                _ => None,
            },
            test,
        }
    }
}
