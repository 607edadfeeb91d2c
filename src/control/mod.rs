//! The one loop: events in, decisions, snapshots and views out.
//!
//! # One turn
//! [`World`] owns all state. [`World::apply`] takes an event and the time, and says what happened as [`Note`]s; it
//! is pure, so every course of events can be played in a test. [`run`] waits for events, applies them one at a
//! time, and publishes the new [`Fleet`](crate::snapshot::Fleet) for Envoys and the new [`View`] for people.
//!
//! # From files to what is served
//! 1. `files`: each file has its newest version and the last good one. A broken file serves its last good
//!    version; a file that vanished serves on for [`GRACE`]; when all files vanish, everything serves on.
//! 2. `settle`: two files may claim the same name or place; the one that was there first has it.
//! 3. `trial`: what Envoys refuse goes back to the version that they took, gateway by gateway.
//!    `quarantine`: an Envoy that refuses what others take is told everything but that.
//! 4. `offer`: what Envoys are told: a new upstream's cluster before its traffic, the cluster of one that left
//!    for [`LINGER`] after its traffic.
//! 5. `board`: what each audience is told, put together.
//!
//! # Cost
//! A turn costs what changed, whatever the number of gateways: each step hands on which gateways it is about, and what
//! is shared with readers (snapshots, views) shares with its successor all that stayed the same. The one exception is
//! a route configuration that holds the routes of many gateways.

mod agreements;
mod blamed;
mod board;
mod certificates;
mod claims;
mod command;
mod door;
mod event;
mod exclusion;
mod expiries;
mod file;
mod files;
mod handed;
mod history;
mod issuers;
mod journal;
mod notice;
mod offer;
mod proxyless;
mod quarantine;
mod questions;
mod renewal;
mod replies;
mod rollout_view;
mod rollouts;
pub mod run;
mod trial;
mod unlisted;
mod view;
mod world;

pub use command::{Asker, By, Command, Draft, Edit, Reply, Throw};
pub use event::{
    Answered, Changes, Event, Measured, Note, NoteKind, Others, Outcome, Point, Readings, Row, Rows,
};
pub use expiries::Validities;
pub use handed::{Handed, Pending, taken};
pub use issuers::{Fetch, Fetched};
pub use notice::{Notice, Release};
pub use questions::{Question, Questions};
pub use rollout_view::{MetricView, RolloutView, ShadowFirstView, StepView};
pub use rollouts::{Compared, OverrideView, Proposal, Wants};
pub use unlisted::Unlisted;
pub use view::{GatewayView, Phase, Refusing, UpstreamView, View};
pub use world::World;

use std::time::Duration;

/// How long a gateway serves on after its file vanished: a moved or re-created file must not cut traffic.
pub const GRACE: Duration = Duration::from_secs(30);
/// How long what routes no longer refer to is kept: slow Envoys may still send to it.
pub const LINGER: Duration = Duration::from_secs(5);
/// How long a new upstream's cluster is known before it gets traffic: for the endpoints to be resolved. A health
/// check adds its own timeout.
pub const WARM_UP: Duration = Duration::from_millis(250);
/// The longest that a slow health check may hold up a change.
pub const WARM_UP_MAX: Duration = Duration::from_secs(10);
/// How long a gateway waits for its turn while Envoys are asked which of several changes they refuse.
pub const TRIAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
