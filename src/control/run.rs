//! The loop itself: waits, applies, publishes. It decides nothing.

use super::{Compared, Event, Note, NoteKind, Notice, Proposal, Questions, View, Wants, World};
use crate::clock;
use crate::latest::Latest;
use crate::mtls::Credentials;
use crate::snapshot::Fleet;
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
    /// For the store.
    pub proposals: mpsc::Sender<Proposal>,
    /// For whoever measures.
    pub compared: Arc<Latest<Compared>>,
    /// For whoever asks others.
    pub questions: Arc<Latest<Questions>>,
    /// For whoever tells others.
    pub notices: mpsc::Sender<Notice>,
    /// For those who come next to the xDS port, when certificates matter there.
    pub credentials: Option<Arc<Latest<Credentials>>>,
    /// What happens, as it happens. A reader that is too slow misses some and is told so.
    pub notes: broadcast::Sender<Note>,
}

/// Events that are applied before what they came to is published: a storm of them must not hold it up.
const BATCH: usize = 256;

/// Runs until the queue is closed.
pub async fn run(mut world: World, mut events: mpsc::Receiver<Event>, outputs: Outputs) {
    // Nothing is published before the first event, which holds all files.
    while let Some(event) = next(&world, &mut events).await {
        let now = clock::now();
        let mut changed = world.apply(event, now);
        for _ in 0..BATCH {
            let Ok(more) = events.try_recv() else { break };
            changed |= world.apply(more, now);
        }
        if changed {
            let fleet = world.fleet();
            // Envoys are not woken for what only people see. The first state is always one to be told of.
            if outputs.fleet.generation() == 0 || !fleet.is_same(&outputs.fleet.load()) {
                outputs.fleet.publish(fleet);
            }
            outputs.view.publish(world.view());
        }
        // Kept first: what follows from it is published when the store has answered.
        if let Some(proposal) = world.take_proposal()
            && let Err(lost) = outputs.proposals.try_send(proposal)
        {
            // There is one at a time, so this only happens when everything stops.
            let id = lost.into_inner().id;
            world.apply(Event::Committed(id, Err("Serin is stopping".into())), now);
        }
        if let Some(Wants { compared, questions }) = world.take_wants() {
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
        for (asker, reply) in world.take_answers() {
            asker.answer(reply);
        }
        for note in world.take_notes() {
            log(&note);
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

fn log(note: &Note) {
    let gateway = note.gateway.as_ref().map(tracing::field::display);
    match note.kind {
        NoteKind::Alarm => tracing::error!(gateway, "{}", note.message),
        NoteKind::Invalid | NoteKind::Refused | NoteKind::Vanished | NoteKind::Stopped => {
            tracing::warn!(gateway, "{}", note.message);
        }
        NoteKind::Loaded | NoteKind::Changed | NoteKind::Removed | NoteKind::Repaired | NoteKind::Rollout => {
            tracing::info!(gateway, "{}", note.message);
        }
    }
}
