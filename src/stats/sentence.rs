//! The decision in one line for a person.

use super::analysis::Analysis;
use super::decision::{Action, Decision};
use super::evidence::{Evidence, Rate};
use super::name::Test;
use super::settings::Settings;

/// The most confidence that is ever claimed, in percent: the model is not exacter than that.
const MOST: f64 = 99.99;

impl Analysis {
    /// What was decided, with the rates that decided it and their intervals: `canary error rate 4.0% [1.5%, 8.3%] vs
    /// primary 1.0% [0.64%, 1.5%]: worse with 99.39% confidence -> rolled back after 425 canary requests, 166.0 s`.
    pub fn sentence(&self, settings: &Settings, decision: &Decision) -> String {
        let test = decision.why.clone().unwrap_or(Test::Errors);
        let evidence = self.evidence_of(settings, test);
        let end = match decision.action {
            Action::Rollback => {
                let confidence = (100.0 * -(-decision.evidence.max(0.0)).exp_m1()).min(MOST);
                format!("worse with {}% confidence -> rolled back", significant(confidence))
            }
            Action::Advance => "not worse beyond the margin -> next stage".to_owned(),
            Action::Hold(_) => format!("on hold ({})", decision.reason()),
            Action::Wait => format!("waiting for evidence ({})", decision.reason()),
        };
        format!(
            "{}: {end} after {} canary requests, {:.1} s",
            rates(&evidence),
            self.totals().canary.requests,
            decision.at - self.began()
        )
    }
}

fn rates(evidence: &Evidence) -> String {
    let what = match (&evidence.test, &evidence.threshold) {
        (Test::Errors | Test::Ceiling, _) => "error rate".to_owned(),
        (Test::Stall, _) => "requests overdue".to_owned(),
        (Test::Shadow, _) => "shadow mismatches".to_owned(),
        (Test::Latency(quantile), Some(_)) => format!("slow requests ({quantile})"),
        (test, _) => test.to_string(),
    };
    let above = |bound: Option<f64>| bound.map_or(String::new(), |b| format!(" > {} s", significant(b)));
    let threshold = evidence.threshold;
    let canary = rate(&evidence.canary, &above(threshold.map(|t| t.canary)));
    let beside = match (&evidence.primary, evidence.limit) {
        (Some(primary), _) => format!(" vs primary {}", rate(primary, &above(threshold.map(|t| t.primary)))),
        (None, Some(limit)) => format!(" (allowed {})", percent(limit)),
        (None, None) => String::new(),
    };
    format!("canary {what} {canary}{beside}")
}

fn rate(rate: &Rate, above: &str) -> String {
    let mean = rate.mean().map_or("?".to_owned(), percent);
    format!("{mean}{above} [{}, {}]", percent(rate.low), percent(rate.high))
}

/// A share as a percent, with more decimals the smaller it is.
fn percent(share: f64) -> String {
    let decimals = match share {
        s if s < 0.001 => 3,
        s if s < 0.01 => 2,
        _ => 1,
    };
    format!("{:.decimals$}%", 100.0 * share)
}

/// A number with at most four significant digits, as C's `%.4g` writes it.
fn significant(number: f64) -> String {
    let text = format!("{number:.3e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let trim = |text: &str| {
        let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        short.to_owned()
    };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..4) => {
            let decimals = usize::try_from(3 - exponent).unwrap_or(0);
            trim(&format!("{number:.decimals$}"))
        }
        Ok(exponent) => format!("{}e{exponent:+03}", trim(digits)),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_enough() {
        for (number, text) in [
            (99.387_6, "99.39"),
            (99.999_9, "100"),
            (0.11, "0.11"),
            (0.099, "0.099"),
            (1.0, "1"),
            (123_456.0, "1.235e+05"),
            (1e308, "1e+308"),
            (0.000_012, "1.2e-05"),
        ] {
            assert_eq!(significant(number), text);
        }
    }

    #[test]
    fn small_rates_have_more_decimals() {
        assert_eq!([0.5, 0.0064, 0.0004].map(percent), ["50.0%", "0.64%", "0.040%"]);
    }
}
