//! What a load saw: answers by status and version, failures by kind, latencies in little room.

use std::collections::BTreeMap;
use std::time::Duration;

/// What came of the requests of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All answers.
    pub all: Answers,
    /// The answers of each version that named itself.
    pub by_version: BTreeMap<String, Answers>,
    /// Requests without a whole answer, by kind: `connect`, `timeout` or `broken`.
    pub failures: BTreeMap<&'static str, u64>,
}

/// Answers, of all or of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many had which status.
    pub by_status: BTreeMap<u16, u64>,
    /// How long they took.
    pub latencies: Latencies,
}

/// Durations, kept to within two percent: a load may run for days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies(BTreeMap<u64, u64>);

impl Report {
    /// All requests that have come to an end.
    pub fn requests(&self) -> u64 {
        self.all.count() + self.failed()
    }

    /// Requests without a whole answer.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn answer(&mut self, status: u16, version: Option<String>, took: Duration) {
        self.all.add(status, took);
        if let Some(version) = version {
            self.by_version.entry(version).or_default().add(status, took);
        }
    }

    pub(super) fn failure(&mut self, kind: &'static str) {
        *self.failures.entry(kind).or_default() += 1;
    }
}

impl Answers {
    /// How many.
    pub fn count(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// How many were a server's fault (5xx).
    pub fn errors(&self) -> u64 {
        self.by_status.range(500..600).map(|(_, n)| n).sum()
    }

    fn add(&mut self, status: u16, took: Duration) {
        *self.by_status.entry(status).or_default() += 1;
        self.latencies.add(took);
    }
}

impl Latencies {
    /// The latency that `part` of all, from 0 to 1, did not exceed; `None` without any.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let total: u64 = self.0.values().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank; off by one in 2^53 does not matter, and the cast saturates"
        )]
        let rank = ((total as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(&micros, &count)| {
            seen += count;
            (seen >= rank).then_some(Duration::from_micros(micros))
        })
    }

    fn add(&mut self, took: Duration) {
        let micros = took.as_micros().try_into().unwrap_or(u64::MAX);
        *self.0.entry(rounded(micros)).or_default() += 1;
    }
}

/// Keeps the seven highest bits.
fn rounded(micros: u64) -> u64 {
    let lost = (u64::BITS - micros.leading_zeros()).saturating_sub(7);
    (micros >> lost) << lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_latency_is_off_by_less_than_two_percent_and_never_up() {
        for exponent in 0..63 {
            for micros in
                [1u64 << exponent, (1 << exponent) + (1 << exponent >> 1), (1 << (exponent + 1)) - 1]
            {
                let kept = rounded(micros);
                assert!(kept <= micros && micros - kept <= micros / 64, "{micros} {kept}");
            }
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        (1..=100).for_each(|n| latencies.add(Duration::from_micros(n)));
        assert_eq!(latencies.quantile(0.0), Some(Duration::from_micros(1)));
        assert_eq!(latencies.quantile(0.5), Some(Duration::from_micros(50)));
        assert_eq!(latencies.quantile(0.99), Some(Duration::from_micros(99)));
        assert_eq!(latencies.quantile(1.0), Some(Duration::from_micros(100)));
    }

    #[test]
    fn errors_are_the_servers_fault() {
        let mut report = Report::default();
        for status in [200, 404, 500, 503, 503] {
            report.answer(status, (status == 503).then(|| "v2".into()), Duration::ZERO);
        }
        report.failure("connect");
        assert_eq!((report.requests(), report.failed(), report.all.errors()), (6, 1, 3));
        assert_eq!(report.by_version["v2"].count(), 2);
    }
}
