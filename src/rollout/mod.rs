//! May this canary take more traffic?
//!
//! Pure: what the file asks for ([`Plan`]), where it stands ([`State`]), what happened ([`Input`], [`Order`]) and the
//! time in; the next state and sentences out ([`Transition`]). Who calls stores the state before anybody acts on it.
//! The mathematics is [`stats`](crate::stats)'s; here is who may do what when.

mod badness;
mod entry;
mod first;
mod orders;
mod phase;
mod plan;
mod sentence;
mod state;
mod step;
mod verbs;

pub use badness::badness;
pub use entry::{Entry, EntryKind, Transition};
pub use first::{Agreed, Reading, Shadowed};
pub use orders::{Done, order};
pub use phase::Phase;
pub use plan::{Identity, Plan, Side, settings};
pub use state::{Cause, ENGINE, Evidence, FILE, Pause, Stage, State, WeightAt};
pub use step::{Input, Report, adopt, deadline, end, step};
pub use verbs::{Order, Outcome, Refusal, Verb};

#[cfg(test)]
mod tests;
