//! The whole procedure: all tests, what each report adds to them, and what follows.
//!
//! The rollback rule is a weighted mean of the tests' capitals, which is a capital again whatever their dependence
//! (Vovk and Wang, E-values: Calibration, combination and applications, arXiv 1912.06116). So `alpha` holds for all
//! tests, steps and looks together, and weak evidence of several tests adds up. Promotion asks each test of each step
//! for itself.

use super::bets::{Block, Null, Tally, log_sum};
use super::decision::{Action, Decision, Hold};
use super::event::{Event, Nulls};
use super::evidence::LEVEL;
use super::interval::interval;
use super::latency::{Latency, Threshold};
use super::name::{Quantile, Test};
use super::ratio::Ratio;
use super::reject::{self, Rejected};
use super::report::{Counts, Report};
use super::settings::Settings;
use super::stall::Stall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From this weight of the canary on, there is hardly a primary left to compare with.
const HARDLY_A_CONTROL: f64 = 0.9;
/// The primary is in trouble only with this many errors in a block, not by one unlucky request.
const OUTAGE: f64 = 5.0;

/// All evidence of a rollout. It can be stored and restored between any two reports, and nothing changes.
///
/// The [`Settings`] are not in it. All calls of one rollout usually get the same; others apply from there on, to the
/// evidence that is there. Then the promise of `alpha` is that of the settings under which it was gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// When the first step began.
    began: f64,
    /// The end of the last report.
    at: f64,
    stage: Stage,
    events: BTreeMap<Test, Event>,
    ratio: Ratio,
    latency: Latency,
    stall: Stall,
    /// Errors of the whole rollout.
    totals: Block,
    /// A ceiling that follows from the primary, frozen when it lost nearly all traffic.
    frozen: Option<f64>,
    /// The primary was above the ceiling in the last block.
    outage: bool,
    rolled_back: bool,
}

/// A step of the rollout: traffic is split in one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stage {
    /// When it began.
    at: f64,
    /// The share of the canary.
    weight: f64,
    /// What the canary completed.
    requests: f64,
}

impl Analysis {
    /// Before any report: the first step begins at `at`, in seconds on the engine's clock, with this share of the
    /// traffic (0 to 1) for the canary. Settings are good when [`Settings::check`] says so.
    pub fn new(settings: &Settings, at: f64, weight: f64) -> Self {
        let mut analysis = Self {
            began: at,
            at,
            stage: Stage { at, weight, requests: 0.0 },
            events: BTreeMap::new(),
            ratio: Ratio::default(),
            latency: Latency::default(),
            stall: Stall::default(),
            totals: Block::default(),
            frozen: None,
            outage: false,
            rolled_back: false,
        };
        analysis.align(settings);
        analysis
    }

    /// The canary gets another share (0 to 1) from `at` on: safety is to be shown anew, harm is remembered.
    pub fn start_stage(&mut self, settings: &Settings, at: f64, weight: f64) {
        self.align(settings);
        self.stage = Stage { at, weight, requests: 0.0 };
        self.events.values_mut().for_each(Event::start_stage);
        self.ratio = Ratio::default();
        // At 100 % nothing is compared any more, and the last word would stay for ever.
        self.outage = false;
        self.stall.start_stage();
        let Tally { events, requests } = self.totals.primary;
        if weight > HARDLY_A_CONTROL && requests > 0.0 {
            self.frozen = Some(settings.r_go * interval(events, requests, LEVEL).1 + settings.d_go);
        }
    }

    /// Takes a report in and says what follows. A report that cannot be true is refused, and nothing changes.
    ///
    /// Of reports of one step, late ones may come after others: only the detection of hangs begins anew then.
    pub fn observe(&mut self, settings: &Settings, report: &Report) -> Result<Decision, Rejected> {
        reject::check(settings, report)?;
        self.align(settings);
        self.at = report.to;
        self.totals.add(Block { canary: errors(&report.canary, 1.0), primary: errors(&report.primary, 1.0) });
        self.stage.requests += report.canary.requests;
        // A step that begins with the engine's clock has no other before it, whose requests may still be answered.
        let settle = if self.stage.at > 0.0 { settings.settle_s } else { 0.0 };
        if self.stage.weight >= 1.0 {
            self.alone(settings, report);
        } else if report.from >= self.stage.at + settle {
            self.compare(settings, report);
        }
        let deadline = self.latency.deadline(settings);
        if let Some(block) = self.stall.observe(settings, deadline, report) {
            self.push(settings, &Test::Stall, report, block);
        }
        if let Some(shadow) = report.shadow.filter(|s| s.pairs > 0.0) {
            self.update(settings, &Test::Shadow, Tally { events: shadow.mismatch, requests: shadow.pairs });
        }
        for (name, badness) in report.user.iter().filter(|(_, badness)| !badness.is_nan()) {
            self.update(settings, &Test::User(name.clone()), Tally { events: *badness, requests: 1.0 });
        }
        Ok(self.decide(settings))
    }

    /// Both arms get traffic.
    fn compare(&mut self, settings: &Settings, report: &Report) {
        let effect = settings.design_effect;
        let block =
            Block { canary: errors(&report.canary, effect), primary: errors(&report.primary, effect) };
        if let Some(Block { canary, primary }) = self.push(settings, &Test::Errors, report, block) {
            let above = primary.events > settings.ceiling * primary.requests;
            self.outage = above && primary.events >= OUTAGE;
            // What fails on both arms is not held against the canary. The primary's own data decides that.
            if !above {
                self.update(settings, &Test::Ceiling, canary);
            }
        }
        self.ratio.observe(settings, self.stage.weight, report);
        if settings.bounds.is_empty() {
            return;
        }
        let warm =
            self.stage.requests >= settings.warmup_requests && self.at - self.stage.at >= settings.warmup_s;
        if warm {
            for (quantile, block) in self.latency.slow(settings, report) {
                self.push(settings, &Test::Latency(quantile), report, block);
            }
        }
        self.latency.learn(settings, &report.primary);
    }

    /// The canary gets all traffic.
    fn alone(&mut self, settings: &Settings, report: &Report) {
        if report.canary.requests > 0.0 {
            self.update(settings, &Test::Ceiling, errors(&report.canary, settings.design_effect));
        }
    }

    /// Adds to the block of a test that compares.
    fn push(&mut self, settings: &Settings, test: &Test, report: &Report, block: Block) -> Option<Block> {
        let nulls = self.nulls(settings, test);
        self.events.get_mut(test)?.push(settings, nulls, (report.from, report.to), block)
    }

    /// Adds to a test that does not compare; one that does not run is left alone.
    fn update(&mut self, settings: &Settings, test: &Test, canary: Tally) {
        let nulls = self.nulls(settings, test);
        if let Some(event) = self.events.get_mut(test) {
            event.update(nulls, &Block { canary, primary: Tally::default() });
        }
    }

    fn decide(&mut self, settings: &Settings) -> Decision {
        let spent = |(test, event): (&Test, &Event)| settings.share(test).ln() + event.harm.wealth();
        let deciding = || self.events.iter().filter(|(test, _)| settings.decides(test));
        let evidence = log_sum(&deciding().map(spent).collect::<Vec<_>>());
        let sample_ratio = self.ratio.wealth();
        let missing = self
            .required(settings)
            .into_iter()
            .find(|t| self.event(t).safety.wealth() < settings.beta.recip().ln());
        self.rolled_back |= evidence >= settings.alpha.recip().ln();
        let early =
            self.stage.requests < settings.min_requests || self.at - self.stage.at < settings.min_stage_s;
        let (action, why) = if self.rolled_back {
            // Of equals, the first.
            let blamed = deciding().rev().max_by(|a, b| spent(*a).total_cmp(&spent(*b)));
            (Action::Rollback, blamed.map(|(test, _)| test.clone()))
        } else if sample_ratio >= settings.alpha_srm.recip().ln() {
            (Action::Hold(Hold::SampleRatio), None)
        } else if self.outage && settings.decides(&Test::Ceiling) {
            (Action::Hold(Hold::Outage), None)
        } else if missing.is_some() || early {
            (Action::Wait, missing)
        } else {
            (Action::Advance, None)
        };
        let of = |log: fn(&Event) -> f64| self.events.iter().map(|(t, e)| (t.clone(), log(e))).collect();
        let (harm, safety) = (of(|e| e.harm.wealth()), of(|e| e.safety.wealth()));
        Decision { at: self.at, action, why, evidence, sample_ratio, harm, safety }
    }

    /// The tests that must show safety before the step may end, in the order in which they are named.
    pub(super) fn required(&self, settings: &Settings) -> Vec<Test> {
        let alone = self.stage.weight >= 1.0;
        let asked = |test: &Test| match test {
            // At all traffic nobody predicts beside the canary, so nothing is compared any more.
            Test::Errors | Test::Stall | Test::Shadow => !alone,
            Test::Latency(quantile) => !alone && settings.go_quantiles.contains(quantile),
            Test::Ceiling => alone,
            Test::User(_) => true,
        };
        settings.tests().filter(|test| settings.decides(test)).filter(asked).collect()
    }

    /// What the bets of a test are against.
    pub(super) fn nulls(&self, settings: &Settings, test: &Test) -> Nulls {
        let relative = |ratio, offset| Null::Relative { ratio, offset };
        let both = |null| Nulls { tolerance: null, margin: null };
        match test {
            Test::Errors => Nulls {
                tolerance: relative(1.0 + settings.rtol, settings.atol),
                margin: relative(settings.r_go, settings.d_go),
            },
            Test::Ceiling => both(Null::Fixed(settings.ceiling.min(self.frozen.unwrap_or(1.0)))),
            // The tolerance is in the thresholds.
            Test::Latency(_) => Nulls {
                tolerance: relative(1.0, 0.0),
                margin: relative(settings.r_go_lat, settings.d_go_lat),
            },
            Test::Stall => both(relative(1.0, settings.d_stall)),
            Test::Shadow => both(Null::Fixed(1.0 - settings.min_match.unwrap_or(0.0))),
            Test::User(name) => both(Null::Fixed(settings.user.get(name).copied().unwrap_or(1.0))),
        }
    }

    /// Tests that the settings no longer name end, and new ones begin.
    fn align(&mut self, settings: &Settings) {
        let mut old = std::mem::take(&mut self.events);
        self.events =
            settings.tests().map(|t| (old.remove(&t).unwrap_or_default(), t)).map(|(e, t)| (t, e)).collect();
    }

    /// The evidence of a test; that of one which did not begin says nothing.
    pub(super) fn event(&self, test: &Test) -> Event {
        self.events.get(test).cloned().unwrap_or_default()
    }

    /// Above which latency a request is slow, once that is known.
    pub(super) fn threshold(&self, quantile: Quantile) -> Option<Threshold> {
        self.latency.threshold(quantile)
    }

    /// Requests and errors of both arms over the rollout.
    pub(super) fn totals(&self) -> Block {
        self.totals
    }

    /// When the first step began, in seconds.
    pub(super) fn began(&self) -> f64 {
        self.began
    }

    /// How many requests the canary completed at this step.
    pub fn stage_requests(&self) -> f64 {
        self.stage.requests
    }
}

/// Errors, divided by the number of requests that fail together.
fn errors(counts: &Counts, effect: f64) -> Tally {
    Tally { events: counts.errors / effect, requests: counts.requests / effect }
}
