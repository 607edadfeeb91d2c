//! What holds whatever happens.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Second {
        rate: f64,
        canary: f64,
        primary: f64,
    },
    Tick(u64),
    Healthy(u32),
    /// So many predictions are compared, and so many of ten agree.
    Compared(u64, u64),
    Agreed(u64, u64),
    Order(Verb),
    /// A report that was there before.
    Again,
    /// The clock is set back.
    Back(u64),
    Canary(u8),
    Steps(Vec<u32>),
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        any::<bool>().prop_map(|full| Verb::Promote { full }),
        Just(Verb::Abort),
        Just(Verb::Pause),
        Just(Verb::Resume),
        Just(Verb::Retry),
        (0u32..=10_000).prop_map(|w| Verb::SetWeight(Weight::new(w).unwrap())),
        prop::option::of(1u64..9).prop_map(|to_revision| Verb::Undo { to_revision }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let rate = prop::sample::select(vec![0.0, 1.0, 50.0, 5_000.0]);
    let failures = || prop::sample::select(vec![0.0, 0.0, 0.01, 0.2, 1.0]);
    prop_oneof![
        12 => (rate, failures(), failures()).prop_map(|(rate, canary, primary)| Act::Second { rate, canary, primary }),
        2 => (0u64..1_000).prop_map(Act::Tick),
        2 => (0u32..2).prop_map(Act::Healthy),
        4 => (prop::sample::select(vec![0u64, 10, 1_000, 100_000]), 0u64..=10)
            .prop_map(|(compared, of_ten)| Act::Compared(compared, of_ten)),
        2 => (0u64..2_000, prop_oneof![2 => 9u64..=10, 1 => 0u64..=10])
            .prop_map(|(compared, of_ten)| Act::Agreed(compared, of_ten)),
        1 => verb().prop_map(Act::Order),
        1 => Just(Act::Again),
        1 => (1u64..10_000).prop_map(Act::Back),
        1 => (0u8..3).prop_map(Act::Canary),
        1 => prop::collection::btree_set(1u32..10_000, 0..4).prop_map(|s| Act::Steps(s.into_iter().collect())),
    ]
}

/// A report of one second, and its weight in hundredths of a percent.
fn report(play: &Play, rate: f64, (canary, primary): (f64, f64)) -> Input {
    let share = f64::from(play.state.weight.hundredths()) / 10_000.0;
    Input::Report(Report {
        from: play.now,
        to: play.now.plus(Duration::from_secs(1)),
        canary: counts(rate * share, canary),
        primary: counts(rate * (1.0 - share), primary),
        user: std::collections::BTreeMap::new(),
        shadow: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_laws_of_a_rollout(acts in prop::collection::vec(act(), 1..120), is_shadowed in any::<bool>()) {
        let mut play = Play::new(Plan { shadow_first: is_shadowed.then(|| percent("90")), ..plan() });
        let mut reading = Reading { since: play.now, compared: 0, matched: 0 };
        let mut last = Input::Tick;
        for act in acts {
            let before = play.state.clone();
            let (mut ordered, mut edited, mut requests) = (false, false, 0.0);
            match &act {
                Act::Second { rate, canary, primary } => {
                    requests = *rate;
                    last = report(&play, *rate, (*canary, *primary));
                    play.pass(Duration::from_secs(1));
                    play.input(&last);
                }
                Act::Tick(seconds) => {
                    play.pass(Duration::from_secs(*seconds));
                    play.input(&Input::Tick);
                }
                Act::Healthy(n) => play.input(&Input::Healthy(*n)),
                Act::Compared(compared, of_ten) => {
                    requests = f64::from(u32::try_from(*compared).unwrap());
                    // Nobody copies requests to a canary that is no shadow.
                    if play.state.shadowed.is_some() {
                        reading.compared += compared;
                        reading.matched += compared * of_ten / 10;
                    }
                    last = Input::Compared(reading);
                    play.input(&last);
                }
                Act::Agreed(compared, of_ten) => {
                    requests = f64::from(u32::try_from(*compared).unwrap());
                    let matched = compared * of_ten / 10;
                    let revision = play.state.shadowed.and_then(|seen| seen.revision()).unwrap_or(1);
                    play.input(&Input::Agreed(Agreed { revision, compared: *compared, matched }));
                }
                Act::Order(verb) => {
                    ordered = true;
                    let refused = play.order(*verb).is_err();
                    prop_assert!(!refused || play.state == before);
                }
                Act::Again => {
                    // Only a report that was used is known again; one from before a healthy canary may be new.
                    play.input(&last);
                    let once = play.state.clone();
                    play.input(&last);
                    prop_assert_eq!(&play.state, &once, "twice is once");
                }
                Act::Back(seconds) => {
                    // What was measured before says a time that is still to come.
                    let future = report(&play, 5_000.0, (1.0, 0.0));
                    play.now = play.now.minus(Duration::from_secs(*seconds));
                    let came = step(&play.plan, &play.state, &future, play.now);
                    let at = |state: &State| (state.phase, state.weight, state.revision);
                    let is_same = came.is_none_or(|came| at(&came.state) == at(&before));
                    prop_assert!(is_same, "nobody reports of the future");
                    last = Input::Tick;
                }
                Act::Canary(version) => {
                    edited = true;
                    play.plan.identity.canary = side("v2", &version.to_string());
                    play.adopt();
                    // Other versions are counted anew.
                    reading = Reading { since: play.now, compared: 0, matched: 0 };
                }
                Act::Steps(weights) => {
                    let weights = weights.iter().copied().chain([10_000]);
                    let pause = StepPause::AtLeast(Duration::from_secs(3));
                    play.plan.steps = weights.map(|w| Step { weight: Weight::new(w).unwrap(), pause }).collect();
                    edited = true;
                    play.adopt();
                }
            }
            let after = &play.state;
            let raised = after.weight > before.weight;
            prop_assert!(!edited || !raised, "an edit never raises the weight");
            let first = before.phase == Phase::Waiting && matches!(act, Act::Healthy(1..)) && !is_shadowed;
            let advanced =
                matches!(act, Act::Second { .. } | Act::Compared(..) | Act::Agreed(..) | Act::Again);
            prop_assert!(!raised || ordered || first || advanced, "{:?} raised the weight", act);
            if raised && matches!(act, Act::Second { .. } | Act::Compared(..) | Act::Agreed(..)) {
                prop_assert!(requests > 0.0, "no requests never advance");
                prop_assert!(!matches!(before.phase, Phase::Paused | Phase::RolledBack), "only an order does");
                let least = play.plan.pause_at(before.weight).as_millis();
                prop_assert!(u128::from(before.stage.watched) + 1000 >= least, "not before its time");
            }
            if after.phase == Phase::RolledBack {
                prop_assert_eq!(after.weight, Weight::NONE);
            }
            if before.phase == Phase::RolledBack && !ordered && !edited {
                prop_assert_eq!(after, &before, "after a roll-back nothing moves by itself");
            }
            prop_assert_eq!(after.phase == Phase::Paused, after.pause.is_some());
            if after.shadowed.is_some() {
                prop_assert_eq!(after.weight, Weight::NONE, "who has traffic is no shadow");
                prop_assert!(matches!(after.phase, Phase::Holding | Phase::Paused));
            }
            let stored = serde_json::to_value(after).unwrap();
            let restored: State = serde_json::from_value(stored).unwrap();
            prop_assert_eq!(&restored, after, "a restart changes nothing");
            prop_assert!(after.phase != Phase::Promoted || after.weight == Weight::ALL);
            prop_assert!(after.revision >= before.revision);
            let parts: u32 = after.weights().values().map(|w| w.hundredths()).sum();
            prop_assert_eq!(parts, 10_000);
            let told = after.revision > before.revision;
            prop_assert!(told || (after.phase, after.weight) == (before.phase, before.weight), "nothing is silent");
        }
    }
}
