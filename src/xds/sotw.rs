//! The state of one state-of-the-world stream
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#basic-protocol-overview>).
//!
//! A version stands for all that the client subscribed to of a kind. Clusters and listeners are sent whole, since
//! what is missing from a response is gone; of the other kinds only what changed or was asked for is sent.

use super::behind::Behind;
use super::delta::Response;
use super::frame::{Frame, parse_nonce};
use super::offered::Offered;
use super::subscription::Subscription;
use super::{MAX_NAMES, Malformed, Verdict, kind_of_request};
use crate::resource::{ByKind, Kind, Resource, Version};
use crate::snapshot::{Set, Snapshot, concat, version_of};
use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// One state-of-the-world stream: what the client asked for, holds, and has not answered yet.
#[derive(Debug)]
pub struct Sotw {
    only: Option<Kind>,
    kinds: ByKind<Typed>,
    nonce: u64,
    /// Clusters were sent before the client asked for endpoints.
    early_clusters: bool,
}

#[derive(Debug, Default)]
struct Typed {
    /// The first request. It is read when it is known what there is, as it mostly names all of that.
    opening: Option<Box<DiscoveryRequest>>,
    subscription: Subscription,
    /// What the client was offered last, or says that it holds from an earlier stream.
    version: Option<Version>,
    /// The set that `version` was made from; empty when it came from an earlier stream.
    held: Arc<Set>,
    /// Names that the client asked for and was not answered about.
    asked: BTreeSet<Arc<str>>,
    /// The last response, until it is answered, and what the client held before.
    in_flight: Option<(Offered, Arc<Set>)>,
    /// What it has of what it refused.
    behind: Behind,
    /// Parts of a response that was refused, each to be offered alone.
    again: VecDeque<Vec<Arc<Resource>>>,
    /// The last answer was a refusal.
    refused: bool,
    /// What the client said it holds from an earlier stream, and nobody had taken on a stream of this process.
    confirmed: Vec<Arc<Resource>>,
    /// It said that it holds all that there is, and nobody was told yet.
    is_back: bool,
    /// The nonce of the last response; a request with another one is about the past.
    nonce: u64,
}

impl Sotw {
    /// A new stream, for one kind or (`None`) for all.
    pub fn new(only: Option<Kind>) -> Self {
        Self { only, kinds: ByKind::default(), nonce: 0, early_clusters: false }
    }

    /// Forgets that something was refused of a kind, so that it is offered again.
    pub(super) fn offer_again(&mut self, kind: Kind) {
        let typed = self.kinds.get_mut(kind);
        if typed.refused {
            typed.version = None;
        }
    }

    /// Takes a request. The verdict is what it says about the last response, if anything.
    pub fn on_request(&mut self, request: DiscoveryRequest) -> Result<Option<Verdict>, Malformed> {
        let Some(kind) = kind_of_request(&request.type_url, self.only)? else { return Ok(None) };
        let typed = self.kinds.get_mut(kind);
        if !typed.is_started() {
            // A new stream has no last response, so the nonce does not matter.
            if request.resource_names.len() > MAX_NAMES {
                return Err(Malformed::TooManyNames(MAX_NAMES));
            }
            typed.opening = Some(Box::new(request));
            return Ok(None);
        }
        // "the server should ignore any request whose nonce is not that of its last response"
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version
        if !request.response_nonce.is_empty() && parse_nonce(&request.response_nonce) != Some(typed.nonce) {
            return Ok(None);
        }
        self.open(kind, None);
        let typed = self.kinds.get_mut(kind);
        let all_before = typed.subscription.is_wildcard();
        let added = typed.subscription.replace(&request.resource_names, kind.is_wildcard())?;
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
        if typed.subscription.is_wildcard() && !all_before {
            // Everything is more than what was sent so far.
            (typed.version, typed.held) = (None, Arc::default());
        }
        typed.asked.extend(added);
        if request.response_nonce.is_empty() {
            return Ok(None);
        }
        Ok(typed.answered(kind, request.error_detail.map(|e| e.message)))
    }

    /// Reads the first request about a kind, if it was not read yet.
    fn open(&mut self, kind: Kind, set: Option<&Arc<Set>>) {
        let typed = self.kinds.get_mut(kind);
        let Some(request) = typed.opening.take() else { return };
        let early = kind == Kind::Endpoint && std::mem::take(&mut self.early_clusters);
        typed.begin(&request, kind.is_wildcard(), set, early);
    }

    /// The next response that brings the client closer to `snapshot`, in make-before-break order.
    ///
    /// Nothing can be taken away apart from what is added, so the order of taking away is up to the snapshots:
    /// they keep what was referred to until it no longer is.
    pub fn next(&mut self, snapshot: &Snapshot) -> Option<Response> {
        for kind in Kind::ALL {
            // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
            if kind >= Kind::Listener && self.is_without(Kind::Cluster) {
                return None;
            }
            let set = snapshot.set(kind);
            self.open(kind, Some(set));
            let Some(typed) = Some(self.kinds.get_mut(kind)).filter(|t| t.subscription.is_started()) else {
                continue;
            };
            typed.subscription.move_to(set);
            // Without any scope there is no listener that looks for one, but connections of a listener that was there
            // may still be served by those that it knew: they go with it.
            if kind == Kind::ScopedRoute && set.is_empty() && typed.version.is_some() {
                continue;
            }
            let before = Arc::clone(&typed.held);
            let Some((version, resources, encoded)) = typed.news(set, kind.is_wildcard()) else { continue };
            self.nonce += 1;
            typed.nonce = self.nonce;
            typed.in_flight = Some((resources, Arc::clone(&before)));
            if kind == Kind::Cluster {
                self.endpoints_again(&before, set);
            }
            return Some(Response { kind, version, frame: Frame::sotw(kind, version, encoded, self.nonce) });
        }
        None
    }

    /// A cluster that an Envoy replaces waits for its endpoints, though Envoy does not ask for them again, having
    /// subscribed to them already. Without them it would wait until its fetch timeout.
    fn endpoints_again(&mut self, before: &Set, clusters: &Set) {
        let endpoints = self.kinds.get_mut(Kind::Endpoint);
        if endpoints.subscription.is_started() {
            clusters.differences(before, |name| {
                if endpoints.subscription.covers_by_name(name) {
                    endpoints.asked.insert(Arc::clone(name));
                }
            });
        } else {
            self.early_clusters = true;
        }
    }

    /// What the client turned out to hold from an earlier stream: as good as taken. After a restart of the control plane this is how it learns that what it serves is sound.
    pub fn confirmed(&mut self) -> Option<Verdict> {
        Kind::ALL.into_iter().find_map(|kind| {
            let typed = Some(self.kinds.get_mut(kind)).filter(|t| t.is_back || !t.confirmed.is_empty())?;
            typed.is_back = false;
            let (first, version) = (std::mem::take(&mut typed.confirmed), typed.version.unwrap_or_default());
            let taken = Offered::Some(first.clone());
            Some(Verdict::Accepted { kind, version, first, taken, refusing: typed.refused })
        })
    }

    /// Whether the client does not have what it was offered last, or has not said so yet. What refers to it waits: the
    /// client would send requests to clusters that it does not know
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations>).
    fn is_without(&self, kind: Kind) -> bool {
        let typed = self.kinds.get(kind);
        typed.in_flight.is_some() || typed.refused
    }
}

impl Typed {
    /// Whether the client has asked for anything on this stream.
    fn is_started(&self) -> bool {
        self.opening.is_some() || self.subscription.is_started()
    }

    /// Takes the first request; `early`: the client needs its endpoints whatever it holds.
    fn begin(
        &mut self,
        request: &DiscoveryRequest,
        wildcard_kind: bool,
        set: Option<&Arc<Set>>,
        early: bool,
    ) {
        // It has something under each name, though not which version of it.
        if let Some(version) = Version::parse(&request.version_info).filter(|_| !wildcard_kind) {
            let names = request.resource_names.iter();
            names.for_each(|name| self.behind.says(&Arc::from(name.as_str()), version));
        }
        // A client that comes back says what it holds. Only if that is not all that it asks for now, its names are
        // open questions; `next` finds out.
        self.version = Version::parse(&request.version_info).filter(|_| !early);
        if set.is_some_and(|set| self.subscription.begin_with_all(&request.resource_names, set)) {
            return;
        }
        // The length was checked when it came.
        let added = self.subscription.replace(&request.resource_names, wildcard_kind).unwrap_or_default();
        if self.version.is_none() {
            self.asked.extend(added);
        }
    }

    /// What there is to say. Of clusters, listeners and scopes an answer holds the whole state, and what is missing in it
    /// is gone; of the others it may hold a part
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#grouping-resources-into-responses>,
    /// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#deleting-resources>).
    fn news(&mut self, set: &Arc<Set>, whole: bool) -> Option<(Version, Offered, Bytes)> {
        if let Some(group) = self.next_again(set) {
            let encoded = concat(group.iter().map(|r| r.sotw_field()));
            return Some((self.version.unwrap_or_default(), Offered::Some(group), encoded));
        }
        if Arc::ptr_eq(&self.held, set) && self.asked.is_empty() && self.version.is_some() {
            return None;
        }
        let names = self.subscription.names();
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#unsubscribing-from-resources
        if !self.subscription.is_wildcard() && names.is_empty() {
            // It wants nothing (any more); an empty answer would only be about that.
            return None;
        }
        let all = self.subscription.covers_all(set);
        let subset = || names.iter().filter_map(|name| set.get(name));
        let version = if all { set.version() } else { version_of(subset()) };
        // Who comes back and wants everything holds all of that version. Who wants some by name may have let go of one
        // and asked for it again since that version, of which an equal version says nothing.
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version
        let came_back = self.held.is_empty() && self.version == Some(version);
        if came_back && self.asked.is_empty() && self.subscription.is_wildcard() {
            self.confirmed.extend(set.resources().filter(|r| r.accept()).cloned());
            self.is_back = true;
            self.held = Arc::clone(set);
            return None;
        }
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#grouping-resources-into-responses
        let resources = match whole || self.held.is_empty() {
            true if all => Offered::All(Arc::clone(set)),
            true => Offered::Some(subset().cloned().collect()),
            false => Offered::Some(self.changed(set)),
        };
        // What was refused may have been taken back meanwhile, and nobody would hear that it is still refused.
        let is_refused_again = self.refused && set.is_later_than_next(&self.held);
        let known = self.version == Some(version) && !self.held.is_empty() && !is_refused_again;
        self.held = Arc::clone(set);
        self.version = Some(version);
        // Names that do not exist (yet) have no answer in this protocol; they are answered when they do.
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#knowing-when-a-requested-resource-does-not-exist
        let answers = self.asked.iter().any(|name| set.get(name).is_some());
        self.asked.clear();
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#when-to-send-an-update
        if (known && !answers) || (!whole && resources.is_empty()) {
            return None;
        }
        let encoded = if resources.len() == set.len() {
            set.all_sotw()
        } else {
            concat(resources.resources().map(|r| r.sotw_field()))
        };
        Some((version, resources, encoded))
    }

    /// The next part of a refused response that is still what there is to offer; not before the last one was answered,
    /// since a later response makes its answer one about the past.
    fn next_again(&mut self, set: &Set) -> Option<Vec<Arc<Resource>>> {
        while self.in_flight.is_none()
            && let Some(mut group) = self.again.pop_front()
        {
            let is_current = |r: &Arc<Resource>| {
                let is_it = set.get(r.name()).is_some_and(|now| now.version() == r.version());
                is_it && self.subscription.covers(r.name())
            };
            group.retain(is_current);
            if !group.is_empty() {
                return Some(group);
            }
        }
        None
    }

    /// What the client asked for anew, or holds in another version, by name.
    fn changed(&self, set: &Arc<Set>) -> Vec<Arc<Resource>> {
        let mut names = self.asked.clone();
        if let Some(change) = set.change_since(&self.held) {
            names.extend(change.upserts.iter().map(|r| Arc::clone(r.name())));
        } else {
            set.differences(&self.held, |name| _ = names.insert(Arc::clone(name)));
            names.extend(self.behind.names().cloned());
        }
        let covered = names.iter().filter(|name| self.subscription.covers_by_name(name));
        covered.filter_map(|name| set.get(name)).cloned().collect()
    }

    /// The client took or refused the last response
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version>).
    fn answered(&mut self, kind: Kind, refusal: Option<String>) -> Option<Verdict> {
        let (resources, before) = self.in_flight.take()?;
        self.refused = refusal.is_some();
        let Some(text) = refusal else {
            self.behind.took(&resources);
            let (version, first) = (self.version.unwrap_or_default(), resources.accept());
            return Some(Verdict::Accepted { kind, version, first, taken: resources, refusing: false });
        };
        let has = self.behind.refused(&resources, &before);
        let mut resources = resources.into_vec();
        if !kind.is_wildcard() && resources.len() > 1 {
            // Which of them it took before it met the bad one is not known: offer the halves, and so on down to the one.
            let back = resources.split_off(resources.len() / 2);
            self.again.extend([resources, back]);
            return None;
        }
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#nack
        // `version` stays what was refused, so that it is not offered again.
        let is_new = |r: &Arc<Resource>| has.get(r.name()) != Some(&r.version());
        if resources.iter().any(is_new) {
            resources.retain(is_new);
        }
        Some(Verdict::Refused { kind, resources, has, text })
    }
}
