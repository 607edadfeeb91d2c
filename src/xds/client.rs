//! Who is at the other end of a connection, and which Envoys may speak over it.

use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection. Each request of the connection carries it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it is.
    pub address: SocketAddr,
    /// The names in its certificate that may connect; `None` when it does not matter who it is.
    pub names: Option<Arc<[String]>>,
}

impl Client {
    /// Whether an Envoy may say that this is its `node.id`: a name of its certificate, or that name, `/` and more.
    ///
    /// No other character may follow: `edge-10` is not below `edge-1`. A `/` is never in a DNS name, and in a URI
    /// it is what divides levels.
    pub fn may_be(&self, id: &str) -> bool {
        let is = |name: &String| id.strip_prefix(&**name).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        self.names.as_ref().is_none_or(|names| names.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envoy_is_who_its_certificate_says() {
        let client = |names: Option<&[&str]>| Client {
            address: ([127, 0, 0, 1], 1).into(),
            names: names.map(|n| n.iter().map(|n| (*n).to_owned()).collect()),
        };
        assert!(client(None).may_be("anyone"));
        let edge = client(Some(&["edge-1", "spiffe://example.com/edge"]));
        for id in ["edge-1", "edge-1/2", "spiffe://example.com/edge", "spiffe://example.com/edge/pod"] {
            assert!(edge.may_be(id), "{id}");
        }
        for id in ["", "edge", "edge-10", "edge-1.evil", "spiffe://example.com/edge2", "Edge-1"] {
            assert!(!edge.may_be(id), "{id}");
        }
        assert!(!client(Some(&[])).may_be(""));
    }
}
