//! One resource, encoded once for all clients and both protocols.

use super::{Kind, canonical, wire};
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of a resource or of a set of them: 64 bits of a BLAKE3 hash, 16 hexadecimal digits on the wire.
/// Short on purpose: a delta client sends the version of everything it holds when it reconnects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        let (head, _) = hash.as_bytes().split_at(8);
        Self(head.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Of a name and this version: what a resource adds to the version of a set.
    pub fn fingerprint(self, name: &str) -> u64 {
        Self::of(&[name.as_bytes(), &self.0.to_be_bytes()].concat()).0
    }

    /// As a strong entity tag (RFC 9110 section 8.8.3).
    pub fn tag(self) -> String {
        format!("\"{self}\"")
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The number of `resources` in `DiscoveryResponse` and in `DeltaDiscoveryResponse`, and of `resource` in
/// `Resource`: all three are 2, which lets one encoding serve both protocols.
const RESOURCE_FIELD: u32 = 2;

/// An encoded resource.
pub struct Resource {
    kind: Kind,
    name: Arc<str>,
    version: Version,
    /// Of name and version: what it adds to the version of a set.
    fingerprint: u64,
    /// The field `resources` of a `DeltaDiscoveryResponse`: a whole `Resource` with name, version and content.
    delta: Bytes,
    /// Where in `delta` the field `resource` lies; byte for byte the field `resources` of a `DiscoveryResponse`.
    any: Range<usize>,
    /// Where in `delta` the message itself lies.
    message: Range<usize>,
    /// Whether any Envoy has taken it. The one thing that changes in a resource's life.
    accepted: AtomicBool,
}

impl Resource {
    /// Encodes a message.
    pub fn new(kind: Kind, name: &str, message: &impl Message) -> Self {
        Self::from_encoded(kind, name, &canonical::encode(kind.message(), &message.encode_to_vec()))
    }

    /// Takes a message that is already encoded in canonical form.
    pub fn from_encoded(kind: Kind, name: &str, message: &[u8]) -> Self {
        let version = Version::of(message);
        let version_text = version.to_string();
        let url = kind.type_url();
        let any_len = wire::field_len(1, url.len()) + wire::field_len(2, message.len());
        let any_field = wire::field_len(RESOURCE_FIELD, any_len);
        let inner = any_field + wire::field_len(1, version_text.len()) + wire::field_len(3, name.len());

        let mut out = BytesMut::with_capacity(wire::field_len(RESOURCE_FIELD, inner));
        wire::header(RESOURCE_FIELD, inner, &mut out);
        let start = out.len();
        wire::header(RESOURCE_FIELD, any_len, &mut out);
        wire::field(1, url.as_bytes(), &mut out);
        wire::field(2, message, &mut out);
        let any = start..out.len();
        let content = out.len() - message.len()..out.len();
        wire::field(1, version_text.as_bytes(), &mut out);
        wire::field(3, name.as_bytes(), &mut out);
        Self {
            kind,
            name: name.into(),
            version,
            fingerprint: version.fingerprint(name),
            delta: out.freeze(),
            any,
            message: content,
            accepted: AtomicBool::new(false),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Unique among its kind in a snapshot.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
    /// Equal when, and only when, the meaning is equal.
    pub fn version(&self) -> Version {
        self.version
    }
    /// Of name and version. The version of a set is the sum of these.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
    /// As a field of a `DeltaDiscoveryResponse`, tag and length included.
    pub fn delta_field(&self) -> &Bytes {
        &self.delta
    }
    /// As a field of a `DiscoveryResponse`, tag and length included.
    pub fn sotw_field(&self) -> Bytes {
        self.delta.slice(self.any.clone())
    }
    /// The encoded message.
    pub fn message(&self) -> Bytes {
        self.delta.slice(self.message.clone())
    }
    /// Notes that an Envoy has taken it; true when it is the first one.
    pub fn accept(&self) -> bool {
        // Mostly another Envoy was first, and looking costs less than writing.
        !self.is_accepted() && !self.accepted.swap(true, Ordering::Relaxed)
    }
    /// Whether any Envoy has taken it.
    pub fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl PartialEq for Resource {
    /// Whether they mean the same under the same name.
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name, self.version) == (other.kind, &other.name, other.version)
    }
}

impl fmt::Debug for Resource {
    /// Without its content, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {} ({} bytes)", self.kind, self.name, self.version, self.message.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

    #[test]
    fn both_protocols_read_the_same_resource_from_the_same_bytes() {
        let cluster = Cluster { name: "fraud/v1".into(), ..Default::default() };
        let resource = Resource::new(Kind::Cluster, "fraud/v1", &cluster);

        let delta = DeltaDiscoveryResponse::decode(resource.delta_field().clone()).unwrap();
        let [one] = delta.resources.as_slice() else { panic!("one resource") };
        assert_eq!(
            (one.name.as_str(), one.version.as_str()),
            ("fraud/v1", resource.version().to_string().as_str())
        );
        let any = one.resource.clone().unwrap();
        assert_eq!(any.type_url, Kind::Cluster.type_url());
        assert_eq!(Cluster::decode(any.value.as_slice()).unwrap(), cluster);

        let sotw = DiscoveryResponse::decode(resource.sotw_field()).unwrap();
        assert_eq!(sotw.resources, [any]);
        assert_eq!(Cluster::decode(resource.message()).unwrap(), cluster);
    }

    #[test]
    fn versions_survive_the_wire() {
        let version = Version::of(b"x");
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        assert_eq!(Version::parse("no"), None);
    }
}
