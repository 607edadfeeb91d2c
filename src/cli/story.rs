//! A release as a story: a line for each entry of the journal, and on a terminal a line below that lives.

use super::output::Output;
use super::release;
use crate::clock::{self, Timestamp};
use crate::control::View;
use crate::latest::Subscriber;
use anyhow::Context;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// How often the living line is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// How wide a bar is, in characters.
const BAR: u8 = 20;

/// Tells releases of the gateway `fraud`.
pub(super) struct Story<'a> {
    news: UnboundedReceiver<Value>,
    views: Subscriber<View>,
    out: &'a Output,
}

/// How a release went.
pub(super) struct News {
    /// The shares of the canary, in percent, as they followed each other from the first on.
    pub(super) weights: Vec<f64>,
    /// The kind of the last entry.
    pub(super) last: String,
    /// From the first share to the end.
    pub(super) took: Duration,
}

impl<'a> Story<'a> {
    /// Of entries of the journal.
    pub(super) fn new(news: UnboundedReceiver<Value>, views: Subscriber<View>, out: &'a Output) -> Self {
        Self { news, views, out }
    }

    /// A line of its own.
    pub(super) fn say(&self, text: &str) {
        self.out.line(text);
    }

    /// Tells the release of an upstream until it is over, or somebody has to say how it goes on.
    pub(super) async fn release(&mut self, canary: &str) -> anyhow::Result<News> {
        let (mut began, mut shared, mut weights) = (None, None, Vec::new());
        loop {
            let entry = self.next().await?;
            let kind = entry["kind"].as_str().unwrap_or_default();
            let time = Timestamp::parse(entry["time"].as_str().unwrap_or_default())?;
            // What the file did is in the journal too.
            began = began.or((kind == "started").then_some(time));
            let Some(began) = began.filter(|_| entry["revision"].is_u64()) else { continue };
            let (after, message) = (time.since(began).as_secs_f64(), entry["message"].as_str());
            self.say(&format!("{after:6.1} s  {kind:<11}  {}", message.unwrap_or_default()));
            let weight = entry["after"][canary].as_f64().filter(|weight| *weight > 0.0);
            if let Some(weight) = weight.filter(|weight| weights.last() != Some(weight)) {
                shared = shared.or(Some(time));
                weights.push(weight);
            }
            if matches!(kind, "promoted" | "rolled-back" | "paused") {
                let took = time.since(shared.unwrap_or(began));
                return Ok(News { weights, last: kind.to_owned(), took });
            }
        }
    }

    /// The next entry; until it is there the line lives.
    async fn next(&mut self) -> anyhow::Result<Value> {
        let mut draw = tokio::time::interval(DRAW);
        loop {
            tokio::select! {
                entry = self.news.recv() => return entry.context("the journal has ended"),
                _ = draw.tick(), if self.out.is_terminal() => {
                    let gateway = self.views.load().gateways.get("fraud").cloned();
                    let rollout = gateway.and_then(|g| g.rollout.clone());
                    self.out.live(&line(&serde_json::to_value(rollout)?, clock::now()));
                }
            }
        }
    }
}

/// A release in less than a line.
fn line(rollout: &Value, now: Timestamp) -> String {
    let Some(percent) = rollout["weight"].as_f64() else { return String::new() };
    let canary = rollout["canary"].as_str().unwrap_or_default();
    format!("          {canary} {} {percent} %  {}", bar(percent), release::short(rollout, now))
}

fn bar(percent: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the width of the bar"
    )]
    let full = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(BAR)).round() as usize;
    let cell = |at| if at < full { '█' } else { '░' };
    (0..usize::from(BAR)).map(cell).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_is_as_full_as_the_share() {
        let full = |percent| super::bar(percent).chars().filter(|c| *c == '█').count();
        assert_eq!([0.0, 5.0, 50.0, 99.0, 100.0].map(full), [0, 1, 10, 20, 20]);
        assert_eq!(super::bar(25.0).chars().count(), 20);
    }
}
