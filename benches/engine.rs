//! What releases cost that are under way: five Envoys report each second, every rollout weighs it, and the store keeps what
//! came of it. `cargo bench --bench engine`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first trouble, and rounds"
)]

#[path = "shared/flush.rs"]
mod flush;

use flush::{ENVOYS, GATEWAYS, messages};
use serin::clock::Timestamp;
use serin::config::{Content, Document};
use serin::control::{Changes, Event, Measured, Others, Outcome, World};
use serin::model::Settings;
use serin::names::GatewayName;
use serin::store::{Sqlite, Store};
use serin::telemetry::flush::Assembly;
use serin::telemetry::{self, Measurement, Series, Table};
use std::time::Duration;

/// In which the first steps begin and thresholds of latency are chosen.
const WARM_UP: usize = 20;
const SECONDS: usize = 60;

fn main() {
    println!(
        "{GATEWAYS} gateways with traffic on two upstreams each, {ENVOYS} Envoys that report each second"
    );
    println!(
        "| rollouts | reading what Envoys say | weighing it | keeping it | a commit | part of one core |"
    );
    println!("|---|---|---|---|---|---|");
    for rollouts in [0, 10, 50, 200] {
        measure(rollouts);
    }
}

fn text(n: usize, rollouts: usize) -> String {
    let split = if n < rollouts {
        // Long enough that none of them ends meanwhile.
        "rollout: { primary: v1, canary: v2, pause: 1h, deadline: 24h }"
    } else {
        "traffic: { v1: 95, v2: 5 }"
    };
    format!(
        "apiVersion: serin/v1\nname: gateway-{n}\nhost: h{n}.example.com\n\
         upstreams: {{ v1: {{ endpoints: [10.0.0.1:80] }}, v2: {{ endpoints: [10.0.0.2:80] }} }}\n{split}\n"
    )
}

/// Where the time of the processor went, in nanoseconds, and how much was kept.
#[derive(Default)]
struct Spent {
    reading: u64,
    weighing: u64,
    keeping: u64,
    bytes: usize,
    commits: usize,
}

fn measure(rollouts: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Sqlite::open(&folder.path().join("serin.db")).expect("a store");
    let mut now = Timestamp(1_790_000_000_000);
    let bounds = telemetry::bounds().chain([f64::MAX]).collect();
    let mut world = World::new(Settings::default()).with_rollouts(Ok([].into()), bounds, now);
    let document = |n: usize| {
        let path: std::sync::Arc<str> = format!("g{n}.yaml").into();
        let content = Content::Text(text(n, rollouts).into_bytes().into());
        (std::sync::Arc::clone(&path), Some(Document { path, content }.into()))
    };
    let documents = (0..GATEWAYS).map(document).collect();
    let mut ignored = Spent::default();
    world.apply(Event::Files(Changes { documents, ..Changes::default() }), now);
    keep(&mut world, &mut store, now, &mut ignored);
    let name = |n: usize| GatewayName::new(&format!("gateway-{n}")).expect("a name");
    world.apply(Event::Healthy((0..rollouts).map(|n| (name(n), 1)).collect()), now);
    keep(&mut world, &mut store, now, &mut ignored);

    let (mut series, mut table) = (Series::default(), Table::default());
    let mut assemblies: Vec<Assembly> = (0..ENVOYS).map(|_| Assembly::default()).collect();
    let (mut spent, mut weighed) = (Spent::default(), 0);
    for second in 0..WARM_UP + SECONDS {
        if let Some(wants) = world.take_wants() {
            series.want(wants.compared);
        }
        if second == WARM_UP {
            (spent, weighed) = (Spent::default(), 0);
        }
        // As the weights of the first step divide them.
        let flush = messages(GATEWAYS, [95, 5], second);
        let start = cpu();
        let mut measured: Vec<Measurement> = Vec::new();
        for (stream, assembly) in (0..ENVOYS).zip(&mut assemblies) {
            let at = now.plus(Duration::from_millis(100 * u64::from(stream)));
            for message in &flush {
                for whole in assembly.take(message).expect("a message") {
                    series.take(u64::from(stream), &whole, at);
                    table.take(u64::from(stream), &whole, at);
                    measured.extend(series.ready(at));
                }
            }
        }
        std::hint::black_box(table.clone());
        let read = cpu();
        now = now.plus(Duration::from_secs(1));
        weighed += measured.len();
        world.apply(Event::Measured(measured.into_iter().map(measurement).collect()), now);
        world.apply(Event::Tick, now);
        let before = cpu();
        spent.reading += read - start;
        spent.weighing += before - read;
        keep(&mut world, &mut store, now, &mut spent);
    }
    assert!(weighed >= rollouts * (SECONDS - 2), "{weighed} measurements of {rollouts} rollouts");
    let view = world.view();
    let running = view.gateways.values().filter(|g| g.rollout.as_ref().is_some_and(|r| r.phase.is_running()));
    assert_eq!(running.count(), rollouts, "all of them are under way");
    let percent = |nanoseconds: u64| nanoseconds as f64 / (SECONDS as f64 * 1e9) * 100.0;
    println!(
        "| {rollouts} | {:.2} % | {:.2} % | {:.2} % | {} KiB | {:.2} % |",
        percent(spent.reading),
        percent(spent.weighing),
        percent(spent.keeping),
        spent.bytes.checked_div(spent.commits).unwrap_or(0) >> 10,
        percent(spent.reading + spent.weighing + spent.keeping)
    );
}

fn measurement(m: Measurement) -> Measured {
    let outcome = |o: telemetry::Outcome| Outcome { counts: o.counts, client_errors: o.client_errors };
    let upstreams = m.upstreams.into_iter().map(|(name, o)| (name, outcome(o))).collect();
    Measured { gateway: m.gateway, from: m.from, to: m.to, upstreams, others: Others::default() }
}

/// The store answers, and what follows is made ready for Envoys and people, as the loop does.
fn keep(world: &mut World, store: &mut Sqlite, now: Timestamp, spent: &mut Spent) {
    while let Some(proposal) = world.take_proposal() {
        let sizes = proposal.commit.states.iter().filter_map(|s| s.state.as_ref());
        spent.bytes += sizes.map(|state| state.to_string().len()).sum::<usize>();
        spent.commits += 1;
        let start = cpu();
        let result = store.commit(&[proposal.commit]).remove(0);
        spent.keeping += cpu() - start;
        let start = cpu();
        let result = result.map(|_| ()).map_err(|why| why.to_string());
        world.apply(Event::Committed(proposal.id, result), now);
        std::hint::black_box((world.fleet(), world.view(), world.take_notes(), world.take_documents()));
        spent.weighing += cpu() - start;
    }
}

/// The time that the processor has had for this thread, in nanoseconds: waiting for the disk is none.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}
