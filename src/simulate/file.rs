//! What a gateway file asks for, in seconds and shares. How its limits are weighed is said by
//! [`rollout::settings`](crate::rollout::settings), for real releases and for these.

use super::plan::{Plan, Stop};
use crate::model::{BuiltIn, Number, Rollout, Step, StepPause};
use crate::weight::{WHOLE, Weight};
use std::collections::BTreeMap;

/// The steps. A step that waits for somebody's word gets it as soon as the evidence is there.
pub fn plan(rollout: &Rollout) -> Plan {
    let pause = |pause| match pause {
        StepPause::AtLeast(time) => time.as_secs_f64(),
        StepPause::Manual => 0.0,
    };
    let stop = |step: &Step| Stop { weight: share(step.weight), pause: pause(step.pause) };
    let least =
        rollout.metrics.request_rate.filter(|_| !rollout.metrics.dry_run.contains(&BuiltIn::RequestRate));
    Plan {
        least_rate: least.map_or(0.0, Number::get),
        steps: rollout.steps.iter().map(stop).collect(),
        bake: rollout.bake.as_secs_f64(),
        deadline: rollout.deadline.as_secs_f64(),
    }
}

/// The metrics that others measure and that decide, with the seconds between two answers.
pub fn asked(rollout: &Rollout) -> BTreeMap<String, f64> {
    let deciding = rollout.metrics.provided.iter().filter(|metric| !metric.dry_run);
    deciding.map(|metric| (metric.name.clone(), metric.interval.as_secs_f64())).collect()
}

fn share(weight: Weight) -> f64 {
    f64::from(weight.hundredths()) / f64::from(WHOLE)
}
