//! The protocol, played without sockets: a trace is a list of requests and of what is said to them.

mod delta;
mod model;
mod nonsense;
mod sotw;

use super::{Malformed, Verdict, delta::Response};
use crate::resource::{Kind, Resource};
use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use envoy_types::pb::google::rpc::Status;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A resource whose meaning is a number. What is in it does not matter to the protocol.
fn resource(kind: Kind, name: &str, meaning: u32) -> Arc<Resource> {
    let mut content = Vec::new();
    prost::encoding::uint32::encode(1000, &meaning, &mut content);
    Arc::new(Resource::from_encoded(kind, name, &content))
}

/// A snapshot with nothing before it: `cluster a=1, route r=2`.
fn snapshot(text: &str) -> Snapshot {
    after(&Snapshot::default(), text)
}

/// The successor of a snapshot, in which unchanged resources keep their place in memory.
fn after(previous: &Snapshot, text: &str) -> Snapshot {
    let resources = text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(|item| {
        let (kind, rest) = item.split_once(' ').unwrap();
        let (name, meaning) = rest.split_once('=').unwrap();
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind).unwrap();
        resource(kind, name, meaning.parse().unwrap())
    });
    Snapshot::next(previous, resources)
}

fn version_in(snapshot: &Snapshot, kind: Kind, name: &str) -> String {
    snapshot.get(kind, name).unwrap().version().to_string()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn refusal() -> Status {
    Status { code: 13, message: "no".into(), ..Default::default() }
}

/// A response as the client reads it.
#[derive(Debug)]
struct Heard {
    kind: Kind,
    nonce: String,
    version: String,
    /// Name to version; a state-of-the-world response does not tell, so there it is the content's.
    resources: BTreeMap<String, String>,
    removed: Vec<String>,
}

impl Heard {
    fn names(&self) -> Vec<&str> {
        self.resources.keys().map(String::as_str).collect()
    }

    fn delta(response: Response) -> Self {
        let kind = response.kind;
        let message = DeltaDiscoveryResponse::decode(&response.frame.into_pieces().concat()[5..]).unwrap();
        assert_eq!(message.type_url, kind.type_url());
        let resources = message.resources.into_iter().map(|r| (r.name, r.version));
        let (nonce, version, removed) =
            (message.nonce, message.system_version_info, message.removed_resources);
        Self { kind, nonce, version, resources: resources.collect(), removed }
    }

    /// The names of resources are found by their content.
    fn sotw(response: Response, known: &Snapshot) -> Self {
        let kind = response.kind;
        let message = DiscoveryResponse::decode(&response.frame.into_pieces().concat()[5..]).unwrap();
        assert_eq!(message.type_url, kind.type_url());
        let name = |content: &[u8]| {
            let of = |r: &&Arc<Resource>| r.message() == content;
            let found: Vec<_> = known.set(kind).resources().filter(of).collect();
            assert_eq!(found.len(), 1, "contents are unique in this test");
            (found[0].name().to_string(), found[0].version().to_string())
        };
        let resources = message.resources.iter().map(|any| name(&any.value)).collect();
        Self { kind, nonce: message.nonce, version: message.version_info, resources, removed: Vec::new() }
    }
}
