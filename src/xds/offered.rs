//! The resources of one response, kept until it is answered.

use crate::resource::Resource;
use crate::snapshot::Set;
use std::sync::Arc;

/// The resources of one response.
#[derive(Clone, Debug)]
pub enum Offered {
    /// All there were, which the stream shares with others.
    All(Arc<Set>),
    /// Some.
    Some(Vec<Arc<Resource>>),
}

impl Default for Offered {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Offered {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::All(set) => set.len(),
            Self::Some(resources) => resources.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The resources, by name.
    pub fn resources(&self) -> Box<dyn Iterator<Item = &Arc<Resource>> + '_> {
        match self {
            Self::All(set) => Box::new(set.resources()),
            Self::Some(resources) => Box::new(resources.iter()),
        }
    }

    /// They are taken. Returns those that no Envoy had taken before.
    pub(super) fn accept(&self) -> Vec<Arc<Resource>> {
        self.resources().filter(|r| r.accept()).cloned().collect()
    }

    /// The resources themselves.
    pub(super) fn into_vec(self) -> Vec<Arc<Resource>> {
        match self {
            Self::All(set) => set.resources().cloned().collect(),
            Self::Some(resources) => resources,
        }
    }
}
