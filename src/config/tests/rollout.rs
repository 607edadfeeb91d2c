//! Rollouts: what each key becomes, and that nothing is lost on the way.

use super::*;
use crate::model::{ErrorRate, Metrics, OnFailure, Quantile, Rollout, Step, StepPause};
use crate::weight::{Split, WHOLE, Weight};
use proptest::prelude::*;

const UPSTREAMS: &str = "apiVersion: serin/v1\nname: fraud\nupstreams: { v1: http://a, v2: http://b }\n";

fn v(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn percent(text: &str) -> Weight {
    Weight::parse(text).unwrap()
}

fn at_least(minutes: u64) -> StepPause {
    StepPause::AtLeast(Duration::from_mins(minutes))
}

#[test]
fn the_smallest_rollout_has_the_defaults_of_the_contract() {
    let text = format!("{UPSTREAMS}rollout: {{ primary: v1, canary: v2 }}\n");
    let gateway = good("a.yaml", &text).gateway.unwrap();
    let step = |weight| Step { weight: percent(weight), pause: at_least(10) };
    let expected = Rollout {
        primary: v("v1"),
        canary: v("v2"),
        steps: ["5", "25", "50", "100"].map(step).into(),
        bake: Duration::from_mins(10),
        deadline: Duration::from_hours(24),
        on_failure: OnFailure::RollBack,
        confidence: percent("99"),
        metrics: Metrics {
            error_rate: ErrorRate { max: percent("5"), max_increase: percent("10") },
            latency: [(Quantile::P99, percent("20"))].into(),
        },
    };
    assert_eq!(gateway.rollout, Some(expected));
    // The file alone is a safe state, and Envoys know the canary before it has traffic.
    assert_eq!(gateway.traffic.parts(), [(v("v2"), Weight::NONE), (v("v1"), Weight::ALL)]);
}

#[test]
fn every_key_of_a_rollout_has_its_effect() {
    let gateway = good("a.yaml", include_str!("rollout.yaml")).gateway.unwrap();
    let step = |weight, pause| Step { weight: percent(weight), pause };
    let expected = Rollout {
        primary: v("v1"),
        canary: v("v2"),
        // 100 was not said, and follows.
        steps: vec![
            step("0.5", at_least(5)),
            step("25", at_least(60)),
            step("50", StepPause::Manual),
            step("100", at_least(5)),
        ],
        bake: Duration::from_mins(20),
        deadline: Duration::from_hours(48),
        on_failure: OnFailure::Pause,
        confidence: percent("95"),
        metrics: Metrics {
            error_rate: ErrorRate { max: percent("2"), max_increase: percent("25") },
            latency: [(Quantile::P50, percent("15")), (Quantile::P95, percent("20"))].into(),
        },
    };
    assert_eq!(gateway.rollout, Some(expected));
}

#[test]
fn after_a_release_everything_goes_to_the_one() {
    let text = format!(
        "{UPSTREAMS}rollout: {{ primary: v2, canary: v2 }}\nmatch: [{{ query: {{ old: a }}, upstream: v1 }}]\n"
    );
    let loaded = load_at("a.yaml", text.as_bytes());
    assert!(loaded.diagnostics.iter().all(|d| d.severity == Severity::Warning), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.gateway.unwrap().traffic, Split::all_to(v("v2")));
}

fn a_rollout() -> impl Strategy<Value = Rollout> {
    let pause = || {
        prop_oneof![
            Just(StepPause::Manual),
            (0u64..3_000_000).prop_map(|ms| StepPause::AtLeast(Duration::from_millis(ms)))
        ]
    };
    let weights = prop::collection::btree_set(1..WHOLE, 0..6);
    let steps = (weights, prop::collection::vec(pause(), 7)).prop_map(|(weights, pauses)| {
        let weights = weights.into_iter().chain([WHOLE]).map(|w| Weight::new(w).unwrap());
        weights.zip(pauses).map(|(weight, pause)| Step { weight, pause }).collect()
    });
    let percent = |range: std::ops::RangeInclusive<u32>| range.prop_map(|w| Weight::new(w).unwrap());
    let quantile = prop::sample::select(vec![Quantile::P50, Quantile::P90, Quantile::P95, Quantile::P99]);
    let latency = prop::collection::btree_map(quantile, percent(0..=WHOLE), 0..4);
    let limits = (percent(1..=WHOLE), percent(0..=WHOLE));
    let times = (0u64..3_000_000, 3_000_001u64..90_000_000);
    (steps, times, any::<bool>(), percent(8000..=9999), limits, latency).prop_map(
        |(steps, (bake, deadline), pauses, confidence, (max, max_increase), latency)| Rollout {
            primary: v("v1"),
            canary: v("v2"),
            steps,
            bake: Duration::from_millis(bake),
            deadline: Duration::from_millis(deadline),
            on_failure: if pauses { OnFailure::Pause } else { OnFailure::RollBack },
            confidence,
            metrics: Metrics { error_rate: ErrorRate { max, max_increase }, latency },
        },
    )
}

/// A rollout as a file.
fn print(rollout: &Rollout) -> String {
    let steps = rollout.steps.iter().map(|step| {
        let pause = match step.pause {
            StepPause::Manual => "manual".to_owned(),
            StepPause::AtLeast(time) => format!("{}ms", time.as_millis()),
        };
        format!("{{ weight: {}, pause: {pause} }}", step.weight)
    });
    let errors = rollout.metrics.error_rate;
    let latency = rollout.metrics.latency.iter().map(|(quantile, increase)| {
        format!("    - {{ name: latency-{}, maxIncrease: {increase}% }}\n", quantile.as_str())
    });
    format!(
        "{UPSTREAMS}rollout:\n  primary: v1\n  canary: v2\n  steps: [{}]\n  bake: {}ms\n  deadline: {}ms\n  onFailure: {}\n  \
         confidence: {}\n  metrics:\n    - {{ name: error-rate, max: {}, maxIncrease: {} }}\n{}",
        steps.collect::<Vec<_>>().join(", "),
        rollout.bake.as_millis(),
        rollout.deadline.as_millis(),
        if rollout.on_failure == OnFailure::Pause { "pause" } else { "rollback" },
        rollout.confidence,
        errors.max,
        errors.max_increase,
        latency.collect::<String>(),
    )
}

proptest! {
    #[test]
    fn a_rollout_that_is_printed_loads_again(rollout in a_rollout()) {
        let text = print(&rollout);
        let loaded = load_at("a.yaml", text.as_bytes());
        prop_assert_eq!(&loaded.diagnostics, &[], "{}", text);
        prop_assert_eq!(loaded.gateway.and_then(|g| g.rollout.clone()), Some(rollout), "{}", text);
    }
}
