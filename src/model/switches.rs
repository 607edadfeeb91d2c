//! Switches for all gateways at once.

/// What is on. Everything is, until somebody switches it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Requests are mirrored to the shadows that gateways name.
    pub shadow: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { shadow: true }
    }
}
