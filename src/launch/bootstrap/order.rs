//! In which order an Envoy goes to several control planes.

use super::Bootstrap;
use crate::model::Endpoint;
use sha2::{Digest, Sha256};

impl Bootstrap {
    /// All control planes, the one first to which this Envoy goes as long as that is there.
    ///
    /// Each Envoy has an order of its own, by its name (highest random weight: D. Thaler and C. Ravishankar, "Using
    /// name-based mappings to increase hit rates", 1998). So Envoys spread evenly, those of one that is gone go to all that
    /// are left, and another one in the list takes some of each and moves nobody else.
    pub fn control_planes(&self) -> Vec<&Endpoint> {
        let mut all: Vec<&Endpoint> = std::iter::once(&self.control_plane).chain(&self.others).collect();
        all.sort_by_cached_key(|at| {
            // A length before each text, so that no two pairs are the same bytes.
            let mut hash = Sha256::new();
            for text in [self.id.as_bytes(), at.host.as_bytes()] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
            hash.update(at.port.to_be_bytes());
            <[u8; 32]>::from(hash.finalize())
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn order(id: usize, ports: &[u16]) -> Vec<u16> {
        let at = |port: &u16| Endpoint { host: "serin".into(), port: *port };
        let (first, others) = ports.split_first().unwrap();
        let others = others.iter().map(at).collect();
        let bootstrap =
            Bootstrap { id: format!("edge-{id}"), control_plane: at(first), others, ..Bootstrap::default() };
        bootstrap.control_planes().into_iter().map(|at| at.port).collect()
    }

    #[test]
    fn envoys_spread_over_all_and_those_of_one_that_is_gone_over_the_rest() {
        let mut counts: BTreeMap<Vec<u16>, usize> = BTreeMap::new();
        for id in 0..6_000 {
            *counts.entry(order(id, &[1, 2, 3])).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_more_moves_nobody_else_and_how_they_are_written_does_not_matter() {
        for id in 0..500 {
            let three = order(id, &[1, 2, 3]);
            assert_eq!(order(id, &[3, 1, 2]), three);
            let mut four = order(id, &[1, 2, 3, 4]);
            four.retain(|port| *port != 4);
            assert_eq!(four, three);
        }
    }
}
