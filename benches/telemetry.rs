//! What it costs to read what Envoys measured. `cargo bench --bench telemetry`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first trouble, reads the clock, and rounds"
)]

#[path = "shared/flush.rs"]
mod flush;

use flush::{ENVOYS, GATEWAYS, UPSTREAMS, messages};
use serin::clock::Timestamp;
use serin::names::{GatewayName, UpstreamName};
use serin::telemetry::flush::Assembly;
use serin::telemetry::{BATCH, Series, Table, Wanted};
use std::time::{Duration, Instant};

const FLUSHES: usize = 20;

fn main() {
    println!(
        "{ENVOYS} Envoys, {GATEWAYS} gateways with two upstreams each, a flush a second, {BATCH} in a message"
    );
    println!(
        "| gateways with traffic | measured for decisions | bytes per flush, one Envoy | per cluster | CPU |"
    );
    println!("|---|---|---|---|---|");
    for (busy, wanted) in [(0, 0), (50, 20), (1_000, 20), (1_000, 1_000)] {
        measure(busy, wanted);
    }
}

fn measure(busy: usize, wanted: usize) {
    let (mut series, mut table) = (Series::default(), Table::default());
    let arms = || UPSTREAMS.map(|u| UpstreamName::new(u).expect("a name")).into();
    series.want((0..wanted).map(|n| (gateway(n), arms())).collect::<Wanted>());
    let mut assemblies: Vec<Assembly> = (0..ENVOYS).map(|_| Assembly::default()).collect();
    // The first flush, of which all upstreams are news, is not measured.
    let messages: Vec<_> = (0..=FLUSHES).map(|flush| messages(busy, [100, 100], flush)).collect();
    let bytes: usize = messages[1].iter().map(Vec::len).sum();
    let (mut told, mut cpu) = (0, Duration::ZERO);
    for (second, flush) in messages.iter().enumerate() {
        let start = Instant::now();
        for (stream, assembly) in (0_u32..).zip(&mut assemblies) {
            let at = Timestamp(1_000 * i64::try_from(second).expect("few") + 100 * i64::from(stream));
            for message in flush {
                for whole in assembly.take(message).expect("a message") {
                    series.take(u64::from(stream), &whole, at);
                    table.take(u64::from(stream), &whole, at);
                    told += series.ready(at).len();
                    std::hint::black_box(series.deadline());
                }
            }
        }
        std::hint::black_box(table.clone());
        if second > 0 {
            cpu += start.elapsed();
        }
    }
    assert!(told >= wanted * FLUSHES, "{told} measurements");
    let percent = cpu.as_secs_f64() * 100.0 / FLUSHES as f64;
    let per_cluster = bytes / (GATEWAYS * UPSTREAMS.len());
    println!("| {busy} | {wanted} | {bytes} | {per_cluster} | {percent:.2} % of a core |");
}

fn gateway(n: usize) -> GatewayName {
    GatewayName::new(&format!("gateway-{n}")).expect("a name")
}
