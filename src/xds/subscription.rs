//! What a client asked for, of one kind.
//!
//! There are two ways to ask for everything, the name `*` and, for the kinds that allow it, a first request
//! without names; they end differently
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return>).

use super::names::{Names, digest};
use super::{MAX_NAMES, Malformed};
use crate::snapshot::Set;
use std::collections::BTreeSet;
use std::sync::Arc;

const WILDCARD: &str = "*";

/// What a client asked for, of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscription {
    /// Whether the client has asked for anything on this stream.
    started: bool,
    /// Whether it ever said a name, `*` included: from then on an empty list means nothing.
    named: bool,
    wildcard: bool,
    names: Names,
}

impl Subscription {
    /// Whether the client has asked for anything on this stream.
    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether it asked for everything.
    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether it wants to hear of this resource.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether it asked for this resource by its name.
    pub(super) fn covers_by_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The names it asked for, besides everything.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Whether there is nothing in a set that it does not want to hear of; after [`Subscription::move_to`] this set.
    pub(super) fn covers_all(&self, set: &Arc<Set>) -> bool {
        self.wildcard || self.names.cover(set)
    }

    /// See [`Names::move_to`].
    pub(super) fn move_to(&mut self, set: &Arc<Set>) {
        self.names.move_to(set);
    }

    /// Takes a first list of names, without duplicates, if it is that of all that there is.
    pub(super) fn begin_with_all(&mut self, list: &[String], set: &Arc<Set>) -> bool {
        let all = !list.is_empty()
            && list.len() == set.len()
            && digest(list.iter().map(String::as_str)) == set.names_digest();
        if all {
            (self.started, self.named, self.names) = (true, true, Names::all_of(set));
        }
        all
    }

    /// The full list of a state-of-the-world request. Returns the names that are new; every name of a list that
    /// asks for everything again is not.
    ///
    /// An empty list means everything only if the client never named anything on this stream, `*` included; later
    /// it means that it wants nothing any more.
    pub(super) fn replace(
        &mut self,
        list: &[String],
        wildcard_kind: bool,
    ) -> Result<Vec<Arc<str>>, Malformed> {
        self.started = true;
        if list.is_empty() {
            // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
            (self.wildcard, self.names) = (wildcard_kind && !self.named, Names::default());
            return Ok(Vec::new());
        }
        check_count(list.len())?;
        self.named = true;
        let all = list.len();
        let list: Vec<&str> = list.iter().map(String::as_str).filter(|n| *n != WILDCARD).collect();
        self.wildcard = list.len() < all;
        // Every answer of a client repeats the list, which is mostly the one that it was.
        if list.len() == self.names.len() && digest(list.iter().copied()) == self.names.digest() {
            return Ok(Vec::new());
        }
        let list: BTreeSet<Arc<str>> = list.into_iter().map(Arc::from).collect();
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#unsubscribing-from-resources
        let gone: Vec<Arc<str>> = self.names.iter().filter(|name| !list.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| _ = self.names.remove(name));
        Ok(list.into_iter().filter(|name| self.names.insert(name)).collect())
    }

    /// The lists of a delta request. Returns the names that the client wants an answer for, known or not:
    /// * what it subscribes to, also again ("resubscribe" means "send it once more"),
    /// * under a wildcard, what it unsubscribes from: it still wants to hear of it, as a part of everything
    ///   (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#unsubscribing-from-resources>).
    pub(super) fn update(
        &mut self,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        wildcard_kind: bool,
    ) -> Result<Vec<Arc<str>>, Malformed> {
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
        if !self.started && wildcard_kind && subscribe.is_empty() {
            self.wildcard = true;
        }
        self.started = true;
        let new = subscribe.iter().filter(|name| !self.names.contains(name.as_str())).count();
        check_count(self.names.len() + new)?;
        let mut asked = Vec::new();
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = true;
                continue;
            }
            let name: Arc<str> = name.into();
            self.names.insert(&name);
            asked.push(name);
        }
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
            } else if self.names.remove(&name) && self.wildcard {
                asked.push(name.into());
            }
        }
        Ok(asked)
    }
}

fn check_count(count: usize) -> Result<(), Malformed> {
    if count > MAX_NAMES { Err(Malformed::TooManyNames(MAX_NAMES)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn an_empty_first_request_means_everything_for_clusters_and_nothing_for_routes() {
        let mut clusters = Subscription::default();
        clusters.update(vec![], vec![], true).unwrap();
        assert!(clusters.covers("any"));
        let mut routes = Subscription::default();
        routes.update(vec![], vec![], false).unwrap();
        assert!(!routes.covers("any") && routes.is_started());
    }

    #[test]
    fn everything_stays_when_names_are_added_and_ends_when_the_star_is_unsubscribed() {
        let mut s = Subscription::default();
        s.update(vec![], vec![], true).unwrap();
        assert_eq!(s.update(list(&["a"]), vec![], true).unwrap(), ["a".into()]);
        assert!(s.covers("b"));
        s.update(vec![], list(&["*"]), true).unwrap();
        assert!(s.covers("a") && !s.covers("b"));
    }

    #[test]
    fn what_is_unsubscribed_under_a_wildcard_is_still_answered() {
        let mut s = Subscription::default();
        s.update(list(&["*", "a"]), vec![], true).unwrap();
        assert_eq!(s.update(vec![], list(&["a", "never"]), true).unwrap(), ["a".into()]);
    }

    #[test]
    fn subscribing_again_asks_again() {
        let mut s = Subscription::default();
        s.update(list(&["a"]), vec![], false).unwrap();
        assert_eq!(s.update(list(&["a"]), vec![], false).unwrap(), ["a".into()]);
    }

    #[test]
    fn an_empty_list_after_names_means_nothing() {
        let mut s = Subscription::default();
        assert_eq!(s.replace(&list(&["a", "b"]), true).unwrap().len(), 2);
        assert_eq!(s.replace(&list(&["b", "c"]), true).unwrap(), ["c".into()]);
        s.replace(&[], true).unwrap();
        assert!(!s.covers("a") && !s.is_wildcard());
        let mut legacy = Subscription::default();
        for _ in 0..2 {
            legacy.replace(&[], true).unwrap();
            assert!(legacy.is_wildcard());
        }
        let mut explicit = Subscription::default();
        explicit.replace(&list(&["*"]), true).unwrap();
        explicit.replace(&[], true).unwrap();
        assert!(!explicit.is_wildcard());
    }

    #[test]
    fn who_asks_again_for_what_it_has_is_not_counted_twice() {
        let names: Vec<String> = (0..MAX_NAMES).map(|n| n.to_string()).collect();
        let mut s = Subscription::default();
        for _ in 0..2 {
            assert_eq!(s.update(names.clone(), vec![], false).map(|asked| asked.len()), Ok(MAX_NAMES));
        }
        assert!(s.update(list(&["one more"]), vec![], false).is_err());
    }

    #[test]
    fn a_client_cannot_subscribe_without_bound() {
        let names: Vec<String> = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
        assert_eq!(Subscription::default().replace(&names, false), Err(Malformed::TooManyNames(MAX_NAMES)));
        assert!(Subscription::default().update(names, vec![], false).is_err());
    }
}
