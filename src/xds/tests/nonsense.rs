//! Clients that say anything at all: no request makes a stream panic, talk without end, or say what there is not.

use super::super::delta::Delta;
use super::super::sotw::Sotw;
use super::*;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use proptest::prelude::*;

/// The most responses that one state may take, whatever was asked.
const ENOUGH: usize = 100;

#[derive(Clone, Debug)]
struct Request {
    kind: usize,
    subscribe: Vec<String>,
    unsubscribe: Vec<String>,
    held: Vec<(String, String)>,
    nonce: String,
    version: String,
    refuses: bool,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[a-d]", 1 => Just("*".to_owned()), 1 => ".{0,3}"]
}

/// Often one that a server says first, sometimes any text.
fn nonce() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 4 => "[1-9]", 1 => ".{0,4}"]
}

fn version() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[0-9a-f]{16}", ".{0,4}"]
}

fn request() -> impl Strategy<Value = Request> {
    let names = || prop::collection::vec(name(), 0..5);
    let held = prop::collection::vec((name(), version()), 0..4);
    // One kind more than there are: a type that nobody knows.
    let parts = (0..=Kind::ALL.len(), names(), names(), held, nonce(), version(), any::<bool>());
    parts.prop_map(|(kind, subscribe, unsubscribe, held, nonce, version, refuses)| Request {
        kind,
        subscribe,
        unsubscribe,
        held,
        nonce,
        version,
        refuses,
    })
}

impl Request {
    fn type_url(&self) -> String {
        Kind::ALL.get(self.kind).map_or("no.such.Type", |kind| kind.type_url()).into()
    }

    fn delta(self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: self.type_url(),
            resource_names_subscribe: self.subscribe,
            resource_names_unsubscribe: self.unsubscribe,
            initial_resource_versions: self.held.into_iter().collect(),
            response_nonce: self.nonce,
            error_detail: self.refuses.then(refusal),
            ..Default::default()
        }
    }

    fn sotw(self) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: self.type_url(),
            resource_names: self.subscribe,
            version_info: self.version,
            response_nonce: self.nonce,
            error_detail: self.refuses.then(refusal),
            ..Default::default()
        }
    }
}

/// Kind, name and meaning of each resource.
type State = Vec<(usize, usize, u32)>;

/// Requests, and the state that there is after each.
fn course() -> impl Strategy<Value = Vec<(Request, State)>> {
    let state = prop::collection::vec((0..Kind::ALL.len(), 0..4usize, 0..3u32), 0..8);
    prop::collection::vec((request(), state), 1..25)
}

fn state(previous: &Snapshot, resources: &[(usize, usize, u32)]) -> Snapshot {
    let resource = |(kind, name, meaning): &(usize, usize, u32)| {
        resource(Kind::ALL[*kind], ["a", "b", "c", "d"][*name], *meaning)
    };
    Snapshot::next(previous, resources.iter().map(resource))
}

/// Hears all there is to say, and that it is of what there is.
fn hear(mut next: impl FnMut() -> Option<Heard>, now: &Snapshot) -> Result<(), TestCaseError> {
    let mut count = 0;
    while let Some(heard) = next() {
        for name in heard.resources.keys() {
            prop_assert!(now.get(heard.kind, name).is_some(), "{} {name} is not there", heard.kind);
        }
        for name in &heard.removed {
            prop_assert!(now.get(heard.kind, name).is_none(), "{} {name} is there", heard.kind);
        }
        count += 1;
        prop_assert!(count < ENOUGH, "no end");
    }
    Ok(())
}

proptest! {
    #[test]
    fn an_incremental_stream_bears_anything(course in course()) {
        let (mut stream, mut now) = (Delta::new(None), Snapshot::default());
        for (request, resources) in course {
            let _ = stream.on_request(request.delta());
            now = state(&now, &resources);
            hear(|| stream.next(&now).map(Heard::delta), &now)?;
        }
    }

    #[test]
    fn a_stream_of_whole_states_bears_anything(course in course()) {
        let (mut stream, mut now) = (Sotw::new(None), Snapshot::default());
        for (request, resources) in course {
            let _ = stream.on_request(request.sotw());
            now = state(&now, &resources);
            let mut count = 0;
            while stream.next(&now).is_some() {
                count += 1;
                prop_assert!(count < ENOUGH, "no end");
            }
        }
    }
}
