//! Headers that models may trust come from Envoy alone: those that clients send under their names are removed.
//!
//! Those that have the same name at every gateway are removed from each request before anything else looks at it. A gateway
//! that tells its model more, in headers of its own, removes those itself.

use super::oauth2::ID_TOKEN_HEADER;
use crate::model::{Authentication, KeySource};
use crate::resource::any;
use crate::translate::shadow;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation as Filter, HeaderMutationPerRoute, Mutations,
};
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation as Early;
use envoy_types::pb::google::protobuf::Any;

/// The header that tells a model who is calling.
pub(super) const CLIENT_HEADER: &str = "x-serin-client";

/// Removes from every request of a listener, before the filters, what only Envoy may say: who is calling, and that a
/// request is a copy for a shadow, for which models leave out their effects.
pub(in crate::translate) fn trusted_headers() -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".into(),
        typed_config: Some(any(&Early { mutations: [CLIENT_HEADER, shadow::MARK].map(remove).into() })),
    }
}

pub(super) fn filter() -> Any {
    any(&Filter::default())
}

/// The gateway's own headers about the caller; `None`: it has none beside the standard one.
pub(super) fn on_route(authentication: &Authentication) -> Option<Any> {
    let headers: Vec<&str> = match authentication {
        Authentication::None | Authentication::Basic(_) | Authentication::Closed => Vec::new(),
        // A header that carries the key cannot be one that names the caller: the key would be gone.
        Authentication::AccessKey(k) if k.source == KeySource::Header(k.client_header.clone()) => Vec::new(),
        Authentication::AccessKey(k) => vec![k.client_header.as_str()],
        Authentication::Jwt(jwt) => jwt.claim_headers.keys().map(String::as_str).collect(),
        Authentication::OAuth2(oauth2) if oauth2.claim_headers.is_empty() => Vec::new(),
        Authentication::OAuth2(oauth2) => {
            oauth2.claim_headers.keys().map(String::as_str).chain([ID_TOKEN_HEADER]).collect()
        }
    };
    let own: Vec<Mutation> = headers.into_iter().filter(|h| *h != CLIENT_HEADER).map(remove).collect();
    let mutations = Mutations { request_mutations: own, ..Default::default() };
    (!mutations.request_mutations.is_empty())
        .then(|| any(&HeaderMutationPerRoute { mutations: Some(mutations) }))
}

fn remove(header: &str) -> Mutation {
    Mutation { action: Some(Action::Remove(header.to_owned())) }
}
