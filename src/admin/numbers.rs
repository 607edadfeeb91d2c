//! `GET /api/v1/gateways/{name}/metrics`: what Envoys measured of each upstream, and how it differs from the primary.

use crate::clock::Timestamp;
use crate::control::{GatewayView, UpstreamView};
use crate::telemetry::{Numbers, Table};
use serde::Serialize;
use std::collections::BTreeMap;

/// The answer of `GET /api/v1/gateways/{name}/metrics`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayNumbers {
    /// Whose they are.
    pub gateway: String,
    /// The upstream that others are compared with: that of the largest weight, the first of them in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// By name: those of the file, and those that answered a short while ago.
    pub upstreams: BTreeMap<String, UpstreamNumbers>,
    /// The copies that a shadow got. They are in no number above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowNumbers>,
    /// The requests of a gateway with `sessionAffinity` that came without its key. They are among those of the upstreams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyless: Option<KeylessNumbers>,
}

/// Requests without the key of `sessionAffinity`, whose version was drawn by chance.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeylessNumbers {
    /// Completed since Serin was started.
    pub requests: u64,
    /// Completed in the last minute.
    pub last_minute: u64,
}

/// What is known of a shadow.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowNumbers {
    /// Who it is.
    pub upstream: String,
    /// As for an upstream that answers.
    #[serde(flatten)]
    pub numbers: UpstreamNumbers,
}

/// What is known of one upstream.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamNumbers {
    /// Completed since Serin was started.
    pub requests: u64,
    /// Of them: answered 5xx, or failed without an answer.
    pub errors: u64,
    /// Of them: answered 4xx.
    pub client_errors: u64,
    /// Requests now under way.
    pub in_flight: u64,
    /// Endpoints that Envoys know.
    pub endpoints: u64,
    /// Endpoints that get requests, as the Envoy sees it that sees the fewest.
    pub healthy_endpoints: u64,
    /// The last minute.
    pub last_minute: Recent,
    /// The last minute, less that of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// One upstream in the last minute. Where there were no requests, there is no rate and no latency.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    /// Completed.
    pub requests: u64,
    /// Of them: failed.
    pub errors: u64,
    /// Requests a second.
    pub request_rate: Option<f64>,
    /// From 0 to 1.
    pub error_rate: Option<f64>,
    /// Seconds; the end of the bucket.
    pub p50: Option<f64>,
    /// Seconds; the end of the bucket.
    pub p90: Option<f64>,
    /// Seconds; the end of the bucket.
    pub p95: Option<f64>,
    /// Seconds; the end of the bucket.
    pub p99: Option<f64>,
}

/// How an upstream differs from the primary. Above zero: more than the primary.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Requests a second.
    pub request_rate: Option<f64>,
    /// Between -1 and 1.
    pub error_rate: Option<f64>,
    /// Seconds.
    pub p50: Option<f64>,
    /// Seconds.
    pub p95: Option<f64>,
    /// Seconds.
    pub p99: Option<f64>,
}

/// The numbers of one gateway.
pub(super) fn of(gateway: &GatewayView, table: &Table, now: Timestamp) -> GatewayNumbers {
    let upstreams = gateway.gateway.as_ref().map(|g| &g.upstreams[..]).unwrap_or_default();
    let mut numbers: BTreeMap<String, UpstreamNumbers> =
        upstreams.iter().map(|u| (u.name.clone(), UpstreamNumbers::default())).collect();
    for (upstream, known) in table.gateway(&gateway.name, now) {
        numbers.insert(upstream.to_string(), upstream_numbers(&known));
    }
    let primary = primary(upstreams).map(|u| u.name.clone());
    let standard = primary.as_ref().and_then(|name| numbers.get(name)).map(|n| n.last_minute);
    for (name, numbers) in &mut numbers {
        let other = standard.filter(|_| Some(name) != primary.as_ref());
        numbers.difference = other.map(|standard| difference(&numbers.last_minute, &standard));
    }
    let shadow = gateway.gateway.as_ref().and_then(|g| g.shadow.as_ref()).map(|shadow| {
        let known = table.shadow(&gateway.name, &shadow.upstream, now);
        let mut numbers = known.as_ref().map(upstream_numbers).unwrap_or_default();
        numbers.difference = standard.map(|standard| difference(&numbers.last_minute, &standard));
        ShadowNumbers { upstream: shadow.upstream.clone(), numbers }
    });
    let affinity = gateway.gateway.as_ref().and_then(|g| g.session_affinity.as_ref());
    let keyless = affinity.map(|_| {
        let (requests, last_minute) = table.keyless(&gateway.name, now);
        KeylessNumbers { requests: whole(requests), last_minute: whole(last_minute) }
    });
    GatewayNumbers { gateway: gateway.name.to_string(), primary, upstreams: numbers, shadow, keyless }
}

fn primary(upstreams: &[UpstreamView]) -> Option<&UpstreamView> {
    let largest = upstreams.iter().map(|u| u.weight).max()?;
    upstreams.iter().find(|u| u.weight == largest)
}

fn upstream_numbers(known: &Numbers) -> UpstreamNumbers {
    let at = |q| known.latency.quantile(q);
    UpstreamNumbers {
        requests: whole(known.total.requests),
        errors: whole(known.total.errors),
        client_errors: whole(known.total.client_errors),
        in_flight: whole(known.gauges.active),
        endpoints: whole(known.gauges.endpoints),
        healthy_endpoints: whole(known.gauges.healthy),
        last_minute: Recent {
            requests: whole(known.recent.requests),
            errors: whole(known.recent.errors),
            request_rate: known.request_rate(),
            error_rate: known.recent.error_rate(),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
        },
        difference: None,
    }
}

fn difference(own: &Recent, standard: &Recent) -> Difference {
    let less = |own: Option<f64>, standard: Option<f64>| Some(own? - standard?);
    Difference {
        request_rate: less(own.request_rate, standard.request_rate),
        error_rate: less(own.error_rate, standard.error_rate),
        p50: less(own.p50, standard.p50),
        p95: less(own.p95, standard.p95),
        p99: less(own.p99, standard.p99),
    }
}

/// A count as people write it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
pub(super) fn whole(count: f64) -> u64 {
    count as u64
}
