//! The steps that a gateway file asks for, in seconds and shares. How its limits are weighed is said by
//! [`rollout::settings`](crate::rollout::settings), for real releases and for these.

use super::plan::{Plan, Stop};
use crate::model::{Rollout, Step, StepPause};
use crate::weight::{WHOLE, Weight};

/// The steps. A step that waits for somebody's word gets it as soon as the evidence is there.
pub fn plan(rollout: &Rollout) -> Plan {
    let pause = |pause| match pause {
        StepPause::AtLeast(time) => time.as_secs_f64(),
        StepPause::Manual => 0.0,
    };
    let stop = |step: &Step| Stop { weight: share(step.weight), pause: pause(step.pause) };
    Plan {
        steps: rollout.steps.iter().map(stop).collect(),
        bake: rollout.bake.as_secs_f64(),
        deadline: rollout.deadline.as_secs_f64(),
    }
}

fn share(weight: Weight) -> f64 {
    f64::from(weight.hundredths()) / f64::from(WHOLE)
}
