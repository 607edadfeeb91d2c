//! Which notes people will want to read next month, as entries of the journal.
//!
//! A file that is saved broken every second, or an Envoy that refuses and takes in turns, must not push a year of
//! decisions out of the journal. So of each gateway a repetition says nothing, and only so many entries of an hour
//! count, as of all gateways together; what was left out is counted and told afterwards. Decisions about rollouts do
//! not come by this way, and are always kept.

use super::{Note, NoteKind};
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::store::{Entry, Kind, NewEntry};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long is counted.
const WINDOW: Duration = Duration::from_hours(1);
/// Entries about one gateway in that time.
const MOST_OF_ONE: u32 = 60;
/// Entries in that time.
const MOST: u32 = 2_000;

/// What was said about whom.
type Said = BTreeMap<Option<GatewayName>, (Kind, String)>;

/// Decides what is an entry.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The last entry about each gateway.
    said: Said,
    /// Whether all files were read once.
    begun: bool,
    since: Timestamp,
    counts: BTreeMap<Option<GatewayName>, u32>,
    count: u32,
    left_out: u64,
}

impl Journal {
    /// Goes on after these entries: a restart repeats nothing.
    pub(super) fn after(entries: impl IntoIterator<Item = Entry>) -> Self {
        let said = entries.into_iter().map(|Entry { entry: e, .. }| (e.gateway, (e.kind, e.message)));
        Self { said: said.collect(), ..Self::default() }
    }

    /// The entries that the notes of one turn make.
    pub(super) fn entries(&mut self, notes: &[Note], now: Timestamp) -> Vec<NewEntry> {
        let mut entries = Vec::new();
        if now.since(self.since) >= WINDOW || now < self.since {
            let left_out = std::mem::take(&mut self.left_out);
            if left_out > 0 {
                let message = format!("{left_out} more entries since {} were left out", self.since);
                entries.push(entry(now, None, Kind::new("missed"), "serin", message));
            }
            (self.since, self.count) = (now, 0);
            self.counts.clear();
        }
        // That a gateway serves after a start as it did before is no news.
        let first = !std::mem::replace(&mut self.begun, true);
        // What rollouts do is in the journal since before it counted.
        let is_kept = |n: &&Note| matches!(n.kind, NoteKind::Rollout | NoteKind::Stopped);
        for note in notes.iter().filter(|n| !(first && n.kind == NoteKind::Loaded || is_kept(n))) {
            let kind = Kind::new(note.kind.as_str());
            let said = self.said.get(&note.gateway);
            let again = said.is_some_and(|(k, m)| (k, m) == (&kind, &note.message));
            // What operators do is always told.
            let may_be_storm = note.by.is_none();
            if again && note.weights.is_none() && may_be_storm {
                continue;
            }
            let count = self.counts.entry(note.gateway.clone()).or_default();
            if may_be_storm && (*count >= MOST_OF_ONE || self.count >= MOST) {
                self.left_out += 1;
                continue;
            }
            *count += 1;
            self.count += 1;
            self.said.insert(note.gateway.clone(), (kind.clone(), note.message.clone()));
            let actor = match note.kind {
                NoteKind::Refused => "envoy",
                NoteKind::Alarm => "serin",
                _ => "file",
            };
            let (before, after) = note.weights.clone().unzip();
            let (who, reason) =
                note.by.as_ref().map_or((actor, None), |by| (by.actor.as_str(), by.reason.clone()));
            let plain = entry(note.time, note.gateway.clone(), kind, who, note.message.clone());
            entries.push(NewEntry { reason, before, after, ..plain });
        }
        entries
    }
}

fn entry(
    time: Timestamp,
    gateway: Option<GatewayName>,
    kind: Kind,
    actor: &str,
    message: String,
) -> NewEntry {
    let actor = actor.to_owned();
    let (reason, before, after, revision, details) = (None, None, None, None, Value::Null);
    NewEntry { time, gateway, kind, actor, message, reason, before, after, revision, details }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(gateway: &str, kind: NoteKind, message: &str) -> Note {
        Note {
            sequence: 1,
            time: Timestamp(5),
            gateway: Some(GatewayName::new(gateway).unwrap()),
            kind,
            message: message.into(),
            weights: None,
            by: None,
        }
    }

    fn messages(journal: &mut Journal, notes: &[Note], now: i64) -> Vec<String> {
        journal.entries(notes, Timestamp(now)).into_iter().map(|e| e.message).collect()
    }

    #[test]
    fn a_start_is_no_news_and_a_new_gateway_is() {
        let mut journal = Journal::default();
        let loaded = [note("fraud", NoteKind::Loaded, "serves"), note("spam", NoteKind::Invalid, "wrong")];
        assert_eq!(messages(&mut journal, &loaded, 0), ["wrong"]);
        assert_eq!(messages(&mut journal, &[note("new", NoteKind::Loaded, "serves")], 1), ["serves"]);
    }

    #[test]
    fn a_repetition_says_nothing_also_after_a_restart() {
        let mut journal = Journal::default();
        let wrong = note("fraud", NoteKind::Invalid, "wrong");
        let right = note("fraud", NoteKind::Repaired, "right");
        let notes = [wrong.clone(), wrong.clone(), right, wrong.clone()];
        let entries = journal.entries(&notes, Timestamp(0));
        let texts: Vec<_> = entries.iter().map(|e| e.message.as_str()).collect();
        assert_eq!(texts, ["wrong", "right", "wrong"]);
        let kept = entries.into_iter().zip(1..).map(|(entry, sequence)| Entry { sequence, entry });
        let mut journal = Journal::after(kept.collect::<Vec<_>>());
        assert_eq!(messages(&mut journal, &[wrong], 0), [""; 0]);
    }

    #[test]
    fn a_storm_is_cut_and_counted() {
        let mut journal = Journal::default();
        let storm: Vec<_> = (0..100).map(|i| note("a", NoteKind::Invalid, &i.to_string())).collect();
        assert_eq!(journal.entries(&storm, Timestamp(0)).len(), 60);
        let other = note("b", NoteKind::Invalid, "wrong");
        assert_eq!(messages(&mut journal, &[other], 1), ["wrong"], "others are not harmed");
        let hour = 3_600_000;
        let next = messages(&mut journal, &[note("a", NoteKind::Repaired, "right")], hour);
        assert_eq!(next, ["40 more entries since 1970-01-01T00:00:00.000Z were left out", "right"]);
    }

    #[test]
    fn all_together_have_an_end_too() {
        let mut journal = Journal::default();
        let storm: Vec<_> = (0..3000).map(|i| note(&format!("g{i}"), NoteKind::Changed, "changed")).collect();
        assert_eq!(journal.entries(&storm, Timestamp(0)).len(), 2000);
    }
}
