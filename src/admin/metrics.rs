//! Our own Prometheus metrics: all names in one place. They are made when somebody asks, from what is published.

use super::Sources;
use super::numbers::whole;
use crate::clock;
use crate::compare::Reason;
use crate::control::Phase;
use crate::diag::Severity;
use crate::translate::Leg;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProxy {
    proxy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFile {
    file: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySwitch {
    switch: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpstream {
    gateway: String,
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLeg {
    gateway: String,
    upstream: String,
    leg: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByGateway {
    gateway: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseOf {
    gateway: String,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTest {
    gateway: String,
    test: String,
    /// "harm" or "safety".
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDifference {
    gateway: String,
    upstream: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    gateway: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQuantile {
    gateway: String,
    upstream: String,
    quantile: &'static str,
}

/// A gauge that is a fraction.
type Fraction = Gauge<f64, std::sync::atomic::AtomicU64>;

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
    rollouts(sources, &mut registry);
    proxies(sources, &mut registry);
    upstreams(sources, Leg::Live, &mut registry);
    upstreams(sources, Leg::Shadow, &mut registry);
    keyless(sources, &mut registry);
    comparisons(sources, &mut registry);
    told(sources, &mut registry);
    counted(sources, &mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(e) => format!("# {e}\n# EOF\n"),
    }
}

fn gateways(sources: &Sources, registry: &mut Registry) {
    let view = sources.view.load();
    let phases = Family::<ByPhase, Gauge>::default();
    let weights = Family::<ByUpstream, Fraction>::default();
    let broken = Family::<Broken, Gauge>::default();
    for phase in Phase::all() {
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
    let unlisted = Gauge::<i64>::default();
    unlisted.set(i64::try_from(sources.unlisted.load().count()).unwrap_or(i64::MAX));
    registry.register(
        "gateway_directories_unlisted",
        "Directories of gateway files that cannot be listed",
        unlisted,
    );
    let switches = Family::<BySwitch, Gauge>::default();
    for (switch, on) in view.switches.positions() {
        switches.get_or_create(&BySwitch { switch }).set(i64::from(on));
    }
    registry.register("switch_on", "1 when a switch for all gateways is on", switches);
    let store = Gauge::<i64>::default();
    store.set(i64::from(sources.store.status().load().failure.is_none()));
    registry.register("store_available", "1 when what happens can be kept", store);
    let offset = Gauge::<i64>::default();
    offset.set(clock::set_ahead() / 1000);
    registry.register(
        "clock_offset_seconds",
        "How far the clock of the machine was set ahead since Serin began; negative: back",
        offset,
    );
    let ends = Family::<ByFile, Gauge>::default();
    for (file, validity) in &view.expiries {
        ends.get_or_create(&ByFile { file: file.to_string() }).set(validity.until.0 / 1000);
    }
    registry.register(
        "certificate_not_after_timestamp_seconds",
        "When the certificate in a file ends, in seconds since 1970",
        ends,
    );
    let recalled = Gauge::<i64>::default();
    recalled.set(i64::from(view.is_recalled));
    registry.register(
        "store_recalled",
        "1 when releases are served from the local cache, as a shared store could not be read since the start",
        recalled,
    );
    let leads = Gauge::<i64>::default();
    leads.set(i64::from(view.leads));
    registry.register(
        "leader",
        "1 when this Serin decides about releases, as one of those with one store does",
        leads,
    );
    let published = ConstCounter::new(sources.view.generation());
    registry.register("publications", "States that were published", published);
}

/// Where releases stand. Evidence is of those that run.
fn rollouts(sources: &Sources, registry: &mut Registry) {
    let (phases, weights) = (Family::<PhaseOf, Gauge>::default(), Family::<ByGateway, Fraction>::default());
    let (step, steps) = (Family::<ByGateway, Gauge>::default(), Family::<ByGateway, Gauge>::default());
    let (evidence, needed) = (Family::<ByTest, Fraction>::default(), Family::<ByTest, Fraction>::default());
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let view = sources.view.load();
    for (name, rollout) in view.busy.values().filter_map(|g| Some((&g.name, g.rollout.as_ref()?))) {
        let gateway = name.to_string();
        phases.get_or_create(&PhaseOf { gateway: gateway.clone(), phase: rollout.phase.as_str() }).set(1);
        let labels = ByGateway { gateway: gateway.clone() };
        weights.get_or_create(&labels).set(f64::from(rollout.weight.hundredths()) / 10_000.0);
        let reached = rollout.steps.iter().filter(|step| step.weight <= rollout.weight).count();
        step.get_or_create(&labels).set(number(reached));
        steps.get_or_create(&labels).set(number(rollout.steps.len()));
        for test in rollout.evidence.iter().filter(|_| rollout.phase.is_running()) {
            let safety = test.safety_needed.map(|threshold| ("safety", test.safety, threshold));
            for (of, wealth, threshold) in [("harm", test.harm, test.harm_needed)].into_iter().chain(safety) {
                let labels = ByTest { gateway: gateway.clone(), test: test.test.to_string(), of };
                evidence.get_or_create(&labels).set(wealth);
                needed.get_or_create(&labels).set(threshold);
            }
        }
    }
    let decisions = Family::<ByKind, Counter>::default();
    for (kind, count) in &view.decisions {
        decisions.get_or_create(&ByKind { kind: kind.as_str() }).inc_by(*count);
    }
    registry.register("rollout_phase", "1 for the phase in which a release is", phases);
    registry.register("rollout_weight", "Share of a release's canary, from 0 to 1", weights);
    registry.register("rollout_step", "How many steps a release has reached", step);
    registry.register("rollout_steps", "How many steps it has", steps);
    registry.register("rollout_evidence", "Logarithm of the capital of a test", evidence);
    registry.register("rollout_evidence_needed", "With how much of it the test alone decides", needed);
    registry.register("rollout_decisions", "Decisions that were kept, by kind", decisions);
}

/// What Envoys measured. Of ten thousand gateways most have a canary that never had a request: only upstreams that
/// had one are listed, so that nobody stores zeros. Copies for shadows have names of their own: who adds up requests should
/// not count them.
fn upstreams(sources: &Sources, leg: Leg, registry: &mut Registry) {
    let (requests, errors, client_errors) =
        (Family::default(), Family::default(), Family::<ByUpstream, Counter>::default());
    let (active, endpoints, healthy) =
        (Family::default(), Family::default(), Family::<ByUpstream, Fraction>::default());
    let latency = Family::<ByQuantile, Fraction>::default();
    let table = sources.table.load();
    for (gateway, upstream, numbers) in table.used(leg, clock::now()) {
        let labels = ByUpstream { gateway: gateway.to_string(), upstream: upstream.to_string() };
        let count = |family: &Family<ByUpstream, Counter>, count: f64| {
            family.get_or_create(&labels).inc_by(whole(count));
        };
        count(&requests, numbers.total.requests);
        count(&errors, numbers.total.errors);
        count(&client_errors, numbers.total.client_errors);
        let set = |family: &Family<ByUpstream, Fraction>, value: f64| {
            family.get_or_create(&labels).set(value);
        };
        set(&active, numbers.gauges.active);
        set(&endpoints, numbers.gauges.endpoints);
        set(&healthy, numbers.gauges.healthy);
        for (quantile, q) in [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99)] {
            if let Some(seconds) = numbers.latency.quantile(q) {
                let (gateway, upstream) = (labels.gateway.clone(), labels.upstream.clone());
                latency.get_or_create(&ByQuantile { gateway, upstream, quantile }).set(seconds);
            }
        }
    }
    let name = |what: &str| match leg {
        Leg::Live => format!("upstream_{what}"),
        Leg::Shadow => format!("shadow_{what}"),
    };
    registry.register(name("requests"), "Requests that Envoys completed", requests);
    registry.register(name("errors"), "Of them: 5xx, or failed without an answer", errors);
    registry.register(name("client_errors"), "Of them: 4xx", client_errors);
    registry.register(name("in_flight"), "Requests under way", active);
    registry.register(name("endpoints"), "Endpoints that Envoys know", endpoints);
    registry.register(name("healthy_endpoints"), "Endpoints that get requests", healthy);
    registry.register(name("latency_seconds"), "Quantiles of the last minute", latency);
}

/// Who keeps users at their version should know how many of them cannot be known.
fn keyless(sources: &Sources, registry: &mut Registry) {
    let keyless = Family::<ByGateway, Counter>::default();
    let table = sources.table.load();
    for (gateway, requests) in table.all_keyless() {
        keyless.get_or_create(&ByGateway { gateway: gateway.to_string() }).inc_by(whole(requests));
    }
    registry.register("keyless_requests", "Requests without the key of sessionAffinity", keyless);
}

/// How the answers of shadows compare. They begin anew with other versions or rules.
fn comparisons(sources: &Sources, registry: &mut Registry) {
    let (compared, matched) =
        (Family::<ByUpstream, Counter>::default(), Family::<ByUpstream, Counter>::default());
    let mismatches = Family::<ByDifference, Counter>::default();
    let not_compared = Family::<ByReason, Counter>::default();
    let reports = sources.reports.load();
    for (gateway, report) in &reports.gateways {
        let gateway = gateway.to_string();
        let lose = |reasons: &BTreeMap<Reason, u64>| {
            for (reason, count) in reasons {
                let labels = ByReason { gateway: gateway.clone(), reason: reason.as_str() };
                not_compared.get_or_create(&labels).inc_by(*count);
            }
        };
        for pair in &report.pairs {
            let labels = ByUpstream { gateway: gateway.clone(), upstream: pair.upstream.to_string() };
            compared.get_or_create(&labels).inc_by(pair.compared);
            matched.get_or_create(&labels).inc_by(pair.matched);
            for mismatch in &pair.mismatches {
                let (gateway, upstream) = (labels.gateway.clone(), labels.upstream.clone());
                let labels = ByDifference { gateway, upstream, kind: mismatch.kind.as_str() };
                mismatches.get_or_create(&labels).inc_by(mismatch.count);
            }
            lose(&pair.not_compared);
        }
        lose(&report.not_paired);
    }
    let unsent = Family::<ByLeg, Counter>::default();
    let table = sources.table.load();
    for leg in [Leg::Live, Leg::Shadow] {
        for (gateway, upstream, numbers) in table.used(leg, clock::now()) {
            let count = whole(numbers.total.unsent);
            if count > 0 {
                let (gateway, upstream) = (gateway.to_string(), upstream.to_string());
                unsent.get_or_create(&ByLeg { gateway, upstream, leg: leg.as_str() }).inc_by(count);
            }
        }
    }
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let (answers, bytes) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    answers.set(number(reports.waiting.0));
    bytes.set(number(reports.waiting.1));
    registry.register("compare_pairs", "Pairs of answers that were compared", compared);
    registry.register("compare_matches", "Of them: those that match", matched);
    registry.register(
        "compare_mismatches",
        "Of them: those that do not, by the first difference",
        mismatches,
    );
    registry.register(
        "compare_skipped",
        "Answers and pairs that were not compared, by the reason",
        not_compared,
    );
    registry.register("compare_unsent", "Answers that an Envoy could not send to be compared", unsent);
    registry.register("compare_waiting_answers", "Answers that wait for the other one", answers);
    registry.register("compare_waiting_bytes", "Bytes that they hold", bytes);
}

fn proxies(sources: &Sources, registry: &mut Registry) {
    let proxies = sources.registry.proxies();
    let refused = Family::<Refused, Gauge>::default();
    for proxy in &proxies {
        for (kind, _) in proxy.kinds.iter().filter(|(_, s)| s.refusal.is_some()) {
            refused.get_or_create(&Refused { proxy: proxy.node.id.clone(), kind: kind.as_str() }).set(1);
        }
    }
    let without = Family::<ByProxy, Gauge>::default();
    let unsupported = Family::<ByProxy, Gauge>::default();
    let view = sources.view.load();
    for proxy in &proxies {
        let number = view.unsupported_at(&proxy.node).count();
        if number > 0 {
            let by = ByProxy { proxy: proxy.node.id.clone() };
            unsupported.get_or_create(&by).inc_by(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    for refusing in view.refusing.iter() {
        if proxies.iter().any(|proxy| proxy.node == refusing.node) {
            without.get_or_create(&ByProxy { proxy: refusing.node.id.clone() }).inc();
        }
    }
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let connected = Gauge::<i64>::default();
    connected.set(number(proxies.len()));
    let streams = Gauge::<i64>::default();
    streams.set(number(sources.registry.stream_count()));
    registry.register("proxies", "Connected Envoys", connected);
    registry.register("xds_streams", "Open discovery streams", streams);
    registry.register(
        "proxy_unsupported_gateways",
        "Gateways in whose place an Envoy answers 503 since it is too old for them",
        unsupported,
    );
    registry.register("proxy_refuses", "1 where an Envoy refuses what it is offered", refused);
    registry.register(
        "proxy_refused_gateways",
        "Gateways of which an Envoy refuses the newest version, though others take it",
        without,
    );
    let total = |counter: &std::sync::atomic::AtomicU64| ConstCounter::new(counter.load(Ordering::Relaxed));
    registry.register("xds_refusals", "Responses that Envoys refused", total(&sources.registry.refusals));
    registry.register("xds_responses", "Responses sent", total(&sources.registry.responses));
    registry.register("xds_sent_bytes", "Bytes of responses sent", total(&sources.registry.bytes));
    let failures = total(&sources.registry.handshake_failures);
    registry.register("xds_handshake_failures", "Connections that ended in the TLS handshake", failures);
    let impostors = total(&sources.registry.impostors);
    registry.register("xds_impostors", "Streams whose node.id is not in their certificate", impostors);
}

fn told(sources: &Sources, registry: &mut Registry) {
    let total = |counter: &std::sync::atomic::AtomicU64| ConstCounter::new(counter.load(Ordering::Relaxed));
    let told = &sources.told;
    registry.register("notifications_delivered", "Messages that were taken", total(&told.delivered));
    registry.register("notification_failures", "Attempts that came to nothing", total(&told.failures));
    registry.register("notifications_undelivered", "Messages that were given up", total(&told.undelivered));
}

/// What Envoys measured, from those who follow to the leader.
fn counted(sources: &Sources, registry: &mut Registry) {
    let total = |counter: &std::sync::atomic::AtomicU64| ConstCounter::new(counter.load(Ordering::Relaxed));
    let counted = &sources.counted;
    registry.register("measurements_written", "Written for the leader", total(&counted.written));
    registry.register("measurements_read", "Of other replicas, read as the leader", total(&counted.read));
    registry.register("measurements_dropped", "Too many, too old, or cut off", total(&counted.dropped));
}
