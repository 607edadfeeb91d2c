//! What Envoys measured: their statistics come back over the connection on which they are told their configuration.
//!
//! # The way of a number
//! 1. [`sink`]: an Envoy sends its statistics once in a flush interval, as differences, over a stream of its own.
//! 2. `wire` reads the few fields that matter where they are, `label` says what a name stands for, [`flush`] puts the
//!    messages together to whole flushes.
//! 3. [`run`](mod@run): one task owns what is known of all streams. [`series`] makes measurements of the gateways that
//!    somebody wants to decide about, [`table`] keeps numbers of all for people.
//!
//! Of several Serins with one database, what the Envoys of the others measured comes as [`Parts`], to the one that decides.
//!
//! # What an error is
//! What the client saw: answers 5xx, and everything that Envoy answers so because there was no answer (resets,
//! timeouts, refused connections, too many requests, nobody healthy). Answers 4xx are counted apart.

mod buckets;
pub mod flush;
mod label;
mod part;
pub mod run;
mod sample;
pub mod series;
pub mod sink;
pub mod table;
mod wire;

pub use buckets::{Histogram, bounds, bucket, envoy_bounds};
pub use flush::{BATCH, Flush};
pub use label::{KEYLESS, statistics};
pub use part::{Key, Others, Part, Parts};
pub use sample::{Cluster, Gauges, Sample};
pub use series::{Measurement, Outcome, Series, Wanted};
pub use table::{Numbers, Table, Totals};

/// A header of the streams of statistics by which Envoys say that they send what is read here: differences, in our
/// buckets. Its value changes with either, so that an Envoy with an older bootstrap is not misunderstood.
pub const FORM: (&str, &str) = ("x-serin-statistics", "1");
