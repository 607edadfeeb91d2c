//! What one Envoy refuses, though others take it or may take it.

use super::super::event::{Note, NoteKind};
use super::super::exclusion::{Exclusion, Exclusions};
use super::super::offer::Version as Told;
use super::super::quarantine::{Found, Refusal};
use super::World;
use crate::clock::Timestamp;
use crate::names::GatewayName;
use crate::resource::{Kind, Resource, Version};
use crate::snapshot::Node;
use crate::translate;
use crate::xds::Offered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl World {
    /// An Envoy took something; true when it is told something else from now on.
    pub(super) fn taken_apart(
        &mut self,
        node: &Arc<Node>,
        kind: Kind,
        taken: &Offered,
        now: Timestamp,
    ) -> bool {
        let on_trial = self.quarantines.on_trial(node, kind);
        if on_trial.is_empty() {
            return false;
        }
        let board = self.boards.of(node);
        let mut gateways = BTreeSet::new();
        for resource in taken.resources().filter(|resource| board.tells(resource)) {
            match translate::owner(resource) {
                Some(owner) => gateways.extend(on_trial.get(&owner).cloned()),
                None => gateways
                    .extend(on_trial.iter().filter(|g| board.has_in_routes(g, resource.name())).cloned()),
            }
        }
        self.look_again(&gateways);
        let found = self.quarantines.taken(node, gateways, now);
        self.tell_of_refusing(node, &found, now)
    }

    /// An Envoy refused something; true when it is told something else from now on.
    pub(super) fn refuse_apart(
        &mut self,
        node: &Arc<Node>,
        kind: Kind,
        (refused, has): (&[Arc<Resource>], &BTreeMap<Arc<str>, Version>),
        text: &str,
        now: Timestamp,
    ) -> bool {
        let (mut suspects, mut told) = (Exclusions::new(), BTreeSet::new());
        let mut serves_unknown = false;
        for resource in refused {
            if let Some(owner) = translate::owner(resource) {
                suspects.extend(self.suspect(&owner, resource));
                told.insert(owner);
            } else if kind == Kind::Route {
                let board = self.boards.of(node);
                let inside = board.in_routes(resource.name()).filter(|gateway| !board.is_beyond(gateway));
                let inside: BTreeSet<GatewayName> = inside.cloned().collect();
                let has = has.get(resource.name());
                let since =
                    has.and_then(|has| self.quarantines.history.since(&(Arc::clone(resource.name()), *has)));
                serves_unknown |= has.is_some() && since.is_none();
                suspects.extend(self.changed_since(&inside, since.as_ref()));
                told.extend(inside);
            }
        }
        if told.is_empty() {
            return false;
        }
        let refusal = Refusal { kind, suspects, told, serves_unknown, text: text.to_owned() };
        let found = self.quarantines.refused(node, refusal, now);
        if found == Found::Nothing {
            let Node { id, version, .. } = &**node;
            let message =
                format!("Envoy {id} ({version}) refuses {kind}s, and nothing else can be told: {text}");
            self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
        }
        self.tell_of_refusing(node, &found, now)
    }

    /// Tells people what an Envoy turned out to refuse; true when it is told something else from now on.
    fn tell_of_refusing(&mut self, node: &Arc<Node>, found: &Found, now: Timestamp) -> bool {
        let Node { id, version, .. } = &**node;
        match found {
            Found::Nothing => return false,
            Found::Search => {}
            Found::Gateway(name) => {
                let all = self.quarantines.of(name, &self.offers);
                let Some(refusing) = all.into_iter().find(|refusing| refusing.node == *node) else {
                    return true;
                };
                let (instead, text) = (refusing.instead(), refusing.text);
                let message = format!("Envoy {id} ({version}) refuses gateway {name} and {instead}: {text}");
                self.note(now, name, NoteKind::Refused, message);
                self.look_again([name]);
            }
            Found::Before(names) => self.look_again(names),
        }
        true
    }

    /// The gateways in a route configuration of which an Envoy is told another version than it has, by what was told when it was
    /// told what it has; `None`: that is not known.
    fn changed_since(
        &self,
        inside: &BTreeSet<GatewayName>,
        since: Option<&BTreeMap<GatewayName, Option<Told>>>,
    ) -> Exclusions {
        let suspect = |name: &GatewayName| {
            let told = self.offers.versions(name).last()?;
            let refused = Arc::clone(&told.gateway);
            let instead = match since {
                Some(since) => since.get(name)?.clone(),
                None => None,
            };
            if instead.as_ref().is_some_and(|instead| instead.gateway == refused) {
                return None;
            }
            Some((name.clone(), Exclusion { refused, instead }))
        };
        inside.iter().filter_map(suspect).collect()
    }

    /// A gateway of which a cluster, its endpoints or a secret is refused.
    fn suspect(&self, owner: &GatewayName, resource: &Resource) -> Option<(GatewayName, Exclusion)> {
        let version = self.offers.version_with(owner, resource)?;
        let refused = Arc::clone(&version.gateway);
        let told = self.offers.versions(owner).last().filter(|told| told.gateway != refused);
        let instead = told.cloned().or_else(|| self.quarantines.history.before(owner));
        Some((owner.clone(), Exclusion { refused, instead }))
    }

    /// People see something else of these gateways.
    pub(super) fn look_again<'a>(&mut self, gateways: impl IntoIterator<Item = &'a GatewayName>) {
        for name in gateways {
            self.unseen.extend(self.wanted.get(name).map(|wanted| Arc::clone(&wanted.file)));
        }
    }
}
