//! Our own Prometheus metrics: all names in one place. They are made when somebody asks, from what is published.

use super::Sources;
use crate::control::Phase;
use crate::diag::Severity;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpstream {
    gateway: String,
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broken {
    gateway: String,
    file: String,
    code: &'static str,
    line: i64,
    column: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    proxy: String,
    kind: &'static str,
}

/// Everything in the text form of `OpenMetrics`.
pub(super) fn render(sources: &Sources) -> String {
    let mut registry = Registry::with_prefix("serin");
    gateways(sources, &mut registry);
    proxies(sources, &mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(e) => format!("# {e}\n# EOF\n"),
    }
}

fn gateways(sources: &Sources, registry: &mut Registry) {
    let view = sources.view.load();
    let phases = Family::<ByPhase, Gauge>::default();
    let weights = Family::<ByUpstream, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let broken = Family::<Broken, Gauge>::default();
    for phase in [Phase::Stable, Phase::Invalid] {
        phases.get_or_create(&ByPhase { phase: phase.as_str() }).set(0);
    }
    for gateway in view.gateways.values() {
        phases.get_or_create(&ByPhase { phase: gateway.phase.as_str() }).inc();
        for upstream in gateway.gateway.iter().flat_map(|g| &g.upstreams) {
            let labels = ByUpstream { gateway: gateway.name.to_string(), upstream: upstream.name.clone() };
            weights.get_or_create(&labels).set(f64::from(upstream.weight.hundredths()) / 10_000.0);
        }
        for diagnostic in gateway.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let labels = Broken {
                gateway: gateway.name.to_string(),
                file: diagnostic.place.file.to_string(),
                code: diagnostic.code.as_str(),
                line: number(diagnostic.place.line),
                column: number(diagnostic.place.column),
            };
            broken.get_or_create(&labels).set(1);
        }
    }
    let vanished = Gauge::<i64>::default();
    vanished.set(i64::from(view.all_vanished));
    registry.register("gateways", "Gateways by phase", phases);
    registry.register("upstream_weight", "Share of the split, from 0 to 1", weights);
    registry.register("gateway_error", "1 for each error in the newest version of a gateway file", broken);
    registry.register("gateway_files_vanished", "1 when all gateway files are gone at once", vanished);
    let store = Gauge::<i64>::default();
    store.set(i64::from(sources.store.status().load().failure.is_none()));
    registry.register("store_available", "1 when what happens can be kept", store);
    let published = ConstCounter::new(sources.view.generation());
    registry.register("publications", "States that were published", published);
}

fn proxies(sources: &Sources, registry: &mut Registry) {
    let proxies = sources.registry.proxies();
    let refused = Family::<Refused, Gauge>::default();
    for proxy in &proxies {
        for (kind, _) in proxy.kinds.iter().filter(|(_, s)| s.refusal.is_some()) {
            refused.get_or_create(&Refused { proxy: proxy.id.clone(), kind: kind.as_str() }).set(1);
        }
    }
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let connected = Gauge::<i64>::default();
    connected.set(number(proxies.len()));
    let streams = Gauge::<i64>::default();
    streams.set(number(sources.registry.stream_count()));
    registry.register("proxies", "Connected Envoys", connected);
    registry.register("xds_streams", "Open discovery streams", streams);
    registry.register("proxy_refuses", "1 where an Envoy refuses what it is offered", refused);
    let total = |counter: &std::sync::atomic::AtomicU64| ConstCounter::new(counter.load(Ordering::Relaxed));
    registry.register("xds_refusals", "Responses that Envoys refused", total(&sources.registry.refusals));
    registry.register("xds_responses", "Responses sent", total(&sources.registry.responses));
    registry.register("xds_sent_bytes", "Bytes of responses sent", total(&sources.registry.bytes));
    let failures = total(&sources.registry.handshake_failures);
    registry.register("xds_handshake_failures", "Connections that ended in the TLS handshake", failures);
    let impostors = total(&sources.registry.impostors);
    registry.register("xds_impostors", "Streams whose node.id is not in their certificate", impostors);
}
