//! Many releases of one kind, with requests by chance: how many are rolled back.

use super::*;

/// Coins: `SplitMix64` (Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014).
struct Coins(u64);

impl Coins {
    fn falls(&mut self, chance: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX) < chance
    }
}

/// What a version does: a share fails, a share is never answered, and a share is slow.
#[derive(Clone, Copy)]
struct Version {
    fails: f64,
    hangs: f64,
    /// In the last of three buckets, instead of the first.
    slow: f64,
}

const GOOD: Version = Version { fails: 0.01, hangs: 0.0, slow: 0.01 };

/// A second of it; `active` are those that hang already.
fn second(play: &mut Play, coins: &mut Coins, versions: [Version; 2], active: &mut [f64; 2]) {
    let share = f64::from(play.state.weight.hundredths()) / 10_000.0;
    let mut arms = [(); 2].map(|()| Counts { started: Some(0.0), ..Counts::default() });
    for _ in 0..100 {
        let to = usize::from(!coins.falls(share));
        let (counts, version) = (&mut arms[to], versions[to]);
        *counts.started.as_mut().unwrap() += 1.0;
        if coins.falls(version.hangs) {
            active[to] += 1.0;
            continue;
        }
        counts.requests += 1.0;
        counts.errors += f64::from(u8::from(coins.falls(version.fails)));
        *counts.latency.entry(2 * usize::from(coins.falls(version.slow))).or_default() += 1.0;
    }
    for (counts, active) in arms.iter_mut().zip(*active) {
        counts.active = active;
    }
    let [canary, primary] = arms;
    let from = play.now;
    play.pass(Duration::from_secs(1));
    play.input(&Input::Report(Report {
        from,
        to: play.now,
        canary,
        primary,
        user: BTreeMap::new(),
        shadow: None,
    }));
}

/// How many of so many releases are rolled back, each watched for an hour at most.
fn rolled_back(releases: u64, canary: Version) -> u64 {
    let mut asked = plan();
    let settings = &mut asked.settings;
    settings.bounds = vec![0.14, 0.16, 1e9];
    (settings.quantiles, settings.go_quantiles) = (vec![stats::Quantile::P99], vec![stats::Quantile::P99]);
    asked.deadline = Duration::from_hours(2);
    let ends = |seed| {
        let (mut play, mut coins) = (Play::begun(asked.clone()), Coins(seed));
        let mut active = [0.0; 2];
        for _ in 0..3_600 {
            if !play.state.phase.is_running() {
                break;
            }
            second(&mut play, &mut coins, [canary, GOOD], &mut active);
        }
        play.state.phase == Phase::RolledBack
    };
    (0..releases).filter(|seed| ends(*seed)).count().try_into().unwrap()
}

#[test]
fn five_percent_of_errors_are_always_found() {
    assert_eq!(rolled_back(20, Version { fails: 0.05, ..GOOD }), 20);
}

#[test]
fn a_slow_tail_is_always_found() {
    assert_eq!(rolled_back(20, Version { slow: 0.05, ..GOOD }), 20);
}

#[test]
fn a_canary_that_hangs_is_always_found() {
    assert_eq!(rolled_back(20, Version { hangs: 1.0, ..GOOD }), 20);
}

#[test]
fn versions_that_are_equal_are_not_rolled_back() {
    assert_eq!(rolled_back(40, GOOD), 0);
}

#[test]
fn a_request_a_minute_is_no_evidence() {
    let mut play = Play::begun(Plan { deadline: Duration::from_hours(48), ..plan() });
    for minute in 0..24 * 60 {
        let to_canary = f64::from(u8::from(minute % 20 == 0));
        let from = play.now;
        play.pass(Duration::from_mins(1));
        let (canary, primary) = (counts(to_canary, 0.0), counts(1.0 - to_canary, 0.0));
        play.input(&Input::Report(Report {
            from,
            to: play.now,
            canary,
            primary,
            user: BTreeMap::new(),
            shadow: None,
        }));
        assert_eq!(play.state.weight, percent("5"), "minute {minute}");
    }
    assert_eq!(play.state.phase, Phase::Holding);
    // One canary request in twenty minutes: 72 of the 100 that a step wants at least.
    assert!(play.state.sentence.contains("72 of 100 requests"), "{}", play.state.sentence);
}
