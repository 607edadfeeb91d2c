//! Of how often predictions agreed at the Envoys of this Serin: what it counts itself while it decides, and what it writes
//! down for another one that does. Each pair is in one of the two, once. Pure.
//!
//! Counters of the comparison only grow. What was handed on of each is remembered; the counter that this Serin counts
//! itself is what was compared since it began to lead, so that a lead that goes to another Serin and comes back begins
//! with another counter.

use crate::clock::Timestamp;
use crate::compare::Matches;
use crate::names::GatewayName;
use crate::rollout::Reading;
use crate::store::measured::{Duty, Measured, Shadow};
use std::collections::BTreeMap;

/// By gateway.
pub(super) type Readings = BTreeMap<GatewayName, Reading>;

/// What is to be told.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// To the own loop, which decides under this token: the counters that stand elsewhere than before.
    Own(Option<u64>, Readings),
    /// To whoever decides: what was compared since the last time.
    Rows(Vec<Measured>),
}

/// What of each counter was handed on.
#[derive(Debug, Default)]
pub(super) struct Predictions {
    handed: BTreeMap<GatewayName, Handed>,
    /// The own loop, since it began to lead.
    lead: Option<Lead>,
}

#[derive(Debug)]
struct Lead {
    token: Option<u64>,
    since: Timestamp,
    /// What was handed on before, and what is of no shadow that this Serin knows.
    base: Readings,
    /// With the revision as in [`Handed`]: a counter that is told when another shadow begins says what is not of that one.
    told: BTreeMap<GatewayName, (Reading, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Handed {
    reading: Reading,
    /// Under which [`Shadow::revision`]; 0: under none.
    revision: u64,
    /// When it was read.
    at: Timestamp,
}

impl Predictions {
    /// The counters stand there now.
    pub(super) fn take(&mut self, all: &Readings, duty: &Duty, now: Timestamp) -> News {
        self.handed.retain(|name, _| all.contains_key(name));
        if duty.counts {
            News::Own(duty.token, self.own(all, duty, now))
        } else {
            self.lead = None;
            News::Rows(self.rows(all, duty, now))
        }
    }

    fn own(&mut self, all: &Readings, duty: &Duty, at: Timestamp) -> Readings {
        let token = duty.token;
        let lead = match self.lead.take() {
            Some(lead) if lead.token == token => lead,
            _ => Lead { token, since: at, base: self.base(all, duty), told: BTreeMap::new() },
        };
        let lead = self.lead.insert(lead);
        lead.told.retain(|name, _| all.contains_key(name));
        let mut news = Readings::new();
        for (name, now) in all {
            let revision = duty.shadows.get(name).map_or(0, |shadow| shadow.revision);
            self.handed.insert(name.clone(), Handed { reading: *now, revision, at });
            let before = lead.base.get(name).filter(|before| before.since == now.since);
            // Where all of it counts, it is as old as it is.
            let since = before.map_or(now.since, |_| now.since.max(lead.since));
            let (compared, matched) = since_then(now, before);
            let reading = Reading { since, compared, matched };
            let told = (reading, revision);
            if lead.told.insert(name.clone(), told) != Some(told) {
                news.insert(name.clone(), reading);
            }
        }
        news
    }

    /// What does not count in a lead that begins now.
    fn base(&self, all: &Readings, duty: &Duty) -> Readings {
        let handed = self.handed.iter().map(|(name, handed)| (name.clone(), handed.reading));
        let mut base: Readings = handed.collect();
        // Who is the only one was there whenever a shadow began: a counter that was told says what is not of it.
        let unknown = all.iter().filter(|(name, now)| {
            let shadow = duty.shadows.get(*name);
            duty.token.is_some() && !shadow.is_some_and(|shadow| is_of(now, shadow, self.handed.get(*name)))
        });
        base.extend(unknown.map(|(name, now)| (name.clone(), *now)));
        base
    }

    fn rows(&mut self, all: &Readings, duty: &Duty, at: Timestamp) -> Vec<Measured> {
        let mut rows = Vec::new();
        for (name, now) in all {
            let Some(shadow) = duty.shadows.get(name) else { continue };
            let handed = Handed { reading: *now, revision: shadow.revision, at };
            let before = self.handed.insert(name.clone(), handed);
            if !is_of(now, shadow, before.as_ref()) {
                continue;
            }
            let before = before.filter(|before| before.reading.since == now.since);
            let (compared, matched) = since_then(now, before.as_ref().map(|before| &before.reading));
            if compared > 0 {
                let text = Matches { compared, matched }.text();
                let (gateway, stage) = (name.clone(), shadow.revision);
                let length = at.since(before.map_or(now.since, |before| before.at));
                rows.push(Measured { gateway, stage, length, text });
            }
        }
        rows
    }
}

/// Whether what a counter has more than when it was handed on is of this shadow. What was compared before this Serin
/// heard of the shadow is of another one, as is all of a counter of which nobody knows how much that is.
fn is_of(now: &Reading, shadow: &Shadow, before: Option<&Handed>) -> bool {
    let before = before.filter(|before| before.reading.since == now.since);
    now.since >= shadow.heard || before.is_some_and(|before| before.revision == shadow.revision)
}

/// What was compared since then, and how much of it agreed.
fn since_then(now: &Reading, then: Option<&Reading>) -> (u64, u64) {
    let (compared, matched) = then.map_or((0, 0), |then| (then.compared, then.matched));
    (now.compared.saturating_sub(compared), now.matched.saturating_sub(matched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fraud() -> GatewayName {
        GatewayName::new("fraud").unwrap()
    }

    fn at(since: i64, compared: u64, matched: u64) -> Readings {
        [(fraud(), Reading { since: Timestamp(since), compared, matched })].into()
    }

    fn follows(revision: u64, heard: i64) -> Duty {
        let shadow = Shadow { revision, heard: Timestamp(heard) };
        Duty { shadows: [(fraud(), shadow)].into(), ..Duty::default() }
    }

    fn leads(token: u64) -> Duty {
        Duty { counts: true, token: Some(token), ..follows(7, 0) }
    }

    /// What is told, in short: the revision of a row, or when the counter began; and what it says.
    fn short(news: &News) -> Option<(i64, u64, u64)> {
        match news {
            News::Own(_, readings) => {
                readings.get(&fraud()).map(|reading| (reading.since.0, reading.compared, reading.matched))
            }
            News::Rows(rows) => rows.first().map(|row| {
                let Matches { compared, matched } = Matches::read(&row.text).unwrap();
                (i64::try_from(row.stage).unwrap(), compared, matched)
            }),
        }
    }

    fn told(all: &mut Predictions, now: i64, readings: &Readings, duty: &Duty) -> Option<(i64, u64, u64)> {
        short(&all.take(readings, duty, Timestamp(now)))
    }

    #[test]
    fn the_only_one_tells_its_counters_when_they_change() {
        let (mut all, duty) = (Predictions::default(), Duty { counts: true, ..Duty::default() });
        assert_eq!(told(&mut all, 50, &at(10, 4, 3), &duty), Some((10, 4, 3)));
        assert_eq!(told(&mut all, 51, &at(10, 4, 3), &duty), None);
        assert_eq!(told(&mut all, 52, &at(10, 9, 7), &duty), Some((10, 9, 7)));
        assert_eq!(told(&mut all, 53, &at(53, 1, 1), &duty), Some((53, 1, 1)), "other rules");
        // A shadow begins: what is there is not of it, which can be known only from a reading of now.
        let duty = Duty { shadows: follows(7, 54).shadows, ..duty };
        assert_eq!(told(&mut all, 54, &at(53, 1, 1), &duty), Some((53, 1, 1)));
        assert_eq!(told(&mut all, 55, &at(53, 1, 1), &duty), None);
    }

    #[test]
    fn who_follows_writes_what_was_compared_since_it_wrote_last() {
        let (mut all, duty) = (Predictions::default(), follows(7, 5));
        assert_eq!(told(&mut all, 50, &at(10, 4, 3), &duty), Some((7, 4, 3)));
        assert_eq!(told(&mut all, 51, &at(10, 4, 3), &duty), None);
        assert_eq!(told(&mut all, 52, &at(10, 9, 7), &duty), Some((7, 5, 4)));
        // Other rules: the counter begins anew.
        assert_eq!(told(&mut all, 53, &at(53, 2, 2), &duty), Some((7, 2, 2)));
    }

    #[test]
    fn what_was_compared_before_a_shadow_is_not_of_it() {
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 50, &at(10, 4, 3), &Duty::default()), None, "nobody wants it");
        assert_eq!(told(&mut all, 61, &at(10, 6, 5), &follows(7, 60)), None, "it is from before");
        assert_eq!(told(&mut all, 62, &at(10, 9, 8), &follows(7, 60)), Some((7, 3, 3)));
        // Somebody has overruled what was seen.
        assert_eq!(told(&mut all, 71, &at(10, 12, 11), &follows(9, 70)), None);
        assert_eq!(told(&mut all, 72, &at(10, 13, 11), &follows(9, 70)), Some((9, 1, 0)));
    }

    #[test]
    fn a_lead_that_comes_back_begins_with_another_counter() {
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 50, &at(10, 4, 4), &leads(1)), Some((10, 4, 4)));
        assert_eq!(told(&mut all, 60, &at(10, 9, 9), &leads(1)), Some((10, 9, 9)));
        assert_eq!(told(&mut all, 70, &at(10, 20, 20), &follows(7, 0)), Some((7, 11, 11)));
        assert_eq!(told(&mut all, 80, &at(10, 22, 21), &leads(3)), Some((80, 2, 1)));
        // Another one has led, and nobody noticed here.
        assert_eq!(told(&mut all, 90, &at(10, 25, 24), &leads(5)), Some((90, 3, 3)));
    }

    #[test]
    fn a_lead_begins_with_nothing_of_what_is_of_no_shadow() {
        let heard = |revision, heard| Duty { shadows: follows(revision, heard).shadows, ..leads(1) };
        let no_shadow = Duty { shadows: BTreeMap::new(), ..leads(1) };
        // The counter of a shadow that is always there; the lead comes before this Serin has noted the release's.
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 50, &at(10, 1_000_000, 900_000), &Duty::default()), None);
        assert_eq!(told(&mut all, 61, &at(10, 1_000_005, 900_004), &heard(7, 60)), Some((61, 0, 0)));
        assert_eq!(told(&mut all, 62, &at(10, 1_000_009, 900_008), &heard(7, 60)), Some((61, 4, 4)));
        // It has noted one, and another one has begun since.
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 61, &at(10, 1_000_000, 900_000), &follows(7, 60)), None);
        assert_eq!(told(&mut all, 71, &at(10, 1_000_009, 900_009), &heard(9, 70)), Some((71, 0, 0)));
        // Nothing is released when the lead begins.
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 71, &at(10, 1_000_000, 900_000), &no_shadow), Some((71, 0, 0)));
        assert_eq!(told(&mut all, 81, &at(10, 1_000_003, 900_003), &heard(7, 80)), Some((71, 3, 3)));
        // All of a counter that is younger than the shadow, and what is new of one that was handed on.
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 71, &at(65, 30, 20), &heard(7, 60)), Some((65, 30, 20)));
        let mut all = Predictions::default();
        assert_eq!(told(&mut all, 61, &at(10, 1_000_000, 900_000), &follows(7, 60)), None);
        assert_eq!(told(&mut all, 71, &at(10, 1_000_009, 900_009), &heard(7, 60)), Some((71, 9, 9)));
    }

    #[test]
    fn a_row_says_how_long_it_was_compared() {
        let mut all = Predictions::default();
        let mut length = |now, readings, duty| match all.take(&readings, &duty, Timestamp(now)) {
            News::Rows(rows) => rows.first().map(|row| row.length.as_millis()),
            News::Own(..) => None,
        };
        assert_eq!(length(50, at(10, 4, 3), follows(7, 5)), Some(40), "all the time that it counts");
        assert_eq!(length(80, at(10, 4, 3), follows(7, 5)), None);
        assert_eq!(length(95, at(10, 9, 3), follows(7, 5)), Some(15), "since it was read last");
        assert_eq!(length(99, at(97, 1, 1), follows(7, 5)), Some(2), "other rules");
    }

    proptest! {
        /// Whoever leads when: what leaders count of each counter and what is written comes to what was compared.
        #[test]
        fn each_pair_is_handed_on_once(acts in prop::collection::vec((0u64..9, 0u64..9, 0u64..4), 1..60)) {
            let (mut all, mut compared, mut matched) = (Predictions::default(), 0, 0);
            let (mut counters, mut rows) = (BTreeMap::new(), (0, 0));
            for (time, (more, agree, token)) in (1..).zip(acts) {
                (compared, matched) = (compared + more, matched + agree.min(more));
                let duty = if token == 0 { follows(7, 0) } else { leads(token) };
                let news = all.take(&at(0, compared, matched), &duty, Timestamp(time));
                let (is_own, says) = (matches!(news, News::Own(..)), short(&news));
                match says {
                    Some((since, compared, matched)) if is_own => {
                        counters.insert(since, (compared, matched));
                    }
                    Some((_, compared, matched)) => rows = (rows.0 + compared, rows.1 + matched),
                    None => {}
                }
                let sum = counters.values().fold(rows, |sum, one| (sum.0 + one.0, sum.1 + one.1));
                prop_assert_eq!(sum, (compared, matched));
            }
        }
    }
}
