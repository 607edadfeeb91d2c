//! The loop itself: waits, applies, publishes. It decides nothing.

use super::journal::Journal;
use super::{
    Compared, Event, Handed, Note, NoteKind, Notice, Proposal, Questions, Unlisted, View, Wants, World,
};
use crate::access::Tokens;
use crate::clock;
use crate::latest::Latest;
use crate::mtls::Credentials;
use crate::rollout::Refusal;
use crate::snapshot::Fleet;
use crate::store::measured::Duty;
use crate::store::run::Handle;
use crate::store::{Commit, Memory, Query};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Where the loop puts what others want to see.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// For Envoys.
    pub fleet: Arc<Latest<Fleet>>,
    /// For people.
    pub view: Arc<Latest<View>>,
    /// For people as well, also before there is a view.
    pub unlisted: Arc<Latest<Unlisted>>,
    /// For the store.
    pub proposals: mpsc::Sender<Proposal>,
    /// For whoever measures.
    pub compared: Arc<Latest<Compared>>,
    /// For whoever brings what was measured to where it counts.
    pub duty: Arc<Latest<Duty>>,
    /// For whoever asks others.
    pub questions: Arc<Latest<Questions>>,
    /// For the Serin that leads, where that is another one.
    pub handed: mpsc::Sender<Handed>,
    /// For whoever tells others.
    pub notices: mpsc::Sender<Notice>,
    /// For those who come next to the xDS port, when certificates matter there.
    pub credentials: Option<Arc<Latest<Credentials>>>,
    /// For those who come next to the HTTP port, when it speaks TLS.
    pub http_credentials: Option<Arc<Latest<Credentials>>>,
    /// Who may come in there, when there is a file of tokens.
    pub tokens: Option<Arc<Latest<Tokens>>>,
    /// What happens, as it happens. A reader that is too slow misses some and is told so.
    pub notes: broadcast::Sender<Note>,
    /// For the next start, and for the journal.
    pub store: Handle,
}

/// Events that are applied before what they came to is published: a storm of them must not hold it up.
const BATCH: usize = 256;

/// The newest entries of the journal, which a start does not repeat.
const SAID: usize = 10_000;

/// Gateways of one turn that get a line each in the log. More get one line together: at a start with 10,000 files, or
/// after a pull from Git, nobody reads 10,000 lines.
const LINES: usize = 20;

/// Runs until the queue is closed.
pub async fn run(mut world: World, mut events: mpsc::Receiver<Event>, outputs: Outputs) {
    // Without them some things are said twice. A store that has just not answered is not asked again: Envoys wait for the
    // start.
    let said = match outputs.store.status().load().failure {
        None => outputs.store.entries(Query { newest: true, limit: SAID, ..Query::default() }).await,
        Some(_) => Ok(Vec::new()),
    };
    let mut journal = Journal::after(said.unwrap_or_default());
    while let Some(event) = next(&world, &mut events).await {
        let mut now = clock::now();
        let mut changed = world.apply(event, now);
        for _ in 0..BATCH {
            let Ok(more) = events.try_recv() else { break };
            // It may have come while the one before was applied, and what is measured later than now counts for nothing.
            now = clock::now();
            changed |= world.apply(more, now);
        }
        // Nothing is published before all files were read.
        changed &= world.has_begun();
        if changed {
            let fleet = world.fleet();
            // Envoys are not woken for what only people see. The first state is always one to be told of.
            if outputs.fleet.generation() == 0 || !fleet.is_same(&outputs.fleet.load()) {
                outputs.fleet.publish(fleet);
            }
        }
        let notes = world.take_notes();
        let entries = journal.entries(&notes, now);
        // One of several Serins writes for all. What the others hear of files is in their logs, and waits in the world.
        if let Ok(token) = world.token() {
            let (documents, switches, settled) =
                (world.take_documents(), world.take_switches(), world.take_settled());
            keep(
                &outputs.store,
                Commit { token, entries, documents, switches, settled, ..Commit::default() },
            );
        } else {
            remember(&outputs.store, world.take_documents_aside(), world.take_switches());
        }
        // Envoys first: those that were woken wait for this thread.
        tokio::task::yield_now().await;
        // Whoever sees it finds it in the journal.
        if changed {
            outputs.view.publish(world.view());
        }
        if let Some(unlisted) = world.take_unlisted() {
            outputs.unlisted.publish(unlisted);
        }
        // Kept first: what follows from it is published when the store has answered.
        if let Some(proposal) = world.take_proposal()
            && let Err(lost) = outputs.proposals.try_send(proposal)
        {
            // There is one at a time, so this only happens when everything stops.
            let id = lost.into_inner().id;
            world.apply(Event::Committed(id, Err("Serin is stopping".into())), now);
        }
        if let Some(Wants { compared, questions, duty }) = world.take_wants() {
            if duty != *outputs.duty.load() {
                outputs.duty.publish(duty);
            }
            if compared != *outputs.compared.load() {
                outputs.compared.publish(compared);
            }
            if questions != *outputs.questions.load() {
                outputs.questions.publish(questions);
            }
        }
        for notice in world.take_notices() {
            // Whoever tells others takes them at once, so this only happens when everything stops.
            if let Err(lost) = outputs.notices.try_send(notice) {
                let lost = lost.into_inner();
                tracing::error!(gateway = %lost.gateway, "nobody is told: {}", lost.message);
            }
        }
        if let (Some(latest), Some(credentials)) = (&outputs.credentials, world.take_credentials()) {
            latest.publish(credentials);
        }
        if let (Some(latest), Some(credentials)) = (&outputs.http_credentials, world.take_http_credentials())
        {
            latest.publish(credentials);
        }
        if let (Some(latest), Some(tokens)) = (&outputs.tokens, world.take_tokens()) {
            latest.publish(tokens);
        }
        for order in world.take_handed() {
            if let Err(lost) = outputs.handed.try_send(order) {
                let why = "too many orders wait for the control plane that leads; try again in a few seconds";
                if let Some(back) = lost.into_inner().refuse(Refusal::Elsewhere(why.to_owned())) {
                    world.apply(back, now);
                }
            }
        }
        for (asker, reply) in world.take_answers() {
            asker.answer(reply);
        }
        log(&notes);
        for note in notes {
            // No reader is not an error.
            let _ = outputs.notes.send(note);
        }
    }
}

/// The next event, or a tick when the world's deadline comes first.
async fn next(world: &World, events: &mut mpsc::Receiver<Event>) -> Option<Event> {
    let Some(deadline) = world.deadline() else { return events.recv().await };
    // A little late rather than a little early, which would spin.
    let wait = deadline.since(clock::now()) + Duration::from_millis(1);
    tokio::select! {
        event = events.recv() => event,
        () = tokio::time::sleep(wait) => Some(Event::Tick),
    }
}

/// Traffic never waits for what is kept here, so nobody waits for its end.
fn keep(store: &Handle, commit: Commit) {
    if commit != (Commit { token: commit.token, ..Commit::default() })
        && let Err(lost) = store.note(commit)
    {
        let (entries, documents, switches) = (lost.entries.len(), lost.documents.len(), lost.switches.len());
        tracing::error!(entries, documents, switches, "the store is too slow: not kept, only in this log");
    }
}

/// For a start of this Serin alone.
fn remember(
    store: &Handle,
    documents: BTreeMap<Arc<str>, Option<Arc<str>>>,
    switches: BTreeMap<Arc<str>, bool>,
) {
    if documents.is_empty() && switches.is_empty() {
        return;
    }
    if !store.remember(Memory::Own { documents, switches }) {
        tracing::warn!("the store is too slow: a start without it would not know of the newest files");
    }
}

/// A line for each note; but gateways beyond [`LINES`] that fare alike come to one line with their number.
fn log(notes: &[Note]) {
    let mut crowds = Vec::new();
    for (kind, what) in
        [(NoteKind::Loaded, "loaded"), (NoteKind::Changed, "changed"), (NoteKind::Removed, "removed")]
    {
        let gateways = notes.iter().filter(|note| note.kind == kind).count();
        if gateways > LINES {
            tracing::info!(gateways, "{what}");
            crowds.push(kind);
        }
    }
    for note in notes {
        let gateway = note.gateway.as_ref().map(tracing::field::display);
        match note.kind {
            NoteKind::Alarm => tracing::error!(gateway, "{}", note.message),
            NoteKind::Invalid | NoteKind::Refused | NoteKind::Vanished | NoteKind::Stopped => {
                tracing::warn!(gateway, "{}", note.message);
            }
            kind if crowds.contains(&kind) => tracing::debug!(gateway, "{}", note.message),
            NoteKind::Loaded
            | NoteKind::Changed
            | NoteKind::Edited
            | NoteKind::Removed
            | NoteKind::Repaired
            | NoteKind::Rollout
            | NoteKind::Leader
            | NoteKind::Switched => {
                let actor = note.by.as_ref().map(|by| by.actor.as_str());
                tracing::info!(gateway, actor, "{}", note.message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Content, Document};
    use crate::control::{By, Changes, Edit};
    use crate::model::Settings;
    use crate::store::{self, Sqlite};

    /// As many files as keep the loop busy for a while.
    fn files() -> Event {
        let file = |n: usize| {
            let text = format!(
                "apiVersion: serin/v1\nname: g{n}\npath: /g{n}\nupstreams: {{ v1: http://10.0.0.1:80 }}\n"
            );
            let path = Arc::from(format!("g{n}.yaml"));
            let content = Content::Text(text.into_bytes().into());
            (Arc::clone(&path), Some(Document { path, content }.into()))
        };
        Event::Files(Changes { documents: (0..500).map(file).collect(), ..Changes::default() })
    }

    #[tokio::test]
    async fn what_comes_while_the_loop_is_busy_is_not_taken_for_earlier_than_it_was() {
        let (store, work, _answers) = store::run::start(Box::new(Sqlite::in_memory().unwrap()), None);
        let (events_in, events) = mpsc::channel(1024);
        let outputs = Outputs {
            fleet: Latest::new(Fleet::default()),
            view: Latest::new(View::default()),
            unlisted: Latest::new(Unlisted::default()),
            proposals: mpsc::channel(1).0,
            compared: Latest::new(Compared::new()),
            duty: Latest::new(Duty::default()),
            questions: Latest::new(Questions::new()),
            handed: mpsc::channel(1).0,
            notices: mpsc::channel(1).0,
            credentials: None,
            http_credentials: None,
            tokens: None,
            notes: broadcast::Sender::new(4096),
            store,
        };
        let mut notes = outputs.notes.subscribe();
        let work = std::thread::spawn(|| work.run());
        // From another thread, since the loop holds this one while it is busy.
        let giver = std::thread::spawn(move || {
            events_in.blocking_send(files()).unwrap();
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(1));
                let by = By { actor: "ann".into(), reason: None };
                let edit = Edit { gateway: None, by, message: clock::now().0.to_string() };
                events_in.blocking_send(Event::Edited(edit)).unwrap();
            }
        });
        run(World::new(Settings::default()), events, outputs).await;
        giver.join().unwrap();
        work.join().unwrap();
        let mut edits = 0;
        while let Ok(note) = notes.try_recv() {
            if note.kind == NoteKind::Edited {
                edits += 1;
                assert!(note.time.0 >= note.message.parse().unwrap(), "{note:?}");
            }
        }
        assert_eq!(edits, 100);
    }
}
