//! When to look. Pure: times come in as arguments.
//!
//! A finished change (a rename into place, a closed write) is looked at once. What follows on its heels, and writes
//! that are still open, are gathered until they have been quiet for [`QUIET`], for [`PATIENCE`] at most: a
//! checkout of two hundred files is one change, and a half-written file is not looked at.

use super::{PATIENCE, QUIET};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// A hint that something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// These files are in a finished state.
    Finished(Vec<PathBuf>),
    /// These files are being written.
    Open(Vec<PathBuf>),
    /// Something changed; look at everything.
    Everything,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Files(BTreeSet<PathBuf>),
    Everything,
}

/// Gathers hints. Times are durations since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Settle {
    files: BTreeSet<PathBuf>,
    everything: bool,
    /// Of the hints that wait: the first and the last.
    waiting: Option<(Duration, Duration)>,
    looked: Option<Duration>,
}

impl Settle {
    pub(super) fn hint(&mut self, hint: Hint, now: Duration) {
        let finished = matches!(hint, Hint::Finished(_));
        match hint {
            Hint::Finished(paths) | Hint::Open(paths) => self.files.extend(paths),
            Hint::Everything => self.everything = true,
        }
        let quiet_before =
            self.waiting.is_none() && self.looked.is_none_or(|at| now.saturating_sub(at) > QUIET);
        let last = if finished && quiet_before { now.saturating_sub(QUIET) } else { now };
        self.waiting = Some((self.waiting.map_or(now, |(first, _)| first), last));
    }

    /// When to ask [`Settle::look`].
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waiting.map(|(first, last)| (last + QUIET).min(first + PATIENCE))
    }

    /// What to look at now, if it is time.
    pub(super) fn look(&mut self, now: Duration) -> Option<Look> {
        self.deadline().filter(|at| *at <= now)?;
        self.waiting = None;
        self.looked = Some(now);
        let files = std::mem::take(&mut self.files);
        Some(if std::mem::take(&mut self.everything) { Look::Everything } else { Look::Files(files) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn finished(name: &str) -> Hint {
        Hint::Finished(vec![name.into()])
    }

    #[test]
    fn a_rename_into_place_is_looked_at_once() {
        let mut settle = Settle::default();
        settle.hint(finished("a"), ms(100));
        assert_eq!(settle.look(ms(100)), Some(Look::Files(["a".into()].into())));
        settle.hint(finished("a"), ms(200));
        assert!(settle.look(ms(200)).is_some());
    }

    #[test]
    fn a_burst_is_looked_at_first_and_when_it_is_over() {
        let mut settle = Settle::default();
        settle.hint(finished("a"), ms(100));
        assert!(settle.look(ms(100)).is_some());
        for t in 101..150 {
            settle.hint(finished(&format!("f{t}")), ms(t));
            assert_eq!(settle.look(ms(t)), None);
        }
        assert_eq!(settle.deadline(), Some(ms(169)));
        assert!(matches!(settle.look(ms(169)), Some(Look::Files(f)) if f.len() == 49));
    }

    #[test]
    fn an_open_write_waits_for_quiet_but_not_for_ever() {
        let mut settle = Settle::default();
        let mut t = 0;
        let looked = loop {
            settle.hint(Hint::Open(vec!["a".into()]), ms(t));
            if settle.look(ms(t)).is_some() {
                break t;
            }
            t += 10;
        };
        assert_eq!(ms(looked), PATIENCE);
    }

    #[test]
    fn everything_includes_the_files() {
        let mut settle = Settle::default();
        settle.hint(Hint::Open(vec!["a".into()]), ms(0));
        settle.hint(Hint::Everything, ms(5));
        assert_eq!(settle.look(ms(25)), Some(Look::Everything));
        assert_eq!(settle.deadline(), None);
    }
}
