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
use crate::store::measured::{Duty, Measured};
use std::collections::BTreeMap;
use std::time::Duration;

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
    /// What was handed on before.
    base: BTreeMap<GatewayName, Handed>,
    /// With the shadow as it was then: a counter that is told when another one begins says what is not of that one.
    told: BTreeMap<GatewayName, Handed>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Handed {
    reading: Reading,
    /// Under which [`Shadow::revision`](crate::store::measured::Shadow::revision); 0: under none.
    revision: u64,
}

impl Predictions {
    /// The counters stand there now.
    pub(super) fn take(&mut self, all: &Readings, duty: &Duty, now: Timestamp) -> News {
        self.handed.retain(|name, _| all.contains_key(name));
        if duty.counts {
            News::Own(duty.token, self.own(all, duty, now))
        } else {
            self.lead = None;
            News::Rows(self.rows(all, duty))
        }
    }

    fn own(&mut self, all: &Readings, duty: &Duty, now: Timestamp) -> Readings {
        let token = duty.token;
        let lead = match self.lead.take() {
            Some(lead) if lead.token == token => lead,
            _ => Lead { token, since: now, base: self.handed.clone(), told: BTreeMap::new() },
        };
        let lead = self.lead.insert(lead);
        lead.told.retain(|name, _| all.contains_key(name));
        let mut news = Readings::new();
        for (name, now) in all {
            let revision = duty.shadows.get(name).map_or(0, |shadow| shadow.revision);
            self.handed.insert(name.clone(), Handed { reading: *now, revision });
            let before = lead.base.get(name).filter(|before| before.reading.since == now.since);
            let (compared, matched) = since_then(now, before);
            let reading = Reading { since: now.since.max(lead.since), compared, matched };
            let told = Handed { reading, revision };
            if lead.told.insert(name.clone(), told) != Some(told) {
                news.insert(name.clone(), reading);
            }
        }
        news
    }

    fn rows(&mut self, all: &Readings, duty: &Duty) -> Vec<Measured> {
        let mut rows = Vec::new();
        for (name, now) in all {
            let Some(shadow) = duty.shadows.get(name) else { continue };
            let handed = Handed { reading: *now, revision: shadow.revision };
            let before = self.handed.insert(name.clone(), handed);
            let before = before.filter(|before| before.reading.since == now.since);
            // What was compared before this Serin heard of the shadow is of another one, as is all of a counter of which
            // nobody knows how much that is.
            if now.since < shadow.heard && before.is_none_or(|before| before.revision != shadow.revision) {
                continue;
            }
            let (compared, matched) = since_then(now, before.as_ref());
            if compared > 0 {
                let text = Matches { compared, matched }.text();
                let (gateway, stage) = (name.clone(), shadow.revision);
                rows.push(Measured { gateway, stage, length: Duration::ZERO, text });
            }
        }
        rows
    }
}

/// What was compared since then, and how much of it agreed.
fn since_then(now: &Reading, then: Option<&Handed>) -> (u64, u64) {
    let (compared, matched) = then.map_or((0, 0), |then| (then.reading.compared, then.reading.matched));
    (now.compared.saturating_sub(compared), now.matched.saturating_sub(matched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::measured::Shadow;
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
        assert_eq!(told(&mut all, 50, &at(10, 4, 3), &duty), Some((50, 4, 3)));
        assert_eq!(told(&mut all, 51, &at(10, 4, 3), &duty), None);
        assert_eq!(told(&mut all, 52, &at(10, 9, 7), &duty), Some((50, 9, 7)));
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
        assert_eq!(told(&mut all, 50, &at(10, 4, 4), &leads(1)), Some((50, 4, 4)));
        assert_eq!(told(&mut all, 60, &at(10, 9, 9), &leads(1)), Some((50, 9, 9)));
        assert_eq!(told(&mut all, 70, &at(10, 20, 20), &follows(7, 0)), Some((7, 11, 11)));
        assert_eq!(told(&mut all, 80, &at(10, 22, 21), &leads(3)), Some((80, 2, 1)));
        // Another one has led, and nobody noticed here.
        assert_eq!(told(&mut all, 90, &at(10, 25, 24), &leads(5)), Some((90, 3, 3)));
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
