//! The state of one incremental stream
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds>).
//!
//! What a client holds is not kept name by name: it is a whole set that was offered, plus the few names for which
//! the client's state is different. So a stream costs a pointer per kind, and a change of one resource costs the
//! same whatever the number of resources.

use super::behind::Behind;
use super::frame::{Frame, parse_nonce};
use super::names::Names;
use super::offered::Offered;
use super::subscription::Subscription;
use super::{MAX_NAMES, Malformed, Verdict, kind_of_request};
use crate::resource::{ByKind, Kind, Resource, Version};
use crate::snapshot::{Set, Snapshot, concat};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Unanswered responses that are remembered per kind. A client that reads and never answers costs no more.
const MAX_IN_FLIGHT: usize = 64;

/// One incremental stream: what the client asked for, holds, and has not answered yet.
#[derive(Debug)]
pub struct Delta {
    only: Option<Kind>,
    kinds: ByKind<Typed>,
    /// The sets of which there is nothing to say until the client asks. A stream looks here first, each time that
    /// anything changed, and what it does not look at need not be in a cache.
    settled: ByKind<Option<Arc<Set>>>,
    nonce: u64,
    /// Clusters that were offered before the client asked for endpoints.
    early_clusters: Names,
}

/// What there is to say to a client.
#[derive(Debug)]
pub struct Response {
    /// What it is about.
    pub kind: Kind,
    /// The version of the set that it brings the client to.
    pub version: Version,
    /// The message.
    pub frame: Frame,
}

#[derive(Debug, Default)]
struct Typed {
    /// The first request. It is read when it is known what there is, as it mostly names all of that.
    opening: Option<Box<DeltaDiscoveryRequest>>,
    subscription: Subscription,
    /// What the client holds, as far as it asked for it.
    held: Arc<Set>,
    /// Where the client's state is different from `held`.
    differs: BTreeMap<Arc<str>, Differs>,
    /// What it has of what it refused.
    behind: Behind,
    /// Parts of a response that was refused, each to be offered alone.
    again: VecDeque<Vec<Arc<Resource>>>,
    in_flight: VecDeque<Offer>,
    /// What the client said it holds from an earlier stream, and nobody had taken on a stream of this process.
    confirmed: Vec<Arc<Resource>>,
    /// It said that it holds all that there is, and nobody was told yet.
    is_back: bool,
    /// The client waits for an answer even if there is nothing to say.
    owes_answer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// It asked; whatever there is, it gets an answer.
    Asked,
    /// It holds this version.
    Holds(Version),
    /// It refused this version.
    Refused(Version),
}

/// It holds some version that is none of ours.
const UNKNOWN: Differs = Differs::Holds(Version(0));

#[derive(Debug)]
struct Offer {
    nonce: u64,
    version: Version,
    resources: Offered,
    removed: Vec<Arc<str>>,
    /// What the client held when it was offered.
    before: Arc<Set>,
}

/// Which half of the news to tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What is new; what is gone is kept for later.
    Upserts,
    /// All of it.
    Everything,
}

impl Delta {
    /// A new stream, for one kind or (`None`) for all.
    pub fn new(only: Option<Kind>) -> Self {
        Self {
            only,
            kinds: ByKind::default(),
            settled: ByKind::default(),
            nonce: 0,
            early_clusters: Names::default(),
        }
    }

    /// Forgets what was refused of a kind, so that it is offered again.
    pub(super) fn offer_again(&mut self, kind: Kind) {
        *self.settled.get_mut(kind) = None;
        let differs = self.kinds.get_mut(kind).differs.values_mut();
        differs
            .filter(|differs| matches!(differs, Differs::Refused(_)))
            .for_each(|differs| *differs = UNKNOWN);
    }

    /// Takes a request. The verdict is what it says about an earlier response, if anything.
    pub fn on_request(&mut self, request: DeltaDiscoveryRequest) -> Result<Option<Verdict>, Malformed> {
        let Some(kind) = kind_of_request(&request.type_url, self.only)? else { return Ok(None) };
        *self.settled.get_mut(kind) = None;
        let typed = self.kinds.get_mut(kind);
        if !typed.is_started() {
            let lists = [request.resource_names_subscribe.len(), request.initial_resource_versions.len()];
            if lists.into_iter().any(|len| len > MAX_NAMES) {
                return Err(Malformed::TooManyNames(MAX_NAMES));
            }
            typed.opening = Some(Box::new(request));
            return Ok(None);
        }
        self.open(kind, None);
        let typed = self.kinds.get_mut(kind);
        let all_before = typed.subscription.is_wildcard();
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#unsubscribing-from-resources
        let left = request.resource_names_unsubscribe.clone();
        let asked = typed.subscription.update(
            request.resource_names_subscribe,
            request.resource_names_unsubscribe,
            kind.is_wildcard(),
        )?;
        for name in left.iter().filter(|name| !typed.subscription.covers(name)) {
            typed.differs.remove(name.as_str());
            typed.behind.forget(name);
        }
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
        if typed.subscription.is_wildcard() && !all_before {
            typed.widen();
        }
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#knowing-when-a-requested-resource-does-not-exist
        typed.differs.extend(asked.into_iter().map(|name| (name, Differs::Asked)));
        if typed.differs.len() > 2 * MAX_NAMES {
            // Names that come and go while their answers wait for other answers would add up.
            return Err(Malformed::TooManyNames(MAX_NAMES));
        }
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#nack
        let refusal = request.error_detail.map(|e| e.message);
        Ok(parse_nonce(&request.response_nonce).and_then(|nonce| typed.answered(kind, nonce, refusal)))
    }

    /// Reads the first request about a kind, if it was not read yet.
    fn open(&mut self, kind: Kind, set: Option<&Arc<Set>>) {
        let typed = self.kinds.get_mut(kind);
        let Some(request) = typed.opening.take() else { return };
        let early = match kind {
            Kind::Endpoint => std::mem::take(&mut self.early_clusters),
            _ => Names::default(),
        };
        typed.begin(*request, kind.is_wildcard(), set, &early);
    }

    /// The next response that brings the client closer to `snapshot`; `None` when there is nothing to say until
    /// the next request or the next snapshot.
    ///
    /// Make before break: what others refer to comes first, what refers to it when clusters are acknowledged, and
    /// nothing is taken away before routes and listeners are acknowledged
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations>).
    pub fn next(&mut self, snapshot: &Snapshot) -> Option<Response> {
        const FIRST: [Kind; 4] = [Kind::Runtime, Kind::Cluster, Kind::Endpoint, Kind::Secret];
        const REFERRERS: [Kind; 3] = [Kind::Listener, Kind::ScopedRoute, Kind::Route];
        if let Some(response) = FIRST.iter().find_map(|kind| self.offer(*kind, snapshot, Part::Upserts)) {
            return Some(response);
        }
        if self.is_waiting(Kind::Cluster) {
            return None;
        }
        if let Some(response) =
            REFERRERS.iter().find_map(|kind| self.offer(*kind, snapshot, Part::Everything))
        {
            return Some(response);
        }
        if REFERRERS.iter().any(|kind| self.is_waiting(*kind)) {
            return None;
        }
        FIRST.iter().rev().find_map(|kind| self.offer(*kind, snapshot, Part::Everything))
    }

    /// What the client turned out to hold from an earlier stream: as good as taken. After a restart of the control plane this is how it learns that what it serves is sound.
    pub fn confirmed(&mut self) -> Option<Verdict> {
        Kind::ALL.into_iter().find_map(|kind| {
            let typed = Some(self.kinds.get_mut(kind)).filter(|t| t.is_back || !t.confirmed.is_empty())?;
            typed.is_back = false;
            let (first, version) = (std::mem::take(&mut typed.confirmed), typed.held.version());
            let (taken, refusing) = (Offered::Some(first.clone()), typed.is_refusing());
            Some(Verdict::Accepted { kind, version, first, taken, refusing })
        })
    }

    fn is_waiting(&self, kind: Kind) -> bool {
        !self.kinds.get(kind).in_flight.is_empty()
    }

    fn offer(&mut self, kind: Kind, snapshot: &Snapshot, part: Part) -> Option<Response> {
        let set = snapshot.set(kind);
        if self.settled.get(kind).as_ref().is_some_and(|settled| Arc::ptr_eq(settled, set)) {
            return None;
        }
        let response = self.response(kind, set, part);
        // Taking away may only have to wait.
        let settled = response.is_none() && part == Part::Everything;
        *self.settled.get_mut(kind) = settled.then(|| Arc::clone(set));
        response
    }

    fn response(&mut self, kind: Kind, set: &Arc<Set>, part: Part) -> Option<Response> {
        self.open(kind, Some(set));
        let typed = Some(self.kinds.get_mut(kind)).filter(|t| t.subscription.is_started())?;
        typed.subscription.move_to(set);
        // Without any scope there is no listener that looks for one, but connections of a listener that was there may
        // still be served by those that it knew: they go with it.
        let part = if kind == Kind::ScopedRoute && set.is_empty() { Part::Upserts } else { part };
        let before = Arc::clone(&typed.held);
        let (resources, removed, encoded) = typed.news(set, part)?;
        self.nonce += 1;
        let frame = Frame::delta(kind, set.version(), encoded, &removed, self.nonce);
        if typed.in_flight.len() == MAX_IN_FLIGHT {
            typed.in_flight.pop_front();
        }
        let version = set.version();
        let clusters = (kind == Kind::Cluster).then(|| resources.clone());
        typed.in_flight.push_back(Offer { nonce: self.nonce, version, resources, removed, before });
        clusters.into_iter().for_each(|clusters| self.endpoints_again(&clusters, set));
        Some(Response { kind, version, frame })
    }

    /// A cluster that an Envoy replaces waits for its endpoints, though Envoy does not ask for them again, having
    /// subscribed to them already. Without them it would wait until its fetch timeout.
    fn endpoints_again(&mut self, clusters: &Offered, set: &Arc<Set>) {
        let endpoints = self.kinds.get_mut(Kind::Endpoint);
        if endpoints.subscription.is_started() {
            *self.settled.get_mut(Kind::Endpoint) = None;
            endpoints.ask_again(clusters.resources().map(|r| r.name()));
        } else if self.only.is_none() {
            match clusters {
                Offered::All(all) => self.early_clusters = Names::all_of(all),
                Offered::Some(some) => some.iter().for_each(|r| _ = self.early_clusters.insert(r.name())),
            }
            self.early_clusters.move_to(set);
        }
    }
}

type News = (Offered, Vec<Arc<str>>, bytes::Bytes);

impl Typed {
    /// Whether the client has asked for anything on this stream.
    fn is_started(&self) -> bool {
        self.opening.is_some() || self.subscription.is_started()
    }

    /// Takes the first request; `early` are clusters whose endpoints the client needs whatever it holds.
    fn begin(
        &mut self,
        request: DeltaDiscoveryRequest,
        wildcard_kind: bool,
        set: Option<&Arc<Set>>,
        early: &Names,
    ) {
        let (subscribe, unsubscribe) = (request.resource_names_subscribe, request.resource_names_unsubscribe);
        let holds = request.initial_resource_versions;
        let all = unsubscribe.is_empty()
            && set.is_some_and(|set| self.subscription.begin_with_all(&subscribe, set));
        if !all {
            // The length was checked when it came.
            let asked = self.subscription.update(subscribe, unsubscribe, wildcard_kind).unwrap_or_default();
            self.differs.extend(asked.into_iter().map(|name| (name, Differs::Asked)));
        }
        // "the server should send only what differs from these": only the first request of a stream has them.
        self.owes_answer = self.subscription.is_wildcard() && holds.is_empty();
        let set = set.filter(|set| holds.len() == set.len() && !holds.is_empty());
        if let Some(set) = set.filter(|set| self.subscription.covers_all(set) && self.differs.is_empty()) {
            let sum = holds.iter().fold(0, |sum: u64, (name, version)| {
                sum.wrapping_add(Version::parse(version).unwrap_or_default().fingerprint(name))
            });
            if Version(sum) == set.version() {
                // It holds all that there is, as it is.
                self.confirmed.extend(set.resources().filter(|r| r.accept()).cloned());
                self.is_back = true;
                self.held = Arc::clone(set);
                self.ask_again(early.iter());
                return;
            }
        }
        for (name, version) in holds.into_iter().filter(|(name, _)| !early.contains(name)) {
            self.differs.insert(name.into(), Differs::Holds(Version::parse(&version).unwrap_or_default()));
        }
    }

    /// The client needs what is under these names again.
    fn ask_again<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        let covered = names.filter(|name| self.subscription.covers(name));
        self.differs.extend(covered.map(|name| (Arc::clone(name), Differs::Asked)));
    }

    /// What differs between the client's state and `set`, which is the client's state from then on.
    ///
    /// What a client asks for is answered also when it does not exist
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#knowing-when-a-requested-resource-does-not-exist>);
    /// what it says that it holds from an earlier stream is not sent again
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds>).
    fn news(&mut self, set: &Arc<Set>, part: Part) -> Option<News> {
        if let Some(group) = self.next_again(set) {
            let encoded = concat(group.iter().map(|r| r.delta_field().clone()));
            return Some((Offered::Some(group), Vec::new(), encoded));
        }
        let unchanged = Arc::ptr_eq(&self.held, set);
        let has_skipped = set.is_later_than_next(&self.held);
        if unchanged && self.differs.is_empty() && !self.owes_answer {
            return None;
        }
        if let Some(news) = self.whole_news(set).or_else(|| self.shared_news(set)) {
            return Some(news);
        }
        let mut names: BTreeMap<Arc<str>, Option<Differs>> =
            std::mem::take(&mut self.differs).into_iter().map(|(n, d)| (n, Some(d))).collect();
        if !unchanged {
            let mut add = |name: &Arc<str>| {
                names.entry(Arc::clone(name)).or_insert(None);
            };
            // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#when-to-send-an-update
            match set.change_since(&self.held) {
                Some(change) => {
                    change.upserts.iter().for_each(|r| add(r.name()));
                    change.removed.iter().for_each(add);
                }
                None => set.differences(&self.held, add),
            }
        }
        let (mut upserts, mut removed) = (Vec::new(), Vec::new());
        for (name, differs) in names {
            // What a client says that it holds is its business even if it did not (yet) subscribe to it.
            if !self.subscription.covers(&name) && differs != Some(Differs::Asked) {
                continue;
            }
            let held = self.held.get(&name).map(|r| Differs::Holds(r.version()));
            let state = differs.or(held);
            match (set.get(&name), state) {
                (Some(new), Some(Differs::Holds(v))) if new.version() == v => {
                    // Said by the client, not known from this stream.
                    if differs.is_some() && new.accept() {
                        self.confirmed.push(Arc::clone(new));
                    }
                }
                // What was refused is not sent again; what replaces it is. Where states were skipped it may have been taken back
                // and be there again, and nobody would hear that it is still refused.
                // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#nack
                (Some(new), Some(Differs::Refused(v))) if new.version() == v && !has_skipped => {
                    self.differs.insert(name, Differs::Refused(v));
                }
                (Some(new), state) => {
                    if let (Some(Differs::Holds(v)), true) = (state, differs.is_some()) {
                        self.behind.says(&name, v);
                    }
                    upserts.push(Arc::clone(new));
                }
                (None, None) => {}
                // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#knowing-when-a-requested-resource-does-not-exist
                (None, Some(Differs::Asked)) => removed.push(name),
                (None, Some(state)) if part == Part::Upserts => drop(self.differs.insert(name, state)),
                // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#deleting-resources
                (None, Some(_)) => removed.push(name),
            }
        }
        self.held = Arc::clone(set);
        if upserts.is_empty() && removed.is_empty() && !std::mem::take(&mut self.owes_answer) {
            return None;
        }
        self.owes_answer = false;
        let encoded = if upserts.len() == set.len() {
            set.all_delta()
        } else {
            concat(upserts.iter().map(|r| r.delta_field().clone()))
        };
        Some((Offered::Some(upserts), removed, encoded))
    }

    /// The common case of a first sync, one answer for all clients: a client that holds nothing and wants everything.
    fn whole_news(&mut self, set: &Arc<Set>) -> Option<News> {
        let all = self.held.is_empty()
            && self.differs.is_empty()
            && !set.is_empty()
            && self.subscription.covers_all(set);
        if !all {
            return None;
        }
        self.owes_answer = false;
        self.held = Arc::clone(set);
        Some((Offered::All(Arc::clone(set)), Vec::new(), set.all_delta()))
    }

    /// The client wants everything from now on, and until now wanted only what it named
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return>).
    fn widen(&mut self) {
        for resource in self.held.resources().filter(|r| self.subscription.covers_by_name(r.name())) {
            let holds = Differs::Holds(resource.version());
            self.differs.entry(Arc::clone(resource.name())).or_insert(holds);
        }
        self.held = Arc::default();
        self.owes_answer = true;
    }

    fn is_refusing(&self) -> bool {
        self.differs.values().any(|d| matches!(d, Differs::Refused(_)))
    }

    /// The common case, one answer for all clients: a client that was up to date and wants all that is new.
    fn shared_news(&mut self, set: &Arc<Set>) -> Option<News> {
        let change = set.change_since(&self.held)?;
        let all = change.removed.is_empty()
            && self.differs.is_empty()
            && (self.subscription.covers_all(set)
                || change.upserts.iter().all(|r| self.subscription.covers(r.name())));
        if !all {
            return None;
        }
        self.owes_answer = false;
        let news = (Offered::Some(change.upserts.clone()), Vec::new(), change.upserts_delta());
        self.held = Arc::clone(set);
        Some(news)
    }

    /// The next part of a refused response that is still what there is to offer.
    fn next_again(&mut self, set: &Set) -> Option<Vec<Arc<Resource>>> {
        while let Some(group) = self.again.pop_front() {
            let group = group.into_iter().filter(|r| self.subscription.covers(r.name()));
            let (current, past): (Vec<_>, Vec<_>) =
                group.partition(|r| set.get(r.name()).is_some_and(|now| now.version() == r.version()));
            for resource in past {
                // It never came to be held in this form, should the form come back.
                let state = self.differs.entry(Arc::clone(resource.name())).or_insert(UNKNOWN);
                if matches!(state, Differs::Holds(_)) {
                    *state = UNKNOWN;
                }
            }
            if !current.is_empty() {
                return Some(current);
            }
        }
        None
    }

    /// The client answered a response, and with it all earlier ones that it left unanswered
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version>).
    fn answered(&mut self, kind: Kind, nonce: u64, refusal: Option<String>) -> Option<Verdict> {
        // A nonce that is not in flight is about the past, and says nothing.
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-and-nack-semantics-summary
        let at = self.in_flight.iter().position(|offer| offer.nonce == nonce)?;
        let offer = self.in_flight.drain(..=at).next_back()?;
        let Some(text) = refusal else {
            self.behind.took(&offer.resources);
            let (version, first, refusing) = (offer.version, offer.resources.accept(), self.is_refusing());
            return Some(Verdict::Accepted { kind, version, first, taken: offer.resources, refusing });
        };
        let has = self.behind.refused(&offer.resources, &offer.before);
        if !offer.resources.is_empty() {
            // A response that is refused as a whole took nothing away either.
            offer.removed.into_iter().for_each(|name| _ = self.differs.entry(name).or_insert(UNKNOWN));
        }
        let resources = offer.resources.into_vec();
        match resources.as_slice() {
            [] => None,
            [one] => {
                self.differs.insert(Arc::clone(one.name()), Differs::Refused(one.version()));
                Some(Verdict::Refused { kind, resources, has, text })
            }
            // One bad resource may have taken good ones with it (it does for clusters), and the answer does not
            // say which it was: offer the halves, and so on down to the one.
            many => {
                let (a, b) = many.split_at(many.len() / 2);
                self.again.extend([a.to_vec(), b.to_vec()]);
                None
            }
        }
    }
}
