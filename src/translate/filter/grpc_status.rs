//! Counts how gRPC calls end. They fail with HTTP 200 and say so in a trailer, which Envoy counts only when asked.

use crate::model::{Gateway, Protocol};
use crate::resource::any;
use envoy_types::pb::envoy::config::route::v3::FilterConfig as Enabled;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::filter_config::PerMethodStatSpecifier;
use envoy_types::pb::google::protobuf::{Any, BoolValue};

/// One count for each status of an upstream, none for each method: those are the clients' to invent.
pub(super) fn filter() -> Any {
    let each_method = PerMethodStatSpecifier::StatsForAllMethods(BoolValue { value: false });
    any(&FilterConfig { per_method_stat_specifier: Some(each_method), ..Default::default() })
}

/// Where a gateway has an upstream that speaks gRPC.
///
/// The filter has no settings of its own for routes, so Envoy is told that it may ignore these; that they stand there
/// is what switches the filter on.
pub(super) fn on_route(gateway: &Gateway) -> Option<Any> {
    let speaks_grpc = gateway.upstreams.iter().any(|upstream| upstream.protocol == Protocol::Grpc);
    speaks_grpc.then(|| any(&Enabled { config: Some(filter()), is_optional: true, disabled: false }))
}
