//! What Envoys were told lately: so it is known what one holds that refuses what is new.

use super::offer::Version;
use crate::names::GatewayName;
use crate::resource;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// So many versions of gateways, and so many route configurations, are remembered. An Envoy that holds an older one is one of
/// which nothing is known.
const REMEMBERED: usize = 1024;

/// The last versions of gateways and of route configurations.
#[derive(Debug, Default)]
pub(super) struct History {
    turn: u64,
    /// What was told of a gateway until a turn; `None`: nothing.
    replaced: VecDeque<(u64, GatewayName, Option<Version>)>,
    /// The turn in which a route configuration was told first, and the same in the order of turns.
    told: BTreeMap<Route, u64>,
    order: VecDeque<(u64, Route)>,
    /// The last turn of which something was forgotten.
    forgotten: u64,
}

type Route = (Arc<str>, resource::Version);

impl History {
    /// Takes what was replaced in a turn, and the route configurations that came of it.
    pub(super) fn turn(
        &mut self,
        replaced: Vec<(GatewayName, Option<Version>)>,
        routes: impl IntoIterator<Item = Route>,
    ) {
        self.turn += 1;
        self.replaced.extend(replaced.into_iter().map(|(name, version)| (self.turn, name, version)));
        for route in routes {
            // An Envoy may have it since the first time; what was told since then is more than what it does not have.
            self.told.entry(route.clone()).or_insert(self.turn);
            self.order.push_back((self.turn, route));
        }
        while self.replaced.len() > REMEMBERED {
            self.forgotten = self.replaced.pop_front().map_or(self.forgotten, |(turn, ..)| turn);
        }
        while self.order.len() > REMEMBERED {
            let Some((turn, route)) = self.order.pop_front() else { break };
            if self.told.get(&route) == Some(&turn) {
                self.told.remove(&route);
            }
        }
    }

    /// The gateways of which something else is told than when this route configuration was, each with what was told then;
    /// `None`: that is not known.
    pub(super) fn since(&self, route: &Route) -> Option<BTreeMap<GatewayName, Option<Version>>> {
        let since = *self.told.get(route)?;
        if since < self.forgotten {
            return None;
        }
        let later = self.replaced.iter().rev().take_while(|(turn, ..)| *turn > since);
        // Of several the earliest.
        Some(later.map(|(_, name, version)| (name.clone(), version.clone())).collect())
    }

    /// What was told of a gateway before.
    pub(super) fn before(&self, name: &GatewayName) -> Option<Version> {
        self.replaced.iter().rev().find(|(_, gateway, _)| gateway == name)?.2.clone()
    }
}
