//! The runtime layer: values that Envoy reads while it runs, for switches that are thrown for all gateways at once.

use crate::model::Switches;
use crate::resource::{Kind, Resource};
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use envoy_types::pb::google::protobuf::{Struct, Value};

/// The name of the layer, in the bootstrap as well.
pub const RUNTIME_LAYER: &str = "serin";
/// Present, and 0, when no request may be mirrored. Absent, each gateway's own share counts: a value here would take
/// the place of that share (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto#config-core-v3-runtimefractionalpercent>).
pub const SHADOW_KEY: &str = "serin.shadow.enabled";

/// The layer with what is switched off.
pub fn runtime(switches: Switches) -> Resource {
    let off = Value { kind: Some(ValueKind::NumberValue(0.0)) };
    let fields = (!switches.shadow).then(|| (SHADOW_KEY.to_owned(), off)).into_iter().collect();
    let layer = Runtime { name: RUNTIME_LAYER.into(), layer: Some(Struct { fields }) };
    Resource::new(Kind::Runtime, RUNTIME_LAYER, &layer)
}
