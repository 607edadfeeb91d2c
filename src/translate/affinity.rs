//! Users who keep their version: the split by a hash of what a user is known by, in place of chance.
//!
//! Envoy takes `hash mod (sum of weights)` and finds the interval in which it lies. The sum never changes and the
//! order is the gateway's, so a user moves only when the border of an interval moves over him.
//!
//! Envoy knows no salt. A second hash, of the gateway's name in place of the same key's value, does as well: Envoy
//! combines both by exclusive or. So the users who meet a canary first are others at each gateway.
//!
//! A request without the key goes its own way, by a route of its own. That is also where a cookie is given: it holds
//! the request's id, whose hash chose the version of this first answer; a header and a cookie with the same value
//! have the same hash.
//!
//! With a shadow there is no chance in the split: Envoy draws one number for a request, by which it would choose both
//! the sample and the version (tried on Envoy 1.40), so that a canary of 5 % were all in a sample of 10 %. The hash of
//! the request's id, which is new for each request, does not depend on that number.

use super::route::string_matcher;
use crate::model::{Gateway, Pattern, SessionAffinity};
use crate::names::GatewayName;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HashPolicy};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::RandomValueSpecifier;
use envoy_types::pb::envoy::config::route::v3::{CookieMatcher, HeaderMatcher, QueryParameterMatcher, Route};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::BoolValue;

/// Made by Envoy for each request that comes in, and never taken from outside.
const REQUEST_ID: &str = "x-request-id";

/// What the name of a route for requests without the key has after that of its gateway.
const KEYLESS: &str = "/keyless";

/// The gateway whose requests without the key of `sessionAffinity` Envoy counts under a name.
pub fn parse_keyless(name: &str) -> Option<GatewayName> {
    GatewayName::new(name.strip_suffix(KEYLESS)?).ok()
}

/// The routes that split a gateway's traffic, from the one that does it by chance.
pub(super) fn splits(gateway: &Gateway, mut by_chance: Route) -> Vec<Route> {
    if gateway.shadow.is_some() {
        hash(&mut by_chance, [header(REQUEST_ID)]);
    }
    let Some(affinity) = &gateway.affinity else { return vec![by_chance] };
    let salt = salt(gateway);
    let mut known = by_chance.clone();
    let to = known.r#match.get_or_insert_default();
    match affinity {
        SessionAffinity::Header(name) => {
            to.headers.push(HeaderMatcher {
                name: name.clone(),
                header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(something())),
                ..Default::default()
            });
            hash(&mut known, [header(name), salt]);
        }
        SessionAffinity::Query(name) => {
            to.query_parameters.push(QueryParameterMatcher {
                name: name.clone(),
                query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(something())),
            });
            hash(&mut known, [PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() }), salt]);
        }
        SessionAffinity::Cookie { name, .. } => {
            to.cookies.push(CookieMatcher {
                name: name.clone(),
                string_match: Some(something()),
                ..Default::default()
            });
            let cookie = Cookie { name: name.clone(), ..Default::default() };
            hash(&mut known, [PolicySpecifier::Cookie(cookie), salt]);
        }
        SessionAffinity::SourceIp => {
            let address = ConnectionProperties { source_ip: true };
            hash(&mut known, [PolicySpecifier::ConnectionProperties(address), salt]);
            return vec![known];
        }
    }
    let mut unknown = by_chance;
    unknown.name = format!("{}{KEYLESS}", gateway.name);
    // Envoy counts them under this name, whatever host they came for.
    unknown.stat_prefix.clone_from(&unknown.name);
    if let SessionAffinity::Cookie { name, max_age } = affinity {
        hash(&mut unknown, [header(REQUEST_ID), self::salt(gateway)]);
        unknown.response_headers_to_add.push(set_cookie(gateway, name, max_age.as_secs()));
    }
    vec![known, unknown]
}

fn hash(route: &mut Route, by: impl IntoIterator<Item = PolicySpecifier>) {
    let Some(Action::Route(action)) = &mut route.action else { return };
    let policy = |specifier| HashPolicy { policy_specifier: Some(specifier), ..Default::default() };
    action.hash_policy = by.into_iter().map(policy).collect();
    if let Some(ClusterSpecifier::WeightedClusters(split)) = &mut action.cluster_specifier {
        split.random_value_specifier = Some(RandomValueSpecifier::UseHashPolicy(BoolValue { value: true }));
    }
}

/// The same for all requests of the gateway: the text of a header that every request has, replaced by the name.
fn salt(gateway: &Gateway) -> PolicySpecifier {
    PolicySpecifier::Header(Header {
        header_name: ":authority".into(),
        regex_rewrite: Some(RegexMatchAndSubstitute {
            pattern: Some(RegexMatcher { regex: "^.*$".into(), ..Default::default() }),
            substitution: gateway.name.to_string(),
        }),
    })
}

fn header(name: &str) -> PolicySpecifier {
    PolicySpecifier::Header(Header { header_name: name.to_owned(), ..Default::default() })
}

/// A key without a value is no key: all who send it would be one user.
fn something() -> StringMatcher {
    string_matcher(&Pattern::Regex(".+".into()))
}

fn set_cookie(gateway: &Gateway, name: &str, max_age: u64) -> HeaderValueOption {
    // A semicolon would end the attribute.
    let path = if gateway.path.contains(';') { "/" } else { &gateway.path };
    let value = format!("{name}=%REQ({REQUEST_ID})%; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Lax");
    HeaderValueOption {
        header: Some(HeaderValue { key: "set-cookie".into(), value, ..Default::default() }),
        append_action: HeaderAppendAction::AppendIfExistsOrAdd as i32,
        ..Default::default()
    }
}
