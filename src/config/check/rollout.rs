//! The rollout: who it is between, its steps, and what it compares.

use super::traffic::known;
use super::{Surroundings, Wrong, duration, metrics, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{Metrics, OnFailure, Rollout, Step, StepPause};
use crate::names::UpstreamName;
use crate::weight::{Split, Weight};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A release of a quiet service may take weeks.
const LONGEST: Duration = Duration::from_hours(30 * 24);
const DEFAULT_PAUSE: Duration = Duration::from_mins(10);
const DEFAULT_BAKE: Duration = Duration::from_mins(10);
const DEFAULT_DEADLINE: Duration = Duration::from_hours(24);
/// Of a percent, in hundredths.
const DEFAULT_STEPS: [u32; 4] = [500, 2500, 5000, 10_000];
const DEFAULT_CONFIDENCE: u32 = 9900;
/// Below it every second release is stopped without a reason; above it a bad one is found late.
const CONFIDENCES: RangeInclusive<u32> = 8000..=9999;
const MAX_STEPS: usize = 100;

/// The rollout, if the file has one.
pub(super) fn rollout(
    raw: &raw::Gateway,
    root: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Rollout> {
    let rollout = raw.rollout.as_ref()?;
    let at = root.at("rollout");
    if root.at("traffic").is_there() {
        let message = "`traffic` and `rollout` exclude each other: only one of them can own the weights";
        let help = "remove `traffic` to let Serin move the weights, or `rollout` to keep them in the file";
        problems.error(Code::TrafficAndRollout, &root.key("traffic"), message, help);
    }
    let side = |text: &Option<String>, key: &str, problems: &mut Problems<'_>| {
        let text = text.as_deref()?;
        report(known(text, raw), Code::UnknownUpstream, &at.at(key), problems)?;
        UpstreamName::new(text).ok()
    };
    let primary = side(&rollout.primary, "primary", problems);
    let canary = side(&rollout.canary, "canary", problems);
    if let (Some(primary), Some(canary)) = (&primary, &canary)
        && primary == canary
    {
        let message = format!("`primary` and `canary` are both `{primary}`, so there is nothing to release");
        let help = "name the next version under `canary` when there is one; until then all is well";
        problems.warning(Code::NothingToRelease, &at.at("canary"), message, help);
    }
    let time = |raw: &Option<_>, default, bounds, key, problems: &mut Problems<'_>| {
        duration::optional(raw.as_ref(), default, bounds, &at.at(key), problems)
    };
    let pause = time(&rollout.pause, DEFAULT_PAUSE, Duration::ZERO..=LONGEST, "pause", problems);
    let bake = time(&rollout.bake, DEFAULT_BAKE, Duration::ZERO..=LONGEST, "bake", problems);
    let deadline =
        time(&rollout.deadline, DEFAULT_DEADLINE, Duration::from_secs(1)..=LONGEST, "deadline", problems);
    let steps = steps(rollout, pause, &at, problems);
    if let (Some(steps), Some(bake), Some(deadline)) = (&steps, bake, deadline) {
        longest_pause(steps, bake, deadline, &at, problems);
    }
    let confidence = match &rollout.confidence {
        Some(percent) => report(confidence(percent), Code::Confidence, &at.at("confidence"), problems),
        None if at.at("confidence").is_there() => None,
        None => Weight::new(DEFAULT_CONFIDENCE),
    };
    let metrics = metrics::metrics(raw, &at, around, problems);
    if let (Some(metrics), Some(deadline)) = (&metrics, deadline) {
        enough_windows(metrics, deadline, &at, problems);
    }
    Some(Rollout {
        primary: primary?,
        canary: canary?,
        steps: steps?,
        bake: bake?,
        deadline: deadline?,
        on_failure: match rollout.on_failure {
            None | Some(raw::OnFailure::Rollback) => OnFailure::RollBack,
            Some(raw::OnFailure::Pause) => OnFailure::Pause,
        },
        confidence: confidence?,
        // Completed when the gateway's shadow is known.
        shadow_first: None,
        metrics: metrics?,
    })
}

/// The split that is safe whatever the rollout came to: all to the primary. The canary has its place in it, so that
/// Envoys know its cluster before it gets traffic.
pub(super) fn safe_split(rollout: &Rollout) -> Option<Split> {
    if rollout.primary == rollout.canary {
        return Some(Split::all_to(rollout.primary.clone()));
    }
    let parts = vec![(rollout.canary.clone(), Weight::NONE), (rollout.primary.clone(), Weight::ALL)];
    Split::new(parts).ok()
}

fn steps(
    raw: &raw::Rollout,
    pause: Option<Duration>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Step>> {
    let least = StepPause::AtLeast(pause.unwrap_or(DEFAULT_PAUSE));
    let at = at.at("steps");
    let Some(all) = &raw.steps else {
        let default = DEFAULT_STEPS.into_iter().filter_map(Weight::new);
        return (!at.is_there()).then(|| default.map(|weight| Step { weight, pause: least }).collect());
    };
    if all.is_empty() || all.len() > MAX_STEPS {
        let message = format!("the rollout has {} steps", all.len());
        let help = format!("write 1 to {MAX_STEPS}, such as `steps: [5, 25, 50, 100]`");
        problems.error(Code::Steps, &at, message, help);
        return None;
    }
    let mut steps: Vec<Step> = Vec::new();
    for (i, item) in all.iter().enumerate() {
        let at = at.item(i);
        let Some(item) = item else { continue };
        let (percent, place) = match item {
            raw::Step::Weight(percent) => (Some(percent), at.clone()),
            raw::Step::Object(object) => (object.weight.as_ref(), at.at("weight")),
        };
        let pause = match item {
            raw::Step::Object(raw::StepObject { pause: Some(raw::StepPause(text)), .. }) => {
                step_pause(text, &at.at("pause"), problems)
            }
            raw::Step::Weight(_) | raw::Step::Object(_) => Some(least),
        };
        let before = steps.last().map(|s| s.weight);
        let weight = percent.and_then(|p| report(step(p, before), Code::Steps, &place, problems));
        if let (Some(weight), Some(pause)) = (weight, pause) {
            steps.push(Step { weight, pause });
        }
    }
    if steps.len() < all.len() {
        return None;
    }
    // A release ends with all traffic, whether or not the file says so.
    if steps.last().is_some_and(|s| s.weight < Weight::ALL) {
        steps.push(Step { weight: Weight::ALL, pause: least });
    }
    Some(steps)
}

fn step(percent: &raw::Percent, before: Option<Weight>) -> Result<Weight, Wrong> {
    let text = percent.to_string();
    let shown = spelling::shorten(&text);
    let weight = Weight::parse(&text).map_err(|why| {
        let help = "write the share of the canary as a number above 0 and up to 100, such as 5 or 0.5";
        Wrong::new(format!("`{shown}` is not a step: {why}"), help)
    })?;
    match before {
        None if weight == Weight::NONE => {
            let help = "begin with a small share, such as 5; before the first step the canary has none";
            Err(Wrong::new("a step of 0 gives the canary nothing to be judged by", help))
        }
        Some(before) if weight <= before => Err(Wrong::new(
            format!("steps must grow: {weight} comes after {before}"),
            format!("put the steps in rising order, or drop {weight}"),
        )),
        _ => Ok(weight),
    }
}

fn step_pause(text: &str, at: &At<'_>, problems: &mut Problems<'_>) -> Option<StepPause> {
    if text == "manual" {
        return Some(StepPause::Manual);
    }
    let raw = raw::Duration(text.to_owned());
    duration::optional(Some(&raw), DEFAULT_PAUSE, Duration::ZERO..=LONGEST, at, problems)
        .map(StepPause::AtLeast)
}

/// A deadline that comes before a step can end would stop every release.
fn longest_pause(
    steps: &[Step],
    bake: Duration,
    deadline: Duration,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) {
    let pauses = steps.iter().filter_map(|s| match s.pause {
        StepPause::AtLeast(time) => Some(time),
        StepPause::Manual => None,
    });
    if pauses.chain([bake]).any(|time| time >= deadline) {
        let message = "the deadline comes before a step could end";
        let help = "make `deadline` longer than every `pause` and than `bake`";
        problems.error(Code::RolloutTimes, &at.at("deadline"), message, help);
    }
}

/// So many good answers in a row are evidence: of a metric that is bad in one window of five, they have a chance of 5 %.
const GOOD_ANSWERS: u32 = 14;

/// A metric that is asked too seldom would stop every release.
fn enough_windows(metrics: &Metrics, deadline: Duration, at: &At<'_>, problems: &mut Problems<'_>) {
    let deciding = metrics.provided.iter().filter(|metric| !metric.dry_run);
    if let Some(metric) = deciding.max_by_key(|metric| metric.interval)
        && metric.interval * GOOD_ANSWERS >= deadline
    {
        let message =
            format!("the deadline comes before `{}` could show at one step that all is well", metric.name);
        let help =
            format!("{GOOD_ANSWERS} answers are needed: make its `interval` shorter, or `deadline` longer");
        problems.error(Code::RolloutTimes, &at.at("deadline"), message, help);
    }
}

fn confidence(percent: &raw::Percent) -> Result<Weight, Wrong> {
    let text = percent.to_string();
    let good = Weight::parse(&text).ok().filter(|w| CONFIDENCES.contains(&w.hundredths()));
    good.ok_or_else(|| {
        let message = format!("`{}` is not a confidence", spelling::shorten(&text));
        Wrong::new(message, "write a percent from 80 to 99.99, such as 99%")
    })
}
