//! What is compared, from what serves.

use crate::compare::Comparisons;
use crate::control::View;
use crate::latest::{Latest, Subscriber};
use crate::names::GatewayName;
use std::sync::Arc;

/// Follows the view until the loop ends.
pub(super) async fn follow(mut views: Subscriber<View>, comparisons: Arc<Latest<Comparisons>>) {
    loop {
        let wanted = of(&views.load());
        if wanted != *comparisons.load() {
            comparisons.publish(wanted);
        }
        if !views.changed().await {
            return;
        }
    }
}

fn of(view: &View) -> Comparisons {
    let compared = view.gateways.values().filter_map(|gateway| {
        let comparison = gateway.gateway.as_ref()?.shadow.as_ref()?.comparison.as_ref()?;
        Some((GatewayName::new(&gateway.name).ok()?, Arc::clone(comparison)))
    });
    compared.collect()
}
