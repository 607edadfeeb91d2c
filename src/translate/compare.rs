//! Both answers of a mirrored request go to the control plane, which compares them.
//!
//! An external processor stands among the filters of the clusters, since only there are the copy's answers seen, in
//! observability mode: Envoy sends and never waits, whether or not somebody listens. At the upstreams that answer
//! clients it is off, and the sampled route switches it on; copies carry no route, so in the shadow's cluster it is on.
//! A whole body is sent in observability mode only when it is streamed.

use super::{Leg, duration};
use crate::model::{Gateway, Protocol, Upstream};
use crate::resource::any;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::{GrpcService, HeaderValue};
use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ext_proc_per_route::Override;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::{
    ExtProcOverrides, ExtProcPerRoute, ExternalProcessor, HeaderForwardingRules, ProcessingMode,
};
use envoy_types::pb::envoy::extensions::filters::http::upstream_codec::v3::UpstreamCodec;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{ListStringMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::Any;
use std::time::Duration;

/// The cluster of the bootstrap by which an Envoy sends answers: the control plane again, with limits of its own, so
/// that no number of answers stands in the way of the configuration.
pub const COMPARE_CLUSTER: &str = "control_plane_compare";
/// The headers of a stream that say whose answer comes: the gateway, the upstream, and which leg of it.
pub const ANSWERS: [&str; 3] = ["x-serin-gateway", "x-serin-upstream", "x-serin-leg"];

const PROCESSOR: &str = "envoy.filters.http.ext_proc";
/// All that is told of a request and its answer beside the body.
const HEADERS: [&str; 4] = [":status", "content-encoding", "content-type", "x-request-id"];
/// How long a stream may outlive its request, for what is still to be sent. It bounds what an Envoy keeps of answers that
/// the control plane does not take: the answers of so long.
const AFTER: Duration = Duration::from_millis(200);
/// By how much a stream may last longer than a request.
const MARGIN: Duration = Duration::from_secs(5);

/// The filters of the cluster of one leg; none where nothing is compared.
pub(super) fn filters(gateway: &Gateway, upstream: &Upstream, leg: Leg) -> Vec<HttpFilter> {
    let is_compared = gateway.shadow.as_ref().is_some_and(|shadow| shadow.compare.is_some());
    let answers = gateway.traffic.parts().iter().any(|(name, _)| *name == upstream.name);
    if !is_compared || upstream.protocol == Protocol::Grpc || (leg == Leg::Live && !answers) {
        return Vec::new();
    }
    vec![
        filter(PROCESSOR, any(&processor(gateway, upstream, leg)), leg == Leg::Live),
        filter("envoy.filters.http.upstream_codec", any(&UpstreamCodec::default()), false),
    ]
}

/// Switches the processor on for the requests of a route, which are all mirrored.
pub(super) fn on_sample(gateway: &Gateway, route: &mut Route) {
    if gateway.shadow.as_ref().is_some_and(|shadow| shadow.compare.is_some()) {
        let on = Override::Overrides(ExtProcOverrides::default());
        let on = ExtProcPerRoute { r#override: Some(on) };
        route.typed_per_filter_config.insert(PROCESSOR.into(), any(&on));
    }
}

fn filter(name: &str, config: Any, disabled: bool) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        disabled,
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn processor(gateway: &Gateway, upstream: &Upstream, leg: Leg) -> ExternalProcessor {
    let exact = |name: &str| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(name.into())),
        ..Default::default()
    };
    ExternalProcessor {
        grpc_service: Some(service(gateway, upstream, leg)),
        observability_mode: true,
        failure_mode_allow: true,
        deferred_close_timeout: Some(duration(AFTER)),
        processing_mode: Some(ProcessingMode {
            request_header_mode: HeaderSendMode::Send as i32,
            request_body_mode: BodySendMode::None as i32,
            request_trailer_mode: HeaderSendMode::Skip as i32,
            response_header_mode: HeaderSendMode::Send as i32,
            response_body_mode: BodySendMode::Streamed as i32,
            response_trailer_mode: HeaderSendMode::Skip as i32,
        }),
        forward_rules: Some(HeaderForwardingRules {
            allowed_headers: Some(ListStringMatcher { patterns: HEADERS.map(exact).into() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn service(gateway: &Gateway, upstream: &Upstream, leg: Leg) -> GrpcService {
    let [of_gateway, of_upstream, of_leg] = ANSWERS;
    let header =
        |key: &str, value: &str| HeaderValue { key: key.into(), value: value.into(), ..Default::default() };
    GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: COMPARE_CLUSTER.into(),
            ..Default::default()
        })),
        timeout: Some(duration(gateway.timeout + MARGIN)),
        initial_metadata: vec![
            header(of_gateway, gateway.name.as_str()),
            header(of_upstream, upstream.name.as_str()),
            header(of_leg, leg.as_str()),
        ],
        ..Default::default()
    }
}
