//! What the newest version of a gateway has that the one before it had not.

use crate::model::Gateway;
use crate::store::Weights;

/// Whether the weights of a rollout are all that is different.
pub(super) fn differ_by_rollout(old: &Gateway, new: &Gateway) -> bool {
    let (traffic, shadow) = (new.traffic.clone(), new.shadow.clone());
    new.rollout.is_some() && Gateway { traffic, shadow, ..old.clone() } == *new
}

pub(super) fn weights(gateway: &Gateway) -> Weights {
    gateway.traffic.parts().iter().cloned().collect()
}

/// What a change is, for the log: a change of weights is the one people look for.
pub(super) fn change_sentence(old: &Gateway, new: &Gateway) -> String {
    if old.authentication != new.authentication {
        return format!("gateway {}: who may use it changed", new.name);
    }
    if old.traffic == new.traffic {
        return format!("gateway {} changed", new.name);
    }
    let split = |gateway: &Gateway| {
        let parts = gateway.traffic.parts().iter().rev().map(|(u, w)| format!("{u} {w} %"));
        parts.collect::<Vec<_>>().join(", ")
    };
    format!("gateway {}: traffic was {}, is {}", new.name, split(old), split(new))
}
