//! Rollouts: what each key becomes, and that nothing is lost on the way.

use super::*;
use crate::model::{
    BuiltIn, ErrorRate, Fact, Format, Limits, MetricSource, Metrics, Notify, Number, Occasion, OnFailure,
    Provided, Quantile, Query, QueryPart, Remote, Rollout, Secret, Shadow, ShadowFirst, Step, StepPause,
};
use crate::weight::{Split, WHOLE, Weight};
use proptest::prelude::*;

const UPSTREAMS: &str = "apiVersion: serin/v1\nname: fraud\nupstreams: { v1: http://a, v2: http://b }\n";

fn v(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn percent(text: &str) -> Weight {
    Weight::parse(text).unwrap()
}

fn at_least(minutes: u64) -> StepPause {
    StepPause::AtLeast(Duration::from_mins(minutes))
}

#[test]
fn the_smallest_rollout_has_the_defaults_of_the_contract() {
    let text = format!("{UPSTREAMS}rollout: {{ primary: v1, canary: v2 }}\n");
    let gateway = good("a.yaml", &text).gateway.unwrap();
    let step = |weight| Step { weight: percent(weight), pause: at_least(10) };
    let expected = Rollout {
        primary: v("v1"),
        canary: v("v2"),
        steps: ["5", "25", "50", "100"].map(step).into(),
        bake: Duration::from_mins(10),
        deadline: Duration::from_hours(24),
        on_failure: OnFailure::RollBack,
        confidence: percent("99"),
        shadow_first: None,
        metrics: Metrics {
            error_rate: ErrorRate { max: percent("5"), max_increase: percent("10"), client_errors: false },
            latency: [(Quantile::P99, percent("20"))].into(),
            request_rate: None,
            shadow_match: None,
            provided: Vec::new(),
            dry_run: BTreeSet::new(),
        },
    };
    assert_eq!(gateway.rollout, Some(expected));
    // The file alone is a safe state, and Envoys know the canary before it has traffic.
    assert_eq!(gateway.traffic.parts(), [(v("v2"), Weight::NONE), (v("v1"), Weight::ALL)]);
}

#[test]
fn every_key_of_a_rollout_has_its_effect() {
    let gateway = good("a.yaml", include_str!("rollout.yaml")).gateway.unwrap();
    let own = gateway.shadow.clone().unwrap();
    assert_eq!((own.upstream.as_str(), own.percent), ("v2", percent("1")));
    let step = |weight, pause| Step { weight: percent(weight), pause };
    let expected = Rollout {
        primary: v("v1"),
        canary: v("v2"),
        // 100 was not said, and follows.
        steps: vec![
            step("0.5", at_least(5)),
            step("25", at_least(60)),
            step("50", StepPause::Manual),
            step("100", at_least(5)),
        ],
        bake: Duration::from_mins(20),
        deadline: Duration::from_hours(48),
        on_failure: OnFailure::Pause,
        confidence: percent("95"),
        shadow_first: Some(ShadowFirst {
            shadow: Shadow { percent: percent("20"), ..own.clone() },
            otherwise: Some(own.clone()),
            min_match: percent("98.5"),
        }),
        metrics: Metrics {
            error_rate: ErrorRate { max: percent("2"), max_increase: percent("25"), client_errors: true },
            latency: [(Quantile::P50, percent("15")), (Quantile::P95, percent("20"))].into(),
            request_rate: Number::new(0.5),
            shadow_match: Some(percent("97")),
            provided: provided(),
            dry_run: [BuiltIn::Latency(Quantile::P95), BuiltIn::ShadowMatch].into(),
        },
    };
    assert_eq!(gateway.rollout, Some(expected));
}

/// What others measure in `rollout.yaml`.
fn provided() -> Vec<Provided> {
    let text = |text: &str| QueryPart::Text(text.to_owned());
    let fact = |is_regex| QueryPart::Fact { fact: Fact::Version, quote: '"', is_regex };
    let server = |url: &str| Remote { url: url.to_owned(), headers: Vec::new(), ca: None };
    let limit = |max: f64| Limits { max: Number::new(max), ..Limits::default() };
    vec![
        Provided {
            name: "ttft-p95".into(),
            source: MetricSource::Prometheus {
                server: server("http://prometheus:9090"),
                query: Query(vec![text("max(ttft{version=\""), fact(false), text("\"}[2m])")]),
            },
            limits: limit(2.0),
            // As far as the query looks back.
            interval: Duration::from_mins(2),
            dry_run: true,
        },
        Provided {
            name: "drift".into(),
            source: MetricSource::Prometheus {
                server: Remote {
                    headers: vec![("authorization".into(), Secret::new("Bearer abc"))],
                    ca: Some(crate::model::Pem::new(CERTIFICATE.as_bytes())),
                    ..server("https://metrics.example.com/prom")
                },
                query: Query(vec![text("drift{version=~\""), fact(true), text("\"}")]),
            },
            limits: Limits {
                max: Number::new(0.05),
                max_increase: Some(percent("10")),
                min: Number::new(-1.0),
            },
            interval: Duration::from_mins(1),
            dry_run: false,
        },
        Provided {
            name: "accuracy".into(),
            source: MetricSource::Webhook(server("https://checks.example.com/a")),
            limits: Limits::default(),
            interval: Duration::from_mins(5),
            dry_run: false,
        },
    ]
}

#[test]
fn who_is_told_is_known_and_its_url_is_masked() {
    let gateway = good("a.yaml", include_str!("rollout.yaml")).gateway.unwrap();
    let url = |text: &str| Secret::new(text);
    let expected = [
        Notify {
            url: url("https://hooks.example.com/T0/secret"),
            format: Format::Slack,
            on: [Occasion::Advanced, Occasion::RolledBack].into(),
        },
        Notify { url: url("http://localhost:9/told"), format: Format::Json, on: Occasion::DEFAULT.into() },
    ];
    assert_eq!(gateway.notify, expected);
    let shown = format!("{gateway:?}");
    assert!(!shown.contains("T0/secret") && !shown.contains("Bearer"), "{shown}");
}

#[test]
fn the_prometheus_of_the_settings_is_asked_with_what_its_files_hold() {
    let text = format!(
        "{UPSTREAMS}rollout: {{ primary: v1, canary: v2, metrics: [{{ name: a, prometheus: 'b{{c=\"{{{{upstream}}}}\"}}', max: 1 }}] }}\n"
    );
    let headers = Reference::File("/etc/headers".into());
    let server = crate::model::PrometheusServer {
        url: "https://prometheus".into(),
        headers_file: Some("/etc/headers".into()),
        ca_file: None,
    };
    let listeners = listeners();
    let with = |bytes: &str| {
        let attached = [(headers.clone(), Attachment::private(bytes.as_bytes()))].into();
        let context = Context {
            listeners: &listeners,
            attached: &attached,
            routing: Routing::Plain,
            prometheus: Some(&server),
        };
        load(&document("a.yaml", &text), &context)
    };
    let loaded = with("x-scope-orgid: risk\n");
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.references, [headers.clone()].into(), "it is checked again when the file changes");
    let rollout = loaded.gateway.unwrap().rollout.clone().unwrap();
    let MetricSource::Prometheus { server, .. } = &rollout.metrics.provided[0].source else { panic!() };
    assert_eq!(server.headers, [("x-scope-orgid".to_owned(), Secret::new("risk"))]);
    let broken = with("tiger");
    assert_eq!(broken.diagnostics[0].code, Code::HeadersFile);
    assert!(broken.gateway.is_none() && !broken.diagnostics[0].message.contains("tiger"));
}

#[test]
fn after_a_release_everything_goes_to_the_one() {
    let text = format!(
        "{UPSTREAMS}rollout: {{ primary: v2, canary: v2 }}\nmatch: [{{ query: {{ old: a }}, upstream: v1 }}]\n"
    );
    let loaded = load_at("a.yaml", text.as_bytes());
    assert!(loaded.diagnostics.iter().all(|d| d.severity == Severity::Warning), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.gateway.unwrap().traffic, Split::all_to(v("v2")));
}

fn a_rollout() -> impl Strategy<Value = Rollout> {
    let pause = || {
        prop_oneof![
            Just(StepPause::Manual),
            (0u64..3_000_000).prop_map(|ms| StepPause::AtLeast(Duration::from_millis(ms)))
        ]
    };
    let weights = prop::collection::btree_set(1..WHOLE, 0..6);
    let steps = (weights, prop::collection::vec(pause(), 7)).prop_map(|(weights, pauses)| {
        let weights = weights.into_iter().chain([WHOLE]).map(|w| Weight::new(w).unwrap());
        weights.zip(pauses).map(|(weight, pause)| Step { weight, pause }).collect()
    });
    let percent = |range: std::ops::RangeInclusive<u32>| range.prop_map(|w| Weight::new(w).unwrap());
    let quantile = prop::sample::select(vec![Quantile::P50, Quantile::P90, Quantile::P95, Quantile::P99]);
    let latency = prop::collection::btree_map(quantile, percent(0..=WHOLE), 0..4);
    let limits = (percent(1..=WHOLE), percent(0..=WHOLE));
    let times = (0u64..3_000_000, 3_000_001u64..90_000_000);
    (steps, times, any::<bool>(), percent(8000..=9999), limits, latency).prop_map(
        |(steps, (bake, deadline), pauses, confidence, (max, max_increase), latency)| Rollout {
            primary: v("v1"),
            canary: v("v2"),
            steps,
            bake: Duration::from_millis(bake),
            deadline: Duration::from_millis(deadline),
            on_failure: if pauses { OnFailure::Pause } else { OnFailure::RollBack },
            confidence,
            shadow_first: None,
            metrics: Metrics {
                error_rate: ErrorRate { max, max_increase, client_errors: pauses },
                dry_run: latency.keys().take(1).map(|quantile| BuiltIn::Latency(*quantile)).collect(),
                latency,
                request_rate: None,
                shadow_match: None,
                provided: Vec::new(),
            },
        },
    )
}

/// A rollout as a file.
fn print(rollout: &Rollout) -> String {
    let steps = rollout.steps.iter().map(|step| {
        let pause = match step.pause {
            StepPause::Manual => "manual".to_owned(),
            StepPause::AtLeast(time) => format!("{}ms", time.as_millis()),
        };
        format!("{{ weight: {}, pause: {pause} }}", step.weight)
    });
    let errors = rollout.metrics.error_rate;
    let latency = rollout.metrics.latency.iter().map(|(quantile, increase)| {
        let dry = rollout.metrics.dry_run.contains(&BuiltIn::Latency(*quantile));
        format!("    - {{ name: latency-{}, maxIncrease: {increase}%, dryRun: {dry} }}\n", quantile.as_str())
    });
    let codes = if rollout.metrics.error_rate.client_errors { "[4xx, 5xx]" } else { "[5xx]" };
    format!(
        "{UPSTREAMS}rollout:\n  primary: v1\n  canary: v2\n  steps: [{}]\n  bake: {}ms\n  deadline: {}ms\n  onFailure: {}\n  \
         confidence: {}\n  metrics:\n    - {{ name: error-rate, max: {}, maxIncrease: {}, codes: {codes} }}\n{}",
        steps.collect::<Vec<_>>().join(", "),
        rollout.bake.as_millis(),
        rollout.deadline.as_millis(),
        if rollout.on_failure == OnFailure::Pause { "pause" } else { "rollback" },
        rollout.confidence,
        errors.max,
        errors.max_increase,
        latency.collect::<String>(),
    )
}

proptest! {
    #[test]
    fn a_rollout_that_is_printed_loads_again(rollout in a_rollout()) {
        let text = print(&rollout);
        let loaded = load_at("a.yaml", text.as_bytes());
        prop_assert_eq!(&loaded.diagnostics, &[], "{}", text);
        prop_assert_eq!(loaded.gateway.and_then(|g| g.rollout.clone()), Some(rollout), "{}", text);
    }
}
