//! How people and programs see the control plane: HTTP for the one, gRPC for the other, the same facts.
//!
//! What is shown comes from published values ([`crate::control::View`], [`crate::xds::Registry`],
//! [`crate::telemetry::Table`]) and from the journal. What people want goes to the loop as a command, which answers when
//! it is kept.

mod access;
mod actions;
mod alarms;
mod api;
mod editor;
mod events;
mod files;
pub mod grpc;
mod metrics;
mod numbers;
mod problem;
mod replicas;
mod seats;
mod session;
mod switches;
mod ui;
pub mod watch;

pub use access::{Access, Peer};
pub use alarms::{Alarm, Alarms};
pub use api::{GatewayList, ProxyList, ProxyView, ResourceView, TypeView, resources_of, router};
pub use editor::{Editor, Edits};
pub use files::{GatewayFile, Validation, Written};
pub use numbers::{Difference, GatewayNumbers, Recent, UpstreamNumbers};
pub use replicas::{Differing, Replica, Replicas};
pub use session::{Editing, Session};

use crate::compare::Reports;
use crate::control::{Event, Unlisted, View};
use crate::latest::Latest;
use crate::messages::Counters;
use crate::store::roster::Member;
use crate::store::run::Handle;
use crate::telemetry::Table;
use crate::xds::Registry;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::watch as signal;

/// What handlers read from, and whom they ask.
#[derive(Clone, Debug)]
pub struct Sources {
    /// How people find this Serin among others.
    pub name: Arc<str>,
    /// Gateways and what Envoys are told.
    pub view: Arc<Latest<View>>,
    /// Directories that cannot be listed, also before there is a view.
    pub unlisted: Arc<Latest<Unlisted>>,
    /// Connected Envoys.
    pub registry: Arc<Registry>,
    /// The journal.
    pub store: Handle,
    /// The loop, for commands.
    pub events: mpsc::Sender<Event>,
    /// True when everything stops, so that streams end.
    pub stopped: signal::Receiver<bool>,
    /// Who comes in.
    pub access: Access,
    /// The gateway files.
    pub editor: Arc<Editor>,
    /// What Envoys measured.
    pub table: Arc<Latest<Table>>,
    /// How the answers of shadows compare.
    pub reports: Arc<Latest<Reports>>,
    /// What became of messages to others.
    pub told: Arc<Counters>,
    /// Which control planes share the store.
    pub members: Arc<Latest<Vec<Member>>>,
    /// What changes, for pages that stay open.
    pub hub: watch::Hub,
}

impl Sources {
    /// Whether all files were read, so that Envoys are answered.
    fn is_ready(&self) -> bool {
        self.view.generation() > 0
    }
}
