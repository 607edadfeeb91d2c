//! Signed tokens.
//!
//! Envoy's filter for tokens wants its issuers in the listener. It stands in a chain of its own instead, which each
//! route brings along, so that no gateway's issuer touches a listener. Keys are handed over inline: Envoy would
//! fetch them anew with each push of the routes.

use super::super::inline;
use super::{CLAIMS, JWT, OnRoute};
use crate::model::{ClaimValue, Jwks, Jwt};
use crate::resource::any;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::rbac::v3::permission::Rule;
use envoy_types::pb::envoy::config::rbac::v3::principal::{Identifier, Set};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac as Rules, SourcedMetadata,
};
use envoy_types::pb::envoy::config::route::v3::RouteMatch;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::filter_chain::v3::{
    FilterChain, FilterChainConfig, FilterChainConfigPerRoute,
};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::{
    JwksSourceSpecifier, NormalizePayload,
};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::requirement_rule::RequirementType;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{
    JwtAuthentication, JwtCacheConfig, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement,
    RequirementRule,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use envoy_types::pb::envoy::r#type::matcher::v3::double_matcher::MatchPattern as DoublePattern;
use envoy_types::pb::envoy::r#type::matcher::v3::list_matcher::MatchPattern as ListPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::metadata_matcher::{PathSegment, path_segment::Segment};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern as StringPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::value_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{
    DoubleMatcher, ListMatcher, MetadataMatcher, StringMatcher, ValueMatcher,
};
use envoy_types::pb::google::protobuf::Any;

/// The one provider of a route.
const ISSUER: &str = "issuer";
/// Where the filter puts the claims for others to read.
const CLAIMS_KEY: &str = "claims";
/// Tokens whose signature need not be checked again; the check of an RSA signature costs as much as a request.
const CACHED_TOKENS: u32 = 1000;

pub(super) fn filter() -> Any {
    any(&FilterChainConfig::default())
}

pub(super) fn claims_filter() -> Any {
    any(&Rbac::default())
}

pub(super) fn on_route(jwt: &Jwt) -> OnRoute {
    let (Jwks::Inline(keys) | Jwks::Uri { keys: Some(keys), .. }) = &jwt.jwks else {
        return OnRoute::closed();
    };
    let provider = JwtProvider {
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.clone(),
        jwks_source_specifier: Some(JwksSourceSpecifier::LocalJwks(inline(keys.as_bytes()))),
        claim_to_headers: jwt
            .claim_headers
            .iter()
            .map(|(header, claim)| JwtClaimToHeader {
                header_name: header.clone(),
                claim_name: claim.clone(),
                ..Default::default()
            })
            .collect(),
        payload_in_metadata: CLAIMS_KEY.into(),
        // Scopes are words in one text (RFC 8693 section 4.2); `require` asks for one of them.
        normalize_payload_in_metadata: Some(NormalizePayload {
            space_delimited_claims: vec!["scope".into(), "scp".into()],
        }),
        // Nowhere else: a token in a URL stands in every log on the way.
        from_headers: vec![JwtHeader { name: "authorization".into(), value_prefix: "Bearer ".into() }],
        jwt_cache_config: Some(JwtCacheConfig { jwt_cache_size: CACHED_TOKENS, ..Default::default() }),
        // A token without an end is valid for ever, once it is stolen.
        require_expiration: true,
        ..Default::default()
    };
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() };
    let requirement = JwtRequirement { requires_type: Some(RequiresType::ProviderName(ISSUER.into())) };
    let filter = JwtAuthentication {
        providers: [(ISSUER.to_owned(), provider)].into(),
        rules: vec![RequirementRule {
            r#match: Some(everything),
            requirement_type: Some(RequirementType::Requires(requirement)),
        }],
        ..Default::default()
    };
    let inner = TypedExtensionConfig {
        name: "envoy.filters.http.jwt_authn".into(),
        typed_config: Some(any(&filter)),
    };
    let chain = FilterChainConfigPerRoute { filter_chain: Some(FilterChain { filters: vec![inner] }) };
    let mut filters = vec![(JWT, any(&chain))];
    if !jwt.require.is_empty() {
        filters.push((CLAIMS, any(&claims(jwt))));
    }
    OnRoute { filters, remove_headers: Vec::new(), ..OnRoute::default() }
}

/// All claims must hold; of each, one value suffices, alone or in a list.
fn claims(jwt: &Jwt) -> RbacPerRoute {
    let all = jwt.require.iter().map(|(claim, values)| {
        let patterns = values.iter().flat_map(|value| {
            let alone = pattern(value);
            let one_of = ListPattern::OneOf(Box::new(value_matcher(alone.clone())));
            let list = MatchPattern::ListMatch(Box::new(ListMatcher { match_pattern: Some(one_of) }));
            [alone, list]
        });
        let paths = claim_paths(claim);
        let ids = patterns.flat_map(|pattern| paths.iter().map(move |path| claim_is(path, pattern.clone())));
        principal(Identifier::OrIds(Set { ids: ids.collect() }))
    });
    let policy = Policy {
        permissions: vec![Permission { rule: Some(Rule::Any(true)) }],
        principals: vec![principal(Identifier::AndIds(Set { ids: all.collect() }))],
        ..Default::default()
    };
    let policies = [("claims".to_owned(), policy)].into();
    let rules = Rules { action: Action::Allow as i32, policies, ..Default::default() };
    RbacPerRoute { rbac: Some(Rbac { rules: Some(rules), ..Default::default() }) }
}

/// Where a claim may stand: under its very name, and with dots in it also below others, as in `realm_access.roles`. The
/// name of a claim that is a URL has dots of its own and stands for itself.
fn claim_paths(claim: &str) -> Vec<Vec<&str>> {
    let nested: Vec<&str> = claim.split('.').collect();
    let is_path = nested.len() > 1 && !claim.contains([':', '/']) && !nested.contains(&"");
    std::iter::once(vec![claim]).chain(is_path.then_some(nested)).collect()
}

fn pattern(value: &ClaimValue) -> MatchPattern {
    match value {
        ClaimValue::Text(text) => MatchPattern::StringMatch(exact(text)),
        ClaimValue::Number(number) => {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 from zero")]
            let exact = DoublePattern::Exact(*number as f64);
            MatchPattern::DoubleMatch(DoubleMatcher { match_pattern: Some(exact) })
        }
        ClaimValue::Truth(truth) => MatchPattern::BoolMatch(*truth),
    }
}

fn claim_is(path: &[&str], pattern: MatchPattern) -> Principal {
    let key = |text: &str| PathSegment { segment: Some(Segment::Key(text.to_owned())) };
    let matcher = MetadataMatcher {
        filter: "envoy.filters.http.jwt_authn".into(),
        path: [CLAIMS_KEY].iter().chain(path).map(|name| key(name)).collect(),
        value: Some(value_matcher(pattern)),
        ..Default::default()
    };
    let metadata = SourcedMetadata { metadata_matcher: Some(matcher), ..Default::default() };
    principal(Identifier::SourcedMetadata(metadata))
}

fn principal(identifier: Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

fn value_matcher(pattern: MatchPattern) -> ValueMatcher {
    ValueMatcher { match_pattern: Some(pattern) }
}

fn exact(text: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(StringPattern::Exact(text.to_owned())), ..Default::default() }
}
