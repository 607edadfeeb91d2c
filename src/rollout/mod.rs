//! May this canary take more traffic?
//!
//! Pure: what the file asks for, the state so far, what happened and the time in; the next state and sentences out.

mod phase;
mod verbs;

pub use phase::Phase;
pub use verbs::{Order, Outcome, Refusal, Verb};
