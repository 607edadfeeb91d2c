//! What a shadow answered, compared with what the client got.

use serde::{Deserialize, Serialize};

/// How many pairs of answers of a gateway's primary and its shadow were compared, and how many of them matched: since
/// this pair of versions and these rules of comparison began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    /// All of them.
    pub compared: u64,
    /// Those without a difference.
    pub matched: u64,
}
