//! Canaries that are shadowed before their first step, and predictions as a metric.

use super::*;
use crate::control::Readings;
use crate::rollout::Reading;

/// A release whose canary is shadowed first, and the shadow of its gateway otherwise.
fn shadowed(own: &str) -> String {
    release("steps: [100], shadowFirst: { percent: 20, minMatch: 97% }") + own
}

impl Kept {
    /// So many predictions were compared since a moment, and so many of them agreed.
    fn compared(&mut self, since: Timestamp, compared: u64, matched: u64) {
        let reading = Reading { since, compared, matched };
        let readings = [(fraud(), reading)].into();
        self.play.event(Event::Compared(Readings { token: None, readings }));
    }

    /// Who gets copies as people see it, and of how many requests.
    fn shadow(&mut self) -> Option<(String, String)> {
        let view = self.play.world.view();
        let shadow = view.gateways["fraud"].gateway.as_ref().unwrap().shadow.as_ref()?;
        Some((shadow.upstream.clone(), shadow.percent.to_string()))
    }

    fn sentence(&mut self) -> String {
        self.play.world.view().gateways["fraud"].rollout.as_ref().unwrap().message.clone()
    }
}

#[test]
fn a_canary_is_the_shadow_of_its_gateway_until_its_first_step() {
    for (own, otherwise) in [("", None), ("shadow: { upstream: v2, percent: 1 }\n", Some(("v2", "1")))] {
        let otherwise = otherwise.map(|(name, percent): (&str, &str)| (name.to_owned(), percent.to_owned()));
        let mut kept = Kept::new("");
        kept.play.write("fraud.yaml", shadowed(own));
        kept.keep();
        assert_eq!((kept.phase(), kept.shadow()), (Phase::Of(rollout::Phase::Waiting), otherwise.clone()));
        kept.healthy();
        assert_eq!(kept.shadow(), otherwise, "the store has not answered");
        kept.keep();
        let during = Some(("v2".to_owned(), "20".to_owned()));
        assert_eq!(
            (kept.phase(), kept.weight(), kept.shadow()),
            (Phase::Of(rollout::Phase::Holding), 0, during.clone())
        );
        let since = kept.play.now;
        kept.compared(since, 100, 100);
        kept.keep();
        assert_eq!((kept.phase(), kept.shadow()), (Phase::Of(rollout::Phase::Holding), during));
        assert!(kept.sentence().contains("100 of 100 predictions agreed"), "{}", kept.sentence());
        kept.compared(since, 2_000, 2_000);
        assert_eq!(kept.weight(), 0, "the store has not answered");
        kept.keep();
        assert_eq!(
            (kept.phase(), kept.weight(), kept.shadow()),
            (Phase::Of(rollout::Phase::Progressing), 10_000, otherwise)
        );
    }
}

#[test]
fn what_was_compared_outlasts_a_restart() {
    let mut kept = Kept::new("");
    kept.play.write("fraud.yaml", shadowed(""));
    kept.keep();
    kept.healthy();
    kept.keep();
    let mut since = kept.play.now;
    for _ in 0..4 {
        kept.compared(since, 50, 45);
        kept.keep();
        kept.begin();
        kept.play.write("fraud.yaml", shadowed(""));
        kept.keep();
        kept.play.now = kept.play.now.plus(Duration::from_secs(1));
        since = kept.play.now;
    }
    // A hundred alone would not have been enough to know.
    assert_eq!(kept.phase(), Phase::Of(rollout::Phase::RolledBack), "{}", kept.sentence());
    assert!(kept.sentence().starts_with("the release of v2 does not begin: "), "{}", kept.sentence());
    assert_eq!(kept.shadow(), None);
}

#[test]
fn predictions_at_a_step_are_a_metric() {
    let text = release("steps: [5]")
        .replace("{ name: error-rate }", "{ name: error-rate }, { name: shadow-match, min: 90% }")
        + "shadow: { upstream: v2, percent: 20, compare: {} }\n";
    let mut kept = Kept::new("");
    kept.play.write("fraud.yaml", text.clone());
    kept.keep();
    kept.healthy();
    kept.keep();
    let since = kept.play.now;
    for second in 1..=30 {
        kept.second(2_000.0, 0.0);
        kept.keep();
        kept.compared(since, second * 20, second * 10);
        kept.keep();
        if kept.phase() == Phase::Of(rollout::Phase::RolledBack) {
            break;
        }
    }
    assert_eq!(kept.phase(), Phase::Of(rollout::Phase::RolledBack));
    assert!(kept.sentence().contains("canary shadow mismatches 50.0%"), "{}", kept.sentence());

    // Without predictions it waits; with good ones it goes on, and at all traffic nobody asks for them.
    let mut kept = Kept::new("");
    kept.play.write("fraud.yaml", text);
    kept.keep();
    kept.healthy();
    kept.keep();
    let since = kept.play.now;
    for _ in 0..60 {
        kept.second(2_000.0, 0.0);
        kept.keep();
    }
    assert_eq!(kept.weight(), 500, "{}", kept.sentence());
    for second in 1..=60 {
        if kept.weight() < 10_000 {
            kept.compared(since, second * 50, second * 50);
        }
        kept.second(2_000.0, 0.0);
        kept.keep();
    }
    assert_eq!(
        (kept.phase(), kept.weight()),
        (Phase::Of(rollout::Phase::Promoted), 10_000),
        "{}",
        kept.sentence()
    );
}
