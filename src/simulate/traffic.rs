//! Invented traffic: requests arrive, are routed by a coin, and are answered late, wrong or never.

use super::random::Random;
use crate::stats::{Counts, Report};
use std::collections::BTreeMap;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

/// How one version answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// The share of requests that fail.
    pub errors: f64,
    /// The median latency in seconds; latencies are log-normal.
    pub latency: f64,
    /// The 99th percentile of the latency in seconds, at least the median.
    pub p99: f64,
    /// The share of requests that are never answered.
    pub hangs: f64,
    /// The share of requests that are ten times slower.
    pub tail: f64,
    /// For how many requests at the start it is five times slower: a cold cache.
    pub cold: f64,
}

impl Default for Behaviour {
    /// 0.5 % errors, a median of 100 ms and 400 ms at the 99th percentile.
    fn default() -> Self {
        Self { errors: 0.005, latency: 0.1, p99: 0.4, hangs: 0.0, tail: 0.0, cold: 0.0 }
    }
}

/// What happens to both versions alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disturbance {
    /// A client whose requests fail.
    pub burst: Option<Burst>,
    /// A backend of both that fails.
    pub outage: Option<Outage>,
    /// Rates that wander.
    pub drift: Option<Drift>,
}

/// A client sends some requests that all fail, again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// How many requests.
    pub size: u32,
    /// Once in how many seconds, on average.
    pub every: f64,
    /// All requests of a burst meet the same version.
    pub sticky: bool,
}

/// For a while, requests fail on both versions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// Its begin in seconds.
    pub from: f64,
    /// Its end in seconds.
    pub to: f64,
    /// The share of requests that fail.
    pub errors: f64,
}

/// Errors and latency follow an Ornstein-Uhlenbeck process in their logarithms, and the number of requests a sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The standard deviation of the logarithm of the error rate.
    pub errors: f64,
    /// The same of the latency.
    pub latency: f64,
    /// In how many seconds it forgets where it was.
    pub time: f64,
    /// The period of the number of requests in seconds; it goes from half to one and a half.
    pub day: f64,
}

/// Two versions, their traffic, and how it is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The new version.
    pub canary: Behaviour,
    /// From `1` on, in seconds, the canary behaves so.
    pub later: Option<(Behaviour, f64)>,
    /// The version that it is compared with.
    pub primary: Behaviour,
    /// How many requests arrive in a second, on average.
    pub requests_per_second: f64,
    /// The time between reports in seconds.
    pub report_every: f64,
    /// Upper bounds of the latency buckets in seconds.
    pub bounds: Vec<f64>,
    /// What happens to both.
    pub disturbance: Disturbance,
    /// Metrics that others measure, with the seconds between two answers. All answers are good.
    pub asked: BTreeMap<String, f64>,
}

/// Traffic that goes on from report to report.
#[derive(Clone, Debug)]
pub struct Traffic<'a> {
    scenario: &'a Scenario,
    random: Random,
    now: f64,
    canary: Arm,
    primary: Arm,
    /// Where the drift is: of errors, of latency.
    drift: (f64, f64),
    next_burst: f64,
    /// When others answer next, by metric.
    next_answer: BTreeMap<String, f64>,
}

/// What one version has before it.
#[derive(Clone, Debug, Default)]
struct Arm {
    /// Requests in flight: when each ends, its bucket, and whether it fails.
    active: Vec<(f64, usize, bool)>,
    /// Requests that are never answered.
    stuck: f64,
    seen: f64,
}

impl<'a> Traffic<'a> {
    /// Traffic from time 0 on.
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let next_burst = random.wait(scenario.disturbance.burst.map_or(0.0, |b| 1.0 / b.every));
        let drift = (random.normal(), random.normal());
        let (canary, primary) = Default::default();
        // The first answers look back on an interval in which the canary had traffic.
        let next_answer = scenario.asked.clone();
        Self { scenario, random, now: 0.0, canary, primary, drift, next_burst, next_answer }
    }

    /// What is measured in the next interval while the canary gets this share of the requests.
    pub fn next(&mut self, weight: f64) -> Report {
        let (from, to) = (self.now, self.now + self.scenario.report_every);
        self.now = to;
        let mut report = Report { from, to, ..Report::default() };
        let (errors, slowness) = self.wander();
        for (at, to_canary, fails) in self.arrivals(from, to, weight) {
            let behaviour = self.behaviour(to_canary, at);
            let arm = if to_canary { &mut self.canary } else { &mut self.primary };
            let counts = if to_canary { &mut report.canary } else { &mut report.primary };
            *counts.started.get_or_insert(0.0) += 1.0;
            arm.seen += 1.0;
            if self.random.happens(behaviour.hangs) {
                arm.stuck += 1.0;
                continue;
            }
            let sigma = (behaviour.p99 / behaviour.latency).ln() / Z99;
            let cold = if arm.seen <= behaviour.cold { 5.0 } else { 1.0 };
            let tail = if self.random.happens(behaviour.tail) { 10.0 } else { 1.0 };
            let latency = behaviour.latency * slowness * cold * tail * (sigma * self.random.normal()).exp();
            let bucket = self.scenario.bounds.partition_point(|b| *b < latency);
            let fails = fails || self.random.happens(behaviour.errors * errors) || self.in_outage(at);
            let arm = if to_canary { &mut self.canary } else { &mut self.primary };
            arm.active.push((at + latency, bucket, fails));
        }
        let measured = !self.scenario.bounds.is_empty();
        self.canary.complete(to, measured, &mut report.canary);
        self.primary.complete(to, measured, &mut report.primary);
        for (name, at) in self.next_answer.iter_mut().filter(|(_, at)| **at <= to) {
            *at = to + self.scenario.asked.get(name).copied().unwrap_or_default();
            report.user.insert(name.clone(), 0.0);
        }
        report
    }

    /// How many requests the canary never answered.
    pub fn never_answered(&self) -> f64 {
        self.canary.stuck
    }

    /// The requests of an interval: when, whether to the canary, whether lost already.
    fn arrivals(&mut self, from: f64, to: f64, weight: f64) -> Vec<(f64, bool, bool)> {
        let mut all = Vec::new();
        let day = self
            .scenario
            .disturbance
            .drift
            .map_or(1.0, |drift| 1.0 + 0.5 * (std::f64::consts::TAU * from / drift.day).sin());
        let rate = self.scenario.requests_per_second * day;
        // A Poisson process forgets, so it may begin anew at each report.
        let mut at = from + self.random.wait(rate);
        while at < to {
            all.push((at, self.random.happens(weight), false));
            at += self.random.wait(rate);
        }
        let Some(burst) = self.scenario.disturbance.burst else { return all };
        while self.next_burst < to {
            let all_to = self.random.happens(weight);
            for _ in 0..burst.size {
                let to_canary = if burst.sticky { all_to } else { self.random.happens(weight) };
                all.push((self.next_burst.max(from), to_canary, true));
            }
            self.next_burst += self.random.wait(1.0 / burst.every);
        }
        all
    }

    fn behaviour(&self, canary: bool, at: f64) -> Behaviour {
        match self.scenario.later {
            Some((later, since)) if canary && at >= since => later,
            _ if canary => self.scenario.canary,
            _ => self.scenario.primary,
        }
    }

    fn in_outage(&mut self, at: f64) -> bool {
        let outage = self.scenario.disturbance.outage.filter(|o| (o.from..o.to).contains(&at));
        outage.is_some_and(|outage| self.random.happens(outage.errors))
    }

    /// The factors of errors and latency in this interval.
    fn wander(&mut self) -> (f64, f64) {
        let Some(drift) = self.scenario.disturbance.drift else { return (1.0, 1.0) };
        let keep = (-self.scenario.report_every / drift.time).exp();
        let fresh = (1.0 - keep * keep).sqrt();
        self.drift.0 = keep * self.drift.0 + fresh * self.random.normal();
        self.drift.1 = keep * self.drift.1 + fresh * self.random.normal();
        ((drift.errors * self.drift.0).exp(), (drift.latency * self.drift.1).exp())
    }
}

impl Arm {
    /// Counts what ended until then.
    fn complete(&mut self, to: f64, measured: bool, counts: &mut Counts) {
        counts.started.get_or_insert(0.0);
        self.active.retain(|(end, bucket, fails)| {
            if *end > to {
                return true;
            }
            counts.requests += 1.0;
            counts.errors += if *fails { 1.0 } else { 0.0 };
            if measured {
                *counts.latency.entry(*bucket).or_default() += 1.0;
            }
            false
        });
        // A vector never has more elements than an f64 counts exactly, on any machine that could hold it.
        counts.active = self.stuck + self.active.iter().map(|_| 1.0).sum::<f64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::log_linear;

    fn scenario(canary: Behaviour) -> Scenario {
        Scenario {
            canary,
            later: None,
            primary: Behaviour::default(),
            requests_per_second: 100.0,
            report_every: 1.0,
            bounds: log_linear(-3, 2),
            disturbance: Disturbance::default(),
            asked: BTreeMap::new(),
        }
    }

    #[test]
    fn others_answer_as_often_as_they_are_asked() {
        let asked = [("ttft".to_owned(), 5.0), ("drift".to_owned(), 1.0)].into();
        let scenario = Scenario { asked, ..scenario(Behaviour::default()) };
        let mut traffic = Traffic::new(&scenario, 7);
        let answers: Vec<_> = (0..11).map(|_| traffic.next(0.5).user).collect();
        let count = |name: &str| answers.iter().filter(|user| user.get(name) == Some(&0.0)).count();
        assert_eq!((count("ttft"), count("drift")), (2, 11));
    }

    #[test]
    fn traffic_is_as_it_was_asked_for() {
        let scenario = scenario(Behaviour { errors: 0.1, latency: 0.2, p99: 1.0, ..Behaviour::default() });
        let mut traffic = Traffic::new(&scenario, 7);
        let mut sum = Counts::default();
        let mut primary = 0.0;
        for _ in 0..400 {
            let report = traffic.next(0.25);
            sum.requests += report.canary.requests;
            sum.errors += report.canary.errors;
            primary += report.primary.requests;
            for (bucket, n) in report.canary.latency {
                *sum.latency.entry(bucket).or_default() += n;
            }
        }
        assert!((sum.requests / 10_000.0 - 1.0).abs() < 0.05, "{}", sum.requests);
        assert!((primary / 30_000.0 - 1.0).abs() < 0.05, "{primary}");
        assert!((sum.errors / sum.requests - 0.1).abs() < 0.01, "{}", sum.errors);
        let above = |x: f64| {
            let first = scenario.bounds.partition_point(|b| *b < x * 1.0001);
            sum.latency.range(first..).map(|(_, n)| n).sum::<f64>() / sum.requests
        };
        assert!((above(0.2) - 0.5).abs() < 0.02 && (above(1.0) - 0.01).abs() < 0.005);
    }

    #[test]
    fn what_hangs_stays_in_flight() {
        let scenario = scenario(Behaviour { hangs: 1.0, ..Behaviour::default() });
        let mut traffic = Traffic::new(&scenario, 7);
        let (mut started, mut last) = (0.0, Report::default());
        for _ in 0..20 {
            last = traffic.next(0.5);
            started += last.canary.started.unwrap();
        }
        assert!(last.canary.requests.abs() < 0.5 && (last.canary.active - started).abs() < 0.5);
        assert!(started > 500.0);
    }
}
