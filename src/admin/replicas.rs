//! `GET /api/v1/replicas`: who of several Serins with one store decides, who is there, and how far their files differ.

use super::Sources;
use crate::clock::Timestamp;
use crate::store::Seat;
use crate::store::roster::Member;
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
    /// All that are there, by name, and at least the one that answers.
    pub replicas: Vec<Replica>,
}

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// How people find it.
    pub name: Arc<str>,
    /// Serin's.
    pub version: Arc<str>,
    /// When it started, by its own clock; null: it is not registered yet.
    pub since: Option<Timestamp>,
    /// Whether it decides.
    pub leads: bool,
    /// Whether it is the one that answers.
    pub answers: bool,
    /// Whether nothing was heard of it for some seconds.
    pub silent: bool,
    /// How many gateways its files have.
    pub gateways: u64,
    /// How its files differ from those of the one that decides; null: nobody does, or it is not known yet.
    pub differing: Option<Differing>,
}

/// The gateways whose files are not the same.
#[derive(Debug, Serialize)]
pub struct Differing {
    /// How many.
    pub count: u64,
    /// The first of them, by name.
    pub names: Vec<Arc<str>>,
}

impl From<&Member> for Replica {
    fn from(member: &Member) -> Self {
        let differing = member.differing.as_ref();
        Self {
            name: Arc::clone(&member.name),
            version: Arc::clone(&member.version),
            since: Some(member.since),
            leads: member.leads,
            answers: member.is_this,
            silent: member.is_silent,
            gateways: member.gateways,
            differing: differing.map(|d| Differing { count: d.count, names: d.names.clone() }),
        }
    }
}

/// Who decides and who is there, as this one knows it.
pub(super) async fn show(State(sources): State<Sources>) -> Json<Replicas> {
    let view = sources.view.load();
    let leads = view.leads;
    let mut replicas: Vec<Replica> = sources.members.load().iter().map(Replica::from).collect();
    if !replicas.iter().any(|replica| replica.answers) {
        let gateways = view.gateways.values().filter(|gateway| gateway.file_tag.is_some()).count();
        replicas.push(Replica {
            name: Arc::clone(&sources.name),
            version: env!("CARGO_PKG_VERSION").into(),
            since: None,
            leads,
            answers: true,
            silent: false,
            gateways: u64::try_from(gateways).unwrap_or(u64::MAX),
            differing: None,
        });
    }
    let mut page = Replicas {
        shared: view.seat.is_some(),
        name: Arc::clone(&sources.name),
        leads,
        leader: leads.then(|| Arc::clone(&sources.name)),
        since: view.seat.as_ref().map(|(_, since)| *since),
        failure: None,
        replicas,
    };
    match &view.seat {
        Some((Seat::Follows { leader }, _)) => page.leader = leader.as_deref().map(Arc::from),
        Some((Seat::Cut { why }, _)) => page.failure = Some(why.clone()),
        Some((Seat::Leads { .. }, _)) | None => {}
    }
    Json(page)
}

/// Why a gateway file cannot be changed here.
#[derive(Debug)]
pub(super) struct Hindrance {
    pub(super) why: String,
    /// Whether it passes by itself: the same request may be carried out a moment later.
    pub(super) passes: bool,
}

impl Sources {
    /// Why a gateway file cannot be changed here, or without one, why no file can be created.
    pub(super) async fn hindrance(&self, file: Option<&str>) -> Option<Hindrance> {
        let hindrance = |passes, why| Some(Hindrance { why, passes });
        // Only who leads writes the journal, and nothing is changed without a line there.
        match &self.view.load().seat {
            None | Some((Seat::Leads { .. }, _)) => {}
            Some((Seat::Follows { leader: Some(leader) }, _)) => {
                return hindrance(
                    false,
                    format!("the serin at {leader} leads the rollouts; change files there"),
                );
            }
            Some((Seat::Follows { leader: None }, _)) => {
                let why = "no serin leads the rollouts at the moment, so that nobody writes the journal";
                return hindrance(true, format!("{why}; try again in a few seconds"));
            }
            Some((Seat::Cut { why }, _)) => {
                let how = "so nothing is changed from here; change the file itself, at each control plane";
                return hindrance(true, format!("the journal cannot be written, {how}: {why}"));
            }
        }
        hindrance(false, self.editor.hindrance(file).await?)
    }
}
