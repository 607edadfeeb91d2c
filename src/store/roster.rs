//! Who of several Serins is there, judged by the beats that each counts up, as the lease is: nobody compares clocks. Pure.
//!
//! Moments are times since the start of this process.

use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// Whose beat stands still for so long is shown as silent.
pub const SILENT: Duration = Duration::from_secs(5);
/// Whose beat stands still for so long is removed by the leader.
pub const GONE: Duration = Duration::from_secs(30);

/// One Serin, as those that share its store know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// How people find it.
    pub name: Arc<str>,
    /// Serin's.
    pub version: Arc<str>,
    /// When it started, by its own clock.
    pub since: Timestamp,
    /// Whether it decides.
    pub leads: bool,
    /// Whether it is the one that says this.
    pub is_this: bool,
    /// Whether nothing was heard of it for a while.
    pub is_silent: bool,
    /// How many gateways its files have.
    pub gateways: u64,
    /// How its files differ from those of the one that decides; `None`: nobody does, or it is not known yet.
    pub differing: Option<Differing>,
}

/// The gateways whose files are not the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// How many.
    pub count: u64,
    /// The first of them, by name.
    pub names: Vec<Arc<str>>,
}

/// A row as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) since: Timestamp,
    /// Changes with every sign of life.
    pub(super) beat: i64,
    pub(super) gateways: u64,
    /// Changes with its files.
    pub(super) copy: i64,
    pub(super) leads: bool,
}

/// What one Serin knows of all.
#[derive(Debug, Default)]
pub(super) struct Roster {
    rows: Vec<Row>,
    /// The beat of each, and when it was seen first.
    heard: BTreeMap<Arc<str>, (i64, Duration)>,
    /// How files differ from those of this one, at these states of all files.
    compared: Option<(Copies, BTreeMap<Arc<str>, Differing>)>,
}

/// Who leads, and the state of the files of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    pub(super) leader: Arc<str>,
    of: BTreeMap<Arc<str>, i64>,
}

impl Roster {
    /// The rows as they are now. `Some`: files are to be compared anew with those of the leader.
    pub(super) fn read(&mut self, rows: Vec<Row>, now: Duration) -> Option<Copies> {
        self.heard.retain(|id, _| rows.iter().any(|row| row.id == *id));
        for row in &rows {
            let heard = self.heard.entry(Arc::clone(&row.id)).or_insert((row.beat, now));
            if heard.0 != row.beat {
                *heard = (row.beat, now);
            }
        }
        self.rows = rows;
        let leader = self.rows.iter().find(|row| row.leads).map(|row| Arc::clone(&row.id));
        let of = || self.rows.iter().map(|row| (Arc::clone(&row.id), row.copy)).collect();
        let copies = leader.map(|leader| Copies { leader, of: of() });
        if copies.is_none() {
            self.compared = None;
        }
        copies.filter(|copies| self.compared.as_ref().is_none_or(|(before, _)| before != copies))
    }

    /// Nothing could be heard of anybody for a while: whoever was there may be there still.
    pub(super) fn listen_anew(&mut self, now: Duration) {
        self.heard.values_mut().for_each(|(_, since)| *since = now);
    }

    /// How files differ.
    pub(super) fn compared(&mut self, copies: Copies, differing: BTreeMap<Arc<str>, Differing>) {
        self.compared = Some((copies, differing));
    }

    /// Those of whom nothing was heard for so long that they are to be removed, and their beats.
    pub(super) fn gone(&self, now: Duration) -> Vec<(Arc<str>, i64)> {
        let gone = self.heard.iter().filter(|(_, (_, since))| now >= *since + GONE);
        gone.map(|(id, (beat, _))| (Arc::clone(id), *beat)).collect()
    }

    /// All of them, for people.
    pub(super) fn members(&self, me: &str, now: Duration) -> Vec<Member> {
        let member = |row: &Row| Member {
            name: Arc::clone(&row.name),
            version: Arc::clone(&row.version),
            since: row.since,
            leads: row.leads,
            is_this: *row.id == *me,
            is_silent: *row.id != *me
                && self.heard.get(&row.id).is_some_and(|(_, since)| now >= *since + SILENT),
            gateways: row.gateways,
            differing: self.compared.as_ref().and_then(|(copies, differing)| {
                // One that came since is compared next time.
                copies.of.contains_key(&row.id).then(|| differing.get(&row.id).cloned().unwrap_or_default())
            }),
        };
        self.rows.iter().map(member).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, beat: i64, copy: i64, leads: bool) -> Row {
        let (name, version) = (format!("{id} on host").into(), "1.0.0".into());
        let since = Timestamp(0);
        Row { id: id.into(), name, version, since, beat, gateways: 2, copy, leads }
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_counts_up_is_there() {
        let mut roster = Roster::default();
        for second in 0..40 {
            let beat = i64::try_from(second).unwrap();
            roster.read(vec![row("a", beat, 0, true), row("b", 7, 0, false)], after(second));
            let silent: Vec<bool> = roster.members("a", after(second)).iter().map(|p| p.is_silent).collect();
            assert_eq!(silent, [false, second >= 5], "{second}");
            let gone: Vec<_> = if second >= 30 { vec![("b".into(), 7)] } else { vec![] };
            assert_eq!(roster.gone(after(second)), gone, "{second}");
        }
        roster.read(vec![row("a", 40, 0, true), row("b", 8, 0, false)], after(40));
        assert!(
            roster.gone(after(40)).is_empty() && !roster.members("a", after(40))[1].is_silent,
            "it is back"
        );
        roster.read(vec![row("a", 41, 0, true)], after(41));
        roster.read(vec![row("a", 99, 0, true), row("b", 8, 0, false)], after(99));
        assert!(roster.gone(after(99)).is_empty(), "it is a new one");
        // The database was gone for longer than anybody may be silent.
        roster.listen_anew(after(140));
        roster.read(vec![row("a", 99, 0, true), row("b", 8, 0, false)], after(140));
        assert!(roster.gone(after(169)).is_empty(), "nobody could count up");
        assert_eq!(roster.gone(after(170)).len(), 2);
    }

    #[test]
    fn files_are_compared_when_they_or_the_leader_change() {
        let mut roster = Roster::default();
        assert_eq!(roster.read(vec![row("a", 0, 0, false)], after(0)), None, "nobody leads");
        assert_eq!(roster.members("a", after(0))[0].differing, None);
        let rows = |beat, copy, leader: &str| {
            vec![row("a", beat, 0, leader == "a"), row("b", beat, copy, leader == "b")]
        };
        let copies = roster.read(rows(1, 0, "a"), after(1)).unwrap();
        assert_eq!(*copies.leader, *"a");
        let differing = Differing { count: 1, names: vec!["fraud".into()] };
        roster.compared(copies, [("b".into(), differing.clone())].into());
        let shown: Vec<_> =
            roster.members("b", after(1)).into_iter().map(|p| (p.is_this, p.differing)).collect();
        assert_eq!(shown, [(false, Some(Differing::default())), (true, Some(differing))]);
        assert_eq!(roster.read(rows(2, 0, "a"), after(2)), None, "only beats");
        assert!(roster.read(rows(3, 1, "a"), after(3)).is_some(), "a file has changed");
        assert!(roster.read(rows(3, 0, "b"), after(3)).is_some(), "another one leads");
    }
}
