//! Waits for hints of the operating system, looks, and tells. A thread of its own: all it does is wait for files.
//!
//! Directories are watched, never files: a watch on a file is lost with the first atomic save. The parent of the
//! directory is watched too, to see it vanish and come back. Where no watch can be had, the full look every few
//! seconds remains, and a watch is tried again then.

use super::scan::{Depth, Scanner};
use super::settle::{Hint, Look, Settle};
use super::{DEEP, RESCAN};
use crate::clock::Stopwatch;
use crate::control::{Changes, Event as ControlEvent, Unlisted};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use tokio::sync::mpsc;

/// Ends the watching when it is dropped.
#[derive(Debug)]
pub struct Watching(Sender<Seen>);

enum Seen {
    Event(notify::Result<notify::Event>),
    ReadAgain,
    Stop,
}

impl Watching {
    /// Reads all files again now, whatever their sizes and times of change say.
    pub fn read_again(&self) {
        // The thread may have ended already.
        let _ = self.0.send(Seen::ReadAgain);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // The thread may have ended already.
        let _ = self.0.send(Seen::Stop);
    }
}

/// Reads everything once and tells it, and then tells every change.
///
/// # Errors
/// When the system gives no thread.
pub fn watch(scanner: Scanner, out: mpsc::Sender<ControlEvent>) -> std::io::Result<Watching> {
    let (sender, inbox) = channel();
    let watching = Watching(sender.clone());
    std::thread::Builder::new().name("serin-source".into()).spawn(move || {
        let (unlisted, told_all) = (Unlisted::default(), false);
        Source { scanner, eyes: Eyes::new(sender), out, unlisted, told_all }.run(&inbox);
    })?;
    Ok(watching)
}

struct Source {
    scanner: Scanner,
    eyes: Eyes,
    out: mpsc::Sender<ControlEvent>,
    /// The directories of which was told that they cannot be listed.
    unlisted: Unlisted,
    /// Whether all files were told once. Whoever listens waits for it.
    told_all: bool,
}

impl Source {
    fn run(mut self, inbox: &Receiver<Seen>) {
        let clock = Stopwatch::start();
        // Watch first, look then: what happens in between is seen twice rather than never.
        self.eyes.arm(&self.scanner);
        let all = self.scanner.look(Depth::Content);
        if !self.tell(all) {
            return;
        }
        self.eyes.arm(&self.scanner);
        let mut settle = Settle::default();
        let (mut rounds, mut rescan) = (0_u32, clock.elapsed() + RESCAN);
        loop {
            let mut reads_again = false;
            let deadline = settle.deadline().map_or(rescan, |at| at.min(rescan));
            match inbox.recv_timeout(deadline.saturating_sub(clock.elapsed())) {
                Ok(Seen::Event(event)) => {
                    if let Some(hint) = self.hint(event) {
                        settle.hint(hint, clock.elapsed());
                    }
                }
                Ok(Seen::ReadAgain) => reads_again = true,
                Ok(Seen::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let told = if reads_again || clock.elapsed() >= rescan {
                rescan = clock.elapsed() + RESCAN;
                rounds = rounds.wrapping_add(1);
                self.eyes.arm(&self.scanner);
                let is_deep = reads_again || rounds.is_multiple_of(DEEP);
                let depth = if is_deep { Depth::Content } else { Depth::Stamps };
                let changes = self.scanner.look(depth);
                self.tell(changes)
            } else {
                match settle.look(clock.elapsed()) {
                    None => true,
                    Some(Look::Files(paths)) => {
                        let changes = self.scanner.scan_files(paths.iter().map(PathBuf::as_path));
                        self.tell(changes)
                    }
                    Some(Look::Everything) => {
                        self.eyes.arm(&self.scanner);
                        let changes = self.scanner.scan();
                        self.tell(changes)
                    }
                }
            };
            if !told {
                return;
            }
        }
    }

    /// False when nobody listens any more.
    fn tell(&mut self, changes: Changes) -> bool {
        let unlisted = self.scanner.unlisted();
        if unlisted != self.unlisted {
            self.unlisted.clone_from(&unlisted);
            // First: whoever hears of files has to know whether these are all.
            if self.out.blocking_send(ControlEvent::Unlisted(unlisted)).is_err() {
                return false;
            }
        }
        // Told even when there is nothing.
        let is_due = !self.told_all && self.unlisted.everything().is_none();
        if changes.is_empty() && !is_due {
            return !self.out.is_closed();
        }
        self.told_all |= is_due;
        // They may be in other directories.
        if !changes.attached.is_empty() {
            self.eyes.arm(&self.scanner);
        }
        self.out.blocking_send(ControlEvent::Files(changes)).is_ok()
    }

    /// What an event of the operating system means for us, if anything.
    fn hint(&mut self, event: notify::Result<notify::Event>) -> Option<Hint> {
        let Ok(event) = event else { return Some(Hint::Everything) };
        if event.need_rescan() {
            return Some(Hint::Everything);
        }
        if event.paths.iter().any(|p| self.eyes.is_lost(p, event.kind)) {
            return Some(Hint::Everything);
        }
        let known = || event.paths.iter().filter(|p| self.scanner.knows(p)).cloned().collect::<Vec<_>>();
        let others = || event.paths.iter().any(|p| !self.scanner.knows(p) && self.concerns(p));
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                let known = known();
                if !known.is_empty() {
                    return Some(Hint::Finished(known));
                }
                others().then_some(Hint::Everything)
            }
            // Our own reading, and the second report of a rename within the directory.
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
            _ => {
                let known = known();
                if !known.is_empty() {
                    return Some(Hint::Open(known));
                }
                others().then_some(Hint::Everything)
            }
        }
    }

    /// Whether a path that is no gateway file may change what gateway files there are: a directory, or a link such
    /// as a `ConfigMap`'s `..data`. Files that editors make on the side do not.
    fn concerns(&self, path: &Path) -> bool {
        let below = path.starts_with(self.scanner.directory());
        let linked = path.file_name().is_some_and(|n| n == "..data");
        linked || (below && path.extension().is_none() && (path.is_dir() || !path.exists()))
    }
}

/// The watches of the operating system.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    complained: bool,
}

impl Eyes {
    fn new(sender: Sender<Seen>) -> Self {
        let watcher = notify::recommended_watcher(move |event| {
            // After the end of the thread nobody listens.
            let _ = sender.send(Seen::Event(event));
        });
        let watcher =
            watcher.map_err(|e| tracing::warn!("no file events, looking every {RESCAN:?} instead: {e}")).ok();
        Self { watcher, watched: BTreeSet::new(), complained: false }
    }

    /// Watches what should be watched and is not yet.
    fn arm(&mut self, scanner: &Scanner) {
        let Some(watcher) = &mut self.watcher else { return };
        let directory = scanner.directory();
        let mut wanted: Vec<(PathBuf, RecursiveMode)> =
            vec![(directory.to_path_buf(), RecursiveMode::Recursive)];
        wanted.extend(directory.parent().map(|p| (p.to_path_buf(), RecursiveMode::NonRecursive)));
        wanted.extend(scanner.directories().into_iter().map(|d| (d, RecursiveMode::NonRecursive)));
        for (path, mode) in wanted {
            if self.watched.contains(&path) || !path.is_dir() {
                continue;
            }
            match watcher.watch(&path, mode) {
                Ok(()) => drop(self.watched.insert(path)),
                Err(e) if !self.complained => {
                    self.complained = true;
                    tracing::warn!(
                        "no file events for {}, looking every {RESCAN:?} instead: {e}",
                        path.display()
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Notes that a watched directory is gone or was replaced, and with it its watch.
    fn is_lost(&mut self, path: &Path, kind: EventKind) -> bool {
        let gone = matches!(
            kind,
            EventKind::Remove(_) | EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        if !gone || !self.watched.remove(path) {
            return false;
        }
        if let Some(watcher) = &mut self.watcher {
            // It fails when the watch went with the directory, as it mostly does.
            let _ = watcher.unwatch(path);
        }
        true
    }
}
