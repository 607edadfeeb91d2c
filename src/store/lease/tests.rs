//! The laws of the lease, with simulated time, clocks that differ, and a network and machines that do what they like.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn row(token: u64, beat: u64, holder: Option<&str>) -> Row {
    Row { token, beat, holder: holder.map(str::to_owned) }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn what_nobody_has_is_taken_at_once() {
    let mut lease = Lease::default();
    assert_eq!(lease.ask(seconds(0)), Ask::Look);
    lease.heard(Answer::Is(row(4, 9, None)), seconds(0), seconds(0));
    assert_eq!(
        (lease.pause(seconds(0)), lease.ask(seconds(0))),
        (Duration::ZERO, Ask::Take(row(4, 9, None)))
    );
    lease.heard(Answer::Done(5), seconds(1), seconds(2));
    assert_eq!(lease.token(seconds(2)), Some(5));
    assert_eq!(lease.token(seconds(4)), None, "it counts from when it was asked");
    assert_eq!(lease.ask(seconds(4)), Ask::Renew(5), "and may still be had");
    lease.heard(Answer::Done(5), seconds(4), seconds(4));
    assert_eq!(lease.token(seconds(4)), Some(5));
    lease.heard(Answer::Refused, seconds(5), seconds(5));
    assert_eq!((lease.token(seconds(5)), lease.ask(seconds(5))), (None, Ask::Look));
}

#[test]
fn a_leader_that_lives_is_left_alone_and_one_that_does_not_is_followed() {
    let mut lease = Lease::default();
    for beat in 0..20 {
        let now = seconds(beat);
        lease.heard(Answer::Is(row(1, beat, Some("a"))), now, now);
        assert_eq!(lease.ask(now + seconds(3)), Ask::Look);
    }
    assert_eq!(lease.leader(), Some("a"));
    // The same again is no sign of life.
    lease.heard(Answer::Is(row(1, 19, Some("a"))), seconds(21), seconds(21));
    assert_eq!(lease.pause(seconds(21)), LOOK);
    assert_eq!(lease.pause(seconds(22)), Duration::from_millis(300), "not later than it may");
    assert_eq!(lease.ask(seconds(19) + PATIENCE), Ask::Take(row(1, 19, Some("a"))));
}

/// The database: it does one thing after the other.
struct Database {
    row: Row,
    /// The tokens of the writes that it took, in their order.
    written: Vec<u64>,
    /// Whether it looks at the tokens of writes.
    looks: bool,
}

impl Database {
    fn does(&mut self, ask: &Ask, who: usize) -> Answer {
        match ask {
            Ask::Look => Answer::Is(self.row.clone()),
            Ask::Take(seen) if (seen.token, seen.beat) == (self.row.token, self.row.beat) => {
                self.row = row(self.row.token + 1, self.row.beat + 1, Some(&who.to_string()));
                Answer::Done(self.row.token)
            }
            Ask::Renew(token) if *token == self.row.token && self.row.holder.is_some() => {
                self.row.beat += 1;
                Answer::Done(*token)
            }
            Ask::Take(_) | Ask::Renew(_) => Answer::Refused,
        }
    }

    /// As every transaction that writes.
    fn write(&mut self, token: u64) -> bool {
        let is_newest = self.row.holder.is_some() && self.row.token == token;
        if is_newest || !self.looks {
            self.written.push(token);
        }
        is_newest
    }
}

/// What comes at a moment of the world's time, in milliseconds.
enum Next {
    /// A replica asks.
    Ask(usize),
    /// The database gets a question; the answer takes a while, or does not come.
    Arrives { who: usize, attempt: u64, ask: Ask, asked: Duration, back: Option<u64> },
    /// A replica gets the answer.
    Returns { who: usize, attempt: u64, answer: Answer, asked: Duration },
    /// A replica gives up waiting.
    GivesUp { who: usize, attempt: u64 },
    /// A replica decides, if it may.
    Decides(usize),
    /// What it decided gets to the database.
    Writes { who: usize, token: u64 },
}

/// One of several, with a clock of its own.
struct Replica {
    lease: Lease,
    /// What its clock showed when the world began, and how fast it goes in thousandths.
    clock: (u64, u64),
    frozen_until: u64,
    attempt: u64,
}

impl Replica {
    fn clock(&self, now: u64) -> Duration {
        Duration::from_micros(self.clock.0 * 1000 + now * self.clock.1)
    }
}

/// Numbers that a seed gives.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// How bad the world is, in thousandths and milliseconds.
#[derive(Clone, Copy, Debug)]
struct Weather {
    lost: u64,
    delay: u64,
    freeze: u64,
    /// Whether the database looks at the tokens of writes.
    looks: bool,
}

/// Plays for a while; then the leader, if there is one, is gone for good and all is calm: says after how long another one
/// leads.
#[expect(clippy::too_many_lines, reason = "one loop, with an arm for each event")]
fn play(seed: u64, weather: Weather) -> Result<u64, TestCaseError> {
    const WILD: u64 = 60_000;
    const END: u64 = 90_000;
    let mut random = Random(seed | 1);
    let mut database = Database { row: row(0, 0, None), written: Vec::new(), looks: weather.looks };
    let mut replicas: Vec<Replica> = (0..3)
        .map(|_| Replica {
            lease: Lease::default(),
            clock: (random.below(1_000_000_000), 960 + random.below(80)),
            frozen_until: 0,
            attempt: 0,
        })
        .collect();
    // By moment, and in the order in which it was planned.
    let mut plan: BTreeMap<(u64, u64), Next> = BTreeMap::new();
    let mut count = 0;
    let mut add = |plan: &mut BTreeMap<_, _>, at: u64, next: Next| {
        count += 1;
        plan.insert((at, count), next);
    };
    for who in 0..3 {
        let (ask, decide) = (random.below(1000), random.below(1000));
        add(&mut plan, ask, Next::Ask(who));
        add(&mut plan, decide, Next::Decides(who));
    }
    let mut gone = None;
    let mut tokens: BTreeMap<u64, usize> = BTreeMap::new();
    let mut decided: Vec<(u64, u64)> = Vec::new();
    while let Some(((now, _), next)) = plan.pop_first() {
        if now >= END {
            break;
        }
        let is_wild = now < WILD;
        let leaders: Vec<usize> =
            (0..3).filter(|i| replicas[*i].lease.token(replicas[*i].clock(now)).is_some()).collect();
        // Also of those that are frozen: whoever wakes up knows by its clock that it is too late.
        prop_assert!(leaders.len() <= 1, "at {now}: {leaders:?} lead");
        if !is_wild && gone.is_none() {
            gone = Some(leaders.first().copied().unwrap_or(0));
        }
        if let (Some(gone), [leader]) = (gone, &leaders[..])
            && *leader != gone
        {
            // It writes, and whatever is still on its way comes after that.
            let token = replicas[*leader].lease.token(replicas[*leader].clock(now));
            let late = plan.into_values().chain([next]).filter_map(|next| match next {
                Next::Writes { token, .. } => Some(token),
                _ => None,
            });
            for token in token.into_iter().chain(late) {
                database.write(token);
            }
            prop_assert!(
                database.written.is_sorted(),
                "two leaders' writes interleave: {:?}",
                database.written
            );
            prop_assert!(decided.is_sorted_by(|a, b| a.1 <= b.1), "one decides after the next one began");
            return Ok(now - WILD);
        }
        let who = match &next {
            Next::Ask(who) | Next::GivesUp { who, .. } | Next::Decides(who) | Next::Returns { who, .. } => {
                Some(*who)
            }
            Next::Arrives { .. } | Next::Writes { .. } => None,
        };
        if let Some(who) = who {
            if gone == Some(who) {
                continue;
            }
            if is_wild && replicas[who].frozen_until <= now && random.below(1000) < weather.freeze {
                replicas[who].frozen_until = now + random.below(10_000);
            }
            if replicas[who].frozen_until > now {
                // It wakes up in the middle of what it was doing.
                let at = replicas[who].frozen_until;
                add(&mut plan, at, next);
                continue;
            }
        }
        let mut delay = |is_wild: bool| if is_wild { random.below(weather.delay) } else { random.below(20) };
        match next {
            Next::Ask(who) => {
                let replica = &mut replicas[who];
                replica.attempt += 1;
                let (attempt, asked) = (replica.attempt, replica.clock(now));
                let (there, back) = (delay(is_wild), delay(is_wild));
                let is_lost = is_wild && random.below(1000) < weather.lost;
                let ask = replica.lease.ask(asked);
                let arrives = Next::Arrives { who, attempt, ask, asked, back: (!is_lost).then_some(back) };
                add(&mut plan, now + there, arrives);
                let most = replica
                    .lease
                    .until()
                    .filter(|until| *until > asked)
                    .map(|until| until.saturating_sub(asked));
                let most = most.unwrap_or(seconds(5)).min(seconds(5));
                let most = u64::try_from(most.as_millis()).unwrap();
                add(&mut plan, now + most, Next::GivesUp { who, attempt });
            }
            // Also after it was given up.
            Next::Arrives { who, attempt, ask, asked, back } => {
                let answer = database.does(&ask, who);
                if let Answer::Done(token) = answer {
                    prop_assert_eq!(*tokens.entry(token).or_insert(who), who, "one token, one replica");
                }
                if let Some(back) = back {
                    add(&mut plan, now + back, Next::Returns { who, attempt, answer, asked });
                }
            }
            Next::Returns { who, attempt, answer, asked } => {
                let replica = &mut replicas[who];
                if replica.attempt == attempt {
                    replica.attempt += 1;
                    let clock = replica.clock(now);
                    replica.lease.heard(answer, asked, clock);
                    let pause = u64::try_from(replica.lease.pause(clock).as_millis()).unwrap();
                    add(&mut plan, now + pause + 1, Next::Ask(who));
                }
            }
            Next::GivesUp { who, attempt } => {
                if replicas[who].attempt == attempt {
                    replicas[who].attempt += 1;
                    let pause = u64::try_from(LOOK.as_millis()).unwrap();
                    add(&mut plan, now + pause, Next::Ask(who));
                }
            }
            Next::Decides(who) => {
                if let Some(token) = replicas[who].lease.token(replicas[who].clock(now)) {
                    decided.push((now, token));
                    // The write may be as late as it likes, and come after that of the next leader.
                    let late = delay(is_wild) + if random.below(10) == 0 { random.below(8_000) } else { 0 };
                    add(&mut plan, now + late, Next::Writes { who, token });
                }
                let pause = 20 + random.below(300);
                add(&mut plan, now + pause, Next::Decides(who));
            }
            Next::Writes { who, token } => {
                if database.write(token) {
                    prop_assert_eq!(tokens.get(&token), Some(&who));
                }
            }
        }
    }
    let led: BTreeSet<u64> = decided.iter().map(|(_, token)| *token).collect();
    prop_assert!(false, "nobody leads in the calm; before, these did: {led:?}");
    Ok(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_two_lead_whatever_the_network_and_the_clocks_do(
        seed in any::<u64>(),
        lost in 0..300_u64,
        delay in prop_oneof![1..100_u64, 100..3_000_u64],
        freeze in 0..60_u64,
    ) {
        let after = play(seed, Weather { lost, delay, freeze, looks: true })?;
        // The first look in the calm may be the first for a while, so that patience begins with it.
        prop_assert!(after < 20_000, "{after} ms");
    }

    #[test]
    fn another_one_leads_within_five_seconds(seed in any::<u64>()) {
        let after = play(seed, Weather { lost: 0, delay: 20, freeze: 0, looks: true })?;
        prop_assert!(after < 5_000, "{after} ms");
    }
}

#[test]
fn without_a_look_at_tokens_writes_would_interleave() {
    let weather = Weather { lost: 100, delay: 1_000, freeze: 20, looks: false };
    let said = (0..100).filter_map(|seed| play(seed, weather).err()).map(|error| error.to_string());
    let interleaved = said.filter(|said| said.contains("writes interleave")).count();
    assert!(interleaved > 10, "the world of these tests is too tame: {interleaved} of 100");
}
