//! A key that stands for a client.

use super::{ACCESS_KEY, OnRoute};
use crate::model::{AccessKey, KeySource as Source};
use crate::resource::any;
use envoy_types::pb::envoy::extensions::filters::http::api_key_auth::v3::{
    ApiKeyAuth, ApiKeyAuthPerRoute, Credential, Forwarding, KeySource,
};
use envoy_types::pb::google::protobuf::Any;

pub(super) fn filter() -> Any {
    any(&ApiKeyAuth::default())
}

pub(super) fn on_route(model: &AccessKey) -> OnRoute {
    if model.keys.is_empty() {
        return OnRoute::nobody();
    }
    let header = |name: &str| KeySource { header: name.into(), ..Default::default() };
    let sources = match &model.source {
        // Envoy tries them in this order, and takes "Bearer " off the second.
        Source::Default => vec![header("x-api-key"), header("authorization")],
        Source::Header(name) => vec![header(name)],
        Source::Query(name) => vec![KeySource { query: name.clone(), ..Default::default() }],
        Source::Cookie(name) => vec![KeySource { cookie: name.clone(), ..Default::default() }],
    };
    let credentials =
        model.keys.iter().map(|k| Credential { key: k.key.expose().to_owned(), client: k.client.clone() });
    let config = ApiKeyAuthPerRoute {
        credentials: credentials.collect(),
        key_sources: sources,
        forwarding: Some(Forwarding { header: model.client_header.clone(), hide_credentials: true }),
        ..Default::default()
    };
    OnRoute { filters: vec![(ACCESS_KEY, any(&config))], remove_headers: Vec::new(), ..OnRoute::default() }
}
