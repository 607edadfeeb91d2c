//! What a process uses, read from `/proc`.

use std::fs;

/// CPU and memory of some processes together.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// CPU seconds of the threads that live.
    pub cpu_s: f64,
    /// Resident memory now.
    pub rss_kib: u64,
    /// The most there was since the start.
    pub peak_kib: u64,
}

fn kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Nanoseconds on a CPU of all threads of a process: finer than the ticks of `/proc/PID/stat`, which are 10 ms.
fn nanoseconds(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// Sums over the processes given; one that is gone counts as nothing.
pub fn usage(pids: &[u32]) -> Usage {
    let mut u = Usage::default();
    for pid in pids {
        u.cpu_s += nanoseconds(*pid) as f64 / 1e9;
        if let Ok(s) = fs::read_to_string(format!("/proc/{pid}/status")) {
            u.rss_kib += kib(&s, "VmRSS:");
            u.peak_kib += kib(&s, "VmHWM:");
        }
    }
    u
}

/// This process.
pub fn own() -> Usage {
    usage(&[std::process::id()])
}
