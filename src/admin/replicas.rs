//! `GET /api/v1/replicas`: who of several Serins with one store decides.

use super::Sources;
use crate::clock::Timestamp;
use crate::store::Seat;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Replicas {
    /// Whether several may share the store; else this one decides alone, and the rest says so.
    pub shared: bool,
    /// How people find the Serin that answers.
    pub name: Arc<str>,
    /// Whether that one decides.
    pub leads: bool,
    /// How people find the one that decides; null: nobody does at the moment, or it is not known who.
    pub leader: Option<Arc<str>>,
    /// Since when the one that answers knows it so; null where nothing is shared.
    pub since: Option<Timestamp>,
    /// Why it is not known.
    pub failure: Option<String>,
}

/// Who decides, as this one knows it.
pub(super) async fn show(State(sources): State<Sources>) -> Json<Replicas> {
    let view = sources.view.load();
    let leads = view.leads;
    let mut page = Replicas {
        shared: view.seat.is_some(),
        name: Arc::clone(&sources.name),
        leads,
        leader: leads.then(|| Arc::clone(&sources.name)),
        since: view.seat.as_ref().map(|(_, since)| *since),
        failure: None,
    };
    match &view.seat {
        Some((Seat::Follows { leader }, _)) => page.leader = leader.as_deref().map(Arc::from),
        Some((Seat::Cut { why }, _)) => page.failure = Some(why.clone()),
        Some((Seat::Leads { .. }, _)) | None => {}
    }
    Json(page)
}

impl Sources {
    /// Why a gateway file cannot be changed here, or without one, why no file can be created.
    pub(super) async fn hindrance(&self, file: Option<&str>) -> Option<String> {
        // Only who leads writes the journal, and nothing is changed without a line there.
        if let Some((Seat::Follows { leader: Some(leader) }, _)) = &self.view.load().seat {
            return Some(format!("the serin at {leader} leads the rollouts; change files there"));
        }
        self.editor.hindrance(file).await
    }
}
