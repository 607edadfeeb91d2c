//! The state of one state-of-the-world stream
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#basic-protocol-overview>).
//!
//! A version stands for all that the client subscribed to of a kind. Clusters and listeners are sent whole, since
//! what is missing from a response is gone; of the other kinds only what changed or was asked for is sent.

use super::delta::Response;
use super::frame::{Frame, parse_nonce};
use super::subscription::Subscription;
use super::{Malformed, Verdict, kind_of_request};
use crate::resource::{ByKind, Kind, Resource, Version};
use crate::snapshot::{Set, Snapshot, concat, version_of};
use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use std::collections::BTreeSet;
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
    subscription: Subscription,
    /// What the client was offered last, or says that it holds from an earlier stream.
    version: Option<Version>,
    /// The set that `version` was made from; empty when it came from an earlier stream.
    held: Arc<Set>,
    /// Names that the client asked for and was not answered about.
    asked: BTreeSet<Arc<str>>,
    /// The last response, until it is answered.
    in_flight: Option<Vec<Arc<Resource>>>,
    /// The last answer was a refusal.
    refused: bool,
    /// What the client said it holds from an earlier stream, and nobody had taken on a stream of this process.
    confirmed: Vec<Arc<Resource>>,
    /// The nonce of the last response; a request with another one is about the past.
    nonce: u64,
}

impl Sotw {
    /// A new stream, for one kind or (`None`) for all.
    pub fn new(only: Option<Kind>) -> Self {
        Self { only, kinds: ByKind::default(), nonce: 0, early_clusters: false }
    }

    /// Takes a request. The verdict is what it says about the last response, if anything.
    pub fn on_request(&mut self, request: DiscoveryRequest) -> Result<Option<Verdict>, Malformed> {
        let Some(kind) = kind_of_request(&request.type_url, self.only)? else { return Ok(None) };
        let typed = self.kinds.get_mut(kind);
        let first = !typed.subscription.is_started();
        // "the server should ignore any request whose nonce is not that of its last response"
        // (.../xds_protocol#ack-nack-and-resource-type-instance-version); a new stream has no last response.
        if !first
            && !request.response_nonce.is_empty()
            && parse_nonce(&request.response_nonce) != Some(typed.nonce)
        {
            return Ok(None);
        }
        let all_before = typed.subscription.is_wildcard();
        let added = typed.subscription.replace(request.resource_names, kind.is_wildcard())?;
        if typed.subscription.is_wildcard() && !all_before {
            // Everything is more than what was sent so far.
            (typed.version, typed.held) = (None, Arc::default());
        }
        if first {
            // A client that comes back says what it holds. Only if that is not all that it asks for now, its names
            // are open questions; `next` finds out.
            let early = kind == Kind::Endpoint && std::mem::take(&mut self.early_clusters);
            typed.version = Version::parse(&request.version_info).filter(|_| !early);
        }
        if typed.version.is_none() || !first {
            typed.asked.extend(added);
        }
        if first || request.response_nonce.is_empty() {
            return Ok(None);
        }
        Ok(typed.answered(kind, request.error_detail.map(|e| e.message)))
    }

    /// The next response that brings the client closer to `snapshot`, in make-before-break order.
    ///
    /// Nothing can be taken away apart from what is added, so the order of taking away is up to the snapshots:
    /// they keep what was referred to until it no longer is.
    pub fn next(&mut self, snapshot: &Snapshot) -> Option<Response> {
        for kind in Kind::ALL {
            if kind >= Kind::Listener && self.is_without(Kind::Cluster) {
                return None;
            }
            let Some(typed) = Some(self.kinds.get_mut(kind)).filter(|t| t.subscription.is_started()) else {
                continue;
            };
            let set = snapshot.set(kind);
            // Without any scope there is no listener that looks for one, but connections of a listener that was there
            // may still be served by those that it knew: they go with it.
            if kind == Kind::ScopedRoute && set.is_empty() && typed.version.is_some() {
                continue;
            }
            let before = Arc::clone(&typed.held);
            let Some((version, resources, encoded)) = typed.news(set, kind.is_wildcard()) else { continue };
            self.nonce += 1;
            typed.nonce = self.nonce;
            typed.in_flight = Some(resources);
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
                if endpoints.subscription.names().contains(name) {
                    endpoints.asked.insert(Arc::clone(name));
                }
            });
        } else {
            self.early_clusters = true;
        }
    }

    /// What the client turned out to hold from an earlier stream, of which no Envoy had said so before: as good as
    /// taken. After a restart of the control plane this is how it learns that what it serves is sound.
    pub fn confirmed(&mut self) -> Option<Verdict> {
        Kind::ALL.into_iter().find_map(|kind| {
            let typed = Some(self.kinds.get_mut(kind)).filter(|t| !t.confirmed.is_empty())?;
            let (first, version) = (std::mem::take(&mut typed.confirmed), typed.version.unwrap_or_default());
            Some(Verdict::Accepted { kind, version, first, refusing: false })
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
    /// What there is to say. Of clusters, listeners and scopes an answer holds the whole state, and what is missing in it
    /// is gone; of the others it may hold a part
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#grouping-resources-into-responses>,
    /// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#deleting-resources>).
    fn news(&mut self, set: &Arc<Set>, whole: bool) -> Option<(Version, Vec<Arc<Resource>>, Bytes)> {
        if Arc::ptr_eq(&self.held, set) && self.asked.is_empty() && self.version.is_some() {
            return None;
        }
        let all = self.subscription.is_wildcard();
        if !all && self.subscription.names().is_empty() {
            // It wants nothing (any more); an empty answer would only be about that.
            return None;
        }
        let subset = || self.subscription.names().iter().filter_map(|name| set.get(name));
        let version = if all { set.version() } else { version_of(subset()) };
        let came_back = self.held.is_empty() && self.version == Some(version);
        if came_back && self.asked.is_empty() {
            let all_of_it = set.resources().filter(|r| all || self.subscription.covers(r.name()));
            self.confirmed.extend(all_of_it.filter(|r| r.accept()).cloned());
            self.held = Arc::clone(set);
            return None;
        }
        let resources: Vec<Arc<Resource>> = if all {
            set.resources().cloned().collect()
        } else if whole || self.held.is_empty() {
            subset().cloned().collect()
        } else {
            let changed =
                |r: &&Arc<Resource>| self.held.get(r.name()).map(|h| h.version()) != Some(r.version());
            subset().filter(|r| self.asked.contains(r.name()) || changed(r)).cloned().collect()
        };
        let known = self.version == Some(version);
        self.held = Arc::clone(set);
        self.version = Some(version);
        // Names that do not exist (yet) have no answer in this protocol; they are answered when they do.
        let answers = self.asked.iter().any(|name| set.get(name).is_some());
        self.asked.clear();
        if (known && !answers) || (!whole && resources.is_empty()) {
            return None;
        }
        let encoded = if resources.len() == set.len() {
            set.all_sotw()
        } else {
            concat(resources.iter().map(|r| r.sotw_field()))
        };
        Some((version, resources, encoded))
    }

    /// The client took or refused the last response
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version>).
    fn answered(&mut self, kind: Kind, refusal: Option<String>) -> Option<Verdict> {
        let resources = self.in_flight.take()?;
        self.refused = refusal.is_some();
        match refusal {
            None => {
                let first = resources.into_iter().filter(|r| r.accept()).collect();
                Some(Verdict::Accepted {
                    kind,
                    version: self.version.unwrap_or_default(),
                    first,
                    refusing: false,
                })
            }
            // `version` stays what was refused, so that it is not offered again.
            Some(text) => Some(Verdict::Refused { kind, resources, text }),
        }
    }
}
