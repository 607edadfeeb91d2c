//! What a gateway file asks of its rollout, in the terms of the mathematics.

use super::plan::{Plan, Stop};
use crate::model::{Quantile as Named, Rollout, Step, StepPause};
use crate::stats::{Quantile, Settings};
use crate::weight::{WHOLE, Weight};
use std::collections::BTreeMap;

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

/// The constants, those of the file in place of the defaults. `bounds` are those of the latency buckets.
pub fn settings(rollout: &Rollout, bounds: Vec<f64>) -> Settings {
    let defaults = Settings::default();
    let metrics = &rollout.metrics;
    let quantile = |named: &Named| match named {
        Named::P50 => Quantile::P50,
        Named::P90 => Quantile::P90,
        Named::P95 => Quantile::P95,
        Named::P99 => Quantile::P99,
    };
    let own = metrics.latency.iter().map(|(named, increase)| (quantile(named), share(*increase)));
    let tau_of: BTreeMap<Quantile, f64> = own.collect();
    let mut quantiles = defaults.quantiles.clone();
    quantiles.extend(tau_of.keys());
    quantiles.sort_unstable();
    quantiles.dedup();
    Settings {
        alpha: 1.0 - share(rollout.confidence),
        ceiling: share(metrics.error_rate.max),
        rtol: share(metrics.error_rate.max_increase),
        bounds,
        quantiles,
        tau_of,
        ..defaults
    }
}

fn share(weight: Weight) -> f64 {
    f64::from(weight.hundredths()) / f64::from(WHOLE)
}
