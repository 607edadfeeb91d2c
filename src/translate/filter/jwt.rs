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
use envoy_types::pb::envoy::config::rbac::v3::principal::{Identifier, Set};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac as Rules, SourcedMetadata, permission,
};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, RouteMatch};
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
use std::collections::BTreeMap;

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
    let rule = Rule {
        name: ISSUER,
        issuer: &jwt.issuer,
        keys,
        audiences: jwt.audiences.clone(),
        claims: Some(&jwt.claim_headers),
        // Nowhere else: a token in a URL stands in every log on the way.
        token: bearer_token(),
        ..Rule::default()
    };
    let mut filters = vec![(JWT, any(&chain(&[rule])))];
    if !jwt.require.is_empty() {
        filters.push((CLAIMS, any(&claims(jwt))));
    }
    OnRoute { filters, remove_headers: Vec::new(), ..OnRoute::default() }
}

/// Where programs send their tokens (RFC 6750 section 2.1).
pub(super) fn bearer_token() -> JwtHeader {
    JwtHeader { name: "authorization".into(), value_prefix: "Bearer ".into() }
}

/// Whose token a request needs.
#[derive(Default)]
pub(super) struct Rule<'a> {
    /// Unique on a route.
    pub(super) name: &'static str,
    /// Only requests with this header; `None`: all that no rule before takes.
    pub(super) header: Option<HeaderMatcher>,
    /// The claim `iss`.
    pub(super) issuer: &'a str,
    /// A JSON Web Key Set.
    pub(super) keys: &'a str,
    /// One of them is in the claim `aud`; empty: any.
    pub(super) audiences: Vec<String>,
    /// Where requests carry the token.
    pub(super) token: JwtHeader,
    /// Headers, and the claims that they tell the model.
    pub(super) claims: Option<&'a BTreeMap<String, String>>,
    /// Whether the end of the token's life does not matter.
    pub(super) is_timeless: bool,
}

impl Rule<'_> {
    fn provider(&self) -> JwtProvider {
        let claims = self.claims.into_iter().flatten();
        JwtProvider {
            issuer: self.issuer.to_owned(),
            audiences: self.audiences.clone(),
            jwks_source_specifier: Some(JwksSourceSpecifier::LocalJwks(inline(self.keys.as_bytes()))),
            claim_to_headers: claims
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
            from_headers: vec![self.token.clone()],
            jwt_cache_config: Some(JwtCacheConfig { jwt_cache_size: CACHED_TOKENS, ..Default::default() }),
            // A token without an end is valid for ever, once it is stolen.
            require_expiration: !self.is_timeless,
            clock_skew_seconds: if self.is_timeless { u32::MAX } else { 0 },
            ..Default::default()
        }
    }

    fn requirement(&self) -> RequirementRule {
        let requirement =
            JwtRequirement { requires_type: Some(RequiresType::ProviderName(self.name.into())) };
        RequirementRule {
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix("/".into())),
                headers: self.header.iter().cloned().collect(),
                ..Default::default()
            }),
            requirement_type: Some(RequirementType::Requires(requirement)),
        }
    }
}

/// The chain that a route brings along, with the one filter in it. The first rule that takes a request counts.
pub(super) fn chain(rules: &[Rule<'_>]) -> FilterChainConfigPerRoute {
    let filter = JwtAuthentication {
        providers: rules.iter().map(|rule| (rule.name.to_owned(), rule.provider())).collect(),
        rules: rules.iter().map(Rule::requirement).collect(),
        ..Default::default()
    };
    let inner = TypedExtensionConfig {
        name: "envoy.filters.http.jwt_authn".into(),
        typed_config: Some(any(&filter)),
    };
    FilterChainConfigPerRoute { filter_chain: Some(FilterChain { filters: vec![inner] }) }
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
        permissions: vec![Permission { rule: Some(permission::Rule::Any(true)) }],
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
