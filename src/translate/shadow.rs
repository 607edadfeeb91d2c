//! Copies of requests to a shadow, a sample of those that the split answers.
//!
//! Each route of the split gets a twin before it, which takes a share of the requests by chance and mirrors each of
//! them. With a fraction on the mirror alone a route could not tell which of its requests are mirrored.
//!
//! What goes to one upstream by `match` or direct access is not mirrored: it is no sample of anything. Nor are
//! connections that are upgraded, as to WebSocket connections, which have no end.

use super::{Leg, cluster_name, compare};
use crate::model::{Gateway, Shadow};
use crate::weight::Weight;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{HeaderMutation, header_mutation};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, RuntimeFractionalPercent};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route};
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

/// The header by which a model knows that its answer is not used.
pub(super) const MARK: &str = "x-shadow";
/// What lets a caller in somewhere is not the shadow's business, which may be anybody's experiment. The credentials
/// of the gateway's own authentication are removed from all requests before.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// A route of the split, after its twin if there is a shadow.
pub(super) fn with_twin(gateway: &Gateway, route: Route) -> Vec<Route> {
    match &gateway.shadow {
        Some(shadow) => vec![twin(gateway, shadow, route.clone()), route],
        None => vec![route],
    }
}

fn twin(gateway: &Gateway, shadow: &Shadow, mut route: Route) -> Route {
    route.name.push_str("/sampled");
    let to = route.r#match.get_or_insert_default();
    to.runtime_fraction = Some(sample(shadow.percent));
    to.headers.push(HeaderMatcher {
        name: "upgrade".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        invert_match: true,
        ..Default::default()
    });
    if let Some(Action::Route(action)) = &mut route.action {
        action.request_mirror_policies.push(RequestMirrorPolicy {
            cluster: cluster_name(&gateway.name, &shadow.upstream, Leg::Shadow),
            // The shadow is asked for the same host.
            disable_shadow_host_suffix_append: true,
            request_headers_mutations: mutations(),
            ..Default::default()
        });
    }
    compare::on_sample(gateway, &mut route);
    route
}

/// The key of the runtime layer stands over all of them.
fn sample(percent: Weight) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: percent.hundredths(),
            denominator: DenominatorType::TenThousand as i32,
        }),
        runtime_key: super::SHADOW_KEY.into(),
    }
}

fn mutations() -> Vec<HeaderMutation> {
    let remove = CREDENTIALS.map(|name| header_mutation::Action::Remove(name.into()));
    let mark = header_mutation::Action::Append(HeaderValueOption {
        header: Some(HeaderValue { key: MARK.into(), value: "1".into(), ..Default::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    });
    remove.into_iter().chain([mark]).map(|action| HeaderMutation { action: Some(action) }).collect()
}
