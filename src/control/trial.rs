//! What Envoys refuse, and whose fault it is.
//!
//! An Envoy refuses a response, not a gateway: of a route configuration in which three gateways changed it does not
//! say which one it dislikes. So changes are on trial until an Envoy takes them. When several are on trial and the
//! answer is no, half of them step back, and so on, until the one is found; it goes back to the version that
//! Envoys took, and the others take their turn. A version that any Envoy has taken is good: an Envoy
//! that refuses what others take has a problem of its own, and must not hold up the rest.

use super::TRIAL;
use crate::clock::Timestamp;
use crate::names::GatewayName;
use std::collections::{BTreeMap, BTreeSet};

/// Where a gateway's newest version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Offered; no Envoy has said anything yet.
    OnTrial,
    /// Offered and taken.
    Taken,
    /// Not offered yet: others are on trial.
    Waiting,
    /// Refused, with Envoy's words: not offered any more.
    Refused(String),
}

/// The standing of all gateways.
#[derive(Debug, Default)]
pub(super) struct Trial {
    standing: BTreeMap<GatewayName, Standing>,
    /// Groups that wait for their turn, the next one last.
    waiting: Vec<Vec<GatewayName>>,
    /// When the trial of the present group began.
    since: Timestamp,
    offered: BTreeSet<GatewayName>,
    /// Gateways that stand elsewhere than when it was asked last.
    moved: BTreeSet<GatewayName>,
}

/// What a verdict changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing: the news was known, or nobody is to blame.
    Nothing,
    /// What is offered is different now.
    Offers,
    /// This gateway's newest version is refused; what is offered is different now.
    Refused(GatewayName),
}

impl Trial {
    /// Where a gateway stands; one that is not known is new, so on trial.
    pub(super) fn standing(&self, gateway: &GatewayName) -> &Standing {
        self.standing.get(gateway).unwrap_or(&Standing::OnTrial)
    }

    /// Whether the newest version is what Envoys should be offered.
    pub(super) fn is_offered(&self, gateway: &GatewayName) -> bool {
        matches!(self.standing(gateway), Standing::OnTrial | Standing::Taken)
    }

    /// A gateway has a new version: it is judged anew. `taken`: Envoys took this very version earlier.
    pub(super) fn begin(&mut self, gateway: &GatewayName, taken: bool) {
        self.forget(gateway);
        let standing = if taken { Standing::Taken } else { Standing::OnTrial };
        self.stand(gateway, standing);
    }

    /// The gateways that no Envoy has said anything about yet.
    pub(super) fn on_trial(&self) -> impl Iterator<Item = &GatewayName> {
        self.offered.iter()
    }

    /// The gateways that stand elsewhere than when it was asked last.
    pub(super) fn take_moved(&mut self) -> BTreeSet<GatewayName> {
        std::mem::take(&mut self.moved)
    }

    /// A gateway is gone.
    pub(super) fn forget(&mut self, gateway: &GatewayName) {
        self.standing.remove(gateway);
        self.offered.remove(gateway);
        self.waiting.iter_mut().for_each(|group| group.retain(|g| g != gateway));
        self.waiting.retain(|group| !group.is_empty());
    }

    /// Envoys took something that holds the newest versions of these gateways. Says which of them were on trial.
    pub(super) fn taken(
        &mut self,
        gateways: impl IntoIterator<Item = GatewayName>,
        now: Timestamp,
    ) -> (Vec<GatewayName>, Ruling) {
        let mut freed = Vec::new();
        for gateway in gateways {
            if self.offered.contains(&gateway) {
                self.stand(&gateway, Standing::Taken);
                freed.push(gateway);
            }
        }
        // Envoys said yes to the group on trial, so the next one may come.
        let ruling = if !freed.is_empty() && self.next_group(now) { Ruling::Offers } else { Ruling::Nothing };
        (freed, ruling)
    }

    /// Envoys refused something that holds the newest versions of these gateways.
    pub(super) fn refused(
        &mut self,
        gateways: impl IntoIterator<Item = GatewayName>,
        text: &str,
        now: Timestamp,
    ) -> Ruling {
        let mut suspects: Vec<GatewayName> =
            gateways.into_iter().filter(|g| *self.standing(g) == Standing::OnTrial).collect();
        match suspects.len() {
            0 => Ruling::Nothing,
            1 => {
                let gateway = suspects.remove(0);
                self.stand(&gateway, Standing::Refused(text.to_owned()));
                self.next_group(now);
                Ruling::Refused(gateway)
            }
            n => {
                let back = suspects.split_off(n / 2);
                self.step_back(back, now);
                Ruling::Offers
            }
        }
    }

    /// These gateways wait until the others on trial are taken.
    pub(super) fn step_back(&mut self, gateways: Vec<GatewayName>, now: Timestamp) {
        for gateway in &gateways {
            self.stand(gateway, Standing::Waiting);
        }
        self.waiting.push(gateways);
        self.since = now;
    }

    /// The one gateway that waits, if there is no other.
    pub(super) fn last_waiting(&self) -> Option<&GatewayName> {
        match self.waiting.as_slice() {
            [group] => Some(group).filter(|group| group.len() == 1)?.first(),
            _ => None,
        }
    }

    /// Another Envoy took what this gateway was refused for: it is offered again, and if that was its routes (`taken`)
    /// it is good.
    pub(super) fn absolve(&mut self, gateway: &GatewayName, taken: bool) {
        if matches!(self.standing(gateway), Standing::Refused(_)) {
            self.stand(gateway, if taken { Standing::Taken } else { Standing::OnTrial });
        }
    }

    /// Nobody answers any more (the Envoys went away): all take their turn at once. True when that changes what
    /// is offered.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        if self.waiting.is_empty() || now.since(self.since) < TRIAL {
            return false;
        }
        while self.next_group(now) {}
        true
    }

    /// When [`Trial::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then(|| self.since.plus(TRIAL))
    }

    /// Those that stepped back last take their turn; true when there were some.
    pub(super) fn next_group(&mut self, now: Timestamp) -> bool {
        let Some(group) = self.waiting.pop() else { return false };
        group.iter().for_each(|gateway| self.stand(gateway, Standing::OnTrial));
        self.since = now;
        true
    }

    fn stand(&mut self, gateway: &GatewayName, standing: Standing) {
        if standing == Standing::OnTrial {
            self.offered.insert(gateway.clone());
        } else {
            self.offered.remove(gateway);
        }
        self.moved.insert(gateway.clone());
        self.standing.insert(gateway.clone(), standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(n: usize) -> GatewayName {
        GatewayName::new(&format!("g{n}")).unwrap()
    }

    #[test]
    fn a_gateway_that_was_refused_gets_a_new_trial_with_a_new_version() {
        let mut trial = Trial::default();
        trial.begin(&name(1), false);
        assert_eq!(trial.refused([name(1)], "no", Timestamp(1)), Ruling::Refused(name(1)));
        assert_eq!(trial.refused([name(1)], "no", Timestamp(1)), Ruling::Nothing);
        assert!(!trial.is_offered(&name(1)));
        trial.begin(&name(1), false);
        assert!(trial.is_offered(&name(1)));
    }

    #[test]
    fn when_nobody_answers_all_take_their_turn() {
        let mut trial = Trial::default();
        (0..4).for_each(|n| trial.begin(&name(n), false));
        trial.refused((0..4).map(name), "no", Timestamp(0));
        assert!(!trial.is_offered(&name(3)));
        assert!(!trial.expire(Timestamp(10)));
        assert!(trial.expire(trial.deadline().unwrap()));
        assert!((0..4).all(|n| trial.is_offered(&name(n))) && trial.deadline().is_none());
    }

    proptest! {
        /// An Envoy that refuses certain gateways, whatever else is in the response.
        #[test]
        fn exactly_the_bad_ones_are_found(bad in proptest::collection::btree_set(0usize..60, 0..6), n in 1usize..60) {
            let mut trial = Trial::default();
            (0..n).for_each(|g| trial.begin(&name(g), false));
            let bad: BTreeSet<GatewayName> = bad.into_iter().filter(|g| *g < n).map(name).collect();
            let mut turns = 0;
            loop {
                let offered: Vec<_> = (0..n).map(name).filter(|g| trial.is_offered(g)).collect();
                let ruling = if offered.iter().any(|g| bad.contains(g)) {
                    trial.refused(offered, "no", Timestamp(0))
                } else {
                    trial.taken(offered, Timestamp(0)).1
                };
                turns += 1;
                prop_assert!(turns < 200, "no end");
                if ruling == Ruling::Nothing {
                    break;
                }
            }
            for g in (0..n).map(name) {
                let refused = matches!(trial.standing(&g), Standing::Refused(_));
                prop_assert_eq!(refused, bad.contains(&g), "{}", g);
                prop_assert!(refused || *trial.standing(&g) == Standing::Taken);
            }
        }
    }
}
