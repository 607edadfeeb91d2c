//! The routes of one gateway, in the order in which Envoy tries them: direct access, the key splits of `match`,
//! the weighted split, its sample for the shadow first.

use super::filter::OnRoute;
use super::{Leg, affinity, cluster_name, duration, shadow, uint32};
use crate::model::{Condition, Gateway, Match, Pattern, Protocol};
use crate::names::UpstreamName;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{DataSource, HeaderValue, HeaderValueOption, data_source};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, MaxStreamDuration};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    CookieMatcher, DirectResponseAction, HeaderMatcher, QueryParameterMatcher, Route, RouteAction,
    RouteMatch, WeightedCluster,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use std::time::Duration;

/// The response header that names the upstream.
const UPSTREAM_HEADER: &str = "x-serin-upstream";
/// How long a stream without a time limit may be silent: long enough for a slow first token or a quiet WebSocket.
const STREAM_SILENCE: Duration = Duration::from_hours(1);
/// Envoy's idle timeout also covers the wait for the first byte, so it must outlast the request's own timeout.
const IDLE_MARGIN: Duration = Duration::from_secs(5);

/// All routes of a gateway.
pub(super) fn routes(gateway: &Gateway) -> Vec<Route> {
    let paths = paths(gateway);
    let with_paths = |route: Route| {
        paths.iter().map(move |path| {
            let mut route = route.clone();
            path.apply(&mut route);
            route
        })
    };
    let mut routes = Vec::new();
    routes.extend(direct_access(gateway).into_iter().flat_map(with_paths));
    routes.extend(gateway.matches.iter().enumerate().flat_map(|(i, m)| with_paths(key_split(gateway, i, m))));
    let splits = affinity::splits(gateway, split(gateway)).into_iter();
    routes.extend(splits.flat_map(|route| shadow::with_twin(gateway, route)).flat_map(with_paths));
    // All routes alike: a tester's header or a name in direct access is no side door.
    let authentication = OnRoute::new(gateway);
    routes.iter_mut().for_each(|route| authentication.apply(route));
    routes
}

/// One way to match the gateway's path, and what the upstream sees in its place.
struct Path {
    matched: PathSpecifier,
    rewrite: Option<String>,
}

impl Path {
    fn apply(&self, route: &mut Route) {
        route.r#match.get_or_insert_default().path_specifier = Some(self.matched.clone());
        if let (Some(Action::Route(action)), Some(rewrite)) = (&mut route.action, &self.rewrite) {
            action.prefix_rewrite.clone_from(rewrite);
        }
    }
}

/// Whole path segments: `/predict` takes `/predict` and `/predict/...`, not `/predictions`.
///
/// A plain prefix rewrite glues texts together, so where one side is the root and the other is not, the slash
/// between them needs a route of its own: `/predict` -> `/` must not become `//x`, nor `/` -> `/v1` become `/v1x`.
fn paths(gateway: &Gateway) -> Vec<Path> {
    let path = gateway.path.as_str();
    let prefix = |path: &str| {
        if path == "/" {
            PathSpecifier::Prefix("/".into())
        } else {
            PathSpecifier::PathSeparatedPrefix(path.into())
        }
    };
    match gateway.rewrite.as_deref() {
        None => vec![Path { matched: prefix(path), rewrite: None }],
        Some(rewrite) if (path == "/") == (rewrite == "/") => {
            vec![Path { matched: prefix(path), rewrite: Some(rewrite.to_owned()) }]
        }
        Some(rewrite) => {
            let slash = |text: &str| if text == "/" { text.to_owned() } else { format!("{text}/") };
            vec![
                Path { matched: PathSpecifier::Path(path.into()), rewrite: Some(rewrite.to_owned()) },
                Path { matched: PathSpecifier::Prefix(slash(path)), rewrite: Some(slash(rewrite)) },
            ]
        }
    }
}

/// A header that names an upstream gets that upstream, or 404: never silently another one.
pub(super) fn direct_access(gateway: &Gateway) -> Vec<Route> {
    let Some(access) = &gateway.direct_access else { return Vec::new() };
    let header = |specifier| HeaderMatcher {
        name: access.header.clone(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    };
    let mut routes: Vec<Route> = gateway
        .upstreams
        .iter()
        .map(|upstream| {
            let mut route =
                to_upstream(gateway, &upstream.name, format!("{}/direct/{}", gateway.name, upstream.name));
            let exact = string_matcher(&Pattern::Exact(upstream.name.to_string()));
            let headers = &mut route.r#match.get_or_insert_default().headers;
            headers.push(header(HeaderMatchSpecifier::StringMatch(exact)));
            route
        })
        .collect();
    let text = format!("gateway {} has no upstream of the name in {}\n", gateway.name, access.header);
    routes.push(Route {
        name: format!("{}/direct", gateway.name),
        r#match: Some(RouteMatch {
            headers: vec![header(HeaderMatchSpecifier::PresentMatch(true))],
            ..Default::default()
        }),
        action: Some(Action::DirectResponse(DirectResponseAction {
            status: 404,
            body: Some(DataSource {
                specifier: Some(data_source::Specifier::InlineString(text)),
                ..Default::default()
            }),
            ..Default::default()
        })),
        ..Default::default()
    });
    routes
}

fn to_upstream(gateway: &Gateway, upstream: &UpstreamName, name: String) -> Route {
    Route {
        name,
        r#match: Some(RouteMatch::default()),
        action: Some(Action::Route(action(
            gateway,
            ClusterSpecifier::Cluster(cluster_name(&gateway.name, upstream, Leg::Live)),
        ))),
        response_headers_to_add: exposed(gateway, upstream),
        ..Default::default()
    }
}

/// A key split, which is the so-manieth of its gateway.
pub(super) fn key_split(gateway: &Gateway, number: usize, m: &Match) -> Route {
    let mut route = to_upstream(gateway, &m.upstream, format!("{}/match/{number}", gateway.name));
    m.conditions.iter().for_each(|c| require(c, route.r#match.get_or_insert_default()));
    route
}

/// The split. Also with one upstream a weighted cluster, so that a second one changes weights and nothing else.
pub(super) fn split(gateway: &Gateway) -> Route {
    let clusters = gateway.traffic.parts().iter().map(|(upstream, weight)| ClusterWeight {
        name: cluster_name(&gateway.name, upstream, Leg::Live),
        weight: Some(uint32(weight.hundredths())),
        response_headers_to_add: exposed(gateway, upstream),
        ..Default::default()
    });
    let weighted = WeightedCluster { clusters: clusters.collect(), ..Default::default() };
    Route {
        name: gateway.name.to_string(),
        r#match: Some(RouteMatch::default()),
        action: Some(Action::Route(action(gateway, ClusterSpecifier::WeightedClusters(weighted)))),
        ..Default::default()
    }
}

fn action(gateway: &Gateway, cluster: ClusterSpecifier) -> RouteAction {
    let idle = if gateway.timeout.is_zero() { STREAM_SILENCE } else { gateway.timeout + IDLE_MARGIN };
    let grpc = gateway.upstreams.iter().any(|u| u.protocol == Protocol::Grpc);
    RouteAction {
        cluster_specifier: Some(cluster),
        timeout: Some(duration(gateway.timeout)),
        idle_timeout: Some(duration(idle)),
        // A gRPC client states its own deadline; it holds, up to the gateway's.
        max_stream_duration: grpc.then(|| MaxStreamDuration {
            grpc_timeout_header_max: Some(duration(gateway.timeout)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn exposed(gateway: &Gateway, upstream: &UpstreamName) -> Vec<HeaderValueOption> {
    if !gateway.expose_upstream {
        return Vec::new();
    }
    vec![HeaderValueOption {
        header: Some(HeaderValue {
            key: UPSTREAM_HEADER.into(),
            value: upstream.to_string(),
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    }]
}

fn require(condition: &Condition, to: &mut RouteMatch) {
    match condition {
        Condition::Header(name, pattern) => to.headers.push(HeaderMatcher {
            name: name.clone(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string_matcher(pattern))),
            ..Default::default()
        }),
        Condition::Query(name, pattern) => to.query_parameters.push(QueryParameterMatcher {
            name: name.clone(),
            query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(string_matcher(
                pattern,
            ))),
        }),
        Condition::Cookie(name, pattern) => to.cookies.push(CookieMatcher {
            name: name.clone(),
            string_match: Some(string_matcher(pattern)),
            ..Default::default()
        }),
    }
}

pub(super) fn string_matcher(pattern: &Pattern) -> StringMatcher {
    let pattern = match pattern {
        Pattern::Exact(text) => MatchPattern::Exact(text.clone()),
        Pattern::Prefix(text) => MatchPattern::Prefix(text.clone()),
        Pattern::Regex(regex) => {
            MatchPattern::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() })
        }
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}
