//! Files in: which bytes are on disk, and when they changed.
//!
//! Events of the operating system are only hints to look. What counts is what reading finds: a [`Scanner`] compares
//! the directory with what it told before and tells the difference, so lost, doubled and disordered events
//! harm nothing, and a slow full look ([`RESCAN`]) finds what no event told (network file systems, symlinks that
//! point elsewhere).

mod environment;
mod list;
mod read;
mod scan;
mod settle;
mod watch;

pub use environment::Environment;
pub use scan::{Scanner, Watched, attachments};
pub use watch::{Watching, watch};

use std::time::Duration;

/// Quiet time after which a burst is over.
pub const QUIET: Duration = Duration::from_millis(20);
/// The longest that a burst may hold up what it brings.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Between two full looks.
pub const RESCAN: Duration = Duration::from_secs(10);
/// Every so many full looks read every file, in case a change left time and size alone.
pub const DEEP: u32 = 30;
