//! `serin demo shadow`: a canary whose predictions differ is found out before anybody gets one, and one whose predictions
//! agree is released.

use super::Scene;
use crate::cli::story::{News, Story};
use crate::launch::{Load, Toy, Until};
use anyhow::ensure;

/// Of the predictions of the canary that differs, this share is another one, in percent.
pub(super) const ASTRAY: &str = "10";

impl Scene {
    pub(super) async fn shadow(&self, mut story: Story<'_>) -> anyhow::Result<()> {
        let load = Load::start(self.load(Some(f64::from(self.rate)), Until::Stopped))?;
        story.say(&format!(
            "{} requests a second go through Envoy. Half of them are copied to a canary before its first step, and both \
             predictions are compared.\n\n\
             A canary that differs: {ASTRAY} % of the predictions of v2 are others than those of v1.",
            self.rate
        ));
        let News { last, weights, .. } = story.release("v2").await?;
        ensure!(last == "rolled-back", "a canary that differs was not found out; it ended as {last}");
        ensure!(weights.is_empty(), "a canary that differs got {weights:?} % of the traffic");
        let report = load.report();
        ensure!(!report.by_version.contains_key("v2"), "a client met the canary that differs");
        story.say(&format!(
            "Its release did not begin: v1 answered all of the {} requests, and no client met v2.\n",
            report.requests()
        ));
        story.say("A canary that agrees: v3 predicts what v1 does. fraud.yaml says now `canary: v3`.");
        self.write(&gateway([("v1", &self.models[0]), ("v3", &self.models[2])]))?;
        let News { last, weights, took } = story.release("v3").await?;
        ensure!(last == "promoted", "a canary that agrees was not promoted; it ended as {last}");
        ensure!(weights == [10.0, 50.0, 100.0], "the steps were {weights:?}");
        let answered = self.answered_by("v3").await?;
        let report = load.stop().await;
        let bad = report.failed() + report.all.errors();
        ensure!(bad == 0, "{bad} of {} requests failed", report.requests());
        story.say(&format!(
            "Promoted {:.0} s after its first step; {} requests, none failed. {answered}\n",
            took.as_secs_f64(),
            report.requests(),
        ));
        Ok(())
    }
}

/// A release of the second in place of the first, after a shadow.
pub(super) fn gateway([(primary, p), (canary, c)]: [(&str, &Toy); 2]) -> String {
    format!(
        "apiVersion: serin/v1\nname: fraud\ndescription: Card fraud scoring\npath: /predict\ntimeout: 2s\nupstreams:\n  \
         {primary}: {}\n  {canary}: {}\n\
         shadow:         # says how predictions are compared, and makes no copies of its own\n  \
         upstream: {canary}\n  percent: 0\n  compare: {{ path: $.prediction }}\n\
         rollout:\n  primary: {primary}\n  canary: {canary}\n  \
         shadowFirst: {{ percent: 50, minMatch: 97% }}\n  steps: [10, 50, 100]\n  \
         pause: 2s      # short, to be watched; 10m unless a file says so\n  \
         bake: 2s       # likewise\n  metrics: [{{ name: error-rate, max: 5% }}]\n",
        p.url(),
        c.url()
    )
}
