//! A login by a browser, and what stands in its place for programs.
//!
//! Envoy's filter keeps the login in cookies of its own, which it signs and encrypts with the gateway's secret. Who has
//! logged in it tells by the provider's ID token alone, so where a model wants to know, the token filter behind it reads
//! that token, and takes it away. [`cookies`] takes away what is left in cookies.

use super::super::token_endpoint::cluster_name;
use super::super::{ads, duration};
use super::jwt::{self, Rule};
use super::{COOKIES, JWT, OAUTH2, OnRoute, cookies};
use crate::model::{Endpoints, Gateway, Host, OAuth2 as Model, Provider};
use crate::names::GatewayName;
use crate::resource::any;
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, HttpUri, http_uri::HttpUpstreamType};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::JwtHeader;
use envoy_types::pb::envoy::extensions::filters::http::oauth2::v3::cookie_config::SameSite;
use envoy_types::pb::envoy::extensions::filters::http::oauth2::v3::o_auth2_config::AuthType;
use envoy_types::pb::envoy::extensions::filters::http::oauth2::v3::o_auth2_credentials::{
    CookieNames, TokenFormation,
};
use envoy_types::pb::envoy::extensions::filters::http::oauth2::v3::{
    CookieConfig, CookieConfigs, OAuth2, OAuth2Config, OAuth2Credentials, OAuth2PerRoute,
    OAuth2TokenForwarding,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    GenericSecret, SdsSecretConfig, Secret, secret,
};
use envoy_types::pb::envoy::r#type::matcher::v3::path_matcher::Rule as PathRule;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{PathMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use std::time::Duration;

/// The beginning of the names of all cookies of all logins.
pub(super) const COOKIE_PREFIX: &str = "serin-";
/// Carries the ID token from one filter to the next.
pub(super) const ID_TOKEN_HEADER: &str = "x-serin-id-token";
/// For a code to be exchanged for a token.
const EXCHANGE: Duration = Duration::from_secs(5);
/// A login without a said end (RFC 6749 section 5.1) ends after this.
const SESSION: Duration = Duration::from_hours(1);
/// Envoy waits this long for a secret before it serves its listener without; the gateway is then closed until the secret
/// is there.
const SECRET_WAIT: Duration = Duration::from_secs(2);
/// The scope for which a provider gives ID tokens.
const OPENID: &str = "openid";

pub(super) fn filter() -> Any {
    any(&OAuth2::default())
}

/// The secrets of a gateway that logs people in.
pub(in crate::translate) fn secrets(gateway: &GatewayName, model: &Model) -> Vec<Secret> {
    let secret = |name: String, text: &str| {
        let secret =
            GenericSecret { secret: Some(super::super::inline(text.as_bytes())), ..Default::default() };
        Secret { name, r#type: Some(secret::Type::GenericSecret(secret)) }
    };
    let session = model.session_secret.iter().map(|s| secret(session_secret_name(gateway), s.expose()));
    std::iter::once(secret(client_secret_name(gateway), model.client_secret.expose()))
        .chain(session)
        .collect()
}

pub(super) fn on_route(gateway: &Gateway, model: &Model) -> OnRoute {
    let Some(endpoints) = model.endpoints() else { return OnRoute::closed() };
    let mut filters =
        vec![(OAUTH2, any(&OAuth2PerRoute { config: Some(config(gateway, model, endpoints)) }))];
    if model.verifies_tokens() {
        let Provider::Discovered { issuer, keys: Some(keys), .. } = &model.provider else {
            return OnRoute::closed();
        };
        filters.push((JWT, any(&jwt::chain(&rules(model, issuer, keys)))));
    }
    filters.extend(COOKIES.into_iter().zip(cookies::on_route()));
    OnRoute {
        filters,
        // The filters take them away; what they overlook goes no further.
        remove_headers: vec!["authorization".into(), ID_TOKEN_HEADER.into()],
        ..OnRoute::default()
    }
}

/// Whose tokens are verified, first match first: the one that a program sends, then the one of the login.
fn rules<'a>(model: &'a Model, issuer: &'a str, keys: &'a str) -> Vec<Rule<'a>> {
    let claims = Some(&model.claim_headers);
    let program = model.bearer.iter().map(|audiences| Rule {
        name: "bearer",
        header: Some(bearer()),
        issuer,
        keys,
        audiences: audiences.clone(),
        token: jwt::bearer_token(),
        claims,
        is_timeless: false,
    });
    let login = (!model.claim_headers.is_empty()).then(|| Rule {
        name: "login",
        header: None,
        issuer,
        keys,
        audiences: vec![model.client_id.clone()],
        token: JwtHeader { name: ID_TOKEN_HEADER.into(), ..Default::default() },
        claims,
        // How long a login lasts is for the filter before to say, whose signature the ID token has as well.
        is_timeless: true,
    });
    program.chain(login).collect()
}

fn config(gateway: &Gateway, model: &Model, endpoints: &Endpoints) -> OAuth2Config {
    let token = &endpoints.token;
    let (callback, signout) = (below(gateway, "oauth2/callback"), below(gateway, "oauth2/signout"));
    let wants_id_token = !model.claim_headers.is_empty();
    let is_openid = model.scopes.iter().any(|s| s == OPENID);
    OAuth2Config {
        token_endpoint: Some(HttpUri {
            uri: token.uri.clone(),
            timeout: Some(duration(EXCHANGE)),
            http_upstream_type: Some(HttpUpstreamType::Cluster(cluster_name(&gateway.name))),
        }),
        authorization_endpoint: endpoints.authorization.clone(),
        // Envoy refuses it without the scope.
        end_session_endpoint: endpoints.end_session.clone().filter(|_| is_openid).unwrap_or_default(),
        credentials: Some(credentials(gateway, model)),
        // Behind the client's own connection, this is what the client wrote.
        redirect_uri: format!("%REQ(x-forwarded-proto)%://%REQ(:authority)%{callback}"),
        redirect_path_matcher: Some(path(callback)),
        signout_path: Some(path(signout)),
        auth_scopes: model.scopes.clone(),
        auth_type: if token.secret_in_body { AuthType::UrlEncodedBody } else { AuthType::BasicAuth } as i32,
        use_refresh_token: Some(BoolValue { value: true }),
        default_expires_in: Some(duration(SESSION)),
        // The model has no use for the access token, so no cookie has to carry it.
        disable_access_token_set_cookie: true,
        disable_id_token_set_cookie: !wants_id_token,
        forward_id_token: wants_id_token.then(|| OAuth2TokenForwarding { header: ID_TOKEN_HEADER.into() }),
        cookie_configs: Some(cookie_configs(gateway)),
        pass_through_matcher: model.bearer.iter().map(|_| bearer()).collect(),
        deny_redirect_matcher: programs(),
        allowed_redirect_domains: domains(gateway),
        ..Default::default()
    }
}

fn credentials(gateway: &Gateway, model: &Model) -> OAuth2Credentials {
    let name = |what: &str| format!("{COOKIE_PREFIX}{}-{what}", gateway.name);
    OAuth2Credentials {
        client_id: model.client_id.clone(),
        token_secret: Some(sds(client_secret_name(&gateway.name))),
        token_formation: Some(TokenFormation::HmacSecret(sds(session_secret_name(&gateway.name)))),
        // Hosts and parent domains are shared by gateways, their logins are not.
        cookie_names: Some(CookieNames {
            bearer_token: name("token"),
            oauth_hmac: name("hmac"),
            oauth_expires: name("expires"),
            id_token: name("id"),
            refresh_token: name("refresh"),
            oauth_nonce: name("nonce"),
            code_verifier: name("verifier"),
        }),
        cookie_domain: model.cookie_domain.clone().unwrap_or_default(),
    }
}

/// Cookies go to the gateway's own path only, so that no other gateway of the host passes them on to its model. They
/// come along when a provider sends a browser back, and with no request that another site makes in the background.
fn cookie_configs(gateway: &Gateway) -> CookieConfigs {
    let cookie = || {
        Some(CookieConfig { same_site: SameSite::Lax as i32, path: gateway.path.clone(), partitioned: false })
    };
    CookieConfigs {
        bearer_token_cookie_config: cookie(),
        oauth_hmac_cookie_config: cookie(),
        oauth_expires_cookie_config: cookie(),
        id_token_cookie_config: cookie(),
        refresh_token_cookie_config: cookie(),
        oauth_nonce_cookie_config: cookie(),
        code_verifier_cookie_config: cookie(),
    }
}

/// A request that brings a token of its own. The two filters must see the same here: what passes the first is verified
/// by the second.
fn bearer() -> HeaderMatcher {
    header("authorization", MatchPattern::Prefix("Bearer ".into()))
}

/// Requests that no person waits for: one of these is enough. They are answered 401 in place of a redirect.
fn programs() -> Vec<HeaderMatcher> {
    let not = |matcher| HeaderMatcher { invert_match: true, treat_missing_header_as_empty: true, ..matcher };
    vec![
        not(header("accept", MatchPattern::Contains("text/html".into()))),
        not(header(":method", MatchPattern::Exact("GET".into()))),
        HeaderMatcher {
            name: "x-requested-with".into(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        },
    ]
}

fn header(name: &str, pattern: MatchPattern) -> HeaderMatcher {
    let pattern = StringMatcher { match_pattern: Some(pattern), ..Default::default() };
    HeaderMatcher {
        name: name.into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(pattern)),
        ..Default::default()
    }
}

/// Where a login may lead, in the form that Envoy wants; empty: anywhere.
fn domains(gateway: &Gateway) -> Vec<String> {
    if gateway.hosts.contains(&Host::Any) {
        return Vec::new();
    }
    let bare = |host: &Host| host.to_string().trim_start_matches('[').trim_end_matches(']').to_owned();
    gateway.hosts.iter().map(bare).collect()
}

/// A path of the gateway's own, which its upstreams never see.
fn below(gateway: &Gateway, path: &str) -> String {
    format!("{}/{path}", gateway.path.trim_end_matches('/'))
}

fn path(exact: String) -> PathMatcher {
    let path = StringMatcher { match_pattern: Some(MatchPattern::Exact(exact)), ..Default::default() };
    PathMatcher { rule: Some(PathRule::Path(path)) }
}

fn sds(name: String) -> SdsSecretConfig {
    let source = ConfigSource { initial_fetch_timeout: Some(duration(SECRET_WAIT)), ..ads() };
    SdsSecretConfig { name, sds_config: Some(source) }
}

fn client_secret_name(gateway: &GatewayName) -> String {
    format!("oauth2/{gateway}/client")
}

fn session_secret_name(gateway: &GatewayName) -> String {
    format!("oauth2/{gateway}/session")
}
