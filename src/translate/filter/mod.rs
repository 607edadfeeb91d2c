//! The HTTP filters of every listener, and what a gateway's routes say to them.
//!
//! Each filter stands once in the chain of every listener, disabled, and is switched on by the routes of the gateways
//! that need it. So a gateway never changes a listener, which would drain its connections, and a gateway that needs
//! no filter pays for none.

mod access_key;
mod basic;
mod cookies;
mod grpc_status;
mod identity;
mod jwt;
mod oauth2;

pub(super) use identity::trusted_headers;
pub(super) use oauth2::secrets as login_secrets;

use super::envoy::{self, Release};
use crate::model::{Authentication, Gateway};
use crate::resource::any;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{DirectResponseAction, Route};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::google::protobuf::Any;

const FORGED: &str = "envoy.filters.http.header_mutation";
pub(super) const OAUTH2: &str = "envoy.filters.http.oauth2";
pub(super) const JWT: &str = "envoy.filters.http.filter_chain";
const BASIC: &str = "envoy.filters.http.basic_auth";
const ACCESS_KEY: &str = "envoy.filters.http.api_key_auth";
/// Two filters that work as one.
const COOKIES: [&str; 2] = ["envoy.filters.http.header_to_metadata", "serin.cookies"];
const CLAIMS: &str = "envoy.filters.http.rbac";
const GRPC_STATUS: &str = "envoy.filters.http.grpc_stats";

/// The filters in the order in which requests pass them, of those that an Envoy of this release knows.
pub(super) fn chain(release: Release) -> Vec<HttpFilter> {
    let ([take, give], [taking, giving]) = (COOKIES, cookies::filters());
    let mut filters = vec![
        // First of all, so that what later filters say of the caller is theirs.
        disabled(FORGED, identity::filter()),
        // Before the one for tokens, which reads what a login brought.
        disabled(OAUTH2, oauth2::filter()),
        // One of these three says who is calling; a gateway has one at most, so their order does not matter.
        disabled(JWT, jwt::filter()),
        disabled(BASIC, basic::filter()),
        disabled(ACCESS_KEY, access_key::filter()),
        // When all others have read their cookies.
        disabled(take, taking),
        disabled(give, giving),
        // Reads what the token said.
        disabled(CLAIMS, jwt::claims_filter()),
        // After those that refuse a request: what they answer is not the model's.
        disabled(GRPC_STATUS, grpc_status::filter()),
        router(),
    ];
    let since = [(OAUTH2, envoy::LOGINS_IN_LISTENER), (JWT, envoy::CHAINS_IN_LISTENER)];
    filters.retain(|filter| since.iter().all(|(name, since)| filter.name != *name || release >= *since));
    filters
}

/// Last by definition: it sends the request on.
pub(super) fn router() -> HttpFilter {
    HttpFilter {
        name: "envoy.filters.http.router".into(),
        config_type: Some(ConfigType::TypedConfig(any(&Router::default()))),
        ..Default::default()
    }
}

fn disabled(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(ConfigType::TypedConfig(config)),
        disabled: true,
        ..Default::default()
    }
}

/// What a gateway says to the filters on each of its routes.
#[derive(Default)]
pub(super) struct OnRoute {
    /// Filters that are switched on, with their settings.
    filters: Vec<(&'static str, Any)>,
    /// Credentials, which are not the model's business.
    remove_headers: Vec<String>,
    /// Set: nobody is let in, and this is the status of the answer.
    closed: Option<u32>,
}

impl OnRoute {
    /// Works it out once for all routes of a gateway.
    pub(super) fn new(gateway: &Gateway) -> Self {
        let mut on = match &gateway.authentication {
            Authentication::None => Self::default(),
            Authentication::Basic(basic) => basic::on_route(basic),
            Authentication::AccessKey(keys) => access_key::on_route(keys),
            Authentication::Jwt(jwt) => jwt::on_route(jwt),
            Authentication::OAuth2(oauth2) => oauth2::on_route(gateway, oauth2),
            Authentication::Closed => Self::closed(),
        };
        if let Some(config) = identity::on_route(&gateway.authentication) {
            on.filters.push((FORGED, config));
        }
        if let Some(config) = grpc_status::on_route(gateway) {
            on.filters.push((GRPC_STATUS, config));
        }
        on
    }

    /// Nobody can be let in, since it is not known whom to let in.
    fn closed() -> Self {
        Self { closed: Some(503), ..Self::default() }
    }

    /// Nobody may come in.
    fn nobody() -> Self {
        Self { closed: Some(403), ..Self::default() }
    }

    /// Says it on a route.
    pub(super) fn apply(&self, route: &mut Route) {
        if let Some(status) = self.closed {
            route.action =
                Some(Action::DirectResponse(DirectResponseAction { status, ..Default::default() }));
            return;
        }
        let filters = self.filters.iter().map(|(name, config)| ((*name).to_owned(), config.clone()));
        route.typed_per_filter_config.extend(filters);
        route.request_headers_to_remove.extend(self.remove_headers.iter().cloned());
    }
}
