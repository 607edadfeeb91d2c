//! What the control loop costs by itself: all files at the start, and one edit after that. `cargo bench --bench turn`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first trouble, reads the clock, and rounds"
)]

use serin::clock;
use serin::control::{Event, World};
use serin::model::{Routing, Settings};
use serin::source::{Scanner, Watched};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 50;

fn main() {
    println!(
        "| gateways | layout | all files: read, check, translate | per gateway | memory | one edit: median (p90) | one edit while another file is broken |"
    );
    println!("|---|---|---|---|---|---|---|");
    for count in [100, 1_000, 10_000] {
        for routing in Routing::ALL {
            measure(count, routing);
        }
    }
}

fn text(n: usize, canary: u32) -> String {
    format!(
        "apiVersion: serin/v1\nname: g{n}\nhost: h{n}.example.com\nupstreams:\n  v1: {{ endpoints: [10.0.0.1:80, 10.0.0.2:80] }}\n  v2: {{ endpoints: [10.0.0.3:80, 10.0.0.4:80] }}\ntraffic: {{ v1: {}, v2: {canary} }}\n",
        100 - canary
    )
}

fn measure(count: usize, routing: Routing) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |n: usize| folder.path().join(format!("g{n}.yaml"));
    for n in 0..count {
        std::fs::write(file(n), text(n, 5)).expect("a file");
    }
    let before = resident();
    let start = Instant::now();
    let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() });
    let mut world = World::new(Settings { routing, ..Settings::default() });
    world.apply(Event::Files(scanner.scan()), clock::now());
    std::hint::black_box(world.view());
    let all = start.elapsed();
    let memory = resident().saturating_sub(before);

    let middle = file(count / 2);
    let mut edits = |also: Option<&Path>| {
        let changes = scanner.scan_files(also);
        world.apply(Event::Files(changes), clock::now());
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|round| {
                let canary = if round % 2 == 0 { 25 } else { 5 };
                std::fs::write(&middle, text(count / 2, canary)).expect("a file");
                let start = Instant::now();
                let changes = scanner.scan_files([middle.as_path()]);
                world.apply(Event::Files(changes), clock::now());
                std::hint::black_box(world.view());
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times
    };
    let times = edits(None);
    std::fs::write(file(1), "apiVersion: serin/v1\nname: g1\n").expect("a file");
    let beside_a_broken_one = edits(Some(&file(1)));
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "| {count} | {} | {:.0} ms | {:.0} us | {} MiB | {:.2} ms ({:.2}) | {:.2} ms ({:.2}) |",
        routing.as_str(),
        ms(all),
        ms(all) * 1000.0 / count as f64,
        memory >> 20,
        ms(times[ROUNDS / 2]),
        ms(times[ROUNDS * 9 / 10]),
        ms(beside_a_broken_one[ROUNDS / 2]),
        ms(beside_a_broken_one[ROUNDS * 9 / 10])
    );
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string(Path::new("/proc/self/statm")).unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|p| p.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}
