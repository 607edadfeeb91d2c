//! Every constant of the procedure: what it means, its default, and why that.

use super::name::{Quantile, Test};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The constants of the procedure. They are not part of the stored state of an [`Analysis`](super::Analysis): changed
/// ones apply to the next report.
///
/// Tolerances are relative and absolute together: the canary is within tolerance while
/// `canary rate <= ratio * primary rate + offset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// At most this share of healthy rollouts is rolled back (Ville's inequality), over the whole rollout: 1 %.
    pub alpha: f64,
    /// At most this share of canaries at the promotion margin passes one gate of one step: 5 %.
    pub beta: f64,
    /// At most this share of steps with the right split is held for a wrong one: 0.1 %, since every step asks anew.
    pub alpha_srm: f64,
    /// Errors: this much more than the primary is tolerated, relatively: 10 %.
    pub rtol: f64,
    /// Errors: and this much, absolutely: 0.1 percentage points. Below a base rate of 0.1 %, 0.02 is better.
    pub atol: f64,
    /// Errors: promotion wants evidence that the canary's rate is below this multiple of the primary's: 1.5 ...
    pub r_go: f64,
    /// ... plus this: 1 percentage point. Half of it wants about twice the requests.
    pub d_go: f64,
    /// Errors: the canary's rate must not exceed this, whatever the primary does: 5 %.
    pub ceiling: f64,
    /// Upper bounds of the latency buckets in seconds, ascending; the last one is endless, and any huge number says so.
    /// Empty: latency is not judged.
    pub bounds: Vec<f64>,
    /// The quantiles of the latency that are watched for harm: 50 %, 95 %, 99 %.
    pub quantiles: Vec<Quantile>,
    /// Those of them that promotion wants evidence about: 95 %, 99 %.
    pub go_quantiles: Vec<Quantile>,
    /// Latency: the canary may be this much slower: 10 %.
    pub tau: f64,
    /// Quantiles with a tolerance of their own, in place of `tau`.
    pub tau_of: BTreeMap<Quantile, f64>,
    /// Latency: promotion wants evidence that fewer than this multiple of the primary's share is slow: 1.25 ...
    pub r_go_lat: f64,
    /// ... plus this: 0.5 percentage points.
    pub d_go_lat: f64,
    /// After how many requests of the primary the latency thresholds are chosen first: 200.
    pub pick_first: f64,
    /// After how many more they are chosen anew, so that they follow a drift: 2000.
    pub pick_every: f64,
    /// Latency is ignored until the canary completed this many requests in the step, while its caches are cold: 50 ...
    pub warmup_requests: f64,
    /// ... and this many seconds have passed: 10.
    pub warmup_s: f64,
    /// After how many seconds a request that is still in flight is overdue, best the route's timeout. 0: twice the
    /// slow threshold of the highest quantile, and 60 until that is known.
    pub deadline_s: f64,
    /// At least this many seconds, where that is derived: 1.
    pub deadline_min_s: f64,
    /// Overdue requests: this much more than the primary's is tolerated: 5 percentage points, since they are only
    /// bounded from below.
    pub d_stall: f64,
    /// The least share of compared predictions that must agree. `None`: there is no comparison.
    pub min_match: Option<f64>,
    /// The user's metrics, each with the mean badness from 0 to 1 that is allowed; for breaches of a limit, 0.2.
    pub user: BTreeMap<String, f64>,
    /// Tests that run, are shown and decide nothing; they spend nothing of `alpha`.
    pub dry_run: BTreeSet<Test>,
    /// A split is right while it differs from its weight by less than this part of the weight: 10 %.
    pub srm_tol: f64,
    /// How many requests of both arms make one bet: 20 ...
    pub block_min: f64,
    /// ... or how many seconds, when traffic is low: 10.
    pub block_age_s: f64,
    /// For how many seconds after a change of weight the arms are not compared, while proxies converge: 5.
    pub settle_s: f64,
    /// The least time at a step in seconds: 30.
    pub min_stage_s: f64,
    /// The fewest requests of the canary at a step: 100.
    pub min_requests: f64,
    /// By what counts are divided where requests of one client fail together and always meet the same arm: 1, not at
    /// all. An approximation (the design effect of Kish, Survey Sampling, 1965), and it delays as much.
    pub design_effect: f64,
    /// How `alpha` is divided among the tests.
    pub weights: Weights,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            beta: 0.05,
            alpha_srm: 0.001,
            rtol: 0.10,
            atol: 0.001,
            r_go: 1.5,
            d_go: 0.01,
            ceiling: 0.05,
            bounds: Vec::new(),
            quantiles: vec![Quantile::P50, Quantile::P95, Quantile::P99],
            go_quantiles: vec![Quantile::P95, Quantile::P99],
            tau: 0.10,
            tau_of: BTreeMap::new(),
            r_go_lat: 1.25,
            d_go_lat: 0.005,
            pick_first: 200.0,
            pick_every: 2000.0,
            warmup_requests: 50.0,
            warmup_s: 10.0,
            deadline_s: 0.0,
            deadline_min_s: 1.0,
            d_stall: 0.05,
            min_match: None,
            user: BTreeMap::new(),
            dry_run: BTreeSet::new(),
            srm_tol: 0.10,
            block_min: 20.0,
            block_age_s: 10.0,
            settle_s: 5.0,
            min_stage_s: 30.0,
            min_requests: 100.0,
            design_effect: 1.0,
            weights: Weights::default(),
        }
    }
}

/// How much of `alpha` each test may spend, in parts of the sum over the tests that run. With a larger part, a test
/// alone rolls back on less evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Weights {
    /// Errors, compared with the primary's: 4, the question that is asked most.
    pub errors: f64,
    /// Errors, compared with the ceiling: 2.
    pub ceiling: f64,
    /// Each quantile of the latency: 1.
    pub latency: f64,
    /// Overdue requests: 1.
    pub stall: f64,
    /// Predictions that differ: 2.
    pub shadow: f64,
    /// Each metric of the user: 1.
    pub user: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { errors: 4.0, ceiling: 2.0, latency: 1.0, stall: 1.0, shadow: 2.0, user: 1.0 }
    }
}

/// A constant outside its range, by its name in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfRange {
    /// The constant.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` must be {}", self.name, self.must)
    }
}

impl std::error::Error for OutOfRange {}

impl Settings {
    /// Whether every constant is in its range; outside, the mathematics would not hold or would never decide.
    pub fn check(&self) -> Result<(), OutOfRange> {
        type Rule = (&'static str, fn(f64) -> bool);
        const SHARE: Rule = ("between 0 and 1, both excluded", |x| x > 0.0 && x < 1.0);
        const LIMIT: Rule = ("above 0, and 1 at most", |x| x > 0.0 && x <= 1.0);
        const PART: Rule = ("from 0 up to 1, 1 excluded", |x| (0.0..1.0).contains(&x));
        const SIZE: Rule = ("0 or more", |x| x >= 0.0 && x.is_finite());
        const RATIO: Rule = ("1 or more", |x| x >= 1.0 && x.is_finite());
        const WEIGHT: Rule = ("more than 0", |x| x > 0.0 && x.is_finite());
        let w = &self.weights;
        let numbers = [
            ("alpha", self.alpha, SHARE),
            ("beta", self.beta, SHARE),
            ("alphaSrm", self.alpha_srm, SHARE),
            ("rtol", self.rtol, SIZE),
            ("atol", self.atol, PART),
            ("rGo", self.r_go, RATIO),
            ("dGo", self.d_go, PART),
            ("ceiling", self.ceiling, LIMIT),
            ("tau", self.tau, SIZE),
            ("rGoLat", self.r_go_lat, RATIO),
            ("dGoLat", self.d_go_lat, PART),
            ("pickFirst", self.pick_first, RATIO),
            ("pickEvery", self.pick_every, RATIO),
            ("warmupRequests", self.warmup_requests, SIZE),
            ("warmupS", self.warmup_s, SIZE),
            ("deadlineS", self.deadline_s, SIZE),
            ("deadlineMinS", self.deadline_min_s, WEIGHT),
            ("dStall", self.d_stall, PART),
            ("minMatch", self.min_match.unwrap_or(0.5), SHARE),
            ("srmTol", self.srm_tol, PART),
            ("blockMin", self.block_min, SIZE),
            ("blockAgeS", self.block_age_s, SIZE),
            ("settleS", self.settle_s, SIZE),
            ("minStageS", self.min_stage_s, SIZE),
            ("minRequests", self.min_requests, SIZE),
            ("designEffect", self.design_effect, RATIO),
            ("weights.errors", w.errors, WEIGHT),
            ("weights.ceiling", w.ceiling, WEIGHT),
            ("weights.latency", w.latency, WEIGHT),
            ("weights.stall", w.stall, WEIGHT),
            ("weights.shadow", w.shadow, WEIGHT),
            ("weights.user", w.user, WEIGHT),
        ];
        let numbers = numbers.into_iter().chain(self.tau_of.values().map(|x| ("tauOf", *x, SIZE)));
        let numbers = numbers.chain(self.user.values().map(|x| ("user", *x, SHARE)));
        for (name, value, (must, good)) in numbers {
            if !good(value) {
                return Err(OutOfRange { name, must });
            }
        }
        let ascending = self.bounds.windows(2).all(|w| w[0] < w[1]) && self.bounds.iter().all(|b| *b > 0.0);
        if !ascending || self.bounds.len() == 1 {
            return Err(OutOfRange { name: "bounds", must: "none, or two and more above 0, ascending" });
        }
        if !self.bounds.is_empty() && self.quantiles.is_empty() {
            return Err(OutOfRange { name: "quantiles", must: "at least one where there are bounds" });
        }
        if !self.go_quantiles.iter().all(|q| self.quantiles.contains(q)) {
            return Err(OutOfRange { name: "goQuantiles", must: "among `quantiles`" });
        }
        if !self.tau_of.keys().all(|q| self.quantiles.contains(q)) {
            return Err(OutOfRange { name: "tauOf", must: "of quantiles among `quantiles`" });
        }
        Ok(())
    }

    /// How much slower the canary may be at a quantile.
    pub(super) fn slower(&self, quantile: Quantile) -> f64 {
        self.tau_of.get(&quantile).copied().unwrap_or(self.tau)
    }

    /// The tests that run, in their fixed order.
    pub(super) fn tests(&self) -> impl Iterator<Item = Test> + '_ {
        let quantiles = if self.bounds.is_empty() { &[][..] } else { &self.quantiles[..] };
        [Test::Errors, Test::Ceiling]
            .into_iter()
            .chain(quantiles.iter().copied().map(Test::Latency))
            .chain([Test::Stall])
            .chain(self.min_match.map(|_| Test::Shadow))
            .chain(self.user.keys().cloned().map(Test::User))
    }

    /// Whether a test has a say.
    pub(super) fn decides(&self, test: &Test) -> bool {
        !self.dry_run.contains(test)
    }

    /// What part of `alpha` a test may spend: all of the tests that decide spend 1. One that does not is shown as if it
    /// did, beside them.
    pub(super) fn share(&self, test: &Test) -> f64 {
        let with = |t: &Test| self.decides(t) || t == test;
        let total: f64 = self.tests().filter(with).map(|t| self.weight(&t)).sum();
        self.weight(test) / total
    }

    fn weight(&self, test: &Test) -> f64 {
        let w = &self.weights;
        match test {
            Test::Errors => w.errors,
            Test::Ceiling => w.ceiling,
            Test::Latency(_) => w.latency,
            Test::Stall => w.stall,
            Test::Shadow => w.shadow,
            Test::User(_) => w.user,
        }
    }
}
