//! Switches for all gateways at once, thrown by people while everything runs.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Requests are mirrored to the shadows that gateways name.
    Shadow,
}

impl Switch {
    /// All there are.
    pub const ALL: [Self; 1] = [Self::Shadow];

    /// The word of the API and of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
        }
    }

    /// The switch of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|switch| switch.name() == name)
    }
}

/// What is on. Everything is, until somebody switches it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// See [`Switch::Shadow`].
    pub shadow: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { shadow: true }
    }
}

impl Switches {
    /// As they were kept, by name; one that this version does not have has no effect.
    pub fn restored(kept: &BTreeMap<Arc<str>, bool>) -> Self {
        let mut switches = Self::default();
        for (name, is_on) in kept {
            if let Some(switch) = Switch::of_name(name) {
                switches.set(switch, *is_on);
            }
        }
        switches
    }

    /// Whether something is on.
    pub fn is_on(self, switch: Switch) -> bool {
        match switch {
            Switch::Shadow => self.shadow,
        }
    }

    /// Switches something on or off.
    pub fn set(&mut self, switch: Switch, on: bool) {
        match switch {
            Switch::Shadow => self.shadow = on,
        }
    }

    /// The name of each switch, and whether it is on.
    pub fn positions(self) -> BTreeMap<&'static str, bool> {
        Switch::ALL.into_iter().map(|switch| (switch.name(), self.is_on(switch))).collect()
    }
}
