//! A version of a gateway that some Envoy refuses, and what that Envoy is told instead.

use super::offer::Version;
use crate::model::{Authentication, Gateway};
use crate::names::GatewayName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is left out of what an Envoy is told, by gateway.
pub(super) type Exclusions = BTreeMap<GatewayName, Exclusion>;

/// A version of a gateway that is left out.
#[derive(Clone, Debug)]
pub(super) struct Exclusion {
    /// It, whatever its weights.
    pub(super) refused: Arc<Gateway>,
    /// The version that the Envoy has. `None`: it has none, or refuses that one as well.
    pub(super) instead: Option<Version>,
}

impl Exclusion {
    /// Whether this version is left out.
    pub(super) fn covers(&self, gateway: &Arc<Gateway>) -> bool {
        Arc::ptr_eq(&self.refused, gateway) || differ_by_weights(&self.refused, gateway)
    }

    /// Whether it is the same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        let is_instead = match (&self.instead, &other.instead) {
            (Some(one), Some(other)) => one.is(other),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.refused, &other.refused) && is_instead
    }

    /// What an Envoy is told that is not told this version: the one that it has, if that has the same place and lets in the same
    /// people, with the weights of now; else that nobody is let in.
    pub(super) fn instead_of(&self, told: &Version) -> Version {
        let now = &told.gateway;
        let place = |g: &Gateway| (g.listener.clone(), g.hosts.clone(), g.path.clone(), g.proxies.clone());
        let fits = |before: &&Version| {
            let before = &before.gateway;
            place(before) == place(now) && before.authentication == now.authentication
        };
        let Some(before) = self.instead.as_ref().filter(fits) else {
            return told.closed();
        };
        let names = |g: &Gateway| g.traffic.parts().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(&before.gateway) != names(now) {
            return before.clone();
        }
        let gateway = Gateway { traffic: now.traffic.clone(), ..(*before.gateway).clone() };
        Version::new(Arc::new(gateway), Some(before))
    }

    /// Whether the Envoy answers 503 in the gateway's place.
    pub(super) fn closes(&self, told: &Version) -> bool {
        self.instead_of(told).gateway.authentication == Authentication::Closed
    }
}

/// The gateway's place with nobody let in, and without anything that Envoy might refuse.
pub(super) fn closed(gateway: &Gateway) -> Gateway {
    Gateway {
        authentication: Authentication::Closed,
        matches: Vec::new(),
        direct_access: None,
        shadow: None,
        ..gateway.clone()
    }
}

/// Whether two versions are the same but for the weights of the same upstreams, which no Envoy refuses.
pub(super) fn differ_by_weights(one: &Gateway, other: &Gateway) -> bool {
    let names = |g: &Gateway| g.traffic.parts().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    names(one) == names(other) && Gateway { traffic: other.traffic.clone(), ..one.clone() } == *other
}
